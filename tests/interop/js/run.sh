#!/usr/bin/env bash
# js-waku's light node reads history from a wakustore node over WebSocket, and compares it with what
# that node holds. The node is tests/bindings/peer.py, in a Python process.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../bindings/peer.sh"

start_peer --ws --expected "$WORK/expected.json"
# Of messages.py: the cluster, and the shard that most messages are on.
run_program node "$ROOT/tests/interop/js/read_history.mjs" "$PEER_ADDRESS" 16 3 "$WORK/expected.json" 17
run_program node "$ROOT/tests/interop/js/read_history.mjs" "$PEER_ADDRESS" 16 5 "$WORK/expected.json" 5
stop_peer
