#!/bin/sh
# Makes a static library that hides everything but its own names: one prelinked object in which all
# else is local, so that it links beside a host's SQLite and another Rust static library.
#
#   scripts/static-lib.sh IN.a OUT.a      (IN.a: target/<profile>/libwakustore.a)
#
# Needs GNU ld, objcopy, nm and ar. Link the result with what WKS_LIBS of tests/capi/run.sh names.
set -eu

in=$1
out=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Its own names: the C ABI's, and UniFFI's for bindings that link statically.
nm --defined-only --extern-only --format=posix "$in" 2>/dev/null |
    awk '$1 ~ /^(wks_|uniffi_wakustore_|ffi_wakustore_)/ { print $1 }' | sort -u >"$work/names"
grep -q '^wks_' "$work/names" || { echo "$in has no wks_ names" >&2; exit 1; }

# Asking for the names draws in what they need and nothing else. Rust's standard library carries
# bitcode beside its code, which would stop tools that have a plugin for it.
sed 's/^/--undefined=/' "$work/names" >"$work/wanted"
cat >"$work/discard.ld" <<'END'
SECTIONS { /DISCARD/ : { *(.llvmbc) *(.llvmcmd) } }
INSERT AFTER .comment;
END
ld --relocatable --force-group-allocation --strip-debug -T "$work/discard.ld" \
    "@$work/wanted" "$in" -o "$work/wakustore.o"
objcopy --keep-global-symbols="$work/names" "$work/wakustore.o"
# A weak or common symbol that is left global could still meet one of the host's.
left=$(nm --defined-only --extern-only --format=posix "$work/wakustore.o" | awk '{ print $1 }' |
    sort -u | comm -23 - "$work/names")
[ -z "$left" ] || { echo "still global: $left" >&2; exit 1; }
rm -f "$out"
ar crs "$out" "$work/wakustore.o"
