#!/usr/bin/env bash
# Builds the shipped filters and puts them beside their sources, with their digests.
#
#   filters/build.sh               all of them
#   filters/build.sh acl guard     only these
#   filters/build.sh --compare     builds, puts nothing, and says which artefacts would be others
#
# WASM_RUSTC names a compiler for wasm32-unknown-unknown that is there already; otherwise filters/toolchain.sh makes one.
set -euo pipefail
export LC_ALL=C

cd "$(dirname "$0")/.."
root=$(pwd)
shipped=(rate-limit acl rewrite guard redact chaos)
compare=
[ "${1:-}" != --compare ] || { compare=yes; shift; }
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${shipped[@]}")
target=wasm32-unknown-unknown
rustc=${WASM_RUSTC:-$(filters/toolchain.sh)}

# 64 KiB of stack are plenty, and a megabyte for every instance is not nothing. Paths of this machine are none of an
# artefact's business, and would make two machines build two artefacts of one source.
library=$("$rustc" --print sysroot)
flags=(
    -Clink-arg=-zstack-size=65536
    --remap-path-prefix="$root=."
    --remap-path-prefix="${CARGO_HOME:-$HOME/.cargo}=cargo"
    --remap-path-prefix="$library=rust"
)
packages=()
for name in "${names[@]}"; do packages+=(--package "gimbal-$name"); done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}") RUSTC=$rustc \
    cargo build --locked --profile filter --target "$target" "${packages[@]}"

# The digest of the sources is that of the list of their digests; tests/it/artefacts.rs makes the same.
sources() {
    {
        find "filters/$1/src" filters/sdk/src wit -type f \( -name '*.rs' -o -name '*.wit' \)
        echo "filters/$1/Cargo.toml"
        echo "filters/$1/manifest.json"
    } | sort | xargs sha256sum | sha256sum | cut -d' ' -f1
}

built=${CARGO_TARGET_DIR:-target}/$target/filter
for name in "${names[@]}"; do
    if [ -n "$compare" ]; then
        # Another compiler makes other bytes of the same sources: that is worth saying, and no fault.
        cmp --quiet "$built/gimbal_${name//-/_}.wasm" "filters/$name/$name.wasm" && what=same || what="other bytes"
        printf '%-12s %s\n' "$name" "$what"
        continue
    fi
    cp "$built/gimbal_${name//-/_}.wasm" "filters/$name/$name.wasm"
    printf 'artefact %s\nsources %s\n' "$(sha256sum <"filters/$name/$name.wasm" | cut -d' ' -f1)" "$(sources "$name")" \
        >"filters/$name/$name.digest"
    printf '%-12s %7d bytes\n' "$name" "$(wc -c <"filters/$name/$name.wasm")"
done
