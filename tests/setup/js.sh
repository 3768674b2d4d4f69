#!/usr/bin/env bash
# Installs js-waku, as tests/interop/js/package-lock.json has it, for the store
# client there, and starts a node of it once.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

JS="$REPO_ROOT/tests/interop/js"

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then apt_install nodejs npm; fi
node_version="$(node --version)" || die "node does not run"
major="${node_version#v}"
major="${major%%.*}"
[ "$major" -ge 20 ] || die "Node.js $node_version is too old for js-waku: 20 or newer is needed on PATH"

stamp="$JS/node_modules/.wakustore-ready"
state="node $major, lock $(sha256sum <"$JS/package-lock.json" | cut -c1-16)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$state" ]; then
    say "npm ci in tests/interop/js"
    # None of what is installed needs a script of its own run.
    if ! out="$(cd "$JS" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null 2>&1)"; then
        printf '%s\n' "$out" | tail -n 20 >&2
        die "npm ci failed in $JS"
    fi
    if ! out="$(cd "$JS" && timeout 120 node self_test.mjs "nothing is wrong" </dev/null 2>&1)"; then
        printf '%s\n' "$out" | tail -n 20 >&2
        die "js-waku is installed, but does not read from a store node made of js-libp2p"
    fi
    echo "$state" >"$stamp"
fi
sdk="$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).version' "$JS/node_modules/@waku/sdk/package.json")"
say "@waku/sdk $sdk on Node.js $node_version"
