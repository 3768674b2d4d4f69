/*
 * What the C ABI costs: a call with a handle, against a call that counts up and down; and a page of
 * 100 messages of 1 KiB read whole, against the same page as JSON. Prints JSON lines.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "wakustore.h"

#define COUNT 100
#define SIZE 1024
#define CALLS 200000
#define READS 400
#define ROUNDS 21

void bench_atomic(void);

static double now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, ascending);
    return values[ROUNDS / 2];
}

static void must(wks_status status, const char *what)
{
    if (status != WKS_OK) {
        fprintf(stderr, "%s: status %d\n", what, (int)status);
        exit(1);
    }
}

static void versus(const char *name, double ours, const char *contender, double theirs, double goal)
{
    double ratio = ours / theirs;
    printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"ns\",\"versus\":\"%s\",\"theirs\":%.3f,"
           "\"ratio\":%.4f,\"goal\":\"<= %.4f\",\"met\":%s}\n",
           name, ours, contender, theirs, ratio, goal, ratio <= goal ? "true" : "false");
}

static wks_archive filled(void)
{
    static unsigned char payloads[COUNT][SIZE];
    wks_message messages[COUNT];
    wks_archive_options options;
    wks_archive archive;
    int64_t base = ((int64_t)time(NULL) - 600) * 1000000000;
    size_t i, j;

    memset(messages, 0, sizeof messages);
    for (i = 0; i < COUNT; i++) {
        for (j = 0; j < SIZE; j++)
            payloads[i][j] = (unsigned char)(i * 31 + j * 7);
        messages[i].struct_size = sizeof messages[i];
        messages[i].pubsub_topic = wks_str("/waku/2/rs/16/0");
        messages[i].content_topic = wks_str("/bench/1/page/proto");
        messages[i].payload.ptr = payloads[i];
        messages[i].payload.len = SIZE;
        messages[i].timestamp = base + (int64_t)i * 1000000000;
    }
    must(wks_archive_options_new(&options, NULL), "options");
    must(wks_archive_options_set_path(options, wks_str(":memory:"), NULL), "path");
    must(wks_archive_open(options, &archive, NULL), "open");
    wks_archive_options_free(options);
    must(wks_archive_put(archive, messages, COUNT, WKS_ORIGIN_IMPORT, NULL, NULL), "put");
    return archive;
}

static size_t to_json(const wks_entry *entries, char *to)
{
    size_t i, at = 0;
    to[at++] = '[';
    for (i = 0; i < COUNT; i++) {
        const wks_entry *e = &entries[i];
        at += (size_t)sprintf(to + at, "%s{\"hash\":\"", i ? "," : "");
        at += base64_write(e->hash, 32, to + at);
        at += (size_t)sprintf(to + at, "\",\"pubsub_topic\":\"%.*s\",\"content_topic\":\"%.*s\","
                              "\"timestamp\":%" PRId64 ",\"payload\":\"",
                              (int)e->pubsub_topic.len, (const char *)e->pubsub_topic.ptr,
                              (int)e->content_topic.len, (const char *)e->content_topic.ptr,
                              e->timestamp);
        at += base64_write(e->payload.ptr, e->payload.len, to + at);
        to[at++] = '"';
        to[at++] = '}';
    }
    to[at++] = ']';
    return at;
}

/* Something of every field, so that none is left out. */
static uint64_t of_entry(const wks_entry *e)
{
    return e->hash[0] + e->pubsub_topic.len + *(const uint8_t *)e->pubsub_topic.ptr +
           e->content_topic.len + *(const uint8_t *)e->content_topic.ptr + e->payload.len +
           *(const uint8_t *)e->payload.ptr + e->meta.len + e->rate_limit_proof.len +
           (uint64_t)e->timestamp + e->version + e->has_data + e->has_timestamp + e->has_version +
           e->has_meta + e->has_rate_limit_proof + e->has_ephemeral + e->ephemeral;
}

int main(void)
{
    static wks_entry entries[COUNT];
    static struct json_entry read[COUNT];
    static char text[COUNT * (SIZE * 2 + 512)];
    static unsigned char arena[COUNT * SIZE + 16];
    double calls[ROUNDS], atomics[ROUNDS], pages[ROUNDS], texts[ROUNDS];
    volatile uint64_t sink = 0;
    wks_archive archive = filled();
    wks_query query;
    wks_page page;
    size_t count, text_len, i;
    int round, n;

    must(wks_query_new(&query, NULL), "query");
    must(wks_query_set_limit(query, COUNT, NULL), "limit");
    must(wks_archive_query(archive, query, &page, NULL), "page");
    entries[0].struct_size = sizeof entries[0];
    must(wks_page_entries(page, entries, COUNT, &count, NULL), "entries");
    if (count != COUNT)
        return 1;
    base64_prepare();
    text_len = to_json(entries, text);

    for (round = 0; round < ROUNDS; round++) {
        double begun = now_ns();
        for (n = 0; n < CALLS; n++) {
            wks_page_count(page, &count, NULL);
            sink += count;
        }
        calls[round] = (now_ns() - begun) / CALLS;
        begun = now_ns();
        for (n = 0; n < CALLS; n++)
            bench_atomic();
        atomics[round] = (now_ns() - begun) / CALLS;
        begun = now_ns();
        for (n = 0; n < READS; n++) {
            entries[0].struct_size = sizeof entries[0];
            must(wks_page_entries(page, entries, COUNT, &count, NULL), "entries");
            for (i = 0; i < count; i++)
                sink += of_entry(&entries[i]);
        }
        pages[round] = (now_ns() - begun) / READS;
        begun = now_ns();
        for (n = 0; n < READS / 10; n++) {
            if (json_read(text, text_len, read, COUNT, arena) != COUNT)
                return 1;
            for (i = 0; i < COUNT; i++)
                sink += read[i].hash[0] + read[i].pubsub_len + read[i].content_len +
                        read[i].payload_len + read[i].payload[0] + (uint64_t)read[i].timestamp;
        }
        texts[round] = (now_ns() - begun) / (READS / 10);
    }
    /* What was read as JSON is what was read from the page. */
    for (i = 0; i < COUNT; i++)
        if (memcmp(read[i].payload, entries[i].payload.ptr, SIZE) ||
            memcmp(read[i].hash, entries[i].hash, 32) || read[i].timestamp != entries[i].timestamp)
            return 1;
    versus("ffi.call_ns", median(calls), "atomic", median(atomics), 1.5);
    versus("ffi.page.c", median(pages), "JSON", median(texts), 1.0 / 80);
    wks_page_free(page);
    wks_query_free(query);
    wks_archive_free(archive);
    wks_shutdown(10000, NULL);
    return 0;
}
