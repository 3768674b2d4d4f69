# Shared by the scripts of this directory; sourced, not run.

SETUP_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
REPO_ROOT="$(cd "$SETUP_DIR/../.." && pwd)"
CACHE_DIR="${WAKUSTORE_CACHE:-$HOME/.cache/wakustore}"
SETUP_NAME="$(basename "$0" .sh)"

say() { printf '%s: %s\n' "$SETUP_NAME" "$*"; }

die() {
    printf '%s: error: %s\n' "$SETUP_NAME" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "'$*' needs root, and there is no sudo"
    fi
}

# Refreshes apt's lists once: per script, or once for all of them where all.sh
# has set WAKUSTORE_APT_STAMP to a file that all its children share.
apt_update_once() {
    if [ -n "${APT_UPDATED:-}" ]; then return 0; fi
    if [ -n "${WAKUSTORE_APT_STAMP:-}" ] && [ -s "$WAKUSTORE_APT_STAMP" ]; then return 0; fi
    # apt-get update does not wait for the lock of another apt; so try again.
    local tries=0
    until as_root apt-get update -qq; do
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || die "apt-get update failed $tries times"
        sleep 3
    done
    APT_UPDATED=1
    if [ -n "${WAKUSTORE_APT_STAMP:-}" ]; then echo done >"$WAKUSTORE_APT_STAMP"; fi
}

apt_has() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs those of the named Debian packages that are missing.
apt_install() {
    command -v apt-get >/dev/null || die "no apt-get here; install by hand: $*"
    local missing=() package
    for package in "$@"; do
        apt_has "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    apt_update_once
    say "installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
        "${missing[@]}" >/dev/null || die "apt-get install ${missing[*]} failed"
}
