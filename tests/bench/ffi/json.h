/*
 * A page as JSON, hashes and payloads in base64, and a reader of it: one pass over the text, strings
 * by memchr, base64 by a table. Of what the writer below writes it reads everything.
 */

#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct json_entry {
    unsigned char hash[33];
    const char *pubsub_topic, *content_topic;
    size_t pubsub_len, content_len, payload_len;
    unsigned char *payload;
    int64_t timestamp;
};

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static signed char base64_value[256];

static void base64_prepare(void)
{
    int i;
    memset(base64_value, -1, sizeof base64_value);
    for (i = 0; i < 64; i++)
        base64_value[(unsigned char)BASE64[i]] = (signed char)i;
}

static size_t base64_write(const unsigned char *from, size_t len, char *to)
{
    size_t i, out = 0;
    for (i = 0; i < len; i += 3) {
        uint32_t three = (uint32_t)from[i] << 16;
        if (i + 1 < len)
            three |= (uint32_t)from[i + 1] << 8;
        if (i + 2 < len)
            three |= from[i + 2];
        to[out++] = BASE64[three >> 18];
        to[out++] = BASE64[three >> 12 & 63];
        to[out++] = i + 1 < len ? BASE64[three >> 6 & 63] : '=';
        to[out++] = i + 2 < len ? BASE64[three & 63] : '=';
    }
    return out;
}

/* How many bytes came of it; (size_t)-1 for what is no base64. */
static size_t base64_read(const char *from, size_t len, unsigned char *to)
{
    size_t i, out = 0;
    if (len % 4)
        return (size_t)-1;
    for (i = 0; i + 4 <= len; i += 4) {
        int a = base64_value[(unsigned char)from[i]], b = base64_value[(unsigned char)from[i + 1]];
        int c = base64_value[(unsigned char)from[i + 2]], d = base64_value[(unsigned char)from[i + 3]];
        if ((a | b) < 0)
            return (size_t)-1;
        to[out++] = (unsigned char)(a << 2 | b >> 4);
        if (c < 0)
            break;
        to[out++] = (unsigned char)(b << 4 | c >> 2);
        if (d < 0)
            break;
        to[out++] = (unsigned char)(c << 6 | d);
    }
    return out;
}

/* The text of the string at `*at`, which is moved behind it; null where there is none. */
static const char *json_string(const char **at, const char *end, size_t *len)
{
    const char *start, *quote;
    while (*at < end && **at != '"')
        (*at)++;
    if (*at == end)
        return NULL;
    start = *at + 1;
    for (quote = start;; quote++) {
        quote = memchr(quote, '"', (size_t)(end - quote));
        if (!quote)
            return NULL;
        if (quote[-1] != '\\')
            break;
    }
    *at = quote + 1;
    *len = (size_t)(quote - start);
    return start;
}

/* Reads all entries; payloads go one behind the other to `arena`. How many there were. */
static size_t json_read(const char *text, size_t text_len, struct json_entry *entries, size_t most,
                        unsigned char *arena)
{
    const char *at = text, *end = text + text_len;
    size_t count = 0, len;
    while (count < most && (at = memchr(at, '{', (size_t)(end - at)))) {
        struct json_entry *entry = &entries[count];
        const char *key, *value;
        int i;
        for (i = 0; i < 5; i++) {
            size_t key_len;
            key = json_string(&at, end, &key_len);
            if (!key || at == end || *at++ != ':')
                return (size_t)-1;
            if (key_len == 9 && !memcmp(key, "timestamp", 9)) {
                char *behind;
                entry->timestamp = strtoll(at, &behind, 10);
                at = behind;
                continue;
            }
            value = json_string(&at, end, &len);
            if (!value)
                return (size_t)-1;
            if (key_len == 4 && !memcmp(key, "hash", 4)) {
                base64_read(value, len, entry->hash);
            } else if (key_len == 12 && !memcmp(key, "pubsub_topic", 12)) {
                entry->pubsub_topic = value;
                entry->pubsub_len = len;
            } else if (key_len == 13 && !memcmp(key, "content_topic", 13)) {
                entry->content_topic = value;
                entry->content_len = len;
            } else if (key_len == 7 && !memcmp(key, "payload", 7)) {
                entry->payload = arena;
                entry->payload_len = base64_read(value, len, arena);
                arena += entry->payload_len;
            } else {
                return (size_t)-1;
            }
        }
        count++;
    }
    return count;
}

#endif
