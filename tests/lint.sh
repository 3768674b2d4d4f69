#!/usr/bin/env bash
# Formatting, clippy with warnings denied, drift of what is generated, layers, docs.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
  local from=$SECONDS
  printf -- '--- %s\n' "$1"
  shift
  "$@"
  printf -- '--- %d s\n' $((SECONDS - from))
}

step 'format' cargo fmt --all --check
step 'clippy, everything' cargo clippy --locked --workspace --all-targets -- -D warnings
step 'clippy, the pure crate' cargo clippy --locked --no-default-features --all-targets -- -D warnings
step 'clippy, a local archive' cargo clippy --locked --no-default-features --features sqlite --lib -- -D warnings
step 'clippy, a shared archive' cargo clippy --locked --no-default-features --features postgres --lib -- -D warnings
step 'layers and purity' cargo test --locked --workspace --test layers --test purity --test ffi_guard
step 'docs' env RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib
step 'drift of header, symbols, layout and bindings' bindings/generate.sh --check
