/* A node seen from outside: its log to a function, its metrics, its health. */

#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

#define LOAD(n) __atomic_load_n(&(n), __ATOMIC_SEQ_CST)
#define ADD(n, by) __atomic_fetch_add(&(n), by, __ATOMIC_SEQ_CST)

/* A host's log: what it saw. It is called by one thread at a time. */
typedef struct {
    int lines, drops, started, listening, debug, others;
    int leaves; /* Ends the log from inside, once. */
    wks_archive archive;
    pthread_t thread;
    int called_here;
    int inside;
} log_seen;

static int contains(wks_bytes text, const char *part)
{
    size_t i, n = strlen(part);
    for (i = 0; i + n <= text.len; i++)
        if (memcmp(text.ptr + i, part, n) == 0)
            return 1;
    return 0;
}

static void take_line(const wks_log_line *line, void *user)
{
    log_seen *seen = user;
    wks_stats stats = {.struct_size = sizeof stats};
    CHECK(ADD(seen->inside, 1) == 0);
    CHECK(line->struct_size == sizeof *line);
    CHECK(line->time > 0 && line->time <= now_ns() && line->dropped == 0);
    CHECK(line->level >= WKS_LOG_ERROR && line->level <= WKS_LOG_TRACE);
    CHECK(line->target.len > 0 && line->message.len > 0);
    CHECK(!contains(line->message, "\n"));
    if (line->level >= WKS_LOG_DEBUG)
        ADD(seen->debug, 1);
    if (!contains(line->target, "wakustore"))
        ADD(seen->others, 1);
    if (contains(line->message, "the node has started"))
        ADD(seen->started, 1);
    if (contains(line->message, "listening address=/ip4/127.0.0.1/tcp/"))
        ADD(seen->listening, 1);
    /* What would wait is refused here, as in every callback. */
    if (seen->archive.id)
        CHECK(wks_archive_stats(seen->archive, &stats, NULL) == WKS_ERR_WOULD_DEADLOCK);
    CHECK(wks_shutdown(0, NULL) == WKS_ERR_WOULD_DEADLOCK);
    if (pthread_equal(seen->thread, pthread_self()))
        ADD(seen->called_here, 1);
    if (__atomic_exchange_n(&seen->leaves, 0, __ATOMIC_SEQ_CST)) {
        OK(wks_log_set(wks_str(""), NULL, NULL, NULL, &err));
        CHECK(LOAD(seen->drops) == 0);
    }
    ADD(seen->lines, 1);
    ADD(seen->inside, -1);
}

static void drop_log(void *user)
{
    log_seen *seen = user;
    CHECK(LOAD(seen->inside) == 0);
    ADD(seen->drops, 1);
}

static void begin(log_seen *seen, const char *filter)
{
    memset(seen, 0, sizeof *seen);
    seen->thread = pthread_self();
    OK(wks_log_set(wks_str(filter), take_line, seen, drop_log, &err));
}

static void await(int *what, int least)
{
    int64_t until = now_ns() + INT64_C(60000000000);
    while (LOAD(*what) < least) {
        CHECK(now_ns() < until);
        usleep(1000);
    }
}

static wks_node a_node(wks_archive archive)
{
    wks_node_options options;
    wks_node node;
    OK(wks_node_options_new(&options, &err));
    OK(wks_node_options_add_listen(options, wks_str("/ip4/127.0.0.1/tcp/0"), &err));
    OK(wks_node_options_set_sync_interval(options, 0, &err));
    OK(wks_node_options_set_sync_on_connect(options, 0, &err));
    OK(wks_node_start(options, archive, &node, &err));
    wks_node_options_free(options);
    return node;
}

/* What is in a text of metrics. */
static void check_metrics(wks_buffer buffer, const char *const *lines)
{
    const char *end = "\n# EOF\n";
    wks_bytes text;
    OK(wks_buffer_bytes(buffer, &text, &err));
    CHECK(text.len > strlen(end));
    CHECK(memcmp(text.ptr + text.len - strlen(end), end, strlen(end)) == 0);
    for (; *lines; lines++)
        CHECK(contains(text, *lines));
    wks_buffer_free(buffer);
}

static void the_log(wks_archive archive)
{
    log_seen first, second;
    wks_node node;
    int lines;

    /* What fails lets go of what it was given. */
    memset(&first, 0, sizeof first);
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_log_set(wks_str("loud"), take_line, &first, drop_log, &err));
    CHECK(LOAD(first.drops) == 1);
    OK(wks_log_set(wks_str("info"), NULL, &first, drop_log, &err));
    CHECK(LOAD(first.drops) == 2);

    begin(&first, "info");
    first.archive = archive;
    node = a_node(archive);
    await(&first.started, 1);
    await(&first.listening, 1);
    CHECK(LOAD(first.debug) == 0 && LOAD(first.others) == 0);
    CHECK(LOAD(first.called_here) == 0);
    OK(wks_node_stop(node, &err));
    wks_node_free(node);

    /* Another, for more and of others; the first is done. */
    begin(&second, "debug,libp2p=debug");
    await(&first.drops, 1);
    lines = LOAD(first.lines);
    node = a_node(archive);
    await(&second.started, 1);
    await(&second.debug, 1);
    await(&second.others, 1);
    CHECK(LOAD(first.lines) == lines && LOAD(first.drops) == 1);

    /* It ends the log itself, from inside. */
    __atomic_store_n(&second.leaves, 1, __ATOMIC_SEQ_CST);
    OK(wks_node_stop(node, &err));
    wks_node_free(node);
    node = a_node(archive);
    await(&second.drops, 1);
    lines = LOAD(second.lines);
    OK(wks_node_stop(node, &err));
    wks_node_free(node);
    CHECK(LOAD(second.lines) == lines && LOAD(second.drops) == 1);
}

static void the_figures(wks_archive archive)
{
    static const char *const of_node[] = {
        "\nlibp2p_peers 1.0\n", "\nwaku_archive_messages{type=\"stored\"} 40.0\n",
        "\nwakustore_archive_stored_total{origin=\"import\"} 40\n",
        "\nwakustore_store_asked_total{outcome=\"ok\"} 1\n", NULL};
    static const char *const of_archive[] = {
        "\nwaku_archive_messages{type=\"stored\"} 40.0\n",
        "\nwakustore_archive_state{state=\"writable\"} 1.0\n", NULL};
    wks_archive there = an_archive(NULL);
    wks_node a = a_node(archive), b = a_node(there);
    wks_health health = {.struct_size = sizeof health}, later = health;
    wks_strings list;
    wks_bytes address, id;
    wks_buffer peer_id, text;
    wks_query query = a_query();
    wks_page page;
    wks_report report;
    wks_op op;

    fill(archive, 40);
    OK(wks_node_addresses(b, &list, &err));
    OK(wks_strings_get(list, 0, &address, &err));
    OK(wks_node_dial(a, address, &peer_id, &err));
    OK(wks_buffer_bytes(peer_id, &id, &err));
    OK(wks_node_store_query(a, id, query, &page, &err));
    wks_page_free(page);

    health.struct_size = 3;
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_health(a, &health, &err));
    EXPECT(WKS_ERR_NULL_POINTER, wks_node_health(a, NULL, &err));
    health.struct_size = sizeof health;
    OK(wks_node_health(a, &health, &err));
    CHECK(health.running == 1 && health.peers == 1 && health.messages == 40);
    CHECK(health.last_sync_at == 0 && health.last_sync_peer[0] == 0);
    CHECK(health.behind_ns == UINT64_MAX && health.agreed_until == 0);
    CHECK(health.archive == WKS_ARCHIVE_WRITABLE && health.archive_error == WKS_OK);
    CHECK(health.newest >= health.oldest && health.oldest > 0);

    OK(wks_node_sync(a, id, NULL, &report, &err));
    wks_report_free(report);
    OK(wks_node_health_async(a, &op, &err));
    OK(wks_op_wait(op, 60000, &err));
    OK(wks_op_take_health(op, &later, &err));
    EXPECT(WKS_ERR_NO_RESULT, wks_op_take_health(op, &later, &err));
    wks_op_free(op);
    later.struct_size = sizeof later;
    OK(wks_node_health(a, &later, &err));
    CHECK(later.last_sync_at > 0 && later.last_sync_agreement == WKS_AGREEMENT_STRONG);
    CHECK(strlen((const char *)later.last_sync_peer) == id.len);
    CHECK(memcmp(later.last_sync_peer, id.ptr, id.len) == 0);
    CHECK(later.agreed_until > 0 && later.behind_ns < UINT64_MAX);

    OK(wks_node_metrics(a, &text, &err));
    check_metrics(text, of_node);
    OK(wks_node_metrics_async(a, &op, &err));
    OK(wks_op_wait(op, 60000, &err));
    OK(wks_op_take_buffer(op, &text, &err));
    wks_op_free(op);
    check_metrics(text, of_node);
    OK(wks_archive_metrics(archive, &text, &err));
    check_metrics(text, of_archive);

    OK(wks_node_stop(a, &err));
    OK(wks_node_health(a, &health, &err));
    CHECK(health.running == 0 && health.peers == 0 && health.messages == 40);
    OK(wks_node_stop(b, &err));
    wks_query_free(query);
    wks_buffer_free(peer_id);
    wks_strings_free(list);
    wks_node_free(a);
    wks_node_free(b);
    wks_archive_free(there);
}

/* In the child the log is silent, and letting go of what was handed over works. */
static void a_fork(void)
{
    log_seen seen;
    pid_t child;
    int status;
    begin(&seen, "trace");
    child = fork();
    if (child == 0) {
        log_seen mine;
        memset(&mine, 0, sizeof mine);
        CHECK(wks_log_set(wks_str("info"), take_line, &mine, drop_log, NULL) == WKS_ERR_FORKED);
        CHECK(LOAD(mine.drops) == 1 && LOAD(seen.drops) == 0);
        _exit(7);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    OK(wks_log_set(wks_str(""), NULL, NULL, NULL, &err));
    await(&seen.drops, 1);
}

int main(void)
{
    wks_archive archive = an_archive(NULL);
    log_seen seen;
    int lines;
    the_log(archive);
    the_figures(archive);
    a_fork();
    wks_archive_free(archive);

    /* A shutdown hands out what waits. The log stays, for what is opened after it. */
    begin(&seen, "info");
    archive = an_archive(NULL);
    (void)a_node(archive);
    OK(wks_shutdown(60000, &err));
    lines = LOAD(seen.started);
    CHECK(lines == 1 && LOAD(seen.drops) == 0);
    archive = an_archive(NULL);
    (void)a_node(archive);
    OK(wks_shutdown(60000, &err));
    CHECK(LOAD(seen.started) == 2);
    OK(wks_log_set(wks_str(""), NULL, NULL, NULL, &err));
    CHECK(LOAD(seen.drops) == 1);
    return 0;
}
