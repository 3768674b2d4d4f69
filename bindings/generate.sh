#!/bin/sh
# Generates what is committed for other languages: the C header, the symbols and the layout of the
# C ABI, and the Python, Kotlin and Swift sources of the UniFFI surface.
#
#   bindings/generate.sh           writes them where they are committed
#   bindings/generate.sh --check   fails where what is committed differs
#
# CARGO_FLAGS are passed to cargo (for example --offline or --release).
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
    '') check='' out=bindings ;;
    --check)
        check=--check out=$(mktemp -d)
        trap 'rm -rf "$out"' EXIT
        ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

target=${CARGO_TARGET_DIR:-target}
# The whole workspace, as the tests build it: another choice of packages would be another choice of
# features, and the library would be built twice.
# shellcheck disable=SC2086
cargo build --locked ${CARGO_FLAGS:-} --workspace
case " ${CARGO_FLAGS:-} " in *' --release '*) profile=release ;; *) profile=debug ;; esac
for library in libwakustore.so libwakustore.dylib wakustore.dll; do
    [ -f "$target/$profile/$library" ] && break
done

generate() { # language directory
    mkdir -p "$out/$2"
    "$target/$profile/wakustore-bindgen" uniffi --library "$target/$profile/$library" \
        --language "$1" --out-dir "$out/$2"
    if [ "$out" != bindings ]; then
        for file in $(cd "$out/$2" && find . -type f); do
            diff -u "bindings/$2/$file" "$out/$2/$file" || {
                echo "bindings/$2/$file is not what the library says: run bindings/generate.sh" >&2
                exit 1
            }
        done
    fi
}

for command in header symbols abi; do
    # shellcheck disable=SC2086
    "$target/$profile/wakustore-bindgen" "$command" --library "$target/$profile/$library" $check
done
generate python python/src/wakustore
generate kotlin kotlin/generated
generate swift swift/generated
