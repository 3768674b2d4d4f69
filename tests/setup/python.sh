#!/usr/bin/env bash
# python.sh [DIRECTORY]: makes a virtual environment there (target/venv unless
# told) that holds exactly requirements.txt. PYTHON names the interpreter.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VENV="${1:-$REPO_ROOT/target/venv}"
REQUIREMENTS="$SETUP_DIR/requirements.txt"
PYTHON="${PYTHON:-python3}"

command -v "$PYTHON" >/dev/null || apt_install python3
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "$PYTHON is missing, or older than 3.10"
# Debian has it in a package of its own.
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv

state="$("$PYTHON" -c 'import sys; print(sys.version)' | tr '\n' ' ')$(sha256sum <"$REQUIREMENTS" | cut -c1-16)"
works() { "$VENV/bin/python" -c 'import pytest, mypy' 2>/dev/null; }

if [ "$(cat "$VENV/.wakustore-ready" 2>/dev/null)" != "$state" ] || ! works; then
    if [ -e "$VENV" ] && [ ! -e "$VENV/pyvenv.cfg" ] && [ -n "$(ls -A "$VENV")" ]; then
        die "$VENV is there already, and no virtual environment"
    fi
    say "making $VENV"
    rm -rf "$VENV"
    mkdir -p "$(dirname "$VENV")"
    "$PYTHON" -m venv "$VENV" || die "$PYTHON cannot make a virtual environment"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: -r "$REQUIREMENTS" || die "pip could not install $REQUIREMENTS"
    works || die "pytest or mypy does not load"
    echo "$state" >"$VENV/.wakustore-ready"
fi
say "$("$VENV/bin/python" -c 'import sys, importlib.metadata as m
print("Python", sys.version.split()[0] + ", pytest", m.version("pytest") + ", mypy", m.version("mypy"))') in $VENV"
