/* Operations: an event loop on a queue's descriptor, a wake hook, callbacks, cancel, free. */

#include <poll.h>
#include <pthread.h>

#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* What a callback leaves behind. */
typedef struct {
    int calls, drops;
    pthread_t thread;
    wks_status status;
} record;

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

static void on_end(wks_op op, void *user)
{
    record *r = user;
    r->thread = pthread_self();
    r->status = wks_op_status(op, NULL);
    bump(&r->calls);
}

static void on_drop(void *user) { bump(&((record *)user)->drops); }

/* A hundred queries on a queue, picked up by poll(), each once. */
static void event_loop(wks_archive archive)
{
    enum { N = 100 };
    wks_queue queue;
    wks_query query = a_query();
    wks_op op;
    wks_completion ended[7];
    int fd, i, seen[N] = {0}, total = 0;
    size_t count;

    ended[0].struct_size = sizeof ended[0];
    OK(wks_queue_new(&queue, &err));
    OK(wks_queue_fd(queue, &fd, &err));
    for (i = 0; i < N; i++) {
        OK(wks_archive_query_async(archive, query, &op, &err));
        OK(wks_op_set_queue(op, queue, &seen[i], &err));
    }
    while (total < N) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        CHECK(poll(&p, 1, 10000) == 1);
        OK(wks_queue_poll(queue, ended, 7, &count, &err));
        for (i = 0; i < (int)count; i++, total++) {
            wks_page page;
            CHECK(ended[i].struct_size == sizeof ended[0]);
            CHECK(++*(int *)ended[i].user == 1);
            OK(wks_op_take_page(ended[i].op, &page, &err));
            CHECK(page_count(page) == 20);
            wks_page_free(page);
            wks_op_free(ended[i].op);
        }
    }
    {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        CHECK(poll(&p, 1, 0) == 0);
    }

    /* One that was freed is not told of; one that has ended already is told at once. */
    OK(wks_archive_query_async(archive, query, &op, &err));
    OK(wks_op_wait(op, 10000, &err));
    OK(wks_op_set_queue(op, queue, NULL, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_op_set_queue(op, queue, NULL, &err));
    wks_op_free(op);
    OK(wks_queue_poll(queue, ended, 7, &count, &err));
    CHECK(count == 0);
    OK(wks_archive_query_async(archive, query, &op, &err));
    OK(wks_op_set_queue(op, queue, NULL, &err));
    wks_queue_free(queue);
    OK(wks_op_wait(op, 10000, &err));
    wks_op_free(op);
    wks_query_free(query);
}

static void on_wake(void *user) { bump(&((record *)user)->calls); }

static void wake_hook(wks_archive archive)
{
    record r = {0}, second = {0};
    wks_queue queue;
    wks_query query = a_query();
    wks_op op;
    wks_completion ended = {.struct_size = sizeof ended};
    size_t count;

    OK(wks_queue_new(&queue, &err));
    OK(wks_queue_set_wake(queue, on_wake, &r, on_drop, &err));
    OK(wks_archive_query_async(archive, query, &op, &err));
    OK(wks_op_set_queue(op, queue, NULL, &err));
    wait_for(&r.calls, 1);
    /* Replaced while something is in the queue: the new one is called at once. */
    OK(wks_queue_set_wake(queue, on_wake, &second, on_drop, &err));
    wait_for(&second.calls, 1);
    wait_for(&r.drops, 1);
    OK(wks_queue_poll(queue, &ended, 1, &count, &err));
    CHECK(count == 1 && ended.op.id == op.id);
    wks_op_free(op);
    wks_queue_free(queue);
    wait_for(&second.drops, 1);
    CHECK(r.calls == 1 && r.drops == 1 && second.calls == 1 && second.drops == 1);
    wks_query_free(query);
}

static void callbacks(wks_archive archive)
{
    record r[3] = {{0}, {0}, {0}};
    wks_query query = a_query();
    wks_op op[3];
    int i;

    for (i = 0; i < 3; i++) {
        OK(wks_archive_query_async(archive, query, &op[i], &err));
        if (i == 1)
            OK(wks_op_wait(op[i], WKS_FOREVER, &err));
        OK(wks_op_set_callback(op[i], on_end, &r[i], on_drop, &err));
    }
    for (i = 0; i < 3; i++) {
        wait_for(&r[i].drops, 1);
        CHECK(r[i].calls == 1 && r[i].status == WKS_OK);
        CHECK(pthread_equal(r[i].thread, r[0].thread));
        CHECK(!pthread_equal(r[i].thread, pthread_self()));
        wks_op_free(op[i]);
    }
    wks_query_free(query);
}

/* An operation that does not end by itself: an event of a node to which nothing happens. */
static wks_op endless(wks_events events)
{
    wks_op op;
    OK(wks_events_next_async(events, &op, &err));
    return op;
}

static void cancel_and_free(wks_events events)
{
    record r = {0}, freed = {0}, refused = {0};
    wks_op op = endless(events);
    wks_event event;

    EXPECT(WKS_ERR_NOT_READY, wks_op_status(op, &err));
    EXPECT(WKS_ERR_NOT_READY, wks_op_take_event(op, &event, &err));
    EXPECT(WKS_ERR_TIMED_OUT, wks_op_wait(op, 5, &err));
    OK(wks_op_set_callback(op, on_end, &r, on_drop, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_op_set_callback(op, on_end, &refused, on_drop, &err));
    CHECK(refused.drops == 1 && refused.calls == 0);
    OK(wks_op_cancel(op, &err));
    OK(wks_op_cancel(op, &err));
    OK(wks_op_wait(op, 0, &err));
    EXPECT(WKS_ERR_CANCELLED, wks_op_status(op, &err));
    EXPECT(WKS_ERR_CANCELLED, wks_op_take_event(op, &event, &err));
    CHECK(event.id == 0);
    wait_for(&r.drops, 1);
    CHECK(r.calls == 1 && r.status == WKS_ERR_CANCELLED);
    wks_op_free(op);

    op = endless(events);
    OK(wks_op_set_callback(op, on_end, &freed, on_drop, &err));
    wks_op_free(op);
    wait_for(&freed.drops, 1);
    EXPECT(WKS_ERR_HANDLE, wks_op_status(op, &err));
    CHECK(freed.calls == 0);
}

/* Many threads that start, cancel, attach and free at once: every user is dropped once. */
static wks_archive shared;
static int drops;

static void count_drop(void *user)
{
    (void)user;
    bump(&drops);
}

static void ignore(wks_op op, void *user)
{
    (void)user;
    wks_op_free(op);
}

static void *churn(void *seed)
{
    unsigned i, n = (unsigned)(size_t)seed;
    wks_query query = a_query();
    for (i = 0; i < 300; i++) {
        wks_op op;
        OK(wks_archive_query_async(shared, query, &op, &err));
        OK(wks_op_set_callback(op, ignore, NULL, count_drop, &err));
        if ((i + n) % 3 == 0)
            wks_op_cancel(op, NULL);
        if ((i + n) % 5 == 0)
            wks_op_free(op);
    }
    wks_query_free(query);
    return NULL;
}

int main(void)
{
    wks_archive archive = an_archive(NULL);
    wks_node_options options;
    wks_node node;
    wks_events events;
    pthread_t threads[4];
    size_t i;

    fill(archive, 200);
    event_loop(archive);
    wake_hook(archive);
    callbacks(archive);

    OK(wks_node_options_new(&options, &err));
    OK(wks_node_start(options, archive, &node, &err));
    wks_node_options_free(options);
    OK(wks_node_events(node, &events, &err));
    cancel_and_free(events);

    shared = archive;
    for (i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)i) == 0);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    wait_for(&drops, 1200);

    /* A shutdown ends what waits, and its callbacks have run when it returns. */
    {
        record r = {0};
        wks_op op = endless(events);
        wks_event event;
        OK(wks_op_set_callback(op, on_end, &r, on_drop, &err));
        OK(wks_shutdown(10000, &err));
        CHECK(r.calls == 1 && r.drops == 1 && r.status == WKS_ERR_CANCELLED);
        EXPECT(WKS_ERR_CANCELLED, wks_op_take_event(op, &event, &err));
        wks_op_free(op);
    }
    CHECK(drops == 1200);
    wks_events_free(events);
    wks_node_free(node);
    wks_archive_free(archive);
    OK(wks_shutdown(10000, &err));
    return 0;
}
