/* How a node reaches another: QUIC, WebSocket with TLS and a root of one's own, name servers and
   discovery. reach DIR, with what tests/certificate.sh makes in it. */

#include "check.h"

static wks_node_options some_options(void)
{
    wks_node_options options;
    OK(wks_node_options_new(&options, &err));
    OK(wks_node_options_set_cluster_id(options, 16, &err));
    OK(wks_node_options_set_sync_interval(options, 0, &err));
    OK(wks_node_options_set_sync_on_connect(options, 0, &err));
    return options;
}

static char file[65536];

/* The whole of a file in the directory. */
static wks_bytes read_file(const char *dir, const char *name)
{
    char path[4096];
    FILE *in;
    wks_bytes bytes = {(const uint8_t *)file, 0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    in = fopen(path, "r");
    CHECK(in);
    bytes.len = fread(file, 1, sizeof file, in);
    fclose(in);
    CHECK(bytes.len > 0);
    return bytes;
}

int main(int argc, char **argv)
{
    wks_archive archive = an_archive(NULL);
    wks_node_options options;
    wks_node server, client, stranger;
    wks_strings list;
    wks_bytes address, id;
    wks_buffer peer_id;
    wks_query query = a_query();
    wks_page page;
    char chain[4096], key[4096];
    uint8_t secret[32];
    size_t count, i;

    CHECK(argc == 2);
    snprintf(chain, sizeof chain, "%s/chain.pem", argv[1]);
    snprintf(key, sizeof key, "%s/key.pem", argv[1]);
    fill(archive, 20);
    memset(secret, 9, sizeof secret);

    options = some_options();
    OK(wks_node_options_add_listen(options, wks_str("/ip4/127.0.0.1/udp/0/quic-v1"), &err));
    OK(wks_node_options_add_listen(options, wks_str("/ip4/127.0.0.1/tcp/0/tls/ws"), &err));
    EXPECT(WKS_ERR_ADDRESS, wks_node_start(options, archive, &server, &err));
    OK(wks_node_options_set_wss_files(options, wks_str(chain), wks_str(chain), &err));
    EXPECT(WKS_ERR_LISTEN, wks_node_start(options, archive, &server, &err));
    OK(wks_node_options_set_wss_files(options, wks_str(chain), wks_str(key), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_node_options_set_identity_secp256k1(options, wks_str("short"), &err));
    OK(wks_node_options_set_identity_secp256k1(
        options, (wks_bytes){secret, sizeof secret}, &err));
    OK(wks_node_start(options, archive, &server, &err));
    wks_node_options_free(options);

    options = some_options();
    OK(wks_node_start(options, archive, &stranger, &err));
    OK(wks_node_options_add_name_server(options, wks_str("127.0.0.1:1"), &err));
    OK(wks_node_options_add_root(options, read_file(argv[1], "root.pem"), &err));
    OK(wks_node_start(options, archive, &client, &err));
    wks_node_options_free(options);

    OK(wks_node_addresses(server, &list, &err));
    OK(wks_strings_count(list, &count, &err));
    CHECK(count == 2);
    for (i = 0; i < count; i++) {
        OK(wks_strings_get(list, i, &address, &err));
        OK(wks_node_dial(client, address, &peer_id, &err));
        OK(wks_buffer_bytes(peer_id, &id, &err));
        CHECK(id.len > 6 && memcmp(id.ptr, "16Uiu2", 6) == 0);
        OK(wks_node_store_query(client, id, query, &page, &err));
        CHECK(page_count(page) == 20);
        wks_page_free(page);
        OK(wks_node_disconnect(client, id, &err));
        wks_buffer_free(peer_id);
    }
    /* The last of them was wss: nobody trusts a root that he was not given. */
    EXPECT(WKS_ERR_DIAL, wks_node_dial(stranger, address, NULL, &err));
    wks_strings_free(list);
    /* Its name server does not answer. */
    EXPECT(WKS_ERR_DIAL, wks_node_dial(client, wks_str("/dns4/nobody.test/tcp/1"), NULL, &err));

    options = some_options();
    OK(wks_node_options_set_discovery_interval(options, 1000, &err));
    OK(wks_node_options_add_discovery_tree(
        options, wks_str("enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@x.test"), &err));
    OK(wks_node_options_add_name_server(options, wks_str("127.0.0.1:1"), &err));
    wks_node_free(stranger);
    OK(wks_node_start(options, archive, &stranger, &err));
    wks_node_free(stranger);
    OK(wks_node_options_add_discovery_tree(options, wks_str("enrtree://nonsense"), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_start(options, archive, &stranger, &err));
    wks_node_options_free(options);
    options = some_options();
    OK(wks_node_options_add_name_server(options, wks_str("nonsense"), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_start(options, archive, &stranger, &err));
    wks_node_options_free(options);
    options = some_options();
    OK(wks_node_options_add_root(options, wks_str("nonsense"), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_start(options, archive, &stranger, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_node_options_set_wss_files(options, wks_str(""), wks_str(key), &err));
    wks_node_options_free(options);

    wks_query_free(query);
    wks_node_free(client);
    wks_node_free(server);
    wks_archive_free(archive);
    OK(wks_shutdown(30000, &err));
    return 0;
}
