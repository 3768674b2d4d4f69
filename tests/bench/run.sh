#!/usr/bin/env bash
# Builds the measurements, then prints one JSON line a figure and keeps them in target/bench.jsonl.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p target
: >target/bench.jsonl
cargo bench --locked --no-default-features --features sqlite,node \
    --bench figures --bench e2e --bench store -- "$@"
case "${1:-ffi}" in
*ffi*) tests/bench/ffi/run.sh ;;
esac
if [ -n "${FULL:-}" ]; then
    cargo bench --locked --no-default-features --features sqlite,postgres --bench postgres
fi
