/* Relay between two nodes of one process. */

#include "check.h"

static wks_node a_node(wks_archive archive, uint8_t relay)
{
    wks_node_options options;
    wks_node node;
    OK(wks_node_options_new(&options, &err));
    OK(wks_node_options_add_listen(options, wks_str("/ip4/127.0.0.1/tcp/0"), &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_options_set_relay(options, 2, &err));
    OK(wks_node_options_set_relay(options, relay, &err));
    OK(wks_node_start(options, archive, &node, &err));
    wks_node_options_free(options);
    return node;
}

static size_t subscribed(wks_node node)
{
    wks_strings peers;
    size_t count;
    OK(wks_node_relay_peers(node, wks_str(PUBSUB), &peers, &err));
    OK(wks_strings_count(peers, &count, &err));
    wks_strings_free(peers);
    return count;
}

int main(void)
{
    wks_archive archives[2] = {an_archive(NULL), an_archive(NULL)};
    wks_node one = a_node(archives[0], 1), two = a_node(archives[1], 1);
    wks_message m = a_message("to nobody", now_ns());
    wks_strings addresses;
    wks_bytes address;
    wks_changes changes;
    wks_change change;
    wks_change_info info = {.struct_size = sizeof info};
    wks_change_message stored = {.struct_size = sizeof stored};
    wks_hash hash;
    wks_op op;
    wks_buffer buffer;
    wks_bytes bytes;

    EXPECT(WKS_ERR_NO_RELAY_PEERS, wks_node_publish(one, &m, &hash, &err));
    EXPECT(WKS_ERR_INVALID_TOPIC, wks_node_subscribe(two, wks_str(""), &err));
    OK(wks_archive_subscribe(archives[1], 10, &changes, &err));
    OK(wks_node_subscribe(two, wks_str(PUBSUB), &err));
    OK(wks_node_addresses(two, &addresses, &err));
    OK(wks_strings_get(addresses, 0, &address, &err));
    OK(wks_node_dial(one, address, NULL, &err));
    wks_strings_free(addresses);
    while (subscribed(one) == 0)
        usleep(10000);

    m = a_message("to all", now_ns());
    OK(wks_node_publish_async(one, &m, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_buffer(op, &buffer, &err));
    OK(wks_buffer_bytes(buffer, &bytes, &err));
    CHECK(bytes.len == 32);
    OK(wks_changes_next(changes, &change, &err));
    OK(wks_change_read(change, &info, &err));
    CHECK(info.kind == WKS_CHANGE_STORED && info.count == 1);
    OK(wks_change_get(change, 0, &stored, &err));
    CHECK(memcmp(stored.hash, bytes.ptr, 32) == 0 && stored.origin == WKS_ORIGIN_LIVE);
    wks_change_free(change);
    wks_changes_free(changes);
    wks_buffer_free(buffer);
    wks_op_free(op);

    OK(wks_node_unsubscribe(two, wks_str(PUBSUB), &err));
    while (subscribed(one) != 0)
        usleep(10000);
    wks_node_free(two);
    two = a_node(archives[1], 0);
    EXPECT(WKS_ERR_UNSUPPORTED, wks_node_subscribe(two, wks_str(PUBSUB), &err));
    wks_node_free(two);
    wks_node_free(one);
    wks_archive_free(archives[0]);
    wks_archive_free(archives[1]);
    OK(wks_shutdown(10000, &err));
    return 0;
}
