#!/bin/sh
# Builds the engine and the puzzles for browsers: `scripts/build-web.sh OUT` writes OUT/frostline_web.js and
# OUT/frostline_web_bg.wasm, and the same of frostline_web_puzzles. Pages look for them in web/site/pkg, where
# `make web` writes them.
#
# If rustup has the target (`rustup target add wasm32-unknown-unknown`), it builds with that. Otherwise
# Debian's compiler builds its own standard library (`apt-get install rustc-web rust-web-src`); the linker is
# that of rustup's toolchain.
set -eu
[ $# = 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
out=$1
cd "$(dirname "$0")/.."
target=wasm32-unknown-unknown
folder=${CARGO_TARGET_DIR:-target}
cargo=${CARGO:-cargo}

installed() { [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; }

if installed; then
    CARGO_TARGET_DIR=$folder/web $cargo build --lib --profile wasm -p frostline-web -p frostline-web-puzzles --target $target
elif [ -d /usr/lib/rustlib/src ] && [ -x /usr/bin/rustc ]; then
    lld=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
    [ -x "$lld" ] || lld=$(command -v rust-lld || command -v wasm-ld) || { echo "no linker for WebAssembly" >&2; exit 1; }
    CARGO_TARGET_DIR=$folder/web RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$lld \
        $cargo build --lib --profile wasm -p frostline-web -p frostline-web-puzzles -Z build-std=std,panic_abort --target $target
else
    echo "no compiler for WebAssembly: rustup target add $target" >&2
    echo "or, on Debian: apt-get install rustc-web rust-web-src" >&2
    exit 1
fi
size() { printf '%8d bytes, %8d with gzip: %s\n' "$(wc -c <"$1")" "$(gzip -9c "$1" | wc -c)" "$1"; }
for name in frostline_web frostline_web_puzzles; do
    CARGO_TARGET_DIR=$folder/bind $cargo run --quiet --locked --manifest-path web/bind/Cargo.toml -- \
        "$folder/web/$target/wasm/$name.wasm" "$out"
    size "$out/${name}_bg.wasm"
    size "$out/$name.js"
done
