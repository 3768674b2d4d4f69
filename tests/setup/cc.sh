#!/usr/bin/env bash
# Makes gcc and g++ available, with the address and undefined behaviour
# sanitizers: a program built with each is run.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v g++ >/dev/null || missing+=(g++)
[ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Each sanitizer must both pass a sound program and stop a faulty one.
cat >"$work/probe.c" <<'PROBE'
#include <limits.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    (void)argv;
    if (argc == 2) { volatile char *p = (char *)malloc(1); free((void *)p); return *p; }
    if (argc == 3) { volatile int i = INT_MAX; i += argc; return i == 0; }
    return 0;
}
PROBE
cp "$work/probe.c" "$work/probe.cc"
for compiler in gcc g++; do
    source="$work/probe.c"
    if [ "$compiler" = g++ ]; then source="$work/probe.cc"; fi
    "$compiler" -g -w -fsanitize=address,undefined -fno-sanitize-recover=all -o "$work/probe" "$source" ||
        die "$compiler cannot build with -fsanitize=address,undefined (Debian: libgcc-12-dev or its like has them)"
    "$work/probe" || die "a sound program fails under $compiler's sanitizers"
    if "$work/probe" 1 2>/dev/null; then die "$compiler's address sanitizer misses a use after free"; fi
    if "$work/probe" 1 2 2>/dev/null; then die "$compiler's undefined behaviour sanitizer misses an overflow"; fi
done

say "gcc $(gcc -dumpfullversion), g++ $(g++ -dumpfullversion), both with ASan and UBSan"
