#!/usr/bin/env bash
# Makes Kotlin compile and run through Maven: a JDK (17 or newer) and Maven, and
# in Maven's local repository all that bindings/kotlin/pom.xml names, which a
# small program (kotlin/Probe.kt) compiled and run with that pom proves.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

POM="$REPO_ROOT/bindings/kotlin/pom.xml"
PROBE="$SETUP_DIR/kotlin/Probe.kt"

java_version() { javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p'; }

missing=()
major="$(java_version)" || true
if [ -z "$major" ] || [ "$major" -lt 17 ]; then missing+=(openjdk-17-jdk-headless); fi
command -v mvn >/dev/null || missing+=(maven)
if [ "${#missing[@]}" -gt 0 ]; then apt_install "${missing[@]}"; fi

major="$(java_version)" || true
[ -n "$major" ] && [ "$major" -ge 17 ] || die "javac on PATH is older than 17, or does not run"

pom_version() { sed -n "s:.*<$1>\(.*\)</$1>.*:\1:p" "$POM" | head -n1; }
kotlin="$(pom_version kotlin.version)"
[ -n "$kotlin" ] || die "no kotlin.version in $POM"

# The stamp lies in the local repository that it tells of, so that both go
# together. A repository elsewhere has no stamp, and is probed every time.
plugin="$HOME/.m2/repository/org/jetbrains/kotlin/kotlin-maven-plugin/$kotlin"
stamp="$plugin/wakustore-$(cat "$POM" "$PROBE" | sha256sum | cut -c1-16).ready"
if [ ! -s "$stamp" ]; then
    say "fetching Kotlin $kotlin and what goes with it through Maven"
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/bindings/kotlin" "$work/examples/kotlin"
    cp -r "$POM" "$(dirname "$POM")/.mvn" "$work/bindings/kotlin/"
    cp "$PROBE" "$work/examples/kotlin/"
    if ! found="$(mvn -q -B -Dstyle.color=never -f "$work/bindings/kotlin/pom.xml" \
        compile exec:exec -Dexample.main=ProbeKt </dev/null 2>&1)"; then
        printf '%s\n' "$found" | tail -n 30 >&2
        die "a small Kotlin program does not compile and run"
    fi
    # Maven puts escape sequences around it, whatever it is told.
    versions="$(grep -m1 -o 'Kotlin [0-9].*' <<<"$found")" || die "the small Kotlin program printed: $found"
    if [ -d "$plugin" ]; then echo "$versions" >"$stamp"; fi
else
    versions="$(cat "$stamp")"
fi
say "$versions, $(mvn -v 2>/dev/null | grep -m1 -o 'Apache Maven [0-9.]*')"
