#!/usr/bin/env bash
# Makes OpenSSL's libcrypto available with its headers, which an archive that
# can be encrypted is built with: a program that uses it is built and run.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v gcc >/dev/null || apt_install gcc libc6-dev
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

cat >"$work/probe.c" <<'PROBE'
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
int main(void) {
    if (!EVP_aes_256_cbc() || !EVP_sha512()) return 1;
    puts(OpenSSL_version(OPENSSL_VERSION));
    return 0;
}
PROBE
build() { gcc -o "$work/probe" "$work/probe.c" -lcrypto; }
build 2>/dev/null || {
    apt_install libssl-dev
    build || die "a program cannot be built with OpenSSL's libcrypto"
}
say "$("$work/probe")"
