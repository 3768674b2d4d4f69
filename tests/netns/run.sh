#!/usr/bin/env bash
# Nodes in network namespaces, on slow links that go down and come back: tests/netns.rs. All
# scenarios run side by side, each in namespaces of its own, as they mostly wait. Arguments go to
# cargo; without any it is --workspace.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tests/setup/netns.sh
[ $# -gt 0 ] || set -- --workspace
cargo test --locked "$@" --test netns --no-run
timeout --kill-after=5 600 cargo test --locked "$@" --test netns -- --ignored --nocapture --test-threads=4
