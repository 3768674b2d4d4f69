#!/usr/bin/env bash
# The whole path from Swift: examples/swift/whole-path, against a node in a Python process. At the
# end both archives hold the same.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../peer.sh"

SCRATCH="$ROOT/target/swift"
# Swift's root sees the checkout and /tmp by itself; what may lie elsewhere is named.
export WAKUSTORE_SWIFT_BIND="$LIBRARY_DIR:$WORK${WAKUSTORE_SWIFT_BIND:+:$WAKUSTORE_SWIFT_BIND}"
in_swift() { LD_LIBRARY_PATH="$LINK_DIR" "$ROOT/tests/setup/swift-run.sh" "$@"; }

mkdir -p "$SCRATCH"
in_swift swift build --package-path "$ROOT/examples/swift/whole-path" --scratch-path "$SCRATCH" \
    -Xlinker "-L$LINK_DIR" </dev/null >"$WORK/build.log" 2>&1 || {
    cat "$WORK/build.log" >&2
    fail "swift build ended with an error"
}
start_peer --syncs 1
export LD_LIBRARY_PATH="$LINK_DIR"
run_program "$ROOT/tests/setup/swift-run.sh" "$SCRATCH/debug/whole-path" "$WORK" "$PEER_ADDRESS" "$PEER_COUNT"
stop_peer
compare_archives 40
