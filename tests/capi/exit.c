/* A process that ends without a shutdown, with 200 queries in flight, exits with its own code, and
 * its buffered output and its exit handlers complete.
 *
 *   exit PATH main      main returns 3
 *   exit PATH thread    exit(3) while other threads are blocked in calls
 *   exit PATH callback  exit(3) in a callback
 *   exit PATH validator exit(3) in a validator, with a put behind it
 *   exit PATH node      exit(3) with a node that runs
 *   exit PATH log       exit(3) with a node that logs more than a slow function takes
 *   exit PATH check     opens the archive again and counts what the others have put
 */

#include <pthread.h>

#include "check.h"

static wks_archive archive;
static wks_query query;

static void before(void) { printf("handler before\n"); }
static void after(void) { printf("handler after\n"); }

static void ignore(wks_op op, void *user) { (void)op, (void)user; }

static void leave(wks_op op, void *user)
{
    (void)op, (void)user;
    exit(3);
}

/* Takes the hundred, and leaves with the one. */
static void judge(wks_batch batch, void *user)
{
    size_t count;
    (void)user;
    OK(wks_batch_count(batch, &count, &err));
    if (count == 1)
        exit(3);
    OK(wks_batch_judge_all(batch, WKS_VERDICT_VALID, wks_str(NULL), &err));
}

static wks_archive judged_archive(const char *path)
{
    wks_archive_options options;
    wks_archive a;
    OK(wks_archive_options_new(&options, &err));
    OK(wks_archive_options_set_path(options, wks_str(path), &err));
    OK(wks_archive_options_set_validator(options, judge, WKS_FOREVER, NULL, NULL, &err));
    OK(wks_archive_open(options, &a, &err));
    wks_archive_options_free(options);
    return a;
}

/* Too slow for all of them; after main has ended, it must not run any more. */
static volatile int logged, gone;

static void take_line(const wks_log_line *line, void *user)
{
    (void)user;
    CHECK(!gone && line->message.len > 0);
    logged++;
    usleep(2000);
    CHECK(!gone);
}

static void is_gone(void) { gone = 1; }

static void *ask(void *unused)
{
    wks_page page;
    while (wks_archive_query(archive, query, &page, NULL) == WKS_OK)
        wks_page_free(page);
    for (;;)
        pause();
    return unused;
}

int main(int argc, char **argv)
{
    const char *mode = argc == 3 ? argv[2] : "";
    wks_op op;
    int i;

    if (strcmp(mode, "check") == 0) {
        wks_stats stats = {.struct_size = sizeof stats};
        wks_archive a = an_archive(argv[1]);
        OK(wks_archive_stats(a, &stats, &err));
        printf("%llu\n", (unsigned long long)stats.messages);
        wks_archive_free(a);
        OK(wks_shutdown(10000, &err));
        return 0;
    }
    /* Registered first, it runs last: after the library's own end. */
    atexit(is_gone);
    if (strcmp(mode, "log") == 0)
        OK(wks_log_set(wks_str("trace,libp2p=trace"), take_line, NULL, NULL, &err));
    atexit(before);
    archive = strcmp(mode, "validator") == 0 ? judged_archive(argv[1]) : an_archive(argv[1]);
    query = a_query();
    atexit(after);
    fill(archive, 100);
    printf("buffered ");
    for (i = 0; i < 200; i++) {
        OK(wks_archive_query_async(archive, query, &op, &err));
        if (i % 2)
            OK(wks_op_set_callback(op, ignore, NULL, NULL, &err));
    }
    printf("output\n");
    if (strcmp(mode, "thread") == 0) {
        pthread_t thread;
        for (i = 0; i < 4; i++)
            CHECK(pthread_create(&thread, NULL, ask, NULL) == 0);
        usleep(5000);
        exit(3);
    }
    if (strcmp(mode, "callback") == 0) {
        OK(wks_archive_query_async(archive, query, &op, &err));
        OK(wks_op_set_callback(op, leave, NULL, NULL, &err));
        for (;;)
            pause();
    }
    if (strcmp(mode, "validator") == 0) {
        wks_message m[2] = {a_message("one", now_ns()), a_message("behind", now_ns())};
        /* The validator may leave before a call is back, which then says so. */
        for (i = 0; i < 2; i++) {
            wks_status put = wks_archive_put_async(archive, &m[i], 1, WKS_ORIGIN_LIVE, &op, NULL);
            CHECK(put == WKS_OK || put == WKS_ERR_SHUTDOWN);
        }
        for (;;)
            pause();
    }
    if (strcmp(mode, "node") == 0 || strcmp(mode, "log") == 0) {
        wks_node_options options;
        wks_node node;
        wks_events events;
        OK(wks_node_options_new(&options, &err));
        OK(wks_node_options_add_listen(options, wks_str("/ip4/127.0.0.1/tcp/0"), &err));
        OK(wks_node_start(options, archive, &node, &err));
        OK(wks_node_events(node, &events, &err));
        OK(wks_events_next_async(events, &op, &err));
        while (strcmp(mode, "log") == 0 && logged < 2)
            usleep(1000);
        exit(3);
    }
    CHECK(strcmp(mode, "main") == 0);
    return 3;
}
