/* A host that has a SQLite of its own (here: its names) and another Rust library, all in one static
 * program. Each must find its own. */

#include "check.h"

int sqlite3_libversion_number(void) { return 42; }
int sqlite3_open_v2(void) { return 43; }
int sqlite3_step(void) { return 44; }

/* From beside.rs, with a Rust standard library of its own. */
int other_rust_sum(int n);

int main(void)
{
    wks_archive archive = an_archive(NULL);
    wks_query query = a_query();
    wks_page page;
    fill(archive, 30);
    OK(wks_archive_query(archive, query, &page, &err));
    CHECK(page_count(page) == 20);
    CHECK(sqlite3_libversion_number() == 42 && sqlite3_open_v2() == 43 && sqlite3_step() == 44);
    CHECK(other_rust_sum(4) == 10);
    wks_page_free(page);
    wks_query_free(query);
    wks_archive_free(archive);
    OK(wks_shutdown(10000, &err));
    return 0;
}
