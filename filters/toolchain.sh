#!/usr/bin/env bash
# A Rust that compiles for wasm32-unknown-unknown, beside the one that is installed, and out of Debian's packages alone.
#
#   filters/toolchain.sh [DIR]     into target/wasm-rust unless told otherwise; prints the compiler's path
#
# Where `rustup target add wasm32-unknown-unknown` works, none of this is needed. Debian has a current compiler with its
# library's sources (rustc-web) but no library for WebAssembly: so the packages are unpacked into DIR, nothing is
# installed, and the library is compiled once. Takes a minute, 150 MB of downloads and 600 MB of disk. Running it again
# does nothing. Needs: Debian 12 on x86-64, apt-get and dpkg, cargo.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:-$root/target/wasm-rust}
target=wasm32-unknown-unknown
llvm=22     # what rustc-web is linked with; newer packages may want another
done_mark=$dir/complete

if [ -e "$done_mark" ] && "$dir/bin/rustc" --version >/dev/null 2>&1; then
    echo "$dir/bin/rustc"
    exit 0
fi
rm -rf "$dir"
mkdir -p "$dir/bin"
dir=$(cd "$dir" && pwd)
done_mark=$dir/complete

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt fetches as a user of its own, who must be able to write here.
chmod 777 "$work"

fetch() {
    local version
    version=$(apt-cache policy rustc-web | sed -n 's/ *Candidate: //p')
    if [ -z "$version" ] || [ "$version" = "(none)" ]; then
        local as_root=()
        [ "$(id -u)" = 0 ] || as_root=(sudo)
        "${as_root[@]}" apt-get update -qq
        version=$(apt-cache policy rustc-web | sed -n 's/ *Candidate: //p')
    fi
    # The compiler itself is a library, named after its version: 1.96.0+dfsg1-1 is libstd-rust-web-1.96.
    local series
    series=$(echo "$version" | cut -d. -f1-2)
    (cd "$work" && apt-get download -qq rustc-web "libstd-rust-web-$series" libstd-rust-web-dev rust-web-src \
        rust-web-llvm "libllvm$llvm" "lld-$llvm" libz3-4)
}

unpack() {
    local package
    for package in "$work"/*.deb; do
        case $package in
            */rust-web-src_*)
                # Of the sources, only the library's.
                dpkg --fsys-tarfile "$package" |
                    tar -x -C "$dir" --wildcards './usr/src/rustc-*/library/*' './usr/lib/rustlib/src/*'
                ;;
            *) dpkg-deb --extract "$package" "$dir" ;;
        esac
    done
}

# Programs out of the packages find their libraries beside them.
program() {
    local at=$1 real=$2
    rm -f "$at"
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec %s "$@"\n' \
        "$dir/usr/lib/x86_64-linux-gnu" "$real" >"$at"
    chmod +x "$at"
}

# A crate with nothing in it makes cargo compile the library; its parts then go where the compiler looks for them.
library() {
    local seed=$work/seed to=$dir/usr/lib/rustlib/$target/lib
    mkdir -p "$seed/src" "$to"
    echo '#![no_std]' >"$seed/src/lib.rs"
    cat >"$seed/Cargo.toml" <<'TOML'
[package]
name = "seed"
version = "0.0.0"
edition = "2021"

[profile.release]
panic = "abort"

[workspace]
TOML
    # Bitcode is what lets a guest's build strip what it does not use. Panics name the file they come from: without
    # this machine's paths, so that every machine builds the same artefacts.
    local flags="-Cembed-bitcode=yes --remap-path-prefix=$dir=rust --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    (cd "$seed" && env -u RUSTC_WRAPPER RUSTC="$dir/bin/rustc" RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags" \
        CARGO_TARGET_DIR="$work/target" cargo build --quiet --release --target "$target" -Zbuild-std=std,panic_abort)
    cp "$work/target/$target/release/deps/"lib*.rlib "$to/"
    rm -f "$to"/libseed-*.rlib
}

{
    fetch
    unpack
    program "$dir/bin/rustc" "$dir/usr/bin/rustc"
    program "$dir/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld" "$dir/usr/lib/llvm-$llvm/bin/lld"
    library
} >&2
touch "$done_mark"
echo "$dir/bin/rustc"
