/* What a program can get wrong: each has a clear error, and none is undefined behaviour. Built with
 * AddressSanitizer and UndefinedBehaviorSanitizer. The only argument is a directory for files. */

#include <pthread.h>

#include "check.h"

static wks_bytes raw(const void *ptr, size_t len)
{
    wks_bytes b;
    b.ptr = ptr;
    b.len = len;
    return b;
}

static void null_pointers(wks_archive archive)
{
    wks_query query = a_query();
    wks_message m = a_message("x", now_ns());
    wks_page page;

    EXPECT(WKS_ERR_NULL_POINTER, wks_archive_options_new(NULL, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_query_new(NULL, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_archive_query(archive, query, NULL, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_archive_query_async(archive, query, NULL, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_archive_put(archive, NULL, 3, 0, NULL, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_archive_missing(archive, raw(NULL, 32), NULL, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_archive_get(archive, raw(NULL, 64), &page, &err));
    CHECK(page.id == 0);
    EXPECT(WKS_ERR_NULL_POINTER, wks_archive_stats(archive, NULL, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_query_set_pubsub_topic(query, raw(NULL, 5), &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_queue_new(NULL, &err));
    m.payload = raw(NULL, 9);
    EXPECT(WKS_ERR_NULL_POINTER, wks_archive_put(archive, &m, 1, 0, NULL, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_message_hash(NULL, NULL, &err));
    /* Without a place for the error there is the status. */
    CHECK(wks_archive_query(archive, query, NULL, NULL) == WKS_ERR_NULL_POINTER);
    CHECK(wks_query_new(NULL, NULL) == WKS_ERR_NULL_POINTER);
    wks_query_free(query);
}

/* Every kind of handle: null, stale, of another kind, with each bit of it flipped. */
static void handles(wks_archive archive)
{
    wks_query query = a_query(), stale;
    wks_page page, other;
    wks_op op;
    wks_archive forged;
    size_t count = 77;
    int bit;

    OK(wks_archive_query(archive, query, &page, &err));
    stale = query;
    wks_query_free(query);
    wks_query_free(query);
    EXPECT(WKS_ERR_HANDLE, wks_query_set_limit(stale, 5, &err));
    EXPECT(WKS_ERR_HANDLE, wks_archive_query(archive, stale, &other, &err));
    query = a_query();
    CHECK(query.id != stale.id);
    EXPECT(WKS_ERR_HANDLE, wks_archive_query(archive, stale, &other, &err));

    other.id = 0;
    EXPECT(WKS_ERR_HANDLE, wks_page_count(other, &count, &err));
    CHECK(count == 0);
    other.id = archive.id;
    EXPECT(WKS_ERR_HANDLE, wks_page_count(other, &count, &err));
    for (bit = 0; bit < 64; bit++) {
        other.id = page.id ^ (UINT64_C(1) << bit);
        EXPECT(WKS_ERR_HANDLE, wks_page_count(other, &count, &err));
        wks_page_free(other);
        forged.id = archive.id ^ (UINT64_C(1) << bit);
        EXPECT(WKS_ERR_HANDLE, wks_archive_query_async(forged, query, &op, &err));
        CHECK(op.id == 0);
        wks_archive_free(forged);
    }
    OK(wks_page_count(page, &count, &err));
    wks_page_free(page);
    EXPECT(WKS_ERR_HANDLE, wks_page_count(page, &count, &err));
    wks_page_free(page);

    /* All that takes a handle, with null. */
    {
        wks_error no_error = {0};
        wks_queue queue = {0};
        wks_node node = {0};
        wks_history history = {0};
        wks_events events = {0};
        wks_event event = {0};
        wks_report report = {0};
        wks_outcomes outcomes = {0};
        wks_hashes hashes = {0};
        wks_buffer buffer = {0};
        wks_strings strings = {0};
        wks_node_options options = {0};
        wks_archive_options archive_options = {0};
        wks_sync_figures figures = {.struct_size = sizeof figures};
        wks_event_info info = {.struct_size = sizeof info};
        wks_bytes bytes;
        int fd;
        op.id = 0;
        CHECK(wks_error_code(no_error) == WKS_ERR_HANDLE);
        CHECK(wks_error_message(no_error)[0] == 0 && wks_error_detail(no_error)[0] == 0);
        EXPECT(WKS_ERR_HANDLE, wks_op_wait(op, 0, &err));
        EXPECT(WKS_ERR_HANDLE, wks_op_cancel(op, &err));
        EXPECT(WKS_ERR_HANDLE, wks_op_take_page(op, &page, &err));
        EXPECT(WKS_ERR_HANDLE, wks_queue_fd(queue, &fd, &err));
        EXPECT(WKS_ERR_HANDLE, wks_node_peer_id(node, &buffer, &err));
        EXPECT(WKS_ERR_HANDLE, wks_node_start(options, archive, &node, &err));
        EXPECT(WKS_ERR_HANDLE, wks_archive_open(archive_options, &forged, &err));
        EXPECT(WKS_ERR_HANDLE, wks_history_next(history, &page, &err));
        EXPECT(WKS_ERR_HANDLE, wks_events_next(events, &event, &err));
        EXPECT(WKS_ERR_HANDLE, wks_event_read(event, &info, &err));
        EXPECT(WKS_ERR_HANDLE, wks_report_figures(report, &figures, &err));
        EXPECT(WKS_ERR_HANDLE, wks_outcomes_count(outcomes, &count, &err));
        EXPECT(WKS_ERR_HANDLE, wks_hashes_bytes(hashes, &bytes, &err));
        EXPECT(WKS_ERR_HANDLE, wks_buffer_bytes(buffer, &bytes, &err));
        EXPECT(WKS_ERR_HANDLE, wks_strings_get(strings, 0, &bytes, &err));
        CHECK(bytes.ptr == NULL && bytes.len == 0);
        wks_error_free(no_error);
        wks_op_free(op);
        wks_queue_free(queue);
        wks_node_free(node);
        wks_history_free(history);
        wks_events_free(events);
        wks_event_free(event);
        wks_report_free(report);
        wks_outcomes_free(outcomes);
        wks_hashes_free(hashes);
        wks_buffer_free(buffer);
        wks_strings_free(strings);
        wks_node_options_free(options);
        wks_archive_options_free(archive_options);
    }
    wks_query_free(query);
}

static void bad_values(wks_archive archive)
{
    char long_topic[1025];
    uint8_t hash[33] = {0};
    wks_query query = a_query();
    wks_message m = a_message("x", now_ns());
    wks_page page;
    wks_hashes missing;
    wks_buffer buffer;
    int i;

    memset(long_topic, 'a', sizeof long_topic);
    EXPECT(WKS_ERR_INVALID_TOPIC, wks_query_add_content_topic(query, wks_str("\xff\xfe"), &err));
    EXPECT(WKS_ERR_INVALID_TOPIC, wks_query_add_content_topic(query, wks_str(""), &err));
    EXPECT(WKS_ERR_INVALID_TOPIC,
           wks_query_set_pubsub_topic(query, raw(long_topic, sizeof long_topic), &err));
    m.content_topic = wks_str("\xc3(");
    EXPECT(WKS_ERR_INVALID_TOPIC, wks_archive_put(archive, &m, 1, 0, NULL, &err));
    m = a_message("x", now_ns());
    m.pubsub_topic = wks_str("");
    EXPECT(WKS_ERR_INVALID_TOPIC, wks_archive_put(archive, &m, 1, 0, NULL, &err));
    m = a_message("x", now_ns());
    m.has_meta = 2;
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_put(archive, &m, 1, 0, NULL, &err));
    m.has_meta = 0;
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_put(archive, &m, 1, 4, NULL, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_put(archive, &m, 1, -1, NULL, &err));
    m.payload = raw("x", SIZE_MAX);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_put(archive, &m, 1, 0, NULL, &err));

    for (i = 1; i < 34; i += 15) {
        EXPECT(WKS_ERR_INVALID_HASH, wks_archive_missing(archive, raw(hash, i), &missing, &err));
        EXPECT(WKS_ERR_INVALID_HASH, wks_archive_get(archive, raw(hash, i), &page, &err));
        EXPECT(WKS_ERR_INVALID_HASH, wks_query_set_hashes(query, raw(hash, i), &err));
        EXPECT(WKS_ERR_INVALID_HASH, wks_query_set_cursor(query, raw(hash, i), &err));
    }
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_query_set_direction(query, 2, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_query_set_include_data(query, 7, &err));
    EXPECT(WKS_ERR_INVALID_TIME_RANGE, wks_query_set_time(query, 2, 1, &err));
    OK(wks_query_set_limit(query, 0, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_query(archive, query, &page, &err));
    OK(wks_query_set_limit(query, 1000000, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_query(archive, query, &page, &err));
    OK(wks_query_set_limit(query, 1, &err));
    memset(hash, 9, sizeof hash);
    OK(wks_query_set_cursor(query, raw(hash, 32), &err));
    EXPECT(WKS_ERR_CURSOR_NOT_FOUND, wks_archive_query(archive, query, &page, &err));
    OK(wks_query_set_hashes(query, raw(hash, 32), &err));
    OK(wks_query_add_content_topic(query, wks_str(CONTENT), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_query(archive, query, &page, &err));
    for (i = 1; i < 100; i++)
        OK(wks_query_add_content_topic(query, wks_str(CONTENT), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_query_add_content_topic(query, wks_str(CONTENT), &err));
    wks_query_free(query);

    /* Frames: cut short, garbage, too long. */
    query = a_query();
    EXPECT(WKS_ERR_MALFORMED, wks_store_decode(wks_str("id"), query, raw("", 0), &page, &err));
    CHECK(wks_store_decode(wks_str("id"), query, raw("\x0a\x7f", 2), &page, NULL) != WKS_OK);
    CHECK(wks_store_decode(wks_str("id"), query, wks_str("garbage"), &page, NULL) != WKS_OK);
    {
        size_t size = 17 * 1024 * 1024;
        uint8_t *huge = calloc(1, size);
        CHECK(huge);
        EXPECT(WKS_ERR_FRAME_TOO_LARGE,
               wks_store_decode(wks_str("id"), query, raw(huge, size), &page, &err));
        EXPECT(WKS_ERR_FRAME_TOO_LARGE,
               wks_store_respond(archive, raw(huge, size), &buffer, &err));
        free(huge);
    }
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_store_encode(wks_str("\xff"), query, &buffer, &err));
    wks_query_free(query);
}

/* A struct as a newer header may have it. */
typedef struct {
    wks_message known;
    uint64_t more[4];
} newer_message;

static void struct_sizes(wks_archive archive)
{
    wks_message m[2];
    newer_message newer[2];
    wks_stats stats;
    wks_hash hash, same_hash;
    size_t i, bad[] = {0, 1, sizeof(wks_message) - 8, sizeof(wks_message) + 1, SIZE_MAX};

    m[0] = m[1] = a_message("sizes", now_ns());
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        m[0].struct_size = bad[i];
        EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_put(archive, m, 1, 0, NULL, &err));
    }
    m[0].struct_size = sizeof m[0];
    m[1].struct_size = 0;
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_put(archive, m, 2, 0, NULL, &err));
    /* A count beyond all memory: it is read as far as the records are ones. */
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_put(archive, m, (size_t)1 << 45, 0, NULL, &err));
    m[1].struct_size = sizeof m[1];
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_put(archive, m, SIZE_MAX / 2, 0, NULL, &err));
    memset(&stats, 0, sizeof stats);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_stats(archive, &stats, &err));

    /* A newer caller: fine while it leaves the fields that we do not know at zero. */
    memset(newer, 0, sizeof newer);
    newer[0].known = newer[1].known = m[0];
    newer[0].known.struct_size = newer[1].known.struct_size = sizeof newer[0];
    newer[1].known.payload = wks_str("sizes 2");
    OK(wks_archive_put(archive, &newer[0].known, 2, 0, NULL, &err));
    OK(wks_message_hash(&m[0], &hash, &err));
    OK(wks_message_hash(&newer[0].known, &same_hash, &err));
    CHECK(memcmp(hash.bytes, same_hash.bytes, 32) == 0);
    newer[1].more[3] = 1;
    EXPECT(WKS_ERR_UNSUPPORTED, wks_archive_put(archive, &newer[0].known, 2, 0, NULL, &err));

    /* And one that reads: what we do not know is zero. */
    {
        struct {
            wks_entry known;
            uint64_t more;
        } wide[8];
        wks_query query = a_query();
        wks_page page;
        size_t count;
        memset(wide, 0xaa, sizeof wide);
        wide[0].known.struct_size = sizeof wide[0];
        OK(wks_archive_query(archive, query, &page, &err));
        OK(wks_page_entries(page, &wide[0].known, 8, &count, &err));
        CHECK(count >= 2 && wide[1].known.struct_size == sizeof wide[0] && wide[1].more == 0);
        CHECK(wide[1].known.has_data == 1);
        wide[0].known.struct_size = 3;
        EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_page_entries(page, &wide[0].known, 8, &count, &err));
        CHECK(count == 0);
        wks_page_free(page);
        wks_query_free(query);
    }
}

static void results(wks_archive archive)
{
    wks_query query = a_query();
    wks_op op;
    wks_page page;
    wks_hashes hashes;
    wks_stats stats = {.struct_size = sizeof stats};

    OK(wks_archive_query_async(archive, query, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    EXPECT(WKS_ERR_NO_RESULT, wks_op_take_hashes(op, &hashes, &err));
    CHECK(hashes.id == 0);
    EXPECT(WKS_ERR_NO_RESULT, wks_op_take_stats(op, &stats, &err));
    OK(wks_op_take_page(op, &page, &err));
    wks_page_free(page);
    EXPECT(WKS_ERR_NO_RESULT, wks_op_take_page(op, &page, &err));
    OK(wks_op_status(op, &err));
    wks_op_free(op);
    wks_op_free(op);
    EXPECT(WKS_ERR_HANDLE, wks_op_take_page(op, &page, &err));
    wks_query_free(query);
}

/* From a callback everything but what blocks. */
typedef struct {
    wks_archive archive;
    wks_query query;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int called, dropped;
} in_callback;

static void callback(wks_op op, void *user)
{
    in_callback *c = user;
    wks_op another;
    wks_page page;
    wks_stats stats = {.struct_size = sizeof stats};
    wks_message m = a_message("from a callback", now_ns());

    OK(wks_op_take_page(op, &page, &err));
    CHECK(page_count(page) > 0);
    wks_page_free(page);
    EXPECT(WKS_ERR_WOULD_DEADLOCK, wks_op_wait(op, 10, &err));
    EXPECT(WKS_ERR_WOULD_DEADLOCK, wks_archive_query(c->archive, c->query, &page, &err));
    EXPECT(WKS_ERR_WOULD_DEADLOCK, wks_archive_put(c->archive, &m, 1, 0, NULL, &err));
    EXPECT(WKS_ERR_WOULD_DEADLOCK, wks_archive_stats(c->archive, &stats, &err));
    EXPECT(WKS_ERR_WOULD_DEADLOCK, wks_archive_close(c->archive, &err));
    EXPECT(WKS_ERR_WOULD_DEADLOCK, wks_shutdown(1000, &err));
    OK(wks_archive_query_async(c->archive, c->query, &another, &err));
    OK(wks_op_cancel(another, &err));
    wks_op_free(another);
    wks_op_free(op);
    c->called++;
}

static void dropped(void *user)
{
    in_callback *c = user;
    pthread_mutex_lock(&c->mutex);
    c->dropped++;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static void never(wks_op op, void *user)
{
    (void)op, (void)user;
    CHECK(!"this callback must not run");
}

static void never_wake(void *user)
{
    (void)user;
    CHECK(!"this hook must not run");
}

static void callbacks(wks_archive archive)
{
    in_callback c = {archive, {0}, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    wks_op op = {0};
    wks_queue queue = {0};

    c.query = a_query();
    OK(wks_archive_query_async(archive, c.query, &op, &err));
    OK(wks_op_set_callback(op, callback, &c, dropped, &err));
    pthread_mutex_lock(&c.mutex);
    while (!c.dropped)
        pthread_cond_wait(&c.changed, &c.mutex);
    pthread_mutex_unlock(&c.mutex);
    CHECK(c.called == 1 && c.dropped == 1);

    /* Where registering fails, the user's data is dropped all the same. */
    EXPECT(WKS_ERR_HANDLE, wks_op_set_callback(op, never, &c, dropped, &err));
    CHECK(c.dropped == 2);
    OK(wks_archive_query_async(archive, c.query, &op, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_op_set_callback(op, NULL, &c, dropped, &err));
    CHECK(c.dropped == 3);
    wks_op_free(op);
    EXPECT(WKS_ERR_HANDLE, wks_queue_set_wake(queue, never_wake, &c, dropped, &err));
    CHECK(c.dropped == 4);
    EXPECT(WKS_ERR_HANDLE, wks_queue_set_wake(queue, NULL, NULL, NULL, &err));
    wks_query_free(c.query);
}

static void bad_places(const char *dir)
{
    char path[4096];
    FILE *file;
    wks_archive_options options;
    wks_archive archive = {7};
    wks_node_options node_options;
    wks_node node;

    OK(wks_archive_options_new(&options, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_path(options, wks_str(""), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_path(options, raw("a\0b", 3), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_path(options, wks_str("\xff"), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_durability(options, 9, &err));
    snprintf(path, sizeof path, "%s/no/such/folder/a.db", dir);
    OK(wks_archive_options_set_path(options, wks_str(path), &err));
    EXPECT(WKS_ERR_ARCHIVE_OPEN, wks_archive_open(options, &archive, &err));
    CHECK(archive.id == 0);
    snprintf(path, sizeof path, "%s/corrupt.db", dir);
    file = fopen(path, "w");
    CHECK(file);
    fputs("This is no database, however long one looks at it. ", file);
    fclose(file);
    OK(wks_archive_options_set_path(options, wks_str(path), &err));
    EXPECT(WKS_ERR_ARCHIVE_CORRUPT, wks_archive_open(options, &archive, &err));
    OK(wks_archive_options_set_path(options, wks_str(":memory:"), &err));
    OK(wks_archive_options_set_readers(options, 1000, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_open(options, &archive, &err));
    wks_archive_options_free(options);

    archive = an_archive(NULL);
    OK(wks_node_options_new(&node_options, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_node_options_set_identity_secret(node_options, raw("short", 5), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_options_set_sync(node_options, 3, &err));
    EXPECT(WKS_ERR_INVALID_TOPIC,
           wks_node_options_add_sync_pubsub_topic(node_options, wks_str(""), &err));
    OK(wks_node_options_set_identity_file(node_options, wks_str(path), &err));
    EXPECT(WKS_ERR_KEY_FILE, wks_node_start(node_options, archive, &node, &err));
    CHECK(node.id == 0);
    wks_node_options_free(node_options);
    OK(wks_node_options_new(&node_options, &err));
    OK(wks_node_options_add_listen(node_options, wks_str("not an address"), &err));
    EXPECT(WKS_ERR_ADDRESS, wks_node_start(node_options, archive, &node, &err));
    wks_node_options_free(node_options);
    OK(wks_node_options_new(&node_options, &err));
    OK(wks_node_options_add_listen(node_options, wks_str("/ip4/192.0.2.1/tcp/1"), &err));
    EXPECT(WKS_ERR_LISTEN, wks_node_start(node_options, archive, &node, &err));
    wks_node_options_free(node_options);
    wks_archive_free(archive);
}

/* Freed by one thread while others are in calls on it. */
static wks_archive raced;

static void *asker(void *unused)
{
    wks_query query = a_query();
    wks_page page;
    wks_status status;
    do {
        status = wks_archive_query(raced, query, &page, NULL);
        CHECK(status == WKS_OK || status == WKS_ERR_HANDLE || status == WKS_ERR_ARCHIVE_CLOSED);
        wks_page_free(page);
    } while (status == WKS_OK);
    wks_query_free(query);
    return unused;
}

static void freed_in_use(void)
{
    pthread_t threads[3];
    int i;
    raced = an_archive(NULL);
    fill(raced, 50);
    for (i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, asker, NULL) == 0);
    usleep(20000);
    wks_archive_free(raced);
    for (i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static void after_shutdown(wks_archive archive)
{
    wks_query query = a_query();
    wks_node_options options;
    wks_node node, another;
    wks_history history, late;
    wks_page page, kept;
    wks_op op, ended;
    wks_queue queue;
    wks_stats stats = {.struct_size = sizeof stats};
    wks_message m = a_message("late", now_ns());
    wks_archive again;

    OK(wks_node_options_new(&options, &err));
    OK(wks_node_start(options, archive, &node, &err));
    OK(wks_archive_history(archive, query, &history, &err));
    OK(wks_archive_query(archive, query, &kept, &err));
    OK(wks_archive_query_async(archive, query, &ended, &err));
    OK(wks_op_wait(ended, 10000, &err));
    OK(wks_queue_new(&queue, &err));
    OK(wks_shutdown(10000, &err));
    OK(wks_shutdown(0, &err));

    EXPECT(WKS_ERR_SHUTDOWN, wks_archive_query(archive, query, &page, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_archive_query_async(archive, query, &op, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_archive_put(archive, &m, 1, 0, NULL, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_archive_stats(archive, &stats, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_archive_close(archive, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_node_dial(node, wks_str("/ip4/127.0.0.1/tcp/1"), NULL, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_node_stop(node, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_node_start(options, archive, &another, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_history_next(history, &page, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_archive_history(archive, query, &late, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_queue_set_wake(queue, never_wake, NULL, NULL, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_op_set_callback(ended, never, NULL, NULL, &err));
    /* Results that were there stay. */
    CHECK(page_count(kept) > 0);
    OK(wks_op_take_page(ended, &page, &err));
    wks_page_free(page);

    again = an_archive(NULL);
    /* The queue's dispatcher is gone: a wake function would never be called. */
    OK(wks_archive_query_async(again, query, &op, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_op_set_queue(op, queue, NULL, &err));
    wks_queue_free(queue);
    OK(wks_queue_new(&queue, &err));
    OK(wks_op_set_queue(op, queue, NULL, &err));
    wks_op_free(op);
    OK(wks_archive_put(again, &m, 1, WKS_ORIGIN_LIVE, NULL, &err));
    OK(wks_archive_query(again, query, &page, &err));
    CHECK(page_count(page) == 1);
    wks_page_free(page);
    EXPECT(WKS_ERR_SHUTDOWN, wks_archive_query(archive, query, &page, &err));

    wks_page_free(kept);
    wks_op_free(ended);
    wks_queue_free(queue);
    wks_history_free(history);
    wks_node_options_free(options);
    wks_node_free(node);
    wks_query_free(query);
    wks_archive_free(archive);
    wks_archive_free(again);
    wks_archive_free(again);
    OK(wks_shutdown(10000, &err));
    OK(wks_shutdown(10000, &err));
}

int main(int argc, char **argv)
{
    wks_archive archive;
    CHECK(argc == 2);
    OK(wks_shutdown(1000, &err));
    CHECK(strcmp(wks_status_name(WKS_ERR_DIAL), "WKS_ERR_DIAL") == 0);
    CHECK(strcmp(wks_status_name(12345), "WKS_ERR_UNKNOWN") == 0);
    archive = an_archive(NULL);
    fill(archive, 30);
    null_pointers(archive);
    handles(archive);
    bad_values(archive);
    struct_sizes(archive);
    results(archive);
    callbacks(archive);
    bad_places(argv[1]);
    freed_in_use();
    after_shutdown(archive);
    return 0;
}
