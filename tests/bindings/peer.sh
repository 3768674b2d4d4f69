# Shared by the run.sh of the languages and of js-waku; sourced, not run. Starts peer.py beside a
# program and ends it in order, whatever happens in between.
#
# Sets ROOT (of the checkout), LIBRARY (the shared library under test), LIBRARY_DIR, LINK_DIR (the
# library as it is installed, for what is linked) and WORK, a directory that is gone at exit.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
LIBRARY="${WAKUSTORE_LIBRARY:-${CARGO_TARGET_DIR:-$ROOT/target}/debug/libwakustore.so}"
LIBRARY_DIR="$(cd "$(dirname "$LIBRARY")" && pwd)"
export WAKUSTORE_LIBRARY="$LIBRARY"
# How many messages the peer holds.
PEER_COUNT=320
# The longest that the peer, and the program, may take from start to end.
PEER_SECONDS=300
PROGRAM_SECONDS=180
WORK="$(mktemp -d)"
LINK_DIR="$WORK/lib"
PEER_PROCESS=
PROGRAM_PROCESS=

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

in_python() {
    PYTHONPATH="$ROOT/bindings/python/src" PYTHONDONTWRITEBYTECODE=1 "${PYTHON:-python3}" "$@"
}

clean_up() {
    local status=$?
    local process
    for process in $PROGRAM_PROCESS $PEER_PROCESS; do
        # Each is a timeout, which passes the signal on to all that it started.
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$WORK"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
. "$ROOT/tests/installed.sh"
installed "$LIBRARY" "$LINK_DIR"

# start_peer [OPTION...]: sets PEER_ADDRESS. The peer's pipes are this shell's alone.
start_peer() {
    mkfifo "$WORK/to-peer" "$WORK/from-peer"
    PYTHONPATH="$ROOT/bindings/python/src" PYTHONDONTWRITEBYTECODE=1 \
        timeout --kill-after=5 "$PEER_SECONDS" "${PYTHON:-python3}" "$ROOT/tests/bindings/peer.py" "$WORK" "$PEER_COUNT" "$@" \
        <"$WORK/to-peer" >"$WORK/from-peer" &
    PEER_PROCESS=$!
    # Opening waits for the peer's side, which the shell opens before anything can fail there.
    exec 8>"$WORK/to-peer" 9<"$WORK/from-peer"
    IFS= read -r -t 60 PEER_ADDRESS <&9 || fail "the peer did not start"
    exec 9<&-
    printf 'peer at %s\n' "$PEER_ADDRESS"
}

# Closes the peer's input, and fails unless it stops in order.
stop_peer() {
    exec 8>&-
    local status=0
    wait "$PEER_PROCESS" || status=$?
    PEER_PROCESS=
    [ "$status" = 0 ] || fail "the peer ended with $status"
}

# run_program CMD...: runs it without the peer's pipes, and fails where it does.
run_program() {
    local status=0
    timeout --kill-after=5 "$PROGRAM_SECONDS" "$@" 8>&- </dev/null &
    PROGRAM_PROCESS=$!
    wait "$PROGRAM_PROCESS" || status=$?
    PROGRAM_PROCESS=
    [ "$status" = 0 ] || fail "the program ended with $status"
}

# compare_archives OWN_COUNT: fails unless both files hold the same, and all of it.
compare_archives() {
    in_python "$ROOT/tests/bindings/compare.py" "$WORK/own.db" "$WORK/peer.db" $((PEER_COUNT + $1))
}
