//go:build !wasm

// Empty: with it, the functions of the host need no bodies where the package is only read or vetted.
