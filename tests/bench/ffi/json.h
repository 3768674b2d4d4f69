/*
 * A page as JSON, hashes and payloads in base64, and a reader of it as the common small ones are:
 * each string is copied out with its escapes resolved, base64 is read by a table.
 */

#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct json_entry {
    unsigned char hash[33];
    char *pubsub_topic, *content_topic;
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

/* The string at `*at`, which is moved behind it, in memory of its own with its escapes resolved; null
 * where there is none. (Those beyond ASCII do not occur here.) */
static char *json_string(const char **at, const char *end, size_t *len)
{
    const char *from;
    size_t most = 0;
    char *text, *to;
    while (*at < end && **at != '"')
        (*at)++;
    if (*at == end)
        return NULL;
    for (from = *at + 1; from < end && *from != '"'; from++, most++)
        if (*from == '\\')
            from++;
    if (from >= end || !(text = malloc(most + 1)))
        return NULL;
    to = text;
    for (from = *at + 1; *from != '"'; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        switch (*++from) {
        case 'n': *to++ = '\n'; break;
        case 't': *to++ = '\t'; break;
        case 'r': *to++ = '\r'; break;
        case 'b': *to++ = '\b'; break;
        case 'f': *to++ = '\f'; break;
        default: *to++ = *from;
        }
    }
    *to = 0;
    *len = (size_t)(to - text);
    *at = from + 1;
    return text;
}

static void json_free(struct json_entry *entries, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        free(entries[i].pubsub_topic);
        free(entries[i].content_topic);
        free(entries[i].payload);
    }
}

/* Reads all entries, to be freed by `json_free`. How many there were. */
static size_t json_read(const char *text, size_t text_len, struct json_entry *entries, size_t most)
{
    const char *at = text, *end = text + text_len;
    size_t count = 0, len, key_len;
    while (count < most && (at = memchr(at, '{', (size_t)(end - at)))) {
        struct json_entry *entry = &entries[count];
        int i;
        for (i = 0; i < 5; i++) {
            char *key = json_string(&at, end, &key_len), *value = NULL;
            if (!key || at == end || *at++ != ':')
                return (size_t)-1;
            if (!strcmp(key, "timestamp")) {
                char *behind;
                entry->timestamp = strtoll(at, &behind, 10);
                at = behind;
                free(key);
                continue;
            }
            value = json_string(&at, end, &len);
            if (!value)
                return (size_t)-1;
            if (!strcmp(key, "hash")) {
                base64_read(value, len, entry->hash);
                free(value);
            } else if (!strcmp(key, "pubsub_topic")) {
                entry->pubsub_topic = value;
                entry->pubsub_len = len;
            } else if (!strcmp(key, "content_topic")) {
                entry->content_topic = value;
                entry->content_len = len;
            } else if (!strcmp(key, "payload")) {
                entry->payload = malloc(len);
                if (!entry->payload)
                    return (size_t)-1;
                entry->payload_len = base64_read(value, len, entry->payload);
                free(value);
            } else {
                return (size_t)-1;
            }
            free(key);
        }
        count++;
    }
    return count;
}

#endif
