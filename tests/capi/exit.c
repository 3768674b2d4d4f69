/* A process that ends without a shutdown, with 200 queries in flight, exits with its own code, and
 * its buffered output and its exit handlers complete.
 *
 *   exit PATH main      main returns 3
 *   exit PATH thread    exit(3) while other threads are blocked in calls
 *   exit PATH callback  exit(3) in a callback
 *   exit PATH node      exit(3) with a node that runs
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
    atexit(before);
    archive = an_archive(argv[1]);
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
    if (strcmp(mode, "node") == 0) {
        wks_node_options options;
        wks_node node;
        wks_events events;
        OK(wks_node_options_new(&options, &err));
        OK(wks_node_options_add_listen(options, wks_str("/ip4/127.0.0.1/tcp/0"), &err));
        OK(wks_node_start(options, archive, &node, &err));
        OK(wks_node_events(node, &events, &err));
        OK(wks_events_next_async(events, &op, &err));
        exit(3);
    }
    CHECK(strcmp(mode, "main") == 0);
    return 3;
}
