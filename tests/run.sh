#!/usr/bin/env bash
# Installs what the tests need and runs all of them. Each stage prints its time; the first that
# fails ends the run. Nothing is skipped. Stages that mostly wait run beside others, and tell what
# they have to tell when they are joined.
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

# What runs beside: names, processes, and files of what they told.
names=() processes=() logs=()
beside() {
  local log
  log=$(mktemp)
  names+=("$1") logs+=("$log")
  printf '\n--- %s begins, beside what follows\n' "$1"
  shift
  # It passes a signal on to all that it started.
  timeout --kill-after=10 1200 "$@" >"$log" 2>&1 </dev/null &
  processes+=($!)
}
joined() {
  local i status
  for i in "${!processes[@]}"; do
    status=0
    wait "${processes[i]}" || status=$?
    unset "processes[i]"
    printf '\n--- %s, which ran beside, told\n' "${names[i]}"
    cat "${logs[i]}"
    [ "$status" = 0 ] || { printf -- '--- it failed with %d\n' "$status" >&2 && exit 1; }
  done
}
end() {
  for process in "${processes[@]}"; do
    kill "$process" 2>/dev/null || true
    wait "$process" || true
  done
  rm -f "${logs[@]}"
}
trap end EXIT

stage 'toolchains' tests/setup/all.sh
stage 'build' cargo build --locked --workspace
stage 'rust' env WAKUSTORE_SIM_SEEDS=0..4 cargo test --locked --workspace
# Its integration tests have just run with every feature, and are linted without (tests/lint.sh).
stage 'the pure crate' cargo test --locked --no-default-features --lib
stage 'encryption' cargo test --locked --no-default-features --features sqlcipher \
  --test archive_cipher --test archive_backup --test archive_read_only
beside 'namespaces, links that go down' tests/netns/run.sh
beside 'go-waku' tests/interop/go/run.sh
sim=(cargo test --profile sim --locked --no-default-features)
stage 'simulation, 1,000 seeds' env WAKUSTORE_SIM_SEEDS=0..1000 \
  "${sim[@]}" --test simulation -- --nocapture
stage 'simulation, bugs put back' "${sim[@]}" --features sabotage --test simulation \
  bugs_that_are_put_back_are_found -- --exact --nocapture
stage 'fuzzers' env WAKUSTORE_FUZZ_SECONDS="${WAKUSTORE_FUZZ_SECONDS:-20}" \
  "${sim[@]}" --test fuzz -- --nocapture --test-threads=1
stage 'what ran beside' joined
stage 'C' tests/capi/run.sh
stage 'Python' tests/bindings/python/run.sh
stage 'Nim' tests/bindings/nim/run.sh
stage 'Kotlin' tests/bindings/kotlin/run.sh
stage 'Swift' tests/bindings/swift/run.sh
stage 'js-waku' tests/interop/js/run.sh
printf '\nall stages passed in %d s\n' $((SECONDS - started))
