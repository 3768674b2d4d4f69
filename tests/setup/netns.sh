#!/usr/bin/env bash
# Installs what makes network namespaces (ip and tc of iproute2; unshare and nsenter of util-linux),
# and makes some once as the tests do, with the bound on the rate that they use.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v ip >/dev/null && command -v tc >/dev/null || apt_install iproute2
command -v unshare >/dev/null && command -v nsenter >/dev/null || apt_install util-linux mount

namespaces=(unshare --mount --net --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || namespaces+=(--user --map-root-user)
# All of it is gone when the shell is.
# shellcheck disable=SC2016
if ! out="$("${namespaces[@]}" bash -ec '
    mount -t tmpfs tmpfs /run
    ip netns add probe
    ip link add probe type veth peer name eth0 netns probe
    tc qdisc add dev probe root tbf rate 1mbit burst 16kb latency 400ms
    tc -n probe qdisc add dev eth0 root tbf rate 1mbit burst 16kb latency 400ms
    nsenter --net=/run/netns/probe ip link show eth0 >/dev/null
' 2>&1)"; then
    printf '%s\n' "$out" >&2
    die "no network namespaces here, with virtual devices and bounds on their rate: they take CAP_SYS_ADMIN and CAP_NET_ADMIN, or user namespaces, and a kernel with veth and sch_tbf"
fi
say "$(ip -V), $(unshare --version)"
