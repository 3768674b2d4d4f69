#!/usr/bin/env bash
# Makes a Swift compiler available to swift-run.sh: the one on PATH if there is
# one, otherwise Debian trixie's swiftlang in a debootstrapped root.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SUITE=trixie
PACKAGES=(swiftlang libc6-dev libstdc++-14-dev)
ROOT="$CACHE_DIR/$SUITE"
LOG="$CACHE_DIR/$SUITE.log"
# What the root holds; changes whenever the packages do, so that an older root
# is completed.
READY="${PACKAGES[*]}"

is_ready() { [ "$(cat "$ROOT/.wakustore-ready" 2>/dev/null)" = "$READY" ]; }

report() {
    local version
    version="$("$SETUP_DIR/swift-run.sh" swiftc --version 2>&1 | grep -m1 -i 'swift version')" ||
        die "swiftc does not run${1:+ in $1; delete that directory and run this again}"
    say "$version${1:+, in a Debian $SUITE root at $1}"
    exit 0
}

# The Debian mirror that this machine's own apt uses.
debian_mirror() {
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Identifier: Packages' |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

# Runs in a mount namespace of its own, so that nothing that debootstrap or this
# mounts below the root outlives it.
make_root() {
    local root="$1" suite="$2" mirror="$3"
    shift 3
    if [ ! -e "$root/.wakustore-base" ]; then
        rm -rf "$root"
        debootstrap --variant=minbase "$suite" "$root" "$mirror"
        # A compiler's root needs no durability and no manuals.
        echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/wakustore"
        printf 'path-exclude=/usr/share/%s/*\n' doc man locale info lintian \
            >>"$root/etc/dpkg/dpkg.cfg.d/wakustore"
        touch "$root/.wakustore-base"
    fi
    # The names that apt looks up there are looked up as here.
    local file
    for file in resolv.conf hosts; do
        if [ -e "/etc/$file" ]; then
            touch "$root/etc/$file"
            mount --bind "/etc/$file" "$root/etc/$file"
        fi
    done
    mount --rbind /proc "$root/proc"
    mount --rbind /dev "$root/dev"
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
    chroot "$root" dpkg --configure -a
    chroot "$root" apt-get update -q
    chroot "$root" apt-get install -y -q --no-install-recommends "$@"
    chroot "$root" apt-get clean
    rm -rf "$root"/var/lib/apt/lists/*
}

if command -v swiftc >/dev/null; then report; fi
if is_ready; then report "$ROOT"; fi

[ "$(id -u)" = 0 ] || die "no swiftc on PATH, and only root can make a Debian $SUITE root"
command -v apt-get >/dev/null || die "no swiftc on PATH, and no apt-get to make a Debian $SUITE root with"

mkdir -p "$CACHE_DIR"
exec 9>"$CACHE_DIR/$SUITE.lock"
flock -w 1800 9 || die "another swift.sh has held $CACHE_DIR/$SUITE.lock for half an hour"
if is_ready; then report "$ROOT"; fi

apt_install debootstrap debian-archive-keyring
mirror="$(debian_mirror)"
if [ -z "$mirror" ]; then
    apt_update_once
    mirror="$(debian_mirror)"
fi
[ -n "$mirror" ] || die "this machine's apt knows no Debian archive to make a $SUITE root from"

say "making a Debian $SUITE root with ${PACKAGES[*]} at $ROOT (log: $LOG)"
unshare --mount -- bash -c "set -euo pipefail; $(declare -f make_root); make_root \"\$@\"" make_root \
    "$ROOT" "$SUITE" "$mirror" "${PACKAGES[@]}" </dev/null >"$LOG" 2>&1 9>&- || {
    tail -n 15 "$LOG" >&2
    die "the Debian $SUITE root could not be made; all of the log: $LOG"
}
echo "$READY" >"$ROOT/.wakustore-ready"
report "$ROOT"
