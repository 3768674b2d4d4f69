#!/bin/sh
# Makes an authority (root.pem) and a certificate by it for 127.0.0.1 and localhost (chain.pem, key.pem)
# in a directory: tests/certificate.sh DIR. The program is installed by tests/setup/postgres.sh.
set -eu
cd "$1"

ssl() {
    openssl "$@" >log 2>&1 || {
        cat log >&2
        exit 1
    }
}

new_key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
# shellcheck disable=SC2086
ssl req -x509 $new_key -keyout root.key -out root.pem -subj '/CN=a root of the tests' -days 2
# shellcheck disable=SC2086
ssl req $new_key -keyout key.pem -out node.csr -subj '/CN=a node of the tests'
printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' >names
ssl x509 -req -in node.csr -CA root.pem -CAkey root.key -CAcreateserial -out chain.pem -days 2 \
    -extfile names
