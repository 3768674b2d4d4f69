#!/usr/bin/env bash
# Installs what the tests need and runs all of them. Each stage prints its time; the first that
# fails ends the run. Nothing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
stage() {
  local from=$SECONDS
  printf '\n--- %s\n' "$1"
  shift
  "$@"
  printf -- '--- done in %d s (%d s in all)\n' $((SECONDS - from)) $((SECONDS - started))
}

stage 'toolchains' tests/setup/all.sh
stage 'build' cargo build --locked --workspace
stage 'rust' env WAKUSTORE_SIM_SEEDS=0..4 cargo test --locked --workspace
# Its integration tests have just run with every feature, and are linted without (tests/lint.sh).
stage 'the pure crate' cargo test --locked --no-default-features --lib
stage 'encryption' cargo test --locked --no-default-features --features sqlcipher \
  --test archive_cipher --test archive_backup --test archive_read_only
sim=(cargo test --profile sim --locked --no-default-features)
stage 'simulation, 1,000 seeds' env WAKUSTORE_SIM_SEEDS=0..1000 \
  "${sim[@]}" --test simulation -- --nocapture
stage 'simulation, bugs put back' "${sim[@]}" --features sabotage --test simulation \
  bugs_that_are_put_back_are_found -- --exact --nocapture
stage 'fuzzers' env WAKUSTORE_FUZZ_SECONDS="${WAKUSTORE_FUZZ_SECONDS:-20}" \
  "${sim[@]}" --test fuzz -- --nocapture --test-threads=1
stage 'C' tests/capi/run.sh
stage 'Python' tests/bindings/python/run.sh
stage 'Nim' tests/bindings/nim/run.sh
stage 'Kotlin' tests/bindings/kotlin/run.sh
stage 'Swift' tests/bindings/swift/run.sh
stage 'js-waku' tests/interop/js/run.sh
stage 'go-waku' tests/interop/go/run.sh
printf '\nall stages passed in %d s\n' $((SECONDS - started))
