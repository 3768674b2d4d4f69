#!/usr/bin/env bash
# Makes a PostgreSQL server (15 or newer) available, for the private clusters that the tests start
# and stop, and the openssl program, with which they make certificates.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

newest() { find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n1; }

if [ -z "$(newest)" ]; then
    # No cluster of the system's own is wanted.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        as_root mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    apt_install postgresql
fi
command -v openssl >/dev/null || apt_install openssl
command -v setpriv >/dev/null || apt_install util-linux

server="$(newest)"
[ -n "$server" ] || die "no PostgreSQL server under /usr/lib/postgresql"
version="$("$server" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')"
[ "$version" -ge 15 ] || die "PostgreSQL $version is older than 15"
if [ "$(id -u)" = 0 ]; then id postgres >/dev/null || die "there is no user postgres"; fi
# The tests' own way of starting one: it must answer with its directory, and leave nothing behind.
home="$("$REPO_ROOT/tests/archive_support/cluster.sh" "$(dirname "$server")" 5432 </dev/null)"
[ -n "$home" ] && [ ! -e "$home" ] || die "a private cluster does not start or leaves $home behind"
say "PostgreSQL $version ($server), $(openssl version)"
