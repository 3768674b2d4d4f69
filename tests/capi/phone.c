/* What a phone does: a sync within its means, and nothing held while it is suspended. */

#include "check.h"

#include <dirent.h>
#include <limits.h>

static wks_node a_node(wks_archive archive, int listens)
{
    wks_node_options options;
    wks_node node;
    OK(wks_node_options_new(&options, &err));
    if (listens)
        OK(wks_node_options_add_listen(options, wks_str("/ip4/127.0.0.1/tcp/0"), &err));
    OK(wks_node_start(options, archive, &node, &err));
    wks_node_options_free(options);
    return node;
}

/* Files of ours below this directory that are open. */
static int open_below(const char *directory)
{
    char link[PATH_MAX], at[PATH_MAX];
    struct dirent *entry;
    int count = 0;
    DIR *fds = opendir("/proc/self/fd");
    CHECK(fds);
    while ((entry = readdir(fds))) {
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(link, at, sizeof at - 1);
        if (length > 0) {
            at[length] = 0;
            count += strncmp(at, directory, strlen(directory)) == 0;
        }
    }
    closedir(fds);
    return count;
}

int main(void)
{
    char directory[] = "/tmp/wakustore-phone-XXXXXX", path[PATH_MAX];
    wks_archive_options options;
    wks_archive ours, theirs = an_archive(NULL);
    wks_once_options once = {.struct_size = sizeof once};
    wks_once_figures figures = {.struct_size = sizeof figures};
    wks_span span = {.struct_size = sizeof span};
    wks_once_report report;
    wks_stats stats = {.struct_size = sizeof stats};
    wks_strings addresses;
    wks_bytes address;
    wks_op op;
    char payload[1200];
    int64_t from = now_ns() - (int64_t)1800 * 1000000000;
    uint64_t received = 0;
    int calls = 0;

    CHECK(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/archive", directory);
    OK(wks_archive_options_new(&options, &err));
    OK(wks_archive_options_set_path(options, wks_str(path), &err));
    OK(wks_archive_options_set_look_every(options, 0, &err));
    OK(wks_archive_open(options, &ours, &err));
    wks_archive_options_free(options);

    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = 0;
    for (int i = 0; i < 600; i++) {
        wks_message m;
        snprintf(payload, 8, "%06d", i);
        payload[6] = 'x';
        m = a_message(payload, from + i * (int64_t)1000000000);
        OK(wks_archive_put(theirs, &m, 1, WKS_ORIGIN_IMPORT, NULL, &err));
    }
    wks_node server = a_node(theirs, 1), phone = a_node(ours, 0);
    EXPECT(WKS_ERR_PEER_UNKNOWN, wks_node_sync_once(phone, NULL, 0, NULL, NULL, &err));
    OK(wks_node_addresses(server, &addresses, &err));
    OK(wks_strings_get(addresses, 0, &address, &err));
    once.byte_budget = 300000;
    once.deadline_ms = 60000;
    do {
        OK(wks_node_sync_once(phone, &address, 1, &once, &report, &err));
        OK(wks_once_report_figures(report, &figures, &err));
        received += figures.received;
        CHECK(figures.status == WKS_OK && figures.bytes_in > figures.bytes_out);
        CHECK(figures.bytes_in + figures.bytes_out < 600000);
        CHECK((figures.lacking == 0) == (figures.end == WKS_ONCE_COMPLETE));
        if (figures.lacking > 0) {
            CHECK(figures.end == WKS_ONCE_BUDGET);
            OK(wks_once_report_lacking(report, 0, &span, &err));
            CHECK(span.start < span.end && span.start >= figures.window_start);
        }
        EXPECT(WKS_ERR_INVALID_ARGUMENT,
               wks_once_report_lacking(report, figures.lacking, &span, &err));
        wks_once_report_free(report);
        CHECK(++calls < 50);
    } while (figures.end != WKS_ONCE_COMPLETE);
    CHECK(received == 600 && calls > 1);
    once.direction = 9;
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_sync_once(phone, &address, 1, &once, NULL, &err));

    CHECK(open_below(directory) > 0);
    OK(wks_node_suspend(phone, &err));
    CHECK(open_below(directory) == 0);
    EXPECT(WKS_ERR_SUSPENDED, wks_archive_stats(ours, &stats, &err));
    EXPECT(WKS_ERR_SUSPENDED, wks_node_dial(phone, address, NULL, &err));
    OK(wks_node_suspend_async(phone, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    wks_op_free(op);
    OK(wks_node_resume_async(phone, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    wks_op_free(op);
    OK(wks_archive_stats(ours, &stats, &err));
    CHECK(stats.messages == 600);
    once.direction = WKS_SYNC_PULL;
    OK(wks_node_sync_once_async(phone, &address, 1, &once, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_once_report(op, &report, &err));
    OK(wks_once_report_figures(report, &figures, &err));
    CHECK(figures.end == WKS_ONCE_COMPLETE && figures.received == 0);
    wks_once_report_free(report);
    wks_op_free(op);
    OK(wks_node_stop(phone, &err));

    /* An archive alone. */
    OK(wks_archive_suspend(ours, &err));
    CHECK(open_below(directory) == 0);
    EXPECT(WKS_ERR_SUSPENDED, wks_archive_stats(ours, &stats, &err));
    OK(wks_archive_resume(ours, &err));
    OK(wks_archive_stats(ours, &stats, &err));

    wks_strings_free(addresses);
    wks_node_free(phone);
    wks_node_free(server);
    wks_archive_free(ours);
    wks_archive_free(theirs);
    OK(wks_shutdown(10000, &err));
    snprintf(payload, sizeof payload, "rm -r %s", directory);
    CHECK(system(payload) == 0);
    puts("phone: ok");
    return 0;
}
