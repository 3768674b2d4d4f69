/* Two nodes in one process, talking over loopback: a page, a history, a sync both ways, events. */

#include "check.h"

static wks_node a_node(wks_archive archive, const char *listen)
{
    wks_node_options options;
    wks_node node;
    OK(wks_node_options_new(&options, &err));
    OK(wks_node_options_set_cluster_id(options, 16, &err));
    OK(wks_node_options_add_shard(options, 0, &err));
    OK(wks_node_options_set_sync_interval(options, 0, &err));
    OK(wks_node_options_set_sync_on_connect(options, 0, &err));
    OK(wks_node_options_set_sync_margin(options, 0, &err));
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

/* The next event of this kind; others pass by. */
static wks_event await_event(wks_events events, wks_event_kind kind, wks_event_info *info)
{
    for (;;) {
        wks_event event;
        wks_op op;
        info->struct_size = sizeof *info;
        OK(wks_events_next_async(events, &op, &err));
        OK(wks_op_wait(op, 20000, &err));
        OK(wks_op_take_event(op, &event, &err));
        wks_op_free(op);
        CHECK(event.id != 0);
        OK(wks_event_read(event, info, &err));
        if (info->kind == kind)
            return event;
        wks_event_free(event);
    }
}

int main(void)
{
    wks_archive here = an_archive(NULL), there = an_archive(NULL);
    wks_node a = a_node(here, NULL), b;
    wks_strings list;
    wks_bytes address, text;
    wks_buffer peer_id, own_id;
    wks_events events;
    wks_event event;
    wks_event_info info;
    wks_query query = a_query();
    wks_page page;
    wks_history history;
    wks_report report;
    wks_sync_options options = {.struct_size = sizeof options};
    wks_sync_figures figures = {.struct_size = sizeof figures};
    wks_message extra;
    size_t count, seen = 0;

    b = a_node(there, "/ip4/127.0.0.1/tcp/0");
    fill(there, 250);

    OK(wks_node_events(a, &events, &err));
    OK(wks_node_addresses(b, &list, &err));
    OK(wks_strings_count(list, &count, &err));
    CHECK(count >= 1);
    OK(wks_strings_get(list, 0, &address, &err));
    OK(wks_node_dial(a, address, &peer_id, &err));
    OK(wks_node_peer_id(b, &own_id, &err));
    OK(wks_buffer_bytes(own_id, &text, &err));
    {
        wks_bytes other;
        OK(wks_buffer_bytes(peer_id, &other, &err));
        CHECK(text.len == other.len && memcmp(text.ptr, other.ptr, text.len) == 0);
    }
    event = await_event(events, WKS_EVENT_PEER_CONNECTED, &info);
    CHECK(info.peer_id.len == text.len && memcmp(info.peer_id.ptr, text.ptr, text.len) == 0);
    wks_event_free(event);

    OK(wks_query_set_limit(query, 100, &err));
    OK(wks_node_store_query(a, text, query, &page, &err));
    CHECK(page_count(page) == 100);
    wks_page_free(page);
    OK(wks_node_history(a, text, query, &history, &err));
    for (;;) {
        OK(wks_history_next(history, &page, &err));
        if (page.id == 0)
            break;
        seen += page_count(page);
        wks_page_free(page);
    }
    CHECK(seen == 250);
    wks_history_free(history);

    extra = a_message("only here", now_ns());
    OK(wks_archive_put(here, &extra, 1, WKS_ORIGIN_LIVE, NULL, &err));
    event = await_event(events, WKS_EVENT_MESSAGE_STORED, &info);
    {
        wks_hash hash;
        OK(wks_message_hash(&extra, &hash, &err));
        CHECK(memcmp(hash.bytes, info.hash, 32) == 0 && info.origin == WKS_ORIGIN_LIVE);
        CHECK(same(info.pubsub_topic, PUBSUB) && same(info.content_topic, CONTENT));
    }
    EXPECT(WKS_ERR_NO_RESULT, wks_event_report(event, &report, &err));
    wks_event_free(event);

    options.has_window = 1;
    options.window_end = now_ns();
    options.window_start = options.window_end - 60 * INT64_C(1000000000);
    OK(wks_node_sync(a, text, &options, &report, &err));
    OK(wks_report_figures(report, &figures, &err));
    CHECK(figures.status == WKS_OK && figures.initiator == 1 && figures.missing == 250);
    CHECK(figures.received == 250 && figures.outstanding == 0 && figures.frames >= 2);
    CHECK(figures.reconciliation_bytes_in > 0 && figures.transfer_bytes_in > 0);
    CHECK(figures.window_start < figures.window_end && figures.duration_ns > 0);
    wks_report_free(report);
    event = await_event(events, WKS_EVENT_SYNC_FINISHED, &info);
    OK(wks_event_report(event, &report, &err));
    OK(wks_report_figures(report, &figures, &err));
    CHECK(figures.received == 250);
    wks_report_free(report);
    wks_event_free(event);
    CHECK(held(here) == 251);
    for (seen = 0; held(there) < 251 && seen < 400; seen++)
        usleep(25000);
    CHECK(held(there) == 251);

    /* What cannot be is told. */
    EXPECT(WKS_ERR_ADDRESS, wks_node_dial(a, wks_str("nonsense"), NULL, &err));
    EXPECT(WKS_ERR_DIAL, wks_node_dial(a, wks_str("/ip4/127.0.0.1/tcp/1"), NULL, &err));
    EXPECT(WKS_ERR_PEER_UNKNOWN,
           wks_node_store_query(
               a, wks_str("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"), query, &page,
               &err));
    OK(wks_node_disconnect(a, text, &err));
    event = await_event(events, WKS_EVENT_PEER_DISCONNECTED, &info);
    wks_event_free(event);
    OK(wks_node_stop(a, &err));
    OK(wks_node_stop(a, &err));
    EXPECT(WKS_ERR_SHUTDOWN, wks_node_dial(a, address, NULL, &err));
    for (;;) {
        OK(wks_events_next(events, &event, &err));
        if (event.id == 0)
            break;
        wks_event_free(event);
    }

    wks_events_free(events);
    wks_buffer_free(peer_id);
    wks_buffer_free(own_id);
    wks_strings_free(list);
    wks_query_free(query);
    wks_node_free(a);
    wks_node_free(b);
    wks_archive_free(here);
    wks_archive_free(there);
    OK(wks_shutdown(10000, &err));
    return 0;
}
