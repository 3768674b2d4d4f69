#!/usr/bin/env bash
# The whole path from Swift: examples/swift/whole-path, against a node in a Python process. At the
# end both archives hold the same. Before it, keeping: what needs no peer.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../peer.sh"

SCRATCH="$ROOT/target/swift"
# Swift's root sees the checkout and /tmp by itself; what may lie elsewhere is named.
export WAKUSTORE_SWIFT_BIND="$LIBRARY_DIR:$WORK${WAKUSTORE_SWIFT_BIND:+:$WAKUSTORE_SWIFT_BIND}"
in_swift() { LD_LIBRARY_PATH="$LINK_DIR" "$ROOT/tests/setup/swift-run.sh" "$@"; }

mkdir -p "$SCRATCH"
build() { # DIRECTORY
    in_swift swift build --package-path "$1" --scratch-path "$SCRATCH/$(basename "$1")" \
        -Xlinker "-L$LINK_DIR" </dev/null >"$WORK/build.log" 2>&1 || {
        cat "$WORK/build.log" >&2
        fail "swift build ended with an error"
    }
}
build "$ROOT/tests/bindings/swift/keeping"
build "$ROOT/examples/swift/whole-path"
export LD_LIBRARY_PATH="$LINK_DIR"
run_program "$ROOT/tests/setup/swift-run.sh" "$SCRATCH/keeping/debug/keeping"
unset LD_LIBRARY_PATH
start_peer --syncs 1
export LD_LIBRARY_PATH="$LINK_DIR"
run_program "$ROOT/tests/setup/swift-run.sh" "$SCRATCH/whole-path/debug/whole-path" "$WORK" "$PEER_ADDRESS" "$PEER_COUNT"
stop_peer
compare_archives 40
