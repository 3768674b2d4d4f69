#!/usr/bin/env bash
# The Python package: its types, its tests, and its examples with the library just built.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
export WAKUSTORE_LIBRARY="${WAKUSTORE_LIBRARY:-${CARGO_TARGET_DIR:-$ROOT/target}/debug/libwakustore.so}"
export PYTHONPATH="$ROOT/bindings/python/src" PYTHONDONTWRITEBYTECODE=1
[ -f "$WAKUSTORE_LIBRARY" ] || { echo "no library at $WAKUSTORE_LIBRARY: run 'cargo build' first" >&2; exit 1; }

VENV="$ROOT/target/venv"
"$ROOT/tests/setup/python.sh" "$VENV"

MYPYPATH="$PYTHONPATH" "$VENV/bin/mypy" --config-file "$ROOT/bindings/python/pyproject.toml" \
    --cache-dir "$ROOT/target/mypy" \
    "$ROOT/bindings/python/src/wakustore" "$ROOT/examples/python/demo.py" "$ROOT/examples/python/quickstart.py"
"$VENV/bin/python" -m pytest -q -p no:cacheprovider "$ROOT/tests/bindings/python" "$@"
