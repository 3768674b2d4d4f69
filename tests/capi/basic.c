/* A local archive from C: put, query, pages, get, missing, history, the store protocol as bytes. */

#include "check.h"

static void puts_and_outcomes(wks_archive archive)
{
    int64_t now = now_ns();
    char big[151 * 1024];
    wks_message m[5];
    wks_outcomes outcomes;
    wks_outcome o = {.struct_size = sizeof o};
    wks_hash hash;
    size_t count;

    m[0] = a_message("first", now);
    m[0].meta = wks_str("meta");
    m[0].version = 1;
    m[1] = a_message("first", now);
    m[1].meta = wks_str("meta");
    m[1].version = 1;
    m[2] = a_message("of the far future", now + (int64_t)3600 * 1000000000);
    m[3] = a_message("", now + 1);
    m[3].has_meta = 1;
    m[3].rate_limit_proof = wks_str("proof");
    memset(big, 'x', sizeof big);
    m[4] = a_message("", now);
    m[4].payload.ptr = (const uint8_t *)big;
    m[4].payload.len = sizeof big;

    OK(wks_archive_put(archive, m, 5, WKS_ORIGIN_LIVE, &outcomes, &err));
    OK(wks_outcomes_count(outcomes, &count, &err));
    CHECK(count == 5);
    OK(wks_outcomes_get(outcomes, 0, &o, &err));
    CHECK(o.outcome == WKS_PUT_STORED && o.status == WKS_OK && o.reason.len == 0);
    OK(wks_message_hash(&m[0], &hash, &err));
    CHECK(memcmp(o.hash, hash.bytes, 32) == 0);
    OK(wks_outcomes_get(outcomes, 1, &o, &err));
    CHECK(o.outcome == WKS_PUT_DUPLICATE);
    OK(wks_outcomes_get(outcomes, 2, &o, &err));
    CHECK(o.outcome == WKS_PUT_REFUSED && o.status == WKS_ERR_TIMESTAMP_IN_FUTURE);
    CHECK(o.reason.len > 0);
    OK(wks_outcomes_get(outcomes, 3, &o, &err));
    CHECK(o.outcome == WKS_PUT_STORED);
    OK(wks_outcomes_get(outcomes, 4, &o, &err));
    CHECK(o.status == WKS_ERR_MESSAGE_TOO_LARGE);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_outcomes_get(outcomes, 5, &o, &err));
    wks_outcomes_free(outcomes);

    /* Without a place for the outcomes the first refusal is the error. */
    EXPECT(WKS_ERR_TIMESTAMP_IN_FUTURE,
           wks_archive_put(archive, &m[2], 1, WKS_ORIGIN_LIVE, NULL, &err));
    CHECK(wks_archive_put(archive, m, 1, WKS_ORIGIN_LIVE, NULL, NULL) == WKS_OK);
    m[0] = a_message("old", now - (int64_t)60 * 1000000000);
    EXPECT(WKS_ERR_TIMESTAMP_TOO_OLD,
           wks_archive_put(archive, m, 1, WKS_ORIGIN_LIVE, NULL, &err));
    m[0].ephemeral = 1;
    EXPECT(WKS_ERR_EPHEMERAL, wks_archive_put(archive, m, 1, WKS_ORIGIN_SYNC, NULL, &err));
    m[0] = a_message("no time", 0);
    EXPECT(WKS_ERR_NO_TIMESTAMP, wks_archive_put(archive, m, 1, WKS_ORIGIN_SYNC, NULL, &err));
    m[0].meta.ptr = (const uint8_t *)big;
    m[0].meta.len = 65;
    m[0].timestamp = now;
    EXPECT(WKS_ERR_META_TOO_LARGE, wks_archive_put(archive, m, 1, WKS_ORIGIN_SYNC, NULL, &err));
    OK(wks_archive_put(archive, NULL, 0, WKS_ORIGIN_LIVE, NULL, &err));
}

static void pages_lend(wks_archive archive)
{
    wks_query query = a_query();
    wks_page page, again;
    wks_entry e = {.struct_size = sizeof e}, all[4];
    wks_bytes cursor, hashes;
    size_t count;

    OK(wks_archive_query(archive, query, &page, &err));
    CHECK(page_count(page) == 2);
    OK(wks_page_cursor(page, &cursor, &err));
    CHECK(cursor.len == 0);
    OK(wks_page_entry(page, 0, &e, &err));
    CHECK(e.struct_size == sizeof e && e.has_data == 1);
    CHECK(same(e.payload, "first") && same(e.meta, "meta") && e.has_meta == 1);
    CHECK(same(e.pubsub_topic, PUBSUB) && same(e.content_topic, CONTENT));
    CHECK(e.has_version == 1 && e.version == 1 && e.has_timestamp == 1 && e.timestamp != 0);
    CHECK(e.has_rate_limit_proof == 0 && e.has_ephemeral == 0);
    memset(all, 0xee, sizeof all);
    all[0].struct_size = sizeof all[0];
    OK(wks_page_entries(page, all, 4, &count, &err));
    CHECK(count == 2 && all[0].payload.ptr == e.payload.ptr);
    CHECK(all[1].has_meta == 1 && all[1].meta.len == 0 && all[1].payload.len == 0);
    CHECK(same(all[1].rate_limit_proof, "proof") && all[1].has_version == 0);
    CHECK(all[3].struct_size == sizeof all[0] && all[3].hash == NULL);

    /* By hash, and hashes alone. */
    hashes.ptr = all[1].hash;
    hashes.len = 32;
    OK(wks_archive_get(archive, hashes, &again, &err));
    CHECK(page_count(again) == 1);
    wks_page_free(again);
    OK(wks_query_set_hashes(query, hashes, &err));
    OK(wks_query_set_include_data(query, 0, &err));
    OK(wks_archive_query(archive, query, &again, &err));
    CHECK(page_count(again) == 1);
    OK(wks_page_entry(again, 0, &e, &err));
    CHECK(e.has_data == 0 && e.payload.ptr == NULL && memcmp(e.hash, all[1].hash, 32) == 0);
    wks_page_free(again);
    wks_page_free(page);
    wks_query_free(query);
}

static void filters(wks_archive archive)
{
    wks_query query = a_query();
    wks_page page;
    wks_entry e = {.struct_size = sizeof e};
    wks_bytes cursor;
    wks_history history;
    wks_hash resume;
    size_t seen = 0, pages = 0;
    int64_t last = 0;

    OK(wks_query_set_pubsub_topic(query, wks_str(PUBSUB), &err));
    OK(wks_query_add_content_topic(query, wks_str(CONTENT), &err));
    OK(wks_query_set_limit(query, 100, &err));
    OK(wks_archive_query(archive, query, &page, &err));
    CHECK(page_count(page) == 100);
    OK(wks_page_cursor(page, &cursor, &err));
    OK(wks_page_entry(page, 99, &e, &err));
    CHECK(cursor.len == 32 && memcmp(cursor.ptr, e.hash, 32) == 0);
    last = e.timestamp;
    OK(wks_query_set_cursor(query, cursor, &err));
    wks_page_free(page);
    OK(wks_archive_query(archive, query, &page, &err));
    OK(wks_page_entry(page, 0, &e, &err));
    CHECK(e.timestamp > last);
    OK(wks_query_set_time(query, e.timestamp, e.timestamp + 1, &err));
    wks_page_free(page);
    OK(wks_query_set_cursor(query, wks_str(""), &err));
    OK(wks_archive_query(archive, query, &page, &err));
    CHECK(page_count(page) == 1);
    wks_page_free(page);
    wks_query_free(query);

    query = a_query();
    OK(wks_query_set_direction(query, WKS_DIRECTION_BACKWARD, &err));
    OK(wks_query_set_limit(query, 64, &err));
    OK(wks_archive_history(archive, query, &history, &err));
    OK(wks_history_cursor(history, &resume, &err));
    CHECK(resume.bytes[0] == 0 && resume.bytes[31] == 0);
    for (;;) {
        OK(wks_history_next(history, &page, &err));
        if (page.id == 0)
            break;
        pages++;
        seen += page_count(page);
        OK(wks_page_entry(page, 0, &e, &err));
        OK(wks_history_cursor(history, &resume, &err));
        wks_page_free(page);
    }
    CHECK(pages == 8 && seen == 502);
    wks_history_free(history);
    wks_query_free(query);
}

static void lacking(wks_archive archive)
{
    enum { N = 100000 };
    uint8_t *asked = calloc(N, 32);
    wks_query query = a_query();
    wks_page page;
    wks_entry e = {.struct_size = sizeof e};
    wks_bytes hashes, answer;
    wks_hashes missing;
    size_t i;

    CHECK(asked);
    for (i = 0; i < N; i++)
        memcpy(asked + 32 * i, &i, sizeof i);
    OK(wks_archive_query(archive, query, &page, &err));
    OK(wks_page_entry(page, 3, &e, &err));
    memcpy(asked + 32 * 5000, e.hash, 32);
    wks_page_free(page);
    wks_query_free(query);
    hashes.ptr = asked;
    hashes.len = 32 * N;
    OK(wks_archive_missing(archive, hashes, &missing, &err));
    OK(wks_hashes_bytes(missing, &answer, &err));
    CHECK(answer.len == 32 * (N - 1));
    CHECK(memcmp(answer.ptr, asked, 32 * 5000) == 0);
    CHECK(memcmp(answer.ptr + 32 * 5000, asked + 32 * 5001, 32 * (N - 5001)) == 0);
    wks_hashes_free(missing);
    free(asked);
}

static void store_as_bytes(wks_archive archive)
{
    wks_query query = a_query();
    wks_buffer request, response;
    wks_bytes bytes, reply;
    wks_page page;

    OK(wks_query_set_limit(query, 7, &err));
    OK(wks_query_set_pubsub_topic(query, wks_str(PUBSUB), &err));
    OK(wks_query_add_content_topic(query, wks_str(CONTENT), &err));
    OK(wks_store_encode(wks_str("an id"), query, &request, &err));
    OK(wks_buffer_bytes(request, &bytes, &err));
    OK(wks_store_respond(archive, bytes, &response, &err));
    OK(wks_buffer_bytes(response, &reply, &err));
    OK(wks_store_decode(wks_str("an id"), query, reply, &page, &err));
    CHECK(page_count(page) == 7);
    wks_page_free(page);
    EXPECT(WKS_ERR_STORE_BAD_RESPONSE,
           wks_store_decode(wks_str("another"), query, reply, &page, &err));
    CHECK(page.id == 0);
    wks_buffer_free(response);
    wks_buffer_free(request);

    /* Garbage is answered, not refused: the peer is told. */
    OK(wks_store_respond(archive, wks_str("garbage"), &response, &err));
    OK(wks_buffer_bytes(response, &reply, &err));
    CHECK(reply.len > 0);
    wks_buffer_free(response);
    OK(wks_store_too_many_requests(&response, &err));
    wks_buffer_free(response);
    wks_query_free(query);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : ":memory:";
    wks_archive archive = an_archive(path);
    wks_stats stats = {.struct_size = sizeof stats};
    uint32_t shard;

    CHECK(wks_abi_version() >> 16 == WKS_ABI_MAJOR && strlen(wks_version()) >= 5);
    puts_and_outcomes(archive);
    pages_lend(archive);
    fill(archive, 500);
    filters(archive);
    lacking(archive);
    store_as_bytes(archive);
    OK(wks_archive_stats(archive, &stats, &err));
    CHECK(stats.messages == 502 && stats.oldest != 0 && stats.oldest < stats.newest);
    OK(wks_shard_of(wks_str("/toychat/2/huilong/proto"), 8, &shard, &err));
    CHECK(shard == 3);

    OK(wks_archive_close(archive, &err));
    OK(wks_archive_close(archive, &err));
    EXPECT(WKS_ERR_ARCHIVE_CLOSED, wks_archive_stats(archive, &stats, &err));
    CHECK(stats.messages == 0 && stats.struct_size == sizeof stats);
    wks_archive_free(archive);

    if (strcmp(path, ":memory:") != 0) {
        archive = an_archive(path);
        OK(wks_archive_stats(archive, &stats, &err));
        CHECK(stats.messages == 502 && stats.bytes_on_disk > 0);
        wks_archive_free(archive);
    }
    OK(wks_shutdown(10000, &err));
    return 0;
}
