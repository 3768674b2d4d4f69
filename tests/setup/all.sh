#!/usr/bin/env bash
# all.sh [STAGE...]: runs the scripts of this directory one after the other (or
# those named), with the time that each took. All are tried; it fails if one does.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

stages=(cc cipher postgres python js go netns nim kotlin swift)
[ $# -eq 0 ] || stages=("$@")
for stage in "${stages[@]}"; do
    case "$stage" in
    cc | cipher | postgres | python | js | go | netns | nim | kotlin | swift) ;;
    *) die "no stage $stage: there are cc, cipher, postgres, python, js, go, netns, nim, kotlin and swift" ;;
    esac
done

# Shared by the stages, so that apt's lists are refreshed at most once.
WAKUSTORE_APT_STAMP="$(mktemp)"
export WAKUSTORE_APT_STAMP
trap 'rm -f "$WAKUSTORE_APT_STAMP"' EXIT

failed=()
for stage in "${stages[@]}"; do
    started="$(date +%s%N)"
    "$SETUP_DIR/$stage.sh" || failed+=("$stage")
    took=$((($(date +%s%N) - started) / 100000000))
    say "$stage took $((took / 10)).$((took % 10)) s"
done
[ "${#failed[@]}" = 0 ] || die "failed: ${failed[*]}"
