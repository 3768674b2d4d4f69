#!/usr/bin/env bash
# The whole path from Nim, with both ways of memory management that Nim programs use:
# examples/nim/whole_path.nim against a node in a Python process. At the end both archives hold the
# same. Before it, keeping.nim: what needs no peer.
#
#   run.sh [refc|orc]     both unless told
set -euo pipefail
if [ $# = 0 ]; then
    "$0" refc
    exec "$0" orc
fi
. "$(dirname "${BASH_SOURCE[0]}")/../peer.sh"

BUILT="$ROOT/target/nim/$1"
mkdir -p "$BUILT"
nim c --hints:off "--mm:$1" "--nimcache:$BUILT/cache" "--out:$BUILT/whole_path" \
    "--passL:-L$LINK_DIR" "$ROOT/examples/nim/whole_path.nim" </dev/null
nim c --hints:off "--mm:$1" --threads:on "--nimcache:$BUILT/cache-keeping" \
    "--out:$BUILT/keeping" "--passL:-L$LINK_DIR" "$ROOT/tests/bindings/nim/keeping.nim" </dev/null
LD_LIBRARY_PATH="$LINK_DIR" run_program "$BUILT/keeping"
start_peer --syncs 1
export LD_LIBRARY_PATH="$LINK_DIR"
printf -- 'with %s\n' "$1"
run_program "$BUILT/whole_path" "$WORK" "$PEER_ADDRESS" "$PEER_COUNT"
stop_peer
compare_archives 40
