/* What the C tests share: checks that tell where and what, and small makers of inputs. */

#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wakustore.h"

#define PUBSUB "/waku/2/rs/16/0"
#define CONTENT "/test/1/chat/proto"

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);       \
            _exit(70);                                                                    \
        }                                                                                 \
    } while (0)

/* The call must give this status, and tell the same in its error. `call` uses `&err`. */
#define EXPECT(want, call)                                                                \
    do {                                                                                  \
        wks_error err = {0xdead};                                                         \
        wks_status got = (call);                                                          \
        if (got != (want)) {                                                              \
            fprintf(stderr, "%s:%d: %s gives %s (%s), not %s\n", __FILE__, __LINE__, #call, \
                    wks_status_name(got), wks_error_message(err), wks_status_name(want)); \
            _exit(70);                                                                    \
        }                                                                                 \
        if ((want) == WKS_OK) {                                                           \
            CHECK(err.id == 0);                                                           \
        } else {                                                                          \
            CHECK(wks_error_code(err) == (want));                                         \
            CHECK(wks_error_message(err)[0] != 0 && wks_error_detail(err)[0] != 0);       \
        }                                                                                 \
        wks_error_free(err);                                                              \
    } while (0)

#define OK(call) EXPECT(WKS_OK, call)

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline wks_message a_message(const char *payload, int64_t timestamp)
{
    wks_message m;
    memset(&m, 0, sizeof m);
    m.struct_size = sizeof m;
    m.pubsub_topic = wks_str(PUBSUB);
    m.content_topic = wks_str(CONTENT);
    m.payload = wks_str(payload);
    m.timestamp = timestamp;
    return m;
}

/* An archive in this file, or in memory. */
static inline wks_archive an_archive(const char *path)
{
    wks_archive_options options;
    wks_archive archive;
    OK(wks_archive_options_new(&options, &err));
    if (path)
        OK(wks_archive_options_set_path(options, wks_str(path), &err));
    OK(wks_archive_open(options, &archive, &err));
    wks_archive_options_free(options);
    return archive;
}

static inline wks_query a_query(void)
{
    wks_query query;
    OK(wks_query_new(&query, &err));
    return query;
}

static inline size_t page_count(wks_page page)
{
    size_t count;
    OK(wks_page_count(page, &count, &err));
    return count;
}

static inline int same(wks_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.ptr, text, bytes.len) == 0;
}

/* Puts `count` messages, a millisecond apart, the last one about now. */
static inline void fill(wks_archive archive, size_t count)
{
    int64_t start = now_ns() - (int64_t)count * 1000000;
    wks_message *messages = calloc(count, sizeof *messages);
    char(*payloads)[32] = calloc(count, sizeof *payloads);
    size_t i;
    CHECK(messages && payloads);
    for (i = 0; i < count; i++) {
        snprintf(payloads[i], sizeof payloads[i], "message %zu", i);
        messages[i] = a_message(payloads[i], start + (int64_t)i * 1000000);
    }
    OK(wks_archive_put(archive, messages, count, WKS_ORIGIN_IMPORT, NULL, &err));
    free(messages);
    free(payloads);
}

#endif
