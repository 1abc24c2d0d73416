//! The Rust side of `wit/`, made from it by the compiler.

wasmtime::component::bindgen!({
    path: "wit",
    world: "full-filter",
    imports: { default: trappable },
});
