# Sourced, not run. Lays a library out as an installation has it: the file under its soname, and a
# link for the linker. Programs that are linked look for the soname, not for the file's name.

# installed LIBRARY DIR: fills DIR, which it makes; SONAME is set.
installed() {
    [ -f "$1" ] || { echo "no library at $1: run 'cargo build' first" >&2; return 2; }
    SONAME=$(readelf -d "$1" | sed -n 's/.*Library soname: \[\(.*\)\]/\1/p')
    [ -n "$SONAME" ] || { echo "$1 has no soname" >&2; return 2; }
    mkdir -p "$2"
    ln -sf "$(realpath "$1")" "$2/$SONAME"
    ln -sf "$SONAME" "$2/libwakustore.so"
}
