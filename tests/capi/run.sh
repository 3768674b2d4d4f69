#!/bin/bash
# Builds and runs the C tests against a built library: cargo build, then tests/capi/run.sh.
#
#   WAKUSTORE_LIB_DIR   where libwakustore.so and .a are (target/debug)
#   CC, CXX             the compilers (cc, c++)
#   WKS_EXITS           how often each way of exiting is tried (15; there are five)
#   WKS_STATIC=0        leaves out the static library
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
libs=${WAKUSTORE_LIB_DIR:-${CARGO_TARGET_DIR:-$root/target}/debug}
CC=${CC:-cc}
CXX=${CXX:-c++}
# What a static libwakustore.a needs of the system (rustc --print native-static-libs).
WKS_LIBS="-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# check NAME COMMAND…: runs it, and shows what it printed where it fails.
check() {
    local name=$1 code
    shift
    "$@" >"$work/log" 2>&1
    code=$?
    if [ $code = 0 ]; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name (exit code $code)"
        sed 's/^/        /' "$work/log"
    fi
}

. "$root/tests/installed.sh"
installed "$libs/libwakustore.so" "$work/lib" || exit 2

warnings=(-Wall -Wextra -Wpedantic -Werror)
c99=("$CC" -std=c99 "${warnings[@]}" -g -D_DEFAULT_SOURCE "-I$root/include" "-I$here")
linked=("-L$work/lib" -lwakustore -lpthread "-Wl,-rpath,$work/lib")
asan=(-fsanitize=address,undefined -fno-sanitize-recover=all)

echo '#include "wakustore.h"
#include "wakustore.h"
int main(void) { return wks_str("abc").len == 3 ? 0 : 1; }' >"$work/alone.c"
check "header alone as C99" "$CC" -std=c99 "${warnings[@]}" "-I$root/include" \
    "$work/alone.c" -o "$work/alone"
check "header alone as C++17" "$CXX" -x c++ -std=c++17 "${warnings[@]}" "-I$root/include" \
    -c "$work/alone.c" -o "$work/alone.o"

soname_is_major() {
    local major
    major=$(sed -n 's/^#define WKS_ABI_MAJOR //p' "$root/include/wakustore.h")
    [ "$SONAME" = "libwakustore.so.$major" ] || { echo "$SONAME, but major is $major"; return 1; }
}
check "soname carries the major version" soname_is_major

build() { # NAME SOURCE FLAGS…
    local name=$1 source=$2
    shift 2
    check "$name compiles" "${c99[@]}" "$source" -o "$work/$name" "$@"
}

build basic "$here/basic.c" "${linked[@]}"
check "basic in memory" timeout 120 "$work/basic"
check "basic in a file" timeout 120 "$work/basic" "$work/basic.db"

files_are_private() {
    local file
    for file in "$work"/basic.db*; do
        [ "$(stat -c %a "$file")" = 600 ] || { echo "$file: $(stat -c %a "$file")"; return 1; }
    done
}
check "database files have mode 0600" files_are_private

for name in async keeping node relay walks; do
    build "$name" "$here/$name.c" "${linked[@]}"
    check "$name" timeout 120 "$work/$name"
    build "$name-asan" "$here/$name.c" "${linked[@]}" "${asan[@]}"
    check "$name under the sanitizers" timeout 240 "$work/$name-asan"
done

mkdir "$work/states" "$work/states-asan"
build sync "$here/sync.c" "${linked[@]}"
check "sync" timeout 120 "$work/sync" "$work/states"
build sync-asan "$here/sync.c" "${linked[@]}" "${asan[@]}"
check "sync under the sanitizers" timeout 240 "$work/sync-asan" "$work/states-asan"

mkdir "$work/tools" "$work/tools-asan"
build tools-test "$here/tools.c" "${linked[@]}"
check "tools" timeout 120 "$work/tools-test" "$work/tools"
build tools-test-asan "$here/tools.c" "${linked[@]}" "${asan[@]}"
check "tools under the sanitizers" timeout 240 "$work/tools-test-asan" "$work/tools-asan"

mkdir "$work/files"
build misuse "$here/misuse.c" "${linked[@]}" "${asan[@]}"
check "misuse under the sanitizers" timeout 240 "$work/misuse" "$work/files"

silent() {
    local said
    said=$(timeout 120 "$work/misuse" "$work/files" 2>&1) || return 1
    [ -z "$said" ] || { echo "it printed: $said"; return 1; }
}
check "the library prints nothing" silent

build fork "$here/fork.c" "${linked[@]}"
check "fork" timeout 120 "$work/fork"

build exit "$here/exit.c" "${linked[@]}"
exits() { # MODE
    local i code
    for i in $(seq "${WKS_EXITS:-15}"); do
        rm -f "$work"/exit.db*
        timeout 60 "$work/exit" "$work/exit.db" "$1" >"$work/out" 2>"$work/err"
        code=$?
        [ $code = 3 ] || { echo "run $i exits with $code"; cat "$work/err"; return 1; }
        printf 'buffered output\nhandler after\nhandler before\n' | cmp - "$work/out" || return 1
        [ ! -s "$work/err" ] || { echo "run $i printed:"; cat "$work/err"; return 1; }
        [ "$(timeout 60 "$work/exit" "$work/exit.db" check)" = 100 ] || return 1
    done
}
for mode in main thread callback validator node; do
    check "exit without a shutdown: $mode" exits $mode
done

check "quickstart compiles" "$CC" -std=c99 "${warnings[@]}" "-I$root/include" \
    "$root/examples/c/quickstart.c" -o "$work/quickstart" "${linked[@]}"
quickstart() { timeout 60 "$work/quickstart" "$work/q.db" | grep -q 'Hello from C'; }
check "quickstart" quickstart

if [ "${WKS_STATIC:-1}" = 1 ]; then
    # shellcheck disable=SC2086
    build basic-static "$here/basic.c" "$libs/libwakustore.a" $WKS_LIBS
    check "basic, linked statically" timeout 120 "$work/basic-static"
    check "static library that hides its names" "$root/scripts/static-lib.sh" \
        "$libs/libwakustore.a" "$work/libwakustore.a"
    check "another Rust library" rustc --edition 2024 --crate-type staticlib -O \
        "$here/beside.rs" -o "$work/libother.a"
    # shellcheck disable=SC2086
    build beside "$here/beside.c" "$work/libwakustore.a" "$work/libother.a" $WKS_LIBS
    check "beside a host's SQLite and another Rust library" timeout 60 "$work/beside"
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
