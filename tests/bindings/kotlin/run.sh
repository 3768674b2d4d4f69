#!/usr/bin/env bash
# The whole path from Kotlin: examples/kotlin on the Java machine, against a node in a Python
# process. At the end both archives hold the same. Before it, Keeping.kt: what needs no peer.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../peer.sh"

MAVEN=(mvn -q -B -o -f "$ROOT/bindings/kotlin/pom.xml" "-Djna.library.path=$LIBRARY_DIR")

"${MAVEN[@]}" compile </dev/null
run_program "${MAVEN[@]}" exec:exec -Dexample.main=KeepingKt
start_peer --syncs 1
run_program "${MAVEN[@]}" exec:exec "-Dexample.args=$WORK $PEER_ADDRESS $PEER_COUNT"
stop_peer
compare_archives 40
