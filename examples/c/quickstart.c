/*
 * A local archive and a node over it, in C.
 *
 *   make install PREFIX=$HOME/.local
 *   cc -std=c99 -I$HOME/.local/include examples/c/quickstart.c \
 *      -L$HOME/.local/lib -Wl,-rpath,$HOME/.local/lib -lwakustore -o quickstart
 *   ./quickstart my.db [/ip4/…/tcp/…/p2p/…]
 *
 * Stores a message, prints the newest ones, and syncs with a peer where one is named.
 */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "wakustore.h"

/* Prints what went wrong, and tells whether anything did. */
static int failed(wks_status status, wks_error error)
{
    if (status != WKS_OK)
        fprintf(stderr, "%s: %s\n", wks_error_detail(error), wks_error_message(error));
    wks_error_free(error);
    return status != WKS_OK;
}

static void print_newest(wks_archive archive)
{
    wks_error error;
    wks_query query;
    wks_page page;
    wks_entry entries[10] = {{.struct_size = sizeof entries[0]}};
    size_t i, count = 0;

    wks_query_new(&query, NULL);
    wks_query_set_direction(query, WKS_DIRECTION_BACKWARD, NULL);
    wks_query_set_limit(query, 10, NULL);
    if (!failed(wks_archive_query(archive, query, &page, &error), error)) {
        wks_page_entries(page, entries, 10, &count, NULL);
        for (i = 0; i < count; i++) /* What an entry points to lives as long as its page. */
            printf("%lld  %.*s\n", (long long)entries[i].timestamp, (int)entries[i].payload.len,
                   (const char *)entries[i].payload.ptr);
        wks_page_free(page);
    }
    wks_query_free(query);
}

static int sync_with(wks_archive archive, const char *peer)
{
    wks_error error;
    wks_node_options options;
    wks_node node;
    wks_report report;
    wks_sync_figures figures = {.struct_size = sizeof figures};
    int wrong;

    wks_node_options_new(&options, NULL);
    wrong = failed(wks_node_start(options, archive, &node, &error), error);
    wks_node_options_free(options);
    if (wrong)
        return wrong;
    wrong = failed(wks_node_dial(node, wks_str(peer), NULL, &error), error) ||
            failed(wks_node_sync(node, wks_str(peer), NULL, &report, &error), error);
    if (!wrong) {
        wks_report_figures(report, &figures, NULL);
        printf("%llu messages came, %llu went\n", (unsigned long long)figures.received,
               (unsigned long long)figures.sent);
        wks_report_free(report);
    }
    wks_node_free(node);
    return wrong;
}

int main(int argc, char **argv)
{
    wks_error error;
    wks_archive_options options;
    wks_archive archive;
    wks_message message = {.struct_size = sizeof message};
    int wrong;

    wks_archive_options_new(&options, NULL);
    wks_archive_options_set_path(options, wks_str(argc > 1 ? argv[1] : ":memory:"), NULL);
    wrong = failed(wks_archive_open(options, &archive, &error), error);
    wks_archive_options_free(options);
    if (wrong)
        return 1;

    message.pubsub_topic = wks_str("/waku/2/rs/16/0");
    message.content_topic = wks_str("/quickstart/1/greetings/plain");
    message.payload = wks_str("Hello from C");
    message.timestamp = (int64_t)time(NULL) * 1000000000;
    wrong = failed(wks_archive_put(archive, &message, 1, WKS_ORIGIN_LIVE, NULL, &error), error);
    if (!wrong && argc > 2)
        wrong = sync_with(archive, argv[2]);
    if (!wrong)
        print_newest(archive);

    wks_archive_free(archive);
    wks_shutdown(10000, NULL);
    return wrong;
}
