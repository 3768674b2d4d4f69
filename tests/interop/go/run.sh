#!/usr/bin/env bash
# A go-waku node relays with a wakustore node, asks it by Store v3, and is not disconnected:
# tests/interop_go.rs runs the two. Arguments go to cargo; without any it is --workspace.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

tests/setup/go.sh
export WAKUSTORE_GO_PEER="${CARGO_TARGET_DIR:-$PWD/target}/interop-go/peer"
[ $# -gt 0 ] || set -- --workspace
cargo build --locked "$@" --example store_node
timeout --kill-after=5 300 cargo test --locked "$@" --test interop_go -- --ignored --nocapture
