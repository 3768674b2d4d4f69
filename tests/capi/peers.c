/* The peers that a node keeps: one that is configured goes, and comes back elsewhere and again. */

#include "check.h"

#define SECRET "0123456789abcdef0123456789abcdef"

static wks_node_options options_of(const char *listen)
{
    wks_node_options options;
    OK(wks_node_options_new(&options, &err));
    OK(wks_node_options_add_listen(options, wks_str(listen), &err));
    return options;
}

static wks_node started(wks_node_options options, wks_archive archive)
{
    wks_node node;
    OK(wks_node_start(options, archive, &node, &err));
    wks_node_options_free(options);
    return node;
}

/* The peer, at an address, always the same one. */
static wks_node the_peer(const char *listen, wks_archive archive)
{
    wks_node_options options = options_of(listen);
    OK(wks_node_options_set_identity_secret(options, wks_str(SECRET), &err));
    return started(options, archive);
}

/* Waits for an event of this kind; the path that it names, if any, begins like this. */
static void told(wks_events events, wks_event_kind kind, const char *path)
{
    for (;;) {
        wks_event event;
        wks_event_info info = {.struct_size = sizeof info};
        wks_event_kind got;
        OK(wks_events_next(events, &event, &err));
        CHECK(event.id != 0);
        OK(wks_event_read(event, &info, &err));
        got = info.kind;
        if (got == kind && path != NULL) {
            CHECK(info.path.len == strlen(path) && info.why.len > 0);
            CHECK(memcmp(info.path.ptr, path, info.path.len) == 0);
        }
        wks_event_free(event);
        if (got == kind)
            return;
    }
}

int main(int argc, char **argv)
{
    wks_archive archives[2] = {an_archive(NULL), an_archive(NULL)};
    wks_node peer = the_peer("/ip4/127.0.0.1/tcp/0", archives[0]), node;
    wks_node_options options;
    wks_strings addresses;
    wks_bytes lent;
    wks_events events;
    char address[256], listen[256], state[512], book[520];
    uint8_t online = 9;
    FILE *file;

    OK(wks_node_addresses(peer, &addresses, &err));
    OK(wks_strings_get(addresses, 0, &lent, &err));
    CHECK(lent.len < sizeof address);
    memcpy(address, lent.ptr, lent.len);
    address[lent.len] = 0;
    wks_strings_free(addresses);
    strcpy(listen, address);
    *strstr(listen, "/p2p/") = 0;

    snprintf(state, sizeof state, "%s/state", argc > 1 ? argv[1] : ".");
    snprintf(book, sizeof book, "%s.peers", state);
    file = fopen(book, "w");
    CHECK(file != NULL && fputs("no book of peers", file) >= 0 && fclose(file) == 0);

    options = options_of("/ip4/127.0.0.1/tcp/0");
    OK(wks_node_options_set_state_file(options, wks_str(state), &err));
    OK(wks_node_options_add_bootstrap(options, wks_str(address), &err));
    OK(wks_node_options_set_store_peers(options, 1, &err));
    OK(wks_node_options_set_sync_peers(options, 1, &err));
    OK(wks_node_options_set_relay_peers(options, 0, &err));
    OK(wks_node_options_set_max_incoming(options, 20, &err));
    OK(wks_node_options_set_max_outgoing(options, 20, &err));
    OK(wks_node_options_set_reserved(options, 5, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_options_set_keep_peers(options, 2, &err));
    OK(wks_node_options_set_keep_peers(options, 1, &err));
    OK(wks_node_options_set_redial(options, 100, 1000, &err));
    OK(wks_node_options_set_offline_grace(options, 300, &err));
    node = started(options, archives[1]);
    OK(wks_node_events(node, &events, &err));
    told(events, WKS_EVENT_STATE_SET_ASIDE, book);
    for (;;) {
        OK(wks_node_online(node, &online, &err));
        if (online)
            break;
        usleep(10000);
    }
    CHECK(online == 1);

    OK(wks_node_stop(peer, &err));
    wks_node_free(peer);
    told(events, WKS_EVENT_OFFLINE, NULL);
    OK(wks_node_online(node, &online, &err));
    CHECK(online == 0);
    peer = the_peer(listen, archives[0]);
    OK(wks_node_network_changed(node, &err));
    told(events, WKS_EVENT_ONLINE, NULL);

    EXPECT(WKS_ERR_ADDRESS, wks_node_learn(node, wks_str(listen), 1, 0, 0, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_learn(node, wks_str(address), 2, 0, 0, &err));
    OK(wks_node_learn(node, wks_str(address), 1, 1, 0, &err));
    wks_events_free(events);
    OK(wks_node_stop(node, &err));
    EXPECT(WKS_ERR_HANDLE, wks_node_online((wks_node){0}, &online, &err));
    wks_node_free(node);
    wks_node_free(peer);

    /* What cannot be is refused at the start. */
    options = options_of("/ip4/127.0.0.1/tcp/0");
    OK(wks_node_options_set_reserved(options, 1000, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_node_start(options, archives[1], &node, &err));
    OK(wks_node_options_set_reserved(options, 0, &err));
    OK(wks_node_options_add_bootstrap(options, wks_str("here"), &err));
    EXPECT(WKS_ERR_ADDRESS, wks_node_start(options, archives[1], &node, &err));
    wks_node_options_free(options);
    wks_archive_free(archives[0]);
    wks_archive_free(archives[1]);
    OK(wks_shutdown(10000, &err));
    return 0;
}
