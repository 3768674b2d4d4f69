#!/usr/bin/env bash
# Makes a Nim compiler available: the one on PATH if there is one (1.6 or newer),
# otherwise Debian's nim (1.6), with the C compiler that it drives.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version_of() { nim --version 2>/dev/null | sed -n '1s/.*Version \([0-9.]*\).*/\1/p'; }

command -v nim >/dev/null || apt_install nim
command -v gcc >/dev/null || apt_install gcc libc6-dev

version="$(version_of)"
[ -n "$version" ] || die "nim does not run"
[ "$(printf '%s\n' 1.6 "$version" | sort -V | head -n1)" = 1.6 ] || die "nim $version is older than 1.6"
say "nim $version ($(command -v nim))"
