/* Syncs in full between two nodes in one process: a dry run and what it names, a sync by each
 * protocol, their events, who agrees, and what cannot be asked for. */

#include "check.h"

static wks_node a_node(wks_archive archive, const char *listen, const char *state)
{
    wks_node_options options;
    wks_node node;
    OK(wks_node_options_new(&options, &err));
    OK(wks_node_options_set_cluster_id(options, 16, &err));
    OK(wks_node_options_set_sync_interval(options, 0, &err));
    OK(wks_node_options_set_sync_margin(options, 0, &err));
    OK(wks_node_options_set_sync_on_connect(options, 0, &err));
    OK(wks_node_options_set_sync_heartbeat_peers(options, 2, &err));
    OK(wks_node_options_set_resume(options, 0, &err));
    OK(wks_node_options_set_resume_limit(options, 1000, &err));
    OK(wks_node_options_set_sync_strong(options, 1, &err));
    OK(wks_node_options_set_sync_dialect(options, WKS_DIALECT_TOPICS, &err));
    OK(wks_node_options_set_state_file(options, wks_str(state), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_options_set_sync_dialect(options, 2, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_options_set_sync_on_connect(options, 2, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_options_set_resume(options, 2, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_options_set_sync_strong(options, 2, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_options_set_state_file(options, wks_str(""), &err));
    if (listen)
        OK(wks_node_options_add_listen(options, wks_str(listen), &err));
    OK(wks_node_start(options, archive, &node, &err));
    wks_node_options_free(options);
    return node;
}

static uint64_t held(wks_archive archive)
{
    wks_stats stats = {.struct_size = sizeof stats};
    OK(wks_archive_stats(archive, &stats, &err));
    return stats.messages;
}

/* What a dry run says: the peer's 250 are missing here, and our one is missing there. */
static void check_difference(wks_report report, const wks_message *ours)
{
    wks_sync_id ids[300], one = {.struct_size = sizeof one};
    wks_hash hash;
    size_t count = 0, i;

    OK(wks_report_difference_count(report, WKS_DIFFERENCE_SURPLUS, &count, &err));
    CHECK(count == 1);
    OK(wks_report_difference(report, WKS_DIFFERENCE_SURPLUS, 0, &one, &err));
    OK(wks_message_hash(ours, &hash, &err));
    CHECK(memcmp(one.hash, hash.bytes, 32) == 0 && one.timestamp == ours->timestamp);

    OK(wks_report_difference_count(report, WKS_DIFFERENCE_MISSING, &count, &err));
    CHECK(count == 250);
    ids[0].struct_size = sizeof ids[0];
    OK(wks_report_differences(report, WKS_DIFFERENCE_MISSING, ids, 300, &count, &err));
    CHECK(count == 250);
    for (i = 1; i < count; i++)
        CHECK(ids[i - 1].timestamp < ids[i].timestamp ||
              (ids[i - 1].timestamp == ids[i].timestamp &&
               memcmp(ids[i - 1].hash, ids[i].hash, 32) < 0));
    OK(wks_report_difference(report, WKS_DIFFERENCE_MISSING, 249, &one, &err));
    CHECK(one.hash == ids[249].hash && one.timestamp == ids[249].timestamp);

    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_report_difference(report, WKS_DIFFERENCE_MISSING, 250, &one, &err));
    CHECK(one.hash == NULL && one.timestamp == 0);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_report_difference_count(report, 2, &count, &err));
    CHECK(count == 0);
}

/* The events of one sync: its beginning, perhaps how it went on, its end. */
static void check_events(wks_events events, uint64_t session, wks_sync_begun begun)
{
    int started = 0, ended = 0;
    while (!ended) {
        wks_event event;
        wks_event_info info = {.struct_size = sizeof info};
        wks_sync_progress progress = {.struct_size = sizeof progress};
        OK(wks_events_next(events, &event, &err));
        CHECK(event.id != 0);
        OK(wks_event_read(event, &info, &err));
        if (info.kind == WKS_EVENT_SYNC_STARTED) {
            CHECK(!started && info.session == session && info.begun == begun);
            CHECK(info.initiator == (begun == WKS_BEGUN_ON_DEMAND) && info.peer_id.len > 0);
            CHECK(info.protocol == WKS_PROTOCOL_V1 || info.protocol == WKS_PROTOCOL_STRONG ||
                  info.protocol == WKS_PROTOCOL_STORE);
            CHECK(info.window_start < info.window_end);
            EXPECT(WKS_ERR_NO_RESULT, wks_event_progress(event, &progress, &err));
            started = 1;
        } else if (info.kind == WKS_EVENT_SYNC_PROGRESS) {
            CHECK(started && info.session == session && info.peer_id.len > 0);
            OK(wks_event_progress(event, &progress, &err));
            CHECK(progress.missing <= 250 && progress.received <= 250);
        } else if (info.kind == WKS_EVENT_SYNC_FINISHED) {
            CHECK(started && info.session == session);
            ended = 1;
        }
        wks_event_free(event);
    }
}

/* A sync with the peer of the last minute, its report checked and given back, and its events. */
static wks_report a_sync(wks_node node, wks_bytes peer, wks_events events,
                         wks_sync_options *options, wks_sync_figures *figures)
{
    wks_report report;
    options->has_window = 1;
    options->window_end = now_ns();
    options->window_start = options->window_end - 60 * INT64_C(1000000000);
    figures->struct_size = sizeof *figures;
    OK(wks_node_sync(node, peer, options, &report, &err));
    OK(wks_report_figures(report, figures, &err));
    CHECK(figures->status == WKS_OK && figures->initiator == 1);
    CHECK(figures->begun == WKS_BEGUN_ON_DEMAND && figures->refused == 0);
    check_events(events, figures->session, WKS_BEGUN_ON_DEMAND);
    return report;
}

int main(int argc, char **argv)
{
    wks_archive here = an_archive(NULL), there = an_archive(NULL);
    wks_node a, b;
    wks_strings list;
    wks_bytes address;
    wks_events events;
    wks_message extra;
    wks_sync_options options = {.struct_size = sizeof options};
    wks_sync_figures figures;
    wks_report report;
    wks_coverage coverage;
    wks_coverage_span span = {.struct_size = sizeof span};
    char state[2][512];
    size_t count = 1, i;
    uint64_t last;

    CHECK(argc == 2);
    for (i = 0; i < 2; i++)
        snprintf(state[i], sizeof state[i], "%s/state-%c", argv[1], 'a' + (int)i);
    a = a_node(here, NULL, state[0]);
    b = a_node(there, "/ip4/127.0.0.1/tcp/0", state[1]);
    fill(there, 250);
    extra = a_message("only here", now_ns());
    OK(wks_archive_put(here, &extra, 1, WKS_ORIGIN_LIVE, NULL, &err));
    OK(wks_node_addresses(b, &list, &err));
    OK(wks_strings_get(list, 0, &address, &err));
    OK(wks_node_events(a, &events, &err));

    OK(wks_node_coverage(a, &coverage, &err));
    OK(wks_coverage_count(coverage, &count, &err));
    CHECK(count == 0);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_coverage_get(coverage, 0, &span, &err));
    wks_coverage_free(coverage);

    /* A dry run names what differs, and nothing travels. */
    options.dry_run = 1;
    report = a_sync(a, address, events, &options, &figures);
    CHECK(figures.has_difference == 1 && figures.missing == 250 && figures.surplus == 1);
    CHECK(figures.received == 0 && figures.sent == 0 && figures.protocol != WKS_PROTOCOL_AUTO);
    CHECK(figures.agreement == WKS_AGREEMENT_NONE && held(here) == 1 && held(there) == 250);
    check_difference(report, &extra);
    wks_report_free(report);
    last = figures.session;

    /* A sync by 1.0.0, then one by wakustore's own. */
    options.dry_run = 0;
    options.protocol = WKS_PROTOCOL_V1;
    report = a_sync(a, address, events, &options, &figures);
    CHECK(figures.protocol == WKS_PROTOCOL_V1 && figures.has_difference == 0);
    CHECK(figures.received == 250 && figures.session != last && figures.ranges_settled > 0);
    EXPECT(WKS_ERR_NO_RESULT,
           wks_report_difference_count(report, WKS_DIFFERENCE_MISSING, &count, &err));
    wks_report_free(report);
    for (i = 0; held(there) < 251 && i < 400; i++)
        usleep(25000);
    CHECK(held(here) == 251 && held(there) == 251);

    options.protocol = WKS_PROTOCOL_STRONG;
    report = a_sync(a, address, events, &options, &figures);
    CHECK(figures.protocol == WKS_PROTOCOL_STRONG && figures.missing == 0 && figures.surplus == 0);
    CHECK(figures.agreement == WKS_AGREEMENT_STRONG && figures.ids_compared == 251);
    wks_report_free(report);

    OK(wks_node_coverage(a, &coverage, &err));
    OK(wks_coverage_count(coverage, &count, &err));
    CHECK(count >= 1);
    for (i = 0; i < count; i++) {
        int64_t end = i == 0 ? INT64_MIN : span.end;
        OK(wks_coverage_get(coverage, i, &span, &err));
        CHECK(span.start < span.end && end <= span.start && span.compared_at > 0);
        CHECK(span.strong <= span.peers && span.peers == 1);
        if (span.start <= extra.timestamp && extra.timestamp < span.end)
            CHECK(span.strong == 1);
    }
    wks_coverage_free(coverage);
    EXPECT(WKS_ERR_HANDLE, wks_coverage_count(coverage, &count, &err));

    /* By a caller that was built against the first header: the old size, the old fields. */
    options.struct_size = offsetof(wks_sync_options, protocol);
    options.protocol = 77;
    figures.struct_size = offsetof(wks_sync_figures, session);
    figures.session = 77;
    OK(wks_node_sync(a, address, &options, &report, &err));
    OK(wks_report_figures(report, &figures, &err));
    CHECK(figures.missing == 0 && figures.session == 77);
    wks_report_free(report);

    /* What cannot be is told. */
    options.struct_size = sizeof options;
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_sync(a, address, &options, NULL, &err));
    options.protocol = WKS_PROTOCOL_AUTO;
    options.dry_run = 2;
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_sync(a, address, &options, NULL, &err));
    OK(wks_node_cancel_sync(a, 1000000, &err));

    OK(wks_node_stop(a, &err));
    OK(wks_node_cancel_sync(a, 1, &err));
    wks_events_free(events);
    wks_strings_free(list);
    wks_node_free(a);
    wks_node_free(b);
    wks_archive_free(here);
    wks_archive_free(there);
    OK(wks_shutdown(10000, &err));
    return 0;
}
