//! What `wit-bindgen` makes of the contract in `wit/`, and nothing else.
//!
//! Everything that a filter may import is one world. Each interface that a filter may export is a world of its own, so
//! that an artefact exports exactly the hooks it has: one that does not look at responses must not claim to.

wit_bindgen::generate!({
    path: "../../wit",
    world: "imports",
    additional_derives: [PartialEq],
});

/// Every filter exports it.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package gimbal:sdk; world lifecycle { export gimbal:filter/lifecycle@0.1.0; }",
        world: "gimbal:sdk/lifecycle",
        with: { "gimbal:filter/types@0.1.0": super::gimbal::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "gimbal_sdk::bindings::lifecycle",
    });
}

/// The hook that sees requests.
pub mod requests {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package gimbal:sdk; world requests { export gimbal:filter/requests@0.1.0; }",
        world: "gimbal:sdk/requests",
        with: { "gimbal:filter/types@0.1.0": super::gimbal::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_requests",
        default_bindings_module: "gimbal_sdk::bindings::requests",
    });
}

/// The hook that sees responses.
pub mod responses {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package gimbal:sdk; world responses { export gimbal:filter/responses@0.1.0; }",
        world: "gimbal:sdk/responses",
        with: { "gimbal:filter/types@0.1.0": super::gimbal::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_responses",
        default_bindings_module: "gimbal_sdk::bindings::responses",
    });
}

/// The hooks that see connections come and go.
pub mod connections {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package gimbal:sdk; world connections { export gimbal:filter/connections@0.1.0; }",
        world: "gimbal:sdk/connections",
        pub_export_macro: true,
        export_macro_name: "export_connections",
        default_bindings_module: "gimbal_sdk::bindings::connections",
    });
}
