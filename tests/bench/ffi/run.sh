#!/usr/bin/env bash
# What the ABI costs, from C and from Python, and how large the library is: JSON lines, also kept in
# target/bench.jsonl. It builds the release library.
set -euo pipefail
cd "$(dirname "$0")/../../.."
cargo build --locked --release --lib
target=${CARGO_TARGET_DIR:-target}
library=$target/release/libwakustore.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Under the name that it is loaded by, and the one that it is linked by.
cp "$library" "$work/libwakustore.so.0"
strip --strip-unneeded "$work/libwakustore.so.0"
ln -s libwakustore.so.0 "$work/libwakustore.so"
flags=(-std=c11 -O2 -Wall -Wextra -D_DEFAULT_SOURCE -Iinclude)
"${CC:-cc}" "${flags[@]}" -shared -fPIC tests/bench/ffi/atomic.c -o "$work/libatomic_bench.so"
"${CC:-cc}" "${flags[@]}" tests/bench/ffi/page.c -o "$work/page" \
  -L"$work" -lwakustore -latomic_bench -Wl,-rpath,"$work"
{
  "$work/page"
  WAKUSTORE_LIBRARY=$work/libwakustore.so PYTHONPATH=bindings/python/src \
    "${PYTHON:-python3}" tests/bench/ffi/page.py
  printf '{"name":"ffi.so_bytes","value":%d,"unit":"bytes"}\n' \
    "$(stat -c %s "$work/libwakustore.so.0")"
} | tee -a target/bench.jsonl
