/* The operator's tools: figures by topic, backup and restore, checks and salvage, takedowns by
 * filter, read-only files, keys; moving to nwaku and back. Works in the directory that it is given. */

#include "check.h"

static const char *directory;

/* A path in the directory; lives until the next but three. */
static const char *at(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static wks_archive_options file(const char *name)
{
    wks_archive_options options;
    OK(wks_archive_options_new(&options, &err));
    OK(wks_archive_options_set_path(options, wks_str(at(name)), &err));
    return options;
}

static uint64_t held(wks_archive archive)
{
    wks_stats stats = {.struct_size = sizeof stats};
    OK(wks_archive_stats(archive, &stats, &err));
    return stats.messages;
}

static wks_findings_info counted(wks_findings findings)
{
    wks_findings_info info = {.struct_size = sizeof info};
    OK(wks_findings_read(findings, &info, &err));
    return info;
}

static void topics(wks_archive archive)
{
    wks_topics page;
    wks_topic_stats figures = {.struct_size = sizeof figures};
    wks_op op;
    size_t count;

    OK(wks_archive_topic_stats(archive, WKS_TOPIC_CONTENT, wks_str(""), 10, &page, &err));
    OK(wks_topics_count(page, &count, &err));
    CHECK(count == 1);
    OK(wks_topics_get(page, 0, &figures, &err));
    CHECK(same(figures.name, CONTENT) && figures.messages == 50 && figures.bytes > 50);
    CHECK(figures.oldest < figures.newest);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_topics_get(page, 1, &figures, &err));
    wks_topics_free(page);
    EXPECT(WKS_ERR_HANDLE, wks_topics_count(page, &count, &err));

    OK(wks_archive_topic_stats_async(archive, WKS_TOPIC_PUBSUB, wks_str(PUBSUB), 10, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_topics(op, &page, &err));
    OK(wks_topics_count(page, &count, &err));
    CHECK(count == 0);
    wks_topics_free(page);
    wks_op_free(op);
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_topic_stats(archive, 2, wks_str(""), 10, &page, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_topic_stats(archive, WKS_TOPIC_PUBSUB, wks_str(""), 0, &page, &err));
    CHECK(page.id == 0);
}

static void backups(wks_archive archive)
{
    wks_backup report = {.struct_size = sizeof report};
    wks_progress progress = {.struct_size = sizeof progress};
    wks_archive_options options = file("restored.db");
    wks_archive restored;
    wks_findings findings;
    wks_op op;

    OK(wks_archive_backup(archive, wks_str(at("a.bak")), 0, &report, &err));
    CHECK(report.messages == 50 && report.bytes > 0);
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_backup(archive, wks_str(at("a.bak")), 0, &report, &err));
    CHECK(report.messages == 0 && report.struct_size == sizeof report);
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_backup(archive, wks_str(at("a.bak")), 2, &report, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_backup(archive, wks_str(""), 0, &report, &err));

    OK(wks_archive_backup_async(archive, wks_str(at("a.bak")), 1, &op, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_op_progress(op, &(wks_progress){0}, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_progress(op, &progress, &err));
    CHECK(progress.done > 0 && progress.done == progress.total);
    OK(wks_op_take_backup(op, &report, &err));
    CHECK(report.messages == 50);
    EXPECT(WKS_ERR_NO_RESULT, wks_op_take_backup(op, &report, &err));
    wks_op_free(op);

    OK(wks_archive_restore_async(wks_str(at("a.bak")), options, 0, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_backup(op, &report, &err));
    CHECK(report.messages == 50);
    wks_op_free(op);
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_restore(wks_str(at("a.bak")), options, 0, &report, &err));
    OK(wks_archive_open(options, &restored, &err));
    EXPECT(WKS_ERR_ARCHIVE_LOCKED,
           wks_archive_restore(wks_str(at("a.bak")), options, 1, &report, &err));
    CHECK(held(restored) == 50);
    OK(wks_archive_verify(restored, &findings, &err));
    CHECK(counted(findings).messages == 50 && counted(findings).count == 0);
    wks_findings_free(findings);
    wks_archive_free(restored);
    wks_archive_options_free(options);
}

/* Overwrites the payload of one message in the file. */
static void damage(const char *path)
{
    static const char payload[] = "message 17";
    FILE *f = fopen(path, "r+b");
    char *bytes;
    long length, i, hits = 0;
    CHECK(f && fseek(f, 0, SEEK_END) == 0 && (length = ftell(f)) > 0);
    bytes = malloc((size_t)length);
    CHECK(bytes && fseek(f, 0, SEEK_SET) == 0);
    CHECK(fread(bytes, 1, (size_t)length, f) == (size_t)length);
    for (i = 0; i + (long)sizeof payload - 1 <= length; i++) {
        if (memcmp(bytes + i, payload, sizeof payload - 1) == 0) {
            CHECK(fseek(f, i, SEEK_SET) == 0 && fwrite("MESSAGE", 1, 7, f) == 7);
            hits++;
        }
    }
    CHECK(hits == 1);
    CHECK(fclose(f) == 0);
    free(bytes);
}

static void checks(void)
{
    wks_archive_options options = file("a.bak"), to = file("salvaged.db");
    wks_findings findings;
    wks_finding finding = {.struct_size = sizeof finding};
    wks_archive salvaged;
    wks_op op;

    damage(at("a.bak"));
    OK(wks_archive_verify_file(options, &findings, &err));
    CHECK(counted(findings).messages == 50);
    CHECK(counted(findings).count == 1 && counted(findings).listed == 1);
    OK(wks_findings_get(findings, 0, &finding, &err));
    CHECK(finding.kind == WKS_FINDING_HASH_MISMATCH && finding.hash && finding.detail.len > 0);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_findings_get(findings, 1, &finding, &err));
    wks_findings_free(findings);

    OK(wks_archive_salvage_async(options, to, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_findings(op, &findings, &err));
    CHECK(counted(findings).messages == 49 && counted(findings).count == 1);
    wks_findings_free(findings);
    wks_op_free(op);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_salvage(options, to, &findings, &err));
    CHECK(findings.id == 0);
    OK(wks_archive_open(to, &salvaged, &err));
    CHECK(held(salvaged) == 49);
    wks_archive_free(salvaged);
    wks_archive_options_free(options);
    wks_archive_options_free(to);
}

static void takedowns(wks_archive archive)
{
    wks_query query = a_query();
    wks_hashes hashes;
    wks_bytes bytes;
    wks_bytes first;
    wks_op op;
    uint64_t number;

    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_take_down_matching(archive, query, &number, &err));
    OK(wks_query_add_content_topic(query, wks_str(CONTENT), &err));
    OK(wks_archive_take_down_matching_async(archive, query, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_number(op, &number, &err));
    CHECK(number == 50 && held(archive) == 0);
    wks_op_free(op);
    OK(wks_archive_take_down_matching(archive, query, NULL, &err));
    wks_query_free(query);

    OK(wks_archive_tombstones(archive, wks_str(""), 3, &hashes, &err));
    OK(wks_hashes_bytes(hashes, &bytes, &err));
    CHECK(bytes.len == 3 * 32);
    first = bytes;
    first.len = 32;
    OK(wks_archive_reinstate(archive, first, &number, &err));
    CHECK(number == 1);
    OK(wks_archive_reinstate_async(archive, first, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_number(op, &number, &err));
    CHECK(number == 0);
    wks_op_free(op);
    first.ptr += 32;
    OK(wks_archive_tombstones_async(archive, first, 1000, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    wks_hashes_free(hashes);
    OK(wks_op_take_hashes(op, &hashes, &err));
    OK(wks_hashes_bytes(hashes, &bytes, &err));
    CHECK(bytes.len == 48 * 32);
    wks_hashes_free(hashes);
    wks_op_free(op);
    EXPECT(WKS_ERR_INVALID_HASH, wks_archive_tombstones(archive, wks_str("x"), 3, &hashes, &err));
}

static wks_move_info told(wks_move report)
{
    wks_move_info info = {.struct_size = sizeof info};
    OK(wks_move_read(report, &info, &err));
    return info;
}

/* Out in two steps, and in again in two. */
static void nwaku(wks_archive archive)
{
    wks_archive in = an_archive(NULL);
    wks_query none = {0};
    wks_move report, rest;
    wks_refused_row row = {.struct_size = sizeof row};
    wks_bytes name = wks_str(at("store.sqlite3"));
    wks_op op;

    OK(wks_archive_export_nwaku(archive, none, name, wks_str(""), 1, &report, &err));
    CHECK(told(report).written >= 1 && told(report).position.len > 0);
    OK(wks_archive_export_nwaku(archive, none, name, told(report).position, 0, &rest, &err));
    CHECK(told(report).written + told(rest).written == 50 && told(rest).complete == 1);
    wks_move_free(report);
    wks_move_free(rest);

    OK(wks_archive_import_nwaku_async(in, name, wks_str(""), 0, &op, &err));
    OK(wks_op_wait(op, WKS_FOREVER, &err));
    OK(wks_op_take_move(op, &report, &err));
    CHECK(told(report).read == 50 && told(report).written == 50 && told(report).refused == 0);
    CHECK(told(report).complete == 1 && held(in) == 50);
    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_move_refused(report, 0, &row, &err));
    OK(wks_archive_import_nwaku(in, name, told(report).position, 0, &rest, &err));
    CHECK(told(rest).read == 0 && told(rest).complete == 1);
    wks_move_free(rest);
    OK(wks_archive_import_nwaku(in, name, wks_str(""), 0, &rest, &err));
    CHECK(told(rest).duplicates == 50);
    wks_move_free(rest);
    wks_move_free(report);
    wks_op_free(op);
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_import_nwaku(in, name, wks_str("nowhere"), 0, &report, &err));
    EXPECT(WKS_ERR_ARCHIVE_OPEN, wks_archive_import_nwaku(in, wks_str(at("none.sqlite3")),
                                                          wks_str(""), 0, &report, &err));
    CHECK(report.id == 0);
    wks_archive_free(in);
}

static void read_only(void)
{
    wks_archive_options options = file("salvaged.db");
    wks_archive archive;
    wks_message m = a_message("one more", now_ns());

    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_read_only(options, 2, &err));
    OK(wks_archive_options_set_read_only(options, 1, &err));
    OK(wks_archive_open(options, &archive, &err));
    CHECK(held(archive) == 49);
    EXPECT(WKS_ERR_ARCHIVE_READ_ONLY,
           wks_archive_put(archive, &m, 1, WKS_ORIGIN_LIVE, NULL, &err));
    wks_archive_free(archive);
    wks_archive_options_free(options);
}

/* Whether the build can encrypt or not, a key is never left out of account. */
static void keys(void)
{
    static const uint8_t bytes[32] = {1, 2, 3};
    wks_bytes key = {bytes, sizeof bytes};
    wks_bytes half = {bytes, 16};
    wks_archive_options options = file("hidden.db");
    wks_archive archive;
    wks_error e = {0};
    wks_status status;

    EXPECT(WKS_ERR_INVALID_ARGUMENT, wks_archive_options_set_key(options, half, &err));
    EXPECT(WKS_ERR_INVALID_ARGUMENT,
           wks_archive_options_set_passphrase(options, wks_str(""), &err));
    OK(wks_archive_options_set_passphrase(options, wks_str("open sesame"), &err));
    OK(wks_archive_options_set_key(options, key, &err));
    status = wks_archive_open(options, &archive, &e);
    CHECK(status == WKS_OK || status == WKS_ERR_UNSUPPORTED);
    wks_error_free(e);
    if (status == WKS_OK) {
        wks_archive_free(archive);
        OK(wks_archive_options_set_passphrase(options, wks_str("another"), &err));
        EXPECT(WKS_ERR_WRONG_KEY, wks_archive_open(options, &archive, &err));
    } else {
        wks_bytes none = {NULL, 0};
        OK(wks_archive_options_set_key(options, none, &err));
        OK(wks_archive_open(options, &archive, &err));
        wks_archive_free(archive);
    }
    wks_archive_options_free(options);
}

int main(int argc, char **argv)
{
    wks_archive archive;
    CHECK(argc == 2);
    directory = argv[1];
    archive = an_archive(at("a.db"));
    fill(archive, 50);
    topics(archive);
    backups(archive);
    checks();
    nwaku(archive);
    read_only();
    keys();
    takedowns(archive);
    wks_archive_free(archive);
    OK(wks_shutdown(10000, &err));
    return 0;
}
