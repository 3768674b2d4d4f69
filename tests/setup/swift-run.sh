#!/usr/bin/env bash
# swift-run.sh CMD...: runs a command where swiftc is to be had: as it is if
# swiftc is on PATH, otherwise in the Debian root that swift.sh makes, with this
# checkout, /tmp, /proc and /dev in their places and the same working directory
# and environment. The mounts are in a namespace of the command's own: they end
# with it, and any number of these may run beside each other.
# WAKUSTORE_SWIFT_BIND: further directories to have there, separated by colons
# (a target directory outside the checkout, say).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -gt 0 ] || die "usage: swift-run.sh CMD..."
if command -v swiftc >/dev/null; then exec "$@"; fi

ROOT="$CACHE_DIR/trixie"
[ -e "$ROOT/.wakustore-ready" ] || die "no swiftc on PATH and no root at $ROOT: run swift.sh first"
[ "$(id -u)" = 0 ] || die "no swiftc on PATH, and only root can enter the root at $ROOT"

# LD_LIBRARY_PATH is meant for the command, not for the mount and chroot on the
# way to it.
exec env -u LD_LIBRARY_PATH unshare --mount -- bash -c '
    set -euo pipefail
    root="$1" library_path="$2" directories="$3" cwd="$4"
    shift 4
    mount --rbind /proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /tmp "$root/tmp"
    IFS=:
    for directory in $directories; do
        [ -d "$directory" ] || { echo "swift-run: error: no directory $directory" >&2; exit 125; }
        mkdir -p "$root$directory"
        mount --rbind "$directory" "$root$directory"
    done
    unset IFS
    export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export TMPDIR=/tmp LC_ALL=C.UTF-8
    exec chroot "$root" /usr/bin/env ${library_path:+"LD_LIBRARY_PATH=$library_path"} \
        /bin/sh -c '\''cd "$1" || exit 125; shift; exec "$@"'\'' sh "$cwd" "$@"
' swift-run "$ROOT" "${LD_LIBRARY_PATH:-}" "$REPO_ROOT${WAKUSTORE_SWIFT_BIND:+:$WAKUSTORE_SWIFT_BIND}" "$PWD" "$@"
