#!/usr/bin/env bash
# Builds the go-waku node of tests/interop/go, with exactly what its go.mod and go.sum name, and
# starts it once. Go downloads the modules; they and what was compiled are kept in Go's own caches.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

GO_PEER="$REPO_ROOT/tests/interop/go"
OUT="${CARGO_TARGET_DIR:-$REPO_ROOT/target}/interop-go"

if ! command -v go >/dev/null; then apt_install golang-go; fi
version="$(go env GOVERSION)" || die "go does not run"
minor="${version#go1.}"
minor="${minor%%[!0-9]*}"
# From 1.21 on Go fetches by itself the newer version that a go.mod asks for.
[ "${minor:-0}" -ge 21 ] || die "$version is too old for go-waku: Go 1.23 or newer is needed on PATH"
# go-waku has C in it.
command -v "$(go env CC)" >/dev/null || apt_install gcc libc6-dev

mkdir -p "$OUT"
# Two compilers at a time, which take little memory: some of its packages are large. Without the tag
# go-waku links a prover for rate limits, which is not used here.
if ! out="$(cd "$GO_PEER" && CGO_ENABLED=1 GOFLAGS='-mod=readonly -buildvcs=false' GOGC=50 \
    nice -n 15 go build -p 2 -tags gowaku_no_rln -o "$OUT/peer" . 2>&1 </dev/null)"; then
    printf '%s\n' "$out" | tail -n 20 >&2
    die "the go-waku node in $GO_PEER does not build"
fi
# It says how it is to be called, and ends with 2.
status=0
"$OUT/peer" 2>/dev/null </dev/null || status=$?
[ "$status" = 2 ] || die "the go-waku node does not run: it ended with $status"
say "go-waku $(cd "$GO_PEER" && go list -mod=readonly -m -f '{{.Version}}' github.com/waku-org/go-waku) on $version"
