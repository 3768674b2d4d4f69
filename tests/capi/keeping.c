/* What an archive keeps and takes in: retention, takedowns, a host's validator; and the feed of its
 * changes. */

#include <pthread.h>

#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void wait_for(const int *value, int at_least)
{
    pthread_mutex_lock(&mutex);
    while (*value < at_least)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void bump(int *value)
{
    pthread_mutex_lock(&mutex);
    ++*value;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static wks_archive_options some_options(void)
{
    wks_archive_options options;
    OK(wks_archive_options_new(&options, &err));
    return options;
}

/* Opens an archive and frees the options. */
static wks_archive opened(wks_archive_options options)
{
    wks_archive archive;
    OK(wks_archive_open(options, &archive, &err));
    wks_archive_options_free(options);
    return archive;
}

static uint64_t held(wks_archive archive)
{
    wks_stats stats = {.struct_size = sizeof stats};
    OK(wks_archive_stats(archive, &stats, &err));
    return stats.messages;
}

/* Puts messages with these payloads, the newest last, and gives the status of each. */
static void put(wks_archive archive, const char *const *payloads, size_t count, int64_t last,
                wks_status *statuses, wks_hash *hashes)
{
    wks_message messages[8];
    wks_outcomes outcomes;
    size_t i;
    CHECK(count <= 8);
    for (i = 0; i < count; i++)
        messages[i] = a_message(payloads[i], last - (int64_t)(count - 1 - i));
    OK(wks_archive_put(archive, messages, count, WKS_ORIGIN_IMPORT, &outcomes, &err));
    for (i = 0; i < count; i++) {
        wks_outcome o = {.struct_size = sizeof o};
        OK(wks_outcomes_get(outcomes, i, &o, &err));
        CHECK((o.outcome == WKS_PUT_REFUSED) == (o.status != WKS_OK));
        statuses[i] = (wks_status)o.status;
        if (hashes)
            memcpy(hashes[i].bytes, o.hash, 32);
    }
    wks_outcomes_free(outcomes);
}

static wks_change next_change(wks_changes changes, wks_change_info *info)
{
    wks_change change;
    OK(wks_changes_next(changes, &change, &err));
    CHECK(change.id != 0);
    memset(info, 0, sizeof *info);
    info->struct_size = sizeof *info;
    OK(wks_change_read(change, info, &err));
    return change;
}

/* By count: the oldest go, the feed tells of it, and the floor keeps them out. */
static void retention(void)
{
    static const char *const five[] = {"1", "2", "3", "4", "5"};
    wks_archive_options options = some_options();
    wks_archive archive;
    wks_changes changes;
    wks_change change;
    wks_change_info info;
    wks_change_message m = {.struct_size = sizeof m};
    wks_status statuses[5];
    wks_hash hashes[5];
    int64_t floor, now = now_ns();
    size_t removed = 0;

    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_max_messages(options, 0, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_max_age(options, 0, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_max_bytes(options, 0, &err));
    OK(wks_archive_options_set_max_bytes(options, UINT64_C(1) << 40, &err));
    OK(wks_archive_options_set_max_bytes(options, WKS_UNBOUNDED, &err));
    OK(wks_archive_options_set_max_messages(options, 2, &err));
    archive = opened(options);
    OK(wks_archive_floor(archive, &floor, &err));
    CHECK(floor == INT64_MIN);
    OK(wks_archive_subscribe(archive, 100, &changes, &err));

    put(archive, five, 5, now, statuses, hashes);
    change = next_change(changes, &info);
    CHECK(info.kind == WKS_CHANGE_STORED && info.count == 5 && info.lagged == 0);
    OK(wks_change_get(change, 4, &m, &err));
    CHECK(memcmp(m.hash, hashes[4].bytes, 32) == 0 && m.timestamp == now);
    CHECK(same(m.pubsub_topic, PUBSUB) && same(m.content_topic, CONTENT));
    CHECK(m.origin == WKS_ORIGIN_IMPORT);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_change_get(change, 5, &m, &err));
    wks_change_free(change);
    while (removed < 3) {
        wks_change_message all[5] = {{.struct_size = sizeof all[0]}};
        size_t count;
        change = next_change(changes, &info);
        CHECK(info.kind == WKS_CHANGE_REMOVED && info.count >= 1);
        OK(wks_change_messages(change, all, 5, &count, &err));
        CHECK(count == info.count && all[0].timestamp == now - 4 + (int64_t)removed);
        removed += count;
        wks_change_free(change);
    }
    CHECK(removed == 3 && held(archive) == 2);
    OK(wks_archive_floor(archive, &floor, &err));
    CHECK(floor == now - 1);
    put(archive, five, 1, now - 4, statuses, NULL);
    CHECK(statuses[0] == WKS_ERR_TIMESTAMP_TOO_OLD);

    /* The end of the archive is the end of the feed. */
    OK(wks_archive_close(archive, &err));
    OK(wks_changes_next(changes, &change, &err));
    CHECK(change.id == 0);
    wks_changes_free(changes);
    wks_archive_free(archive);

    /* By age the floor follows the clock. */
    options = some_options();
    OK(wks_archive_options_set_max_age(options, 3600 * 1000, &err));
    archive = opened(options);
    OK(wks_archive_floor(archive, &floor, &err));
    CHECK(floor >= now - INT64_C(3600000000000) && floor <= now_ns() - INT64_C(3600000000000));
    wks_archive_free(archive);
    EXPECT(WKS_ERR_HANDLE, wks_archive_floor(archive, &floor, &err));
    CHECK(floor == 0);
}

static void takedowns(void)
{
    static const char *const three[] = {"fine", "bad", "fine too"};
    wks_archive archive = an_archive(NULL);
    wks_status statuses[3];
    wks_hash hashes[3];
    wks_hashes lacking;
    wks_bytes bytes, both;
    wks_op op;
    uint64_t number;
    uint8_t two[64];

    put(archive, three, 3, now_ns(), statuses, hashes);
    memcpy(two, hashes[1].bytes, 32);
    memset(two + 32, 7, 32);
    both.ptr = two;
    both.len = 64;
    OK(wks_archive_take_down(archive, both, &number, &err));
    CHECK(number == 1 && held(archive) == 2);
    OK(wks_archive_missing(archive, both, &lacking, &err));
    OK(wks_hashes_bytes(lacking, &bytes, &err));
    CHECK(bytes.len == 0);
    wks_hashes_free(lacking);
    OK(wks_archive_take_down(archive, both, NULL, &err));
    both.len = 63;
    EXPECT(WKS_ERR_INVALID_HASH, wks_archive_take_down(archive, both, &number, &err));
    CHECK(number == 0);

    /* Not again, from wherever it comes. */
    OK(wks_archive_take_down_async(archive, (wks_bytes){hashes[0].bytes, 32}, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    EXPECT(WKS_ERR_NO_RESULT, wks_op_take_buffer(op, &(wks_buffer){0}, &err));
    OK(wks_op_take_number(op, &number, &err));
    CHECK(number == 1);
    EXPECT(WKS_ERR_NO_RESULT, wks_op_take_number(op, &number, &err));
    wks_op_free(op);
    {
        wks_message again = a_message("fine", now_ns());
        wks_hash hash;
        OK(wks_message_hash(&again, &hash, &err));
        OK(wks_archive_take_down(archive, (wks_bytes){hash.bytes, 32}, &number, &err));
        CHECK(number == 0);
        EXPECT(WKS_ERR_TAKEN_DOWN,
               wks_archive_put(archive, &again, 1, WKS_ORIGIN_SYNC, NULL, &err));
    }
    wks_archive_free(archive);
}

/* A reader that is too slow is told how much it missed. */
static void lagging(void)
{
    static const char *const payloads[] = {"a", "b", "c"};
    wks_archive archive = an_archive(NULL);
    wks_changes changes;
    wks_change_info info;
    wks_status statuses[3];
    wks_change change;
    wks_op op;
    int i;

    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_subscribe(archive, 0, &changes, &err));
    CHECK(changes.id == 0);
    OK(wks_archive_subscribe(archive, 3, &changes, &err));
    for (i = 0; i < 3; i++)
        put(archive, payloads, 3, now_ns(), statuses, NULL);
    wks_change_free(next_change(changes, &info));
    CHECK(info.kind == WKS_CHANGE_STORED && info.count == 3);
    change = next_change(changes, &info);
    CHECK(info.kind == WKS_CHANGE_LAGGED && info.count == 0 && info.lagged == 6);
    wks_change_free(change);

    /* A wait that is given up takes nothing away. */
    OK(wks_changes_next_async(changes, &op, &err));
    EXPECT(WKS_ERR_TIMED_OUT, wks_op_wait(op, 5, &err));
    OK(wks_op_cancel(op, &err));
    wks_op_free(op);
    OK(wks_changes_next_async(changes, &op, &err));
    put(archive, payloads, 1, now_ns(), statuses, NULL);
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_change(op, &change, &err));
    wks_op_free(op);
    wks_changes_free(changes);
    info.struct_size = sizeof info;
    OK(wks_change_read(change, &info, &err));
    CHECK(info.kind == WKS_CHANGE_STORED && info.count == 1);
    info.struct_size = 3;
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_change_read(change, &info, &err));
    wks_change_free(change);
    info.struct_size = sizeof info;
    EXPECT(WKS_ERR_HANDLE, wks_change_read(change, &info, &err));
    wks_archive_free(archive);
}

/* From a position on: what lies behind, then what comes; and on from where a reader lagged. */
static void positions(void)
{
    static const char *const payloads[] = {"p", "q", "r"};
    wks_archive archive = an_archive(NULL), other = an_archive(NULL);
    wks_changes changes, more;
    wks_change_info info;
    wks_position begin, now;
    wks_status statuses[3];
    wks_change change;
    wks_bytes none = {NULL, 0};
    wks_op op;
    int i;

    OK(wks_archive_position(archive, &begin, &err));
    put(archive, payloads, 3, now_ns(), statuses, NULL);
    OK(wks_archive_subscribe_from(archive, none, 1, &changes, &err));
    for (i = 0; i < 3; i += (int)info.count) {
        change = next_change(changes, &info);
        CHECK(info.kind == WKS_CHANGE_STORED && info.count >= 1 && info.position.len == 24);
        if (i + (int)info.count == 3) {
            OK(wks_archive_position_async(archive, &op, &err));
            OK(wks_op_wait(op, WKS_FOREVER, &err));
            OK(wks_op_take_position(op, &now, &err));
            wks_op_free(op);
            CHECK(memcmp(info.position.ptr, now.bytes, 24) == 0);
            CHECK(memcmp(begin.bytes, now.bytes, 24) < 0);
        }
        wks_change_free(change);
    }
    /* It is live now, and one message is all that it has room for. */
    for (i = 0; i < 4; i++)
        put(archive, payloads + i % 3, 1, now_ns() + i, statuses, NULL);
    wks_change_free(next_change(changes, &info));
    CHECK(info.kind == WKS_CHANGE_STORED);
    change = next_change(changes, &info);
    CHECK(info.kind == WKS_CHANGE_LAGGED && info.lagged == 3);
    OK(wks_archive_subscribe_from_async(archive, info.position, 10, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_changes(op, &more, &err));
    wks_op_free(op);
    EXPECT(WKS_ERR_POSITION_GONE,
           wks_archive_subscribe_from(other, info.position, 10, &changes, &err));
    wks_change_free(change);
    for (i = 0; i < 3; i += (int)info.count) {
        wks_change_free(next_change(more, &info));
        CHECK(info.kind == WKS_CHANGE_STORED);
    }
    CHECK(i == 3);
    wks_changes_free(more);
    EXPECT(WKS_ERR_MALFORMED,
           wks_archive_subscribe_from(archive, (wks_bytes){now.bytes, 23}, 10, &more, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_subscribe_from(archive, none, 0, &more, &err));
    CHECK(more.id == 0);
    wks_archive_free(archive);
    wks_archive_free(other);
}

/* What a validator is given, and leaves behind. */
typedef struct {
    wks_archive archive;
    wks_batch batch;
    wks_origin origin;
    pthread_t thread;
    wks_status would_block[3];
    int calls, drops, go;
} judge;

static void on_drop(void *user) { bump(&((judge *)user)->drops); }

static void by_payload(wks_batch batch, void *user)
{
    judge *j = user;
    size_t i, count;
    wks_stats stats = {.struct_size = sizeof stats};
    wks_op op;

    j->batch = batch;
    j->thread = pthread_self();
    OK(wks_batch_count(batch, &count, &err));
    OK(wks_batch_origin(batch, &j->origin, &err));
    for (i = 0; i < count; i++) {
        wks_entry e = {.struct_size = sizeof e};
        OK(wks_batch_entry(batch, i, &e, &err));
        CHECK(e.has_data && same(e.content_topic, CONTENT));
        if (same(e.payload, "all bad"))
            OK(wks_batch_judge_all(batch, WKS_VERDICT_INVALID, wks_str("none of you"), &err));
        else if (same(e.payload, "bad"))
            OK(wks_batch_judge(batch, i, WKS_VERDICT_INVALID, wks_str(NULL), &err));
        else if (same(e.payload, "wait")) {
            wait_for(&j->go, 1);
            bump(&j->calls);
            return;
        } else if (!same(e.payload, "unjudged"))
            OK(wks_batch_judge(batch, i, WKS_VERDICT_VALID, wks_str(NULL), &err));
    }
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_batch_judge(batch, count, WKS_VERDICT_VALID, wks_str(NULL), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_batch_judge(batch, 0, 3, wks_str(NULL), &err));
    /* It may call back into the library, but not wait for it. */
    j->would_block[0] = wks_archive_stats(j->archive, &stats, NULL);
    j->would_block[1] = wks_shutdown(0, NULL);
    OK(wks_archive_stats_async(j->archive, &op, &err));
    j->would_block[2] = wks_op_wait(op, WKS_FOREVER, NULL);
    wks_op_free(op);
    bump(&j->calls);
}

static void validator(void)
{
    static const char *const mixed[] = {"good", "bad", "unjudged"};
    static const char *const all_bad[] = {"good 2", "all bad"};
    wks_archive_options options = some_options();
    judge replaced = {0}, refused = {0}, j = {0};
    wks_archive archive;
    wks_status s[3];
    size_t count;
    int i;

    OK(wks_archive_options_set_validator(options, by_payload, 10000, &replaced, on_drop, &err));
    OK(wks_archive_options_set_validator(options, by_payload, 10000, &j, on_drop, &err));
    CHECK(replaced.drops == 1 && j.drops == 0);
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_options_set_validator(options, by_payload, 0, &refused, on_drop, &err));
    CHECK(refused.drops == 1);
    EXPECT(WKS_ERR_HANDLE, wks_archive_options_set_validator((wks_archive_options){77}, by_payload,
                                                             1, &refused, on_drop, &err));
    CHECK(refused.drops == 2);

    j.archive = archive = opened(options);
    put(archive, mixed, 3, now_ns(), s, NULL);
    CHECK(s[0] == WKS_OK && s[1] == WKS_ERR_VALIDATOR_REFUSED && s[2] == WKS_ERR_BUSY);
    CHECK(j.calls == 1 && j.origin == WKS_ORIGIN_IMPORT && held(archive) == 1);
    CHECK(!pthread_equal(j.thread, pthread_self()));
    for (i = 0; i < 3; i++)
        CHECK(j.would_block[i] == WKS_ERR_WOULD_DEADLOCK);
    EXPECT(WKS_ERR_HANDLE, wks_batch_count(j.batch, &count, &err));
    put(archive, all_bad, 2, now_ns(), s, NULL);
    CHECK(s[0] == WKS_ERR_VALIDATOR_REFUSED && s[1] == WKS_ERR_VALIDATOR_REFUSED);
    CHECK(j.calls == 2 && held(archive) == 1);
    /* It is let go of with the archive. */
    OK(wks_archive_close(archive, &err));
    CHECK(j.drops == 0);
    wks_archive_free(archive);
    CHECK(j.drops == 1 && j.calls == 2);
}

/* One that does not return: it is given up on, and so is a close that waits for it. */
static void stuck_validator(void)
{
    static const char *const payloads[] = {"wait", "good"};
    wks_archive_options options = some_options();
    judge j = {0};
    wks_archive archive;
    wks_status s[2];

    OK(wks_archive_options_set_validator(options, by_payload, 20, &j, on_drop, &err));
    j.archive = archive = opened(options);
    put(archive, payloads, 2, now_ns(), s, NULL);
    CHECK(s[0] == WKS_ERR_BUSY && s[1] == WKS_ERR_BUSY);
    put(archive, payloads + 1, 1, now_ns(), s, NULL);
    CHECK(s[0] == WKS_ERR_BUSY && held(archive) == 0);
    OK(wks_archive_close(archive, &err));
    wks_archive_free(archive);
    CHECK(j.calls == 0 && j.drops == 0);
    bump(&j.go);
    wait_for(&j.drops, 1);
    CHECK(j.calls == 1);
}

/* It frees the archive that waits for it. */
static void free_it(wks_batch batch, void *user)
{
    judge *j = user;
    OK(wks_batch_judge_all(batch, WKS_VERDICT_VALID, wks_str(NULL), &err));
    wait_for(&j->go, 1);
    wks_archive_free(j->archive);
    bump(&j->calls);
}

static void frees_its_archive(void)
{
    wks_archive_options options = some_options();
    wks_message m = a_message("the last", now_ns());
    judge j = {0};
    wks_op op;
    wks_outcomes outcomes;

    OK(wks_archive_options_set_validator(options, free_it, WKS_FOREVER, &j, on_drop, &err));
    j.archive = opened(options);
    OK(wks_archive_put_async(j.archive, &m, 1, WKS_ORIGIN_LIVE, &op, &err));
    bump(&j.go);
    OK(wks_op_wait(op, 10000, &err));
    OK(wks_op_take_outcomes(op, &outcomes, &err));
    wks_outcomes_free(outcomes);
    wks_op_free(op);
    wait_for(&j.drops, 1);
    CHECK(j.calls == 1);
}

int main(void)
{
    retention();
    takedowns();
    lagging();
    positions();
    validator();
    stuck_validator();
    frees_its_archive();
    OK(wks_shutdown(10000, &err));
    return 0;
}
