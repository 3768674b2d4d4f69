#!/usr/bin/env bash
# A private PostgreSQL cluster in a directory of its own, for as long as standard input stays open:
# it ends, and the directory goes, with whoever started it, however that ends.
#
# STANDBY_OF, where it is set, is the directory of another such cluster on the same port, of which this
# one becomes a replica, by streaming.
#
# cluster.sh BINDIR PORT [SETTING...]: prints the directory, which holds the socket, then obeys
# lines: `start`, `stop` (fast), `crash` (immediate), `pid`; each is answered with a line.
set -euo pipefail

bin="$1"
port="$2"
shift 2
if [ "$(id -u)" = 0 ]; then
    # PostgreSQL refuses to run as root. (The user it runs as may not get at this file.)
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- \
        "$BASH" -c "$(cat "$0")" "$0" "$bin" "$port" "$@"
fi

cd /
home="$(mktemp -d "${TMPDIR:-/tmp}/wks-pg-XXXXXX")"
server=

halt() {
    [ -n "$server" ] || return 0
    kill "-$1" "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
}

finish() {
    halt QUIT
    rm -rf "$home"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# Nothing is waited for: the directory does not outlive us.
if [ -n "${STANDBY_OF:-}" ]; then
    make=("$bin/pg_basebackup" -D "$home/data" -h "$STANDBY_OF" -p "$port" -U postgres
        --write-recovery-conf --checkpoint=fast --no-sync)
else
    make=("$bin/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --locale=C --no-sync
        --no-instructions)
fi
"${make[@]}" >"$home/initdb.log" 2>&1 || {
    cat "$home/initdb.log" >&2
    exit 1
}
{
    echo "listen_addresses = ''"
    echo "unix_socket_directories = '$home'"
    echo "port = $port"
    echo "max_connections = 200"
    echo "fsync = off"
    echo "log_min_messages = warning"
    for setting in "$@"; do echo "$setting"; done
} >>"$home/data/postgresql.conf"
chmod 755 "$home"

start() {
    "$bin/postgres" -D "$home/data" </dev/null >>"$home/server.log" 2>&1 &
    server=$!
    for _ in $(seq 600); do
        if "$bin/pg_isready" -q -h "$home" -p "$port"; then return 0; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    cat "$home/server.log" >&2
    exit 1
}

start
echo "$home"
while read -r order; do
    case "$order" in
    start) start ;;
    stop) halt INT ;;
    crash) halt QUIT ;;
    pid) ;;
    *) exit 1 ;;
    esac
    echo "${server:-none}"
done
