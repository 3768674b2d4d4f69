/* fork: a library that is loaded but unused works in the child; one in use is dead there, and
 * goes on in the parent. */

#include <sys/wait.h>

#include "check.h"

static int exit_code(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The whole way, in a process of its own. */
static void use(void)
{
    wks_archive archive = an_archive(NULL);
    wks_query query = a_query();
    wks_page page;
    fill(archive, 30);
    OK(wks_archive_query(archive, query, &page, &err));
    CHECK(page_count(page) == 20);
    wks_page_free(page);
    wks_query_free(query);
    wks_archive_free(archive);
}

#define FORKED(call)                                   \
    do {                                               \
        wks_error err = {9};                           \
        CHECK((call) == WKS_ERR_FORKED && err.id == 0); \
    } while (0)

int main(void)
{
    pid_t child;
    wks_archive archive, another;
    wks_archive_options options;
    wks_query query, new_query;
    wks_page page, kept;
    wks_op op, pending;
    wks_queue queue;
    size_t count, round;
    wks_error error;

    CHECK(wks_abi_version() >> 16 == WKS_ABI_MAJOR && wks_version()[0] != 0);
    child = fork();
    if (child == 0) {
        use();
        OK(wks_shutdown(10000, &err));
        exit(4);
    }
    CHECK(exit_code(child) == 4);

    archive = an_archive(NULL);
    fill(archive, 30);
    query = a_query();
    OK(wks_archive_query(archive, query, &kept, &err));
    OK(wks_archive_options_new(&options, &err));
    OK(wks_queue_new(&queue, &err));
    CHECK(wks_op_wait(pending = (wks_op){1}, 0, &error) == WKS_ERR_HANDLE && error.id != 0);

    for (round = 0; round < 20; round++) {
        OK(wks_archive_query_async(archive, query, &pending, &err));
        OK(wks_op_set_queue(pending, queue, NULL, &err));
        child = fork();
        if (child == 0) {
            FORKED(wks_archive_query(archive, query, &page, &err));
            CHECK(page.id == 0);
            FORKED(wks_archive_query_async(archive, query, &op, &err));
            FORKED(wks_archive_open(options, &another, &err));
            FORKED(wks_query_new(&new_query, &err));
            count = 5;
            FORKED(wks_page_count(kept, &count, &err));
            CHECK(count == 0);
            FORKED(wks_op_wait(pending, WKS_FOREVER, &err));
            FORKED(wks_shutdown(1000, &err));
            CHECK(wks_error_message(error)[0] == 0);
            CHECK(wks_version()[0] != 0);
            wks_error_free(error);
            wks_op_free(pending);
            wks_queue_free(queue);
            wks_page_free(kept);
            wks_query_free(query);
            wks_archive_options_free(options);
            wks_archive_free(archive);
            exit(5);
        }
        OK(wks_op_wait(pending, 10000, &err));
        OK(wks_op_take_page(pending, &page, &err));
        wks_page_free(page);
        wks_op_free(pending);
        CHECK(exit_code(child) == 5);
    }
    CHECK(page_count(kept) == 20);
    use();
    wks_error_free(error);
    wks_queue_free(queue);
    wks_page_free(kept);
    wks_query_free(query);
    wks_archive_options_free(options);
    wks_archive_free(archive);
    OK(wks_shutdown(10000, &err));
    return 0;
}
