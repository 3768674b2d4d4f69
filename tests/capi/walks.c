/* Questions to several store peers: a walk that fails over, presence, contents, a cross-check, and a
 * server's limits. */

#include "check.h"

static wks_node a_node(wks_archive archive, const char *listen, uint32_t requests_of_peer)
{
    wks_node_options options;
    wks_node node;
    OK(wks_node_options_new(&options, &err));
    OK(wks_node_options_set_sync_interval(options, 0, &err));
    OK(wks_node_options_set_sync_on_connect(options, 0, &err));
    OK(wks_node_options_set_max_page_bytes(options, 1 << 20, &err));
    OK(wks_node_options_set_store_rate(options, 0, 0, requests_of_peer,
                                       UINT64_C(3600000000000), &err));
    if (listen)
        OK(wks_node_options_add_listen(options, wks_str(listen), &err));
    OK(wks_node_start(options, archive, &node, &err));
    wks_node_options_free(options);
    return node;
}

/* The first address of a node; `list` holds it. */
static wks_bytes address_of(wks_node node, wks_strings *list)
{
    wks_bytes address;
    OK(wks_node_addresses(node, list, &err));
    OK(wks_strings_get(*list, 0, &address, &err));
    return address;
}

/* The hashes of all that an archive holds; 32 bytes each. */
static size_t hashes_of(wks_archive archive, uint8_t *to, size_t room)
{
    wks_query query = a_query();
    wks_history history;
    wks_page page;
    size_t count = 0, i;
    OK(wks_query_set_limit(query, 100, &err));
    OK(wks_query_set_include_data(query, 0, &err));
    OK(wks_archive_history(archive, query, &history, &err));
    for (;;) {
        OK(wks_history_next(history, &page, &err));
        if (page.id == 0)
            break;
        for (i = 0; i < page_count(page); i++, count++) {
            wks_entry entry = {.struct_size = sizeof entry};
            OK(wks_page_entry(page, i, &entry, &err));
            CHECK(count < room);
            memcpy(to + 32 * count, entry.hash, 32);
        }
        wks_page_free(page);
    }
    wks_history_free(history);
    wks_query_free(query);
    return count;
}

int main(void)
{
    wks_archive here = an_archive(NULL), full = an_archive(NULL), poor = an_archive(NULL);
    wks_node asking = a_node(here, NULL, 0);
    wks_node serving = a_node(full, "/ip4/127.0.0.1/tcp/0", 0);
    wks_node hiding = a_node(poor, "/ip4/127.0.0.1/tcp/0", 0);
    wks_strings at_serving, at_hiding;
    wks_bytes peers[3], omitted, all;
    wks_history_options options = {.struct_size = sizeof options, .span_ns = 100000000};
    wks_check_peer told = {.struct_size = sizeof told};
    wks_query query = a_query();
    wks_history history;
    wks_check check;
    wks_hashes held;
    wks_page page;
    wks_op op;
    wks_message only;
    static uint8_t hashes[32 * 260];
    int64_t now = now_ns();
    size_t count, seen, i;

    fill(full, 250);
    /* What both hold, and what one of them has alone. */
    only = a_message("for both", now);
    OK(wks_archive_put(full, &only, 1, WKS_ORIGIN_IMPORT, NULL, &err));
    OK(wks_archive_put(poor, &only, 1, WKS_ORIGIN_IMPORT, NULL, &err));
    count = hashes_of(full, hashes, 259);
    CHECK(count == 251);
    memset(hashes + 32 * 251, 7, 32); /* held by nobody */

    /* A peer that cannot be reached is left for the next one. */
    peers[0] = wks_str("/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp");
    peers[1] = address_of(serving, &at_serving);
    peers[2] = address_of(hiding, &at_hiding);
    OK(wks_query_set_limit(query, 100, &err));
    OK(wks_query_set_time(query, now - INT64_C(1000000000), now + 1, &err));
    OK(wks_node_history_of(asking, peers, 2, query, &options, &history, &err));
    for (seen = 0;;) {
        OK(wks_history_next(history, &page, &err));
        if (page.id == 0)
            break;
        for (i = 0; i < page_count(page); i++, seen++) {
            wks_entry entry = {.struct_size = sizeof entry};
            OK(wks_page_entry(page, i, &entry, &err));
            CHECK(seen < count && memcmp(entry.hash, hashes + 32 * seen, 32) == 0);
        }
        wks_page_free(page);
    }
    CHECK(seen == 251);
    wks_history_free(history);

    /* Presence, at once and by an operation. */
    all.ptr = hashes;
    all.len = 32 * 252;
    OK(wks_node_presence(asking, peers[1], all, &held, &err));
    OK(wks_hashes_bytes(held, &omitted, &err));
    CHECK(omitted.len == 32 * 251 && memcmp(omitted.ptr, hashes, omitted.len) == 0);
    wks_hashes_free(held);
    OK(wks_node_presence_async(asking, peers[2], all, &op, &err));
    OK(wks_op_wait(op, 60000, &err));
    OK(wks_op_take_hashes(op, &held, &err));
    wks_op_free(op);
    OK(wks_hashes_bytes(held, &omitted, &err));
    CHECK(omitted.len == 32 && memcmp(omitted.ptr, hashes + 32 * 250, 32) == 0);
    wks_hashes_free(held);

    /* Contents, in the order asked for: the last is nobody's. */
    OK(wks_node_fetch_async(asking, peers + 1, 2, all, &op, &err));
    OK(wks_op_wait(op, 60000, &err));
    OK(wks_op_take_page(op, &page, &err));
    wks_op_free(op);
    CHECK(page_count(page) == 252);
    for (i = 0; i < 252; i++) {
        wks_entry entry = {.struct_size = sizeof entry};
        OK(wks_page_entry(page, i, &entry, &err));
        CHECK(memcmp(entry.hash, hashes + 32 * i, 32) == 0 && entry.has_data == (i < 251));
        CHECK(i >= 251 || same(entry.pubsub_topic, PUBSUB));
    }
    wks_page_free(page);
    /* Of whoever is connected. */
    OK(wks_node_fetch(asking, NULL, 0, all, &page, &err));
    CHECK(page_count(page) == 252);
    wks_page_free(page);

    /* What one leaves out, the other tells. */
    OK(wks_node_cross_check(asking, peers, 3, query, 1000, &check, &err));
    OK(wks_check_hashes(check, &all, &err));
    CHECK(all.len == 32 * 251 && memcmp(all.ptr, hashes, all.len) == 0);
    OK(wks_check_count(check, &count, &err));
    CHECK(count == 3);
    OK(wks_check_get(check, 0, &told, &err));
    CHECK(told.status == WKS_ERR_DIAL && told.told == 0 && told.reason.len > 0);
    OK(wks_check_get(check, 1, &told, &err));
    CHECK(told.status == WKS_OK && told.told == 251 && told.omitted.len == 0);
    CHECK(told.peer.len == peers[1].len);
    OK(wks_check_get(check, 2, &told, &err));
    CHECK(told.status == WKS_OK && told.told == 1 && told.omitted.len == 32 * 250);
    CHECK(memcmp(told.omitted.ptr, hashes, told.omitted.len) == 0);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_check_get(check, 3, &told, &err));
    wks_check_free(check);
    wks_check_free(check);

    /* A server that answers three requests an hour of each peer. */
    {
        wks_archive other = an_archive(NULL);
        wks_node limited = a_node(other, "/ip4/127.0.0.1/tcp/0", 3);
        wks_strings at_limited;
        wks_bytes peer = address_of(limited, &at_limited);
        for (i = 0; i < 3; i++) {
            OK(wks_node_store_query(asking, peer, query, &page, &err));
            wks_page_free(page);
        }
        EXPECT(WKS_ERR_STORE_TOO_MANY_REQUESTS,
               wks_node_store_query(asking, peer, query, &page, &err));
        wks_strings_free(at_limited);
        wks_node_free(limited);
        wks_archive_free(other);
    }

    /* What cannot be is told. */
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_node_cross_check(asking, peers, 1, query, 10, &check, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_node_history_of(asking, peers, 1025, query, NULL, &history, &err));
    EXPECT(WKS_ERR_NULL_POINTER,
           wks_node_history_of(asking, NULL, 1, query, NULL, &history, &err));
    EXPECT(WKS_ERR_ADDRESS,
           wks_node_history_of(asking, &(wks_bytes){(const uint8_t *)"x", 1}, 1, query, NULL,
                               &history, &err));
    options.span_ns = 1;
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_node_history_of(asking, peers, 2, query, &options, &history, &err));
    options.struct_size = 3;
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_node_history_of(asking, peers, 2, query, &options, &history, &err));
    all.len = 31;
    EXPECT(WKS_ERR_INVALID_HASH, wks_node_presence(asking, peers[1], all, &held, &err));

    wks_strings_free(at_serving);
    wks_strings_free(at_hiding);
    wks_query_free(query);
    wks_node_free(asking);
    wks_node_free(serving);
    wks_node_free(hiding);
    wks_archive_free(here);
    wks_archive_free(full);
    wks_archive_free(poor);
    OK(wks_shutdown(10000, &err));
    return 0;
}
