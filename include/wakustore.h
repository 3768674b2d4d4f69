/*
 * wakustore: Archive, Store queries and Sync of the Waku network.
 *
 * Generated from src/ffi/c by wakustore-bindgen. Do not edit.
 *
 * Handles are structs around a number. One that is null, stale or forged gives WKS_ERR_HANDLE, never
 * undefined behaviour. They may be used from any thread, and freed while a call uses them.
 *
 * Every call that can fail returns a wks_status and takes a wks_error to fill, which may be null.
 * Outputs are written on every path: where a call fails they are zero. Beside the errors that each
 * function names, every call may give WKS_ERR_FORKED (in the child of a process that had used the
 * library), WKS_ERR_INTERNAL (a bug, which did no more than that), WKS_ERR_POISONED (an earlier one
 * in the same object) and WKS_ERR_RESOURCES.
 *
 * Inputs are lent for the call: nothing points into the caller's memory after it has returned.
 * Results are the library's until they are freed. Structs that the caller allocates begin with
 * struct_size: set it to their sizeof, so that they can grow. Of an array of them the library goes
 * by the size of the first.
 *
 * Calls whose name ends in _async start an operation (wks_op) and return at once. Those without
 * block; they are the same, started and waited for. From a callback (of the dispatcher's thread, or a
 * validator) everything may be called but what blocks and wks_shutdown, which give WKS_ERR_WOULD_DEADLOCK.
 *
 * Times are Unix nanoseconds where they name a moment of a message, milliseconds where they are a
 * length or a limit. Texts are UTF-8.
 *
 * The library installs no signal handler, prints nothing, and leaves the process's global state
 * alone, but for a fork handler and an exit handler from its first use on.
 */

#ifndef WAKUSTORE_H
#define WAKUSTORE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * The major version of the ABI that this header describes; the soname carries it too.
 */
#define WKS_ABI_MAJOR 0

/**
 * The minor version: functions, fields and statuses are added with it.
 */
#define WKS_ABI_MINOR 1

/**
 * Waits without limit, where a timeout is asked for.
 */
#define WKS_FOREVER UINT64_MAX

/**
 * Takes a bound of retention away.
 */
#define WKS_UNBOUNDED UINT64_MAX

/**
 * What came of a call: 0 for success, or the kind of an error. The numbers are grouped by layer,
 * a hundred each, and are only ever added to: treat one that you do not know as an error.
 */
enum wks_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Success.
     */
    WKS_OK = 0,
    /**
     * A bug in the library: a panic was caught. The object it happened in is poisoned.
     */
    WKS_ERR_INTERNAL = 1,
    /**
     * An argument is outside of what the function documents.
     */
    WKS_ERR_INVALID_ARGUMENT = 2,
    /**
     * A pointer that must not be null is null.
     */
    WKS_ERR_NULL_POINTER = 3,
    /**
     * A handle is null, stale, forged or of another kind.
     */
    WKS_ERR_HANDLE = 4,
    /**
     * The library was in use before a `fork` and this is the child.
     */
    WKS_ERR_FORKED = 5,
    /**
     * The library, or the object, is shutting down or has been shut down.
     */
    WKS_ERR_SHUTDOWN = 6,
    /**
     * A blocking call was made from a callback.
     */
    WKS_ERR_WOULD_DEADLOCK = 7,
    /**
     * The operation was cancelled.
     */
    WKS_ERR_CANCELLED = 8,
    /**
     * The time allowed for it has passed.
     */
    WKS_ERR_TIMED_OUT = 9,
    /**
     * An earlier panic left this object unusable: free it.
     */
    WKS_ERR_POISONED = 10,
    /**
     * A bounded queue is full; try again later.
     */
    WKS_ERR_BUSY = 11,
    /**
     * This build, or this object, does not offer it.
     */
    WKS_ERR_UNSUPPORTED = 12,
    /**
     * The operation has not ended yet.
     */
    WKS_ERR_NOT_READY = 13,
    /**
     * The result of the operation is of another type, or was taken already.
     */
    WKS_ERR_NO_RESULT = 14,
    /**
     * The system gives no more threads, descriptors or memory.
     */
    WKS_ERR_RESOURCES = 15,
    /**
     * The archive, or the node, is suspended: it works again once it is resumed.
     */
    WKS_ERR_SUSPENDED = 16,
    /**
     * A pubsub or content topic is empty, too long, not UTF-8, or malformed.
     */
    WKS_ERR_INVALID_TOPIC = 100,
    /**
     * A message hash is not 32 bytes.
     */
    WKS_ERR_INVALID_HASH = 101,
    /**
     * A message is larger than the network's largest, 150 KiB.
     */
    WKS_ERR_MESSAGE_TOO_LARGE = 102,
    /**
     * The meta field is longer than 64 bytes.
     */
    WKS_ERR_META_TOO_LARGE = 103,
    /**
     * A message without a timestamp cannot be stored.
     */
    WKS_ERR_NO_TIMESTAMP = 104,
    /**
     * An ephemeral message is never stored.
     */
    WKS_ERR_EPHEMERAL = 105,
    /**
     * The timestamp lies too far in the future.
     */
    WKS_ERR_TIMESTAMP_IN_FUTURE = 106,
    /**
     * The timestamp lies too far in the past for where the message came from.
     */
    WKS_ERR_TIMESTAMP_TOO_OLD = 107,
    /**
     * A time range ends before it starts.
     */
    WKS_ERR_INVALID_TIME_RANGE = 108,
    /**
     * The bytes end before the value does.
     */
    WKS_ERR_TRUNCATED = 200,
    /**
     * A frame, or a count in it, is larger than allowed.
     */
    WKS_ERR_FRAME_TOO_LARGE = 201,
    /**
     * The bytes are not what the protocol says.
     */
    WKS_ERR_MALFORMED = 202,
    /**
     * The archive cannot be opened at this place.
     */
    WKS_ERR_ARCHIVE_OPEN = 300,
    /**
     * The file is not an archive, or it is damaged.
     */
    WKS_ERR_ARCHIVE_CORRUPT = 301,
    /**
     * No space is left on the disk. Reads go on; writes work again once there is space.
     */
    WKS_ERR_DISK_FULL = 302,
    /**
     * The cursor names a message that the archive does not hold (any more).
     */
    WKS_ERR_CURSOR_NOT_FOUND = 303,
    /**
     * The archive was written by a newer version of the library.
     */
    WKS_ERR_SCHEMA_TOO_NEW = 304,
    /**
     * Reading or writing the archive failed.
     */
    WKS_ERR_ARCHIVE_IO = 305,
    /**
     * Another process holds the archive's lock.
     */
    WKS_ERR_ARCHIVE_LOCKED = 306,
    /**
     * The archive was opened read-only, or its file cannot be written.
     */
    WKS_ERR_ARCHIVE_READ_ONLY = 307,
    /**
     * The archive was closed.
     */
    WKS_ERR_ARCHIVE_CLOSED = 308,
    /**
     * The host's validator refused the message.
     */
    WKS_ERR_VALIDATOR_REFUSED = 309,
    /**
     * The message was taken down: it is not taken in again.
     */
    WKS_ERR_TAKEN_DOWN = 310,
    /**
     * The position is not one of this archive's change feed (any more): read the archive anew, and
     * go on from where it stands now.
     */
    WKS_ERR_POSITION_GONE = 311,
    /**
     * The archive is encrypted with another key, or a key was given for one that is not encrypted.
     */
    WKS_ERR_WRONG_KEY = 312,
    /**
     * The database that holds the archive cannot be reached; it is tried again by itself.
     */
    WKS_ERR_ARCHIVE_UNAVAILABLE = 313,
    /**
     * The store peer, or we, found the request invalid (status 400).
     */
    WKS_ERR_STORE_BAD_REQUEST = 400,
    /**
     * The store peer could not answer, or its answer is not one to this request (status 300).
     */
    WKS_ERR_STORE_BAD_RESPONSE = 401,
    /**
     * The store peer's rate limit is reached (status 429).
     */
    WKS_ERR_STORE_TOO_MANY_REQUESTS = 402,
    /**
     * The store peer is out of service (status 503).
     */
    WKS_ERR_STORE_UNAVAILABLE = 403,
    /**
     * The peer broke the sync protocol.
     */
    WKS_ERR_SYNC_PROTOCOL = 500,
    /**
     * The peer serves none of the topics that were to be compared.
     */
    WKS_ERR_SYNC_SCOPE = 501,
    /**
     * A sync with this peer is already running, or too many are.
     */
    WKS_ERR_SYNC_BUSY = 502,
    /**
     * The text is not a multiaddress, or not one that this node can use.
     */
    WKS_ERR_ADDRESS = 600,
    /**
     * The peer could not be reached.
     */
    WKS_ERR_DIAL = 601,
    /**
     * The node could not listen at this address.
     */
    WKS_ERR_LISTEN = 602,
    /**
     * No connection to this peer, and no address of it is known.
     */
    WKS_ERR_PEER_UNKNOWN = 603,
    /**
     * The peer does not speak this protocol.
     */
    WKS_ERR_PROTOCOL_UNSUPPORTED = 604,
    /**
     * The stream, or the connection under it, ended early.
     */
    WKS_ERR_STREAM_CLOSED = 605,
    /**
     * The identity key's file cannot be read, written, or is not a key.
     */
    WKS_ERR_KEY_FILE = 606,
    /**
     * The peer belongs to another cluster.
     */
    WKS_ERR_OTHER_CLUSTER = 607,
    /**
     * No connected peer takes messages of this topic over relay.
     */
    WKS_ERR_NO_RELAY_PEERS = 608,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum wks_status wks_status;
#else
typedef int32_t wks_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * An error object: code, message and detail. Every call that can fail takes a pointer to one,
 * which may be null. Where the call fails it gives one out, which is the caller's to free with
 * `wks_error_free`; where it succeeds it writes the null handle. (In the child of a `fork` there
 * is the status alone.)
 */
typedef struct wks_error {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_error;

/**
 * A result that is bytes, or one text.
 */
typedef struct wks_buffer {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_buffer;

/**
 * Bytes that are lent: an input for the call, a result until its owner is freed. Texts are UTF-8
 * and need no NUL. `ptr` may be null only where `len` is 0.
 */
typedef struct wks_bytes {
    /**
     * The first byte.
     */
    const uint8_t *ptr;
    /**
     * How many.
     */
    size_t len;
} wks_bytes;

/**
 * A result that is a list of texts.
 */
typedef struct wks_strings {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_strings;

/**
 * A result that is a list of message hashes.
 */
typedef struct wks_hashes {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_hashes;

/**
 * An operation that was started. It ends exactly once: with its result, an error, or
 * `WKS_ERR_CANCELLED`. Wait for it, or attach it to a queue or a callback; then take its result
 * with the function of the result's type; then free it.
 */
typedef struct wks_op {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_op;

/**
 * How far an operation is. The caller allocates it and sets `struct_size`.
 */
typedef struct wks_progress {
    /**
     * `sizeof(wks_progress)`.
     */
    size_t struct_size;
    /**
     * So much is done, in a unit of the operation's own: pages, messages.
     */
    uint64_t done;
    /**
     * Of so much, as far as is known; 0 before anything is.
     */
    uint64_t total;
} wks_progress;

/**
 * Called once when an operation has ended, on the library's dispatcher thread: one thread, one
 * callback after the other. It may call everything but what blocks and `wks_shutdown`, and should
 * return soon; it must not throw.
 */
typedef void (*wks_callback)(struct wks_op op, void *user);

/**
 * Lets go of what a `void *user` points to. Called exactly once for each that was handed over,
 * also where handing it over failed; on the thread that lets go, never under a lock of the
 * library. Null where there is nothing to let go of.
 */
typedef void (*wks_drop)(void *user);

/**
 * A completion queue. Attach operations to it with `wks_op_set_queue`; each gives one completion.
 */
typedef struct wks_queue {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_queue;

/**
 * One page of messages, in forward order.
 */
typedef struct wks_page {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_page;

/**
 * What became of the messages of a put, one outcome each, in their order.
 */
typedef struct wks_outcomes {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_outcomes;

/**
 * An open archive. Any number of threads may use it at once.
 */
typedef struct wks_archive {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_archive;

/**
 * Figures of an archive. The caller allocates it and sets `struct_size`.
 */
typedef struct wks_stats {
    /**
     * `sizeof(wks_stats)`.
     */
    size_t struct_size;
    /**
     * Messages held.
     */
    uint64_t messages;
    /**
     * Bytes on disk; 0 for an archive in memory.
     */
    uint64_t bytes_on_disk;
    /**
     * Timestamp of the oldest message, in Unix nanoseconds; 0 where there is none.
     */
    int64_t oldest;
    /**
     * Timestamp of the newest message, in Unix nanoseconds; 0 where there is none.
     */
    int64_t newest;
} wks_stats;

/**
 * A running node. Any number of threads may use it at once. Peers are named by their peer id, or by
 * an address that ends in `/p2p/` and the peer id.
 */
typedef struct wks_node {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_node;

/**
 * What a sync tells of itself at its end.
 */
typedef struct wks_report {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_report;

/**
 * One event.
 */
typedef struct wks_event {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_event;

/**
 * One operation that has ended. The caller allocates it and sets `struct_size`.
 */
typedef struct wks_completion {
    /**
     * `sizeof(wks_completion)`.
     */
    size_t struct_size;
    /**
     * The operation. Still the caller's to free.
     */
    struct wks_op op;
    /**
     * What `wks_op_set_queue` was given.
     */
    void *user;
} wks_completion;

/**
 * Called when something has come into a queue that was empty, on the library's dispatcher thread.
 * It may call everything but what blocks and `wks_shutdown`; it must not throw.
 */
typedef void (*wks_wake)(void *user);

/**
 * What became of a message: a `WKS_PUT_…`.
 */
typedef int32_t wks_put;

/**
 * What became of one message. The caller allocates it and sets `struct_size`; what it points to is
 * the outcomes', and lives until `wks_outcomes_free`.
 */
typedef struct wks_outcome {
    /**
     * `sizeof(wks_outcome)`.
     */
    size_t struct_size;
    /**
     * The message's hash, 32 bytes.
     */
    const uint8_t *hash;
    /**
     * What became of it.
     */
    wks_put outcome;
    /**
     * Why it was refused: a `wks_status`; `WKS_OK` where it was not.
     */
    int32_t status;
    /**
     * Why it was refused, for people.
     */
    struct wks_bytes reason;
} wks_outcome;

/**
 * A message that goes in. Zero it, set `struct_size`, the topics, the payload and the timestamp;
 * the rest may stay zero. It and what it points to are copied by the call that takes it.
 */
typedef struct wks_message {
    /**
     * `sizeof(wks_message)`.
     */
    size_t struct_size;
    /**
     * Where it was published. UTF-8, 1 to 1,024 bytes.
     */
    struct wks_bytes pubsub_topic;
    /**
     * What it is filed under. UTF-8, 1 to 1,024 bytes.
     */
    struct wks_bytes content_topic;
    /**
     * What the app sends.
     */
    struct wks_bytes payload;
    /**
     * The app protocol's own, up to 64 bytes.
     */
    struct wks_bytes meta;
    /**
     * The proof against spam.
     */
    struct wks_bytes rate_limit_proof;
    /**
     * When it was sent, in Unix nanoseconds.
     */
    int64_t timestamp;
    /**
     * The kind of payload encryption.
     */
    uint32_t version;
    /**
     * 1 for a timestamp that is 0; any other counts without it.
     */
    uint8_t has_timestamp;
    /**
     * 1 for a version that is 0 and there; any other counts without it.
     */
    uint8_t has_version;
    /**
     * 1 for a meta field that is empty and there; any other counts without it.
     */
    uint8_t has_meta;
    /**
     * 1 for a rate limit proof that is empty and there; any other counts without it.
     */
    uint8_t has_rate_limit_proof;
    /**
     * 1 for a message that tells that it is not ephemeral.
     */
    uint8_t has_ephemeral;
    /**
     * 1 for an ephemeral message (which is never stored).
     */
    uint8_t ephemeral;
} wks_message;

/**
 * A message hash, by value.
 */
typedef struct wks_hash {
    /**
     * The hash; all zero where there is none (no message has that).
     */
    uint8_t bytes[32];
} wks_hash;

/**
 * A query. A new one asks for all messages, forward, 20 a page, with their data. A call copies it:
 * it can be changed and used again, and freed at any time.
 */
typedef struct wks_query {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_query;

/**
 * Which way to walk: a `WKS_DIRECTION_…`.
 */
typedef int32_t wks_direction;

/**
 * One entry of a page. The caller allocates it and sets `struct_size`; what it points to is the
 * page's, and lives until `wks_page_free`.
 */
typedef struct wks_entry {
    /**
     * `sizeof(wks_entry)`.
     */
    size_t struct_size;
    /**
     * The message's hash, 32 bytes.
     */
    const uint8_t *hash;
    /**
     * Where it was published.
     */
    struct wks_bytes pubsub_topic;
    /**
     * What it is filed under.
     */
    struct wks_bytes content_topic;
    /**
     * What the app sent.
     */
    struct wks_bytes payload;
    /**
     * The app protocol's own, up to 64 bytes.
     */
    struct wks_bytes meta;
    /**
     * The proof against spam, as it came.
     */
    struct wks_bytes rate_limit_proof;
    /**
     * When it was sent, in Unix nanoseconds.
     */
    int64_t timestamp;
    /**
     * The kind of payload encryption.
     */
    uint32_t version;
    /**
     * Whether there is more than the hash: 1 where whole messages were asked for.
     */
    uint8_t has_data;
    /**
     * Whether the message has a timestamp.
     */
    uint8_t has_timestamp;
    /**
     * Whether the message has a version; without one it is 0.
     */
    uint8_t has_version;
    /**
     * Whether the message has a meta field, which may be empty.
     */
    uint8_t has_meta;
    /**
     * Whether the message has a rate limit proof, which may be empty.
     */
    uint8_t has_rate_limit_proof;
    /**
     * Whether the message tells if it is ephemeral.
     */
    uint8_t has_ephemeral;
    /**
     * Whether it is ephemeral.
     */
    uint8_t ephemeral;
} wks_entry;

/**
 * Where an archive is and how it is run. A call copies it: it can be changed and used again, and
 * freed at any time.
 */
typedef struct wks_archive_options {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_archive_options;

/**
 * What a commit survives: a `WKS_DURABILITY_…`.
 */
typedef int32_t wks_durability;

/**
 * Messages that a validator is asked about: those of one put that the library's own rules take.
 * It lives until the validator returns.
 */
typedef struct wks_batch {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_batch;

/**
 * Called with each batch before it is committed, wherever it comes from, on a thread that the
 * library has for it: neither a worker nor the dispatcher's, and never two at once. It judges with
 * `wks_batch_judge` or `wks_batch_judge_all` before it returns, and must not throw. It may call
 * everything but what blocks and `wks_shutdown`, which give `WKS_ERR_WOULD_DEADLOCK`. The puts
 * behind it, and closing the archive, wait for it up to its time limit.
 */
typedef void (*wks_validate)(struct wks_batch batch, void *user);

/**
 * Where a message came from: a `WKS_ORIGIN_…`.
 */
typedef int32_t wks_origin;

/**
 * What a validator says of a message: a `WKS_VERDICT_…`.
 */
typedef int32_t wks_verdict;

/**
 * A subscription to what is committed, from the moment it was made or from a position on: what is
 * stored, from wherever it comes, and what is removed, by this archive and by others on the same
 * file or database. A bounded queue: a reader that is too slow is told how much it missed, and from
 * where to go on. It does not keep the archive open.
 */
typedef struct wks_changes {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_changes;

/**
 * A place in the change feed of one archive, to keep and to go on from: everything up to it was
 * told. Opaque, but of two positions of one archive the one whose bytes compare as less comes
 * first.
 */
typedef struct wks_position {
    /**
     * The bytes; all zero for the beginning.
     */
    uint8_t bytes[24];
} wks_position;

/**
 * One change.
 */
typedef struct wks_change {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_change;

/**
 * What a change is: a `WKS_CHANGE_…`. Ignore those that you do not know.
 */
typedef int32_t wks_change_kind;

/**
 * What a change tells; what its kind does not name is zero. The caller allocates it and sets
 * `struct_size`; what it points to is the change's, and lives until `wks_change_free`.
 */
typedef struct wks_change_info {
    /**
     * `sizeof(wks_change_info)`.
     */
    size_t struct_size;
    /**
     * What it is.
     */
    wks_change_kind kind;
    /**
     * How many messages were stored or removed: for `wks_change_get`.
     */
    size_t count;
    /**
     * How many messages were left out.
     */
    uint64_t lagged;
    /**
     * Where `wks_archive_subscribe_from` goes on from after this change: 24 bytes, or none where it
     * is not known. Keep it after what the change asks for is done.
     */
    struct wks_bytes position;
    /**
     * The last message that expired, 32 bytes.
     */
    const uint8_t *hash;
    /**
     * When that was sent, in Unix nanoseconds.
     */
    int64_t timestamp;
} wks_change_info;

/**
 * One message that was stored or removed. The caller allocates it and sets `struct_size`; what it
 * points to is the change's, and lives until `wks_change_free`.
 */
typedef struct wks_change_message {
    /**
     * `sizeof(wks_change_message)`.
     */
    size_t struct_size;
    /**
     * The message's hash, 32 bytes.
     */
    const uint8_t *hash;
    /**
     * When it was sent, in Unix nanoseconds.
     */
    int64_t timestamp;
    /**
     * Where it was published.
     */
    struct wks_bytes pubsub_topic;
    /**
     * What it is filed under.
     */
    struct wks_bytes content_topic;
    /**
     * Where it came from, also where it was removed.
     */
    wks_origin origin;
} wks_change_message;

/**
 * A walk through a history. It begins at the query's cursor and goes on from page to page by
 * itself; nothing is asked before the first page is.
 */
typedef struct wks_history {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_history;

/**
 * How a node runs. A call copies it: it can be changed and used again, and freed at any time.
 */
typedef struct wks_node_options {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_node_options;

/**
 * Which way the messages of a sync go: a `WKS_SYNC_…`.
 */
typedef int32_t wks_sync_direction;

/**
 * How a sync compares: a `WKS_PROTOCOL_…`.
 */
typedef int32_t wks_sync_protocol;

/**
 * What one sync is told. Zero it, set `struct_size` and what is to be other than usual.
 */
typedef struct wks_sync_options {
    /**
     * `sizeof(wks_sync_options)`.
     */
    size_t struct_size;
    /**
     * The beginning of the span to compare, in Unix nanoseconds.
     */
    int64_t window_start;
    /**
     * The first moment after it.
     */
    int64_t window_end;
    /**
     * 1 where the span above counts; 0 for the node's window before now.
     */
    uint8_t has_window;
    /**
     * Which way messages go.
     */
    wks_sync_direction direction;
    /**
     * How to compare: a `WKS_PROTOCOL_…`.
     */
    wks_sync_protocol protocol;
    /**
     * 1 to compare only: no message travels, and the report names the ids that differ (see
     * `wks_report_difference`). 0 for a sync.
     */
    uint8_t dry_run;
} wks_sync_options;

/**
 * A subscription to a node's events, from the moment it was made. A bounded queue: a reader that
 * is too slow is told how many events it missed.
 */
typedef struct wks_events {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_events;

/**
 * Why a sync was begun: a `WKS_BEGUN_…`.
 */
typedef int32_t wks_sync_begun;

/**
 * Whether both sides hold the same of what was compared: a `WKS_AGREEMENT_…`.
 */
typedef int32_t wks_sync_agreement;

/**
 * The figures of a sync. The caller allocates it and sets `struct_size`; what it points to is the
 * report's, and lives until `wks_report_free`.
 */
typedef struct wks_sync_figures {
    /**
     * `sizeof(wks_sync_figures)`.
     */
    size_t struct_size;
    /**
     * With whom: a peer id.
     */
    struct wks_bytes peer_id;
    /**
     * Why it broke down, for people; empty where it did not.
     */
    struct wks_bytes reason;
    /**
     * Why it broke down: a `wks_status`; `WKS_OK` where it did not.
     */
    int32_t status;
    /**
     * Whether we began it.
     */
    uint8_t initiator;
    /**
     * The beginning of the span that was compared, in Unix nanoseconds.
     */
    int64_t window_start;
    /**
     * The first moment after it.
     */
    int64_t window_end;
    /**
     * How long it took, in nanoseconds.
     */
    uint64_t duration_ns;
    /**
     * Messages that the peer has and we lacked.
     */
    uint64_t missing;
    /**
     * Messages that we have and the peer lacked.
     */
    uint64_t surplus;
    /**
     * Messages that came and were stored; new ones only.
     */
    uint64_t received;
    /**
     * Messages that were written to the peer's socket.
     */
    uint64_t sent;
    /**
     * Messages that came and were not stored: not asked for, refused, or duplicates.
     */
    uint64_t dropped;
    /**
     * Messages that could not be sent: gone meanwhile, or too large for the peer's frames.
     */
    uint64_t unsendable;
    /**
     * Messages that the peer announced and that are not here at the end.
     */
    uint64_t outstanding;
    /**
     * Frames of reconciliation, both ways; two make a round trip.
     */
    uint64_t frames;
    /**
     * Bytes of reconciliation that we sent.
     */
    uint64_t reconciliation_bytes_out;
    /**
     * Bytes of reconciliation that came.
     */
    uint64_t reconciliation_bytes_in;
    /**
     * Bytes of messages that we sent.
     */
    uint64_t transfer_bytes_out;
    /**
     * Bytes of messages that came.
     */
    uint64_t transfer_bytes_in;
    /**
     * The sync's number, as events tell it.
     */
    uint64_t session;
    /**
     * Ranges that were found equal or were compared id by id. (Over Store: slices of time that
     * were listed to their end.)
     */
    uint64_t ranges_settled;
    /**
     * Our ids in those ranges. (Over Store: the ids that the peer listed.)
     */
    uint64_t ids_compared;
    /**
     * Messages of the peer's that the archive, or the host's validator, refused for good, now or
     * earlier.
     */
    uint64_t refused;
    /**
     * How it compared: a `WKS_PROTOCOL_…`.
     */
    wks_sync_protocol protocol;
    /**
     * Why it was begun: a `WKS_BEGUN_…`.
     */
    wks_sync_begun begun;
    /**
     * Whether both sides hold the same now: a `WKS_AGREEMENT_…`.
     */
    wks_sync_agreement agreement;
    /**
     * 1 for a dry run: `wks_report_difference` tells what differs.
     */
    uint8_t has_difference;
} wks_sync_figures;

/**
 * What happened: a `WKS_EVENT_…`. Ignore those that you do not know.
 */
typedef int32_t wks_event_kind;

/**
 * What an event tells; what its kind does not name is zero. The caller allocates it and sets
 * `struct_size`; what it points to is the event's, and lives until `wks_event_free`.
 */
typedef struct wks_event_info {
    /**
     * `sizeof(wks_event_info)`.
     */
    size_t struct_size;
    /**
     * What happened.
     */
    wks_event_kind kind;
    /**
     * Where the message came from.
     */
    wks_origin origin;
    /**
     * The peer.
     */
    struct wks_bytes peer_id;
    /**
     * The message's hash, 32 bytes.
     */
    const uint8_t *hash;
    /**
     * Where the message was published.
     */
    struct wks_bytes pubsub_topic;
    /**
     * What the message is filed under.
     */
    struct wks_bytes content_topic;
    /**
     * When the message was sent, in Unix nanoseconds.
     */
    int64_t timestamp;
    /**
     * How many events were left out.
     */
    uint64_t lagged;
    /**
     * The sync's number, which no other of this node has while it runs: for
     * `wks_node_cancel_sync`.
     */
    uint64_t session;
    /**
     * The beginning of the span that is compared, in Unix nanoseconds.
     */
    int64_t window_start;
    /**
     * The first moment after it.
     */
    int64_t window_end;
    /**
     * How the sync begins to compare; its report tells how it did in the end.
     */
    wks_sync_protocol protocol;
    /**
     * Why the sync was begun.
     */
    wks_sync_begun begun;
    /**
     * Whether we began the sync.
     */
    uint8_t initiator;
    /**
     * How many peers say that the clock disagrees; those of one network count as one.
     */
    uint32_t peers;
    /**
     * By so many milliseconds the peers' clocks are ahead; behind, where it is negative. Less than
     * ten seconds either way: they agree again.
     */
    int64_t offset_ms;
    /**
     * The file, as it was called.
     */
    struct wks_bytes path;
    /**
     * What is wrong with it.
     */
    struct wks_bytes why;
} wks_event_info;

/**
 * Whether an archive can do its work: a `WKS_ARCHIVE_…`.
 */
typedef int32_t wks_archive_state;

/**
 * How a node is. The caller allocates it and sets `struct_size`. What is not known is 0.
 */
typedef struct wks_health {
    /**
     * `sizeof(wks_health)`.
     */
    size_t struct_size;
    /**
     * Peers that are connected.
     */
    uint64_t peers;
    /**
     * Of them, those that speak Store.
     */
    uint64_t store_peers;
    /**
     * Of them, those that speak reconciliation 1.0.0.
     */
    uint64_t reconciliation_peers;
    /**
     * Of them, those that speak wakustore's own sync protocol.
     */
    uint64_t strong_peers;
    /**
     * Of them, those that take part in relay.
     */
    uint64_t relay_peers;
    /**
     * Syncs that run now.
     */
    uint64_t syncs;
    /**
     * When the last sync ended that ended well, in Unix nanoseconds; 0 where there was none.
     */
    int64_t last_sync_at;
    /**
     * Messages that it brought.
     */
    uint64_t last_sync_received;
    /**
     * Messages that it sent.
     */
    uint64_t last_sync_sent;
    /**
     * Messages that the peer announced and that were not here at its end.
     */
    uint64_t last_sync_outstanding;
    /**
     * With whom, ended by a NUL.
     */
    uint8_t last_sync_peer[64];
    /**
     * Whether both sides held the same then: a `WKS_AGREEMENT_…`.
     */
    wks_sync_agreement last_sync_agreement;
    /**
     * Whether the node runs: 1, or 0 once it was stopped.
     */
    uint8_t running;
    /**
     * Whether the sync index stands: until then, and in a node that does not sync, 0.
     */
    uint8_t sync_ready;
    /**
     * Messages that are stored.
     */
    uint64_t messages;
    /**
     * The timestamp of the newest of them.
     */
    int64_t newest;
    /**
     * The timestamp of the oldest of them.
     */
    int64_t oldest;
    /**
     * Up to where some peer agrees with this node on what there is, in Unix nanoseconds; 0 where
     * nobody does yet.
     */
    int64_t agreed_until;
    /**
     * How far that lies behind now, in nanoseconds; `UINT64_MAX` where nobody agrees yet.
     */
    uint64_t behind_ns;
    /**
     * Spans of time for which the node was not online and that no sync has filled yet.
     */
    uint64_t gaps;
    /**
     * How long they are together, in nanoseconds.
     */
    uint64_t gap_ns;
    /**
     * Where the first of them begins, in Unix nanoseconds.
     */
    int64_t gap_start;
    /**
     * Whether the archive can do its work.
     */
    wks_archive_state archive;
    /**
     * What is wrong with it; `WKS_OK` where nothing is.
     */
    int32_t archive_error;
    /**
     * Puts that wait for their commit.
     */
    uint64_t archive_puts;
    /**
     * What their messages count for, in bytes.
     */
    uint64_t archive_put_bytes;
    /**
     * Questions that wait for a reader of the archive.
     */
    uint64_t archive_reads;
    /**
     * Commands that wait for the task of the connections.
     */
    uint64_t commands;
    /**
     * Streams that peers have open to the node.
     */
    uint64_t streams;
    /**
     * Store requests of peers that are being answered.
     */
    uint64_t store_answering;
    /**
     * Store requests of the node's own on their way.
     */
    uint64_t store_asking;
    /**
     * Bytes of messages that came over relay and wait for the archive.
     */
    uint64_t relay_bytes;
    /**
     * Bytes of messages that came by syncs and wait for the archive.
     */
    uint64_t sync_bytes;
} wks_health;

/**
 * How grave a line is: a `WKS_LOG_…`.
 */
typedef int32_t wks_log_level;

/**
 * A line of the log. The library allocates it and sets `struct_size`: fields behind that are not
 * there.
 */
typedef struct wks_log_line {
    /**
     * The size of the struct as the library knows it.
     */
    size_t struct_size;
    /**
     * When, in Unix nanoseconds.
     */
    int64_t time;
    /**
     * Lines that were left out before this one, since the function was too slow.
     */
    uint64_t dropped;
    /**
     * A `WKS_LOG_…`.
     */
    wks_log_level level;
    /**
     * Of what, as `wakustore::node::swarm`.
     */
    struct wks_bytes target;
    /**
     * One line of text, without a new line at its end: what happened, then `name=value` fields.
     */
    struct wks_bytes message;
} wks_log_line;

/**
 * Called with each line, on a thread of the library's that is there for it: neither a worker nor
 * the dispatcher's, one line at a time. The line and its texts are lent for the call. It may call
 * everything but what blocks and `wks_shutdown`, which give `WKS_ERR_WOULD_DEADLOCK`, and must not
 * throw. The library does not wait for it: of what it is too slow for, lines are left out.
 */
typedef void (*wks_log)(const struct wks_log_line *line, void *user);

/**
 * A node's coverage at one moment: spans that do not overlap, in ascending order.
 */
typedef struct wks_coverage {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_coverage;

/**
 * A span of time, and who agreed with the node on what lies in it. The caller allocates it and
 * sets `struct_size`.
 */
typedef struct wks_coverage_span {
    /**
     * `sizeof(wks_coverage_span)`.
     */
    size_t struct_size;
    /**
     * The beginning of the span, in Unix nanoseconds.
     */
    int64_t start;
    /**
     * The first moment after it.
     */
    int64_t end;
    /**
     * When the last comparison that counts here ended, in Unix nanoseconds.
     */
    int64_t compared_at;
    /**
     * Peers that agreed; those of one network count as one.
     */
    uint32_t peers;
    /**
     * Of them, those whose agreement was `WKS_AGREEMENT_STRONG`.
     */
    uint32_t strong;
} wks_coverage_span;

/**
 * What a backup, or a restore, has written. The caller allocates it and sets `struct_size`.
 */
typedef struct wks_backup {
    /**
     * `sizeof(wks_backup)`.
     */
    size_t struct_size;
    /**
     * Messages in it.
     */
    uint64_t messages;
    /**
     * The length of the file, in bytes.
     */
    uint64_t bytes;
} wks_backup;

/**
 * What does not fit, after a check or a salvage.
 */
typedef struct wks_findings {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_findings;

/**
 * What a check or a salvage counted. The caller allocates it and sets `struct_size`.
 */
typedef struct wks_findings_info {
    /**
     * `sizeof(wks_findings_info)`.
     */
    size_t struct_size;
    /**
     * Messages whose hash was recomputed, or that are in the new archive.
     */
    uint64_t messages;
    /**
     * Of a salvage: the tombstones that are in the new archive.
     */
    uint64_t tombstones;
    /**
     * All that does not fit, or was lost; 0 for an archive that is sound.
     */
    uint64_t count;
    /**
     * How many of these are listed: the first 1,000 at the most.
     */
    size_t listed;
} wks_findings_info;

/**
 * What is wrong: a `WKS_FINDING_…`. Ignore those that you do not know.
 */
typedef int32_t wks_finding_kind;

/**
 * One thing that does not fit. The caller allocates it and sets `struct_size`; what it points to is
 * the report's, and lives until `wks_findings_free`.
 */
typedef struct wks_finding {
    /**
     * `sizeof(wks_finding)`.
     */
    size_t struct_size;
    /**
     * What kind of thing.
     */
    wks_finding_kind kind;
    /**
     * The message that it is about, 32 bytes; null where that cannot be told.
     */
    const uint8_t *hash;
    /**
     * In words, without content of messages.
     */
    struct wks_bytes detail;
} wks_finding;

/**
 * Which form of the header of reconciliation 1.0.0 is written and read: a `WKS_DIALECT_…`.
 */
typedef int32_t wks_sync_dialect;

/**
 * What came of an import or an export.
 */
typedef struct wks_move {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_move;

/**
 * What an import or an export counted. The caller allocates it and sets `struct_size`; what it
 * points to is the report's, and lives until `wks_move_free`.
 */
typedef struct wks_move_info {
    /**
     * `sizeof(wks_move_info)`.
     */
    size_t struct_size;
    /**
     * Messages, or rows, that were dealt with: the sum of the next three.
     */
    uint64_t read;
    /**
     * Messages that are new where they were moved to.
     */
    uint64_t written;
    /**
     * Messages that were there already.
     */
    uint64_t duplicates;
    /**
     * Of an import, rows that hold no message that may be stored: for `wks_move_refused`. Of an
     * export, messages that nwaku's database has no way to hold.
     */
    uint64_t refused;
    /**
     * Of an import, messages that the source had under another hash than their own; they are here
     * under their own.
     */
    uint64_t rehashed;
    /**
     * Of an import, messages for which the source has no hash to compare with.
     */
    uint64_t unhashed;
    /**
     * Of an export, messages with a rate-limit proof, for which nwaku has no place.
     */
    uint64_t without_proof;
    /**
     * How many of the rows that were refused are listed: the first 1,000 at the most.
     */
    size_t listed;
    /**
     * Whether the end was reached (1), or the limit (0).
     */
    uint8_t complete;
    /**
     * Where to go on: a text to keep, of use for the same source and target alone. Empty where
     * nothing was there.
     */
    struct wks_bytes position;
} wks_move_info;

/**
 * A row of the source that was not imported. The caller allocates it and sets `struct_size`; what
 * it points to is the report's, and lives until `wks_move_free`.
 */
typedef struct wks_refused_row {
    /**
     * `sizeof(wks_refused_row)`.
     */
    size_t struct_size;
    /**
     * Its key in the source.
     */
    struct wks_bytes row;
    /**
     * The source's time of it, in Unix nanoseconds; 0 where it has none.
     */
    int64_t timestamp;
    /**
     * Why, as a `wks_status`.
     */
    int32_t status;
    /**
     * Why, in words.
     */
    struct wks_bytes reason;
} wks_refused_row;

/**
 * What a `wks_node_sync_once` may take. Zero it, set `struct_size` and what is to be other than
 * usual.
 */
typedef struct wks_once_options {
    /**
     * `sizeof(wks_once_options)`.
     */
    size_t struct_size;
    /**
     * The beginning of the span to sync, in Unix nanoseconds.
     */
    int64_t window_start;
    /**
     * The first moment after it.
     */
    int64_t window_end;
    /**
     * When it is over, at the latest, in milliseconds from now; 0 for 25 seconds.
     */
    uint64_t deadline_ms;
    /**
     * The most bytes, both ways, of Sync and Store; 0 for no limit. What was asked of a Store peer
     * before is still read: up to two hundred messages.
     */
    uint64_t byte_budget;
    /**
     * Which way messages go.
     */
    wks_sync_direction direction;
    /**
     * 1 where the span above counts; 0 for what is due: the node's window before now, and what it
     * missed before that.
     */
    uint8_t has_window;
} wks_once_options;

/**
 * What came of a `wks_node_sync_once`.
 */
typedef struct wks_once_report {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_once_report;

/**
 * Why a `wks_node_sync_once` has ended: a `WKS_ONCE_…`.
 */
typedef int32_t wks_once_end;

/**
 * The figures of a `wks_node_sync_once`. The caller allocates it and sets `struct_size`; what it
 * points to is the report's, and lives until `wks_once_report_free`.
 */
typedef struct wks_once_figures {
    /**
     * `sizeof(wks_once_figures)`.
     */
    size_t struct_size;
    /**
     * Why the last peer that failed did, for people; empty where none did.
     */
    struct wks_bytes reason;
    /**
     * The first moment of what was to be synced, in Unix nanoseconds.
     */
    int64_t window_start;
    /**
     * The first moment after it.
     */
    int64_t window_end;
    /**
     * Spans that are left of it: `wks_once_report_lacking`.
     */
    size_t lacking;
    /**
     * Messages that a peer is known to have, and that are not here.
     */
    uint64_t outstanding;
    /**
     * Messages that came and were stored; new ones only.
     */
    uint64_t received;
    /**
     * Messages that were sent.
     */
    uint64_t sent;
    /**
     * Bytes of Sync and Store that came, whoever they were for.
     */
    uint64_t bytes_in;
    /**
     * Bytes of Sync and Store that went.
     */
    uint64_t bytes_out;
    /**
     * How long it took, in nanoseconds.
     */
    uint64_t duration_ns;
    /**
     * Why it ended.
     */
    wks_once_end end;
    /**
     * Why the last peer that failed did: a `wks_status`; `WKS_OK` where none did.
     */
    int32_t status;
} wks_once_figures;

/**
 * A span of time. The caller allocates it and sets `struct_size`.
 */
typedef struct wks_span {
    /**
     * `sizeof(wks_span)`.
     */
    size_t struct_size;
    /**
     * The beginning, in Unix nanoseconds.
     */
    int64_t start;
    /**
     * The first moment after it.
     */
    int64_t end;
} wks_span;

/**
 * Which of the ids that differ: a `WKS_DIFFERENCE_…`.
 */
typedef int32_t wks_difference_side;

/**
 * What names a message in a sync. The caller allocates it and sets `struct_size`; what it points to
 * is the report's, and lives until `wks_report_free`.
 */
typedef struct wks_sync_id {
    /**
     * `sizeof(wks_sync_id)`.
     */
    size_t struct_size;
    /**
     * The message's hash, 32 bytes.
     */
    const uint8_t *hash;
    /**
     * When it was sent, in Unix nanoseconds.
     */
    int64_t timestamp;
} wks_sync_id;

/**
 * How far a sync is. The caller allocates it and sets `struct_size`.
 */
typedef struct wks_sync_progress {
    /**
     * `sizeof(wks_sync_progress)`.
     */
    size_t struct_size;
    /**
     * Messages that the peer has and we lacked.
     */
    uint64_t missing;
    /**
     * Messages that we have and the peer lacked.
     */
    uint64_t surplus;
    /**
     * Messages that came and were stored; new ones only.
     */
    uint64_t received;
    /**
     * Messages that were written to the peer's socket.
     */
    uint64_t sent;
    /**
     * Messages that came and were not stored: not asked for, refused, or duplicates.
     */
    uint64_t dropped;
    /**
     * Messages that could not be sent: gone meanwhile, or too large for the peer's frames.
     */
    uint64_t unsendable;
    /**
     * Frames of reconciliation, both ways; two make a round trip.
     */
    uint64_t frames;
    /**
     * Bytes of reconciliation that we sent.
     */
    uint64_t reconciliation_bytes_out;
    /**
     * Bytes of reconciliation that came.
     */
    uint64_t reconciliation_bytes_in;
    /**
     * Bytes of messages that we sent.
     */
    uint64_t transfer_bytes_out;
    /**
     * Bytes of messages that came.
     */
    uint64_t transfer_bytes_in;
    /**
     * Ranges that were found equal or were compared id by id.
     */
    uint64_t ranges_settled;
    /**
     * Our ids in those ranges.
     */
    uint64_t ids_compared;
    /**
     * Messages of the peer's that the archive, or the host's validator, refused for good, now or
     * earlier.
     */
    uint64_t refused;
} wks_sync_progress;

/**
 * Which kind of topic: a `WKS_TOPIC_…`.
 */
typedef int32_t wks_topic_kind;

/**
 * One page of figures by topic.
 */
typedef struct wks_topics {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_topics;

/**
 * What an archive holds of one topic. The caller allocates it and sets `struct_size`; what it
 * points to is the page's, and lives until `wks_topics_free`.
 */
typedef struct wks_topic_stats {
    /**
     * `sizeof(wks_topic_stats)`.
     */
    size_t struct_size;
    /**
     * The topic.
     */
    struct wks_bytes name;
    /**
     * Messages held; 0 where all that there were have been removed.
     */
    uint64_t messages;
    /**
     * Bytes of their payloads, metas and rate-limit proofs. On disk a message takes some 300 bytes
     * more.
     */
    uint64_t bytes;
    /**
     * Timestamp of the oldest, in Unix nanoseconds; 0 where there is none.
     */
    int64_t oldest;
    /**
     * Timestamp of the newest, in Unix nanoseconds; 0 where there is none.
     */
    int64_t newest;
} wks_topic_stats;

/**
 * How a walk goes. The caller allocates it, zeroed, and sets `struct_size`.
 */
typedef struct wks_history_options {
    /**
     * `sizeof(wks_history_options)`.
     */
    size_t struct_size;
    /**
     * A query for a longer time is asked in spans of so many nanoseconds, one after the other,
     * since some service nodes refuse long ones; 0 to ask it whole.
     */
    uint64_t span_ns;
    /**
     * 1 so that peers are not told which content topics are looked for: they are asked for
     * everything of the pubsub topic and the time, and the rest is left out here (docs/PRIVACY.md).
     */
    uint8_t filter_at_home;
} wks_history_options;

/**
 * What several store peers told when they were asked the same.
 */
typedef struct wks_check {
    /**
     * The number; 0 is null.
     */
    uint64_t id;
} wks_check;

/**
 * What one peer told. The caller allocates it and sets `struct_size`; what it points to is the
 * check's, and lives until `wks_check_free`.
 */
typedef struct wks_check_peer {
    /**
     * `sizeof(wks_check_peer)`.
     */
    size_t struct_size;
    /**
     * The peer, as the caller named it.
     */
    struct wks_bytes peer;
    /**
     * How many hashes it told.
     */
    size_t told;
    /**
     * The hashes that others told and it did not, 32 bytes each, one after the other. (It may have
     * come to know them since, or others may hold what it let go by its retention.) They say nothing
     * where its answer broke off.
     */
    struct wks_bytes omitted;
    /**
     * Why its answer broke off: a `wks_status`; `WKS_OK` where it did not.
     */
    int32_t status;
    /**
     * Why it broke off, for people; empty where it did not.
     */
    struct wks_bytes reason;
} wks_check_peer;

/**
 * From relay, or from the host, as it happened. Such a message must be recent.
 */
#define WKS_ORIGIN_LIVE 0

/**
 * By a sync with a peer.
 */
#define WKS_ORIGIN_SYNC 1

/**
 * By a store query for a time when the node was off.
 */
#define WKS_ORIGIN_RESUME 2

/**
 * From another archive.
 */
#define WKS_ORIGIN_IMPORT 3

/**
 * It is new, and committed.
 */
#define WKS_PUT_STORED 0

/**
 * It was there already, and committed.
 */
#define WKS_PUT_DUPLICATE 1

/**
 * The rules refuse it; `status` and `reason` tell why.
 */
#define WKS_PUT_REFUSED 2

/**
 * Oldest first.
 */
#define WKS_DIRECTION_FORWARD 0

/**
 * Newest first. The entries of each page are in forward order all the same.
 */
#define WKS_DIRECTION_BACKWARD 1

/**
 * An acknowledged message survives a power loss. The default.
 */
#define WKS_DURABILITY_FULL 0

/**
 * It survives a crash of the process; a power loss may take the last commits, never the file.
 */
#define WKS_DURABILITY_NORMAL 1

/**
 * It cannot be told now: the put's outcome is `WKS_ERR_BUSY`, and the same message may be put
 * again, or come with a later sync. What is not judged at all counts as this.
 */
#define WKS_VERDICT_UNKNOWN 0

/**
 * It may be stored.
 */
#define WKS_VERDICT_VALID 1

/**
 * It may never be stored: the put's outcome is `WKS_ERR_VALIDATOR_REFUSED`, and a sync does not ask
 * for it again.
 */
#define WKS_VERDICT_INVALID 2

/**
 * Messages were stored; those that were there already are not among them. Of this archive's own
 * commits, while the reader keeps up, one change is one commit.
 */
#define WKS_CHANGE_STORED 1

/**
 * Messages were removed, by retention or taken down. Do not mind one that you do not know.
 */
#define WKS_CHANGE_REMOVED 2

/**
 * The reader was too slow: `lagged` messages, stored or removed, were left out here (0 where it is
 * not known how many). From `position` a new subscription goes on with nothing left out.
 */
#define WKS_CHANGE_LAGGED 3

/**
 * Retention removed all messages up to the one of `timestamp` and `hash`, with it: told so of other
 * archives on the same file or database, and of what lies behind.
 */
#define WKS_CHANGE_EXPIRED 4

/**
 * Both ways.
 */
#define WKS_SYNC_BOTH 0

/**
 * Only to us.
 */
#define WKS_SYNC_PULL 1

/**
 * Only to the peer.
 */
#define WKS_SYNC_PUSH 2

/**
 * A peer's first connection stands: `peer_id`.
 */
#define WKS_EVENT_PEER_CONNECTED 1

/**
 * A peer's last connection is gone: `peer_id`.
 */
#define WKS_EVENT_PEER_DISCONNECTED 2

/**
 * The archive has stored a message: `hash`, `timestamp`, `pubsub_topic`, `content_topic`, `origin`.
 */
#define WKS_EVENT_MESSAGE_STORED 3

/**
 * A sync has ended, begun by either side: `peer_id`, `session`, and `wks_event_report`.
 */
#define WKS_EVENT_SYNC_FINISHED 4

/**
 * The reader was too slow: `lagged` events were left out here.
 */
#define WKS_EVENT_LAGGED 5

/**
 * A sync has begun, by either side, and what it compares is known: `peer_id`, `session`,
 * `initiator`, `begun`, `protocol`, `window_start`, `window_end`.
 */
#define WKS_EVENT_SYNC_STARTED 6

/**
 * A sync goes on; at most a few times a second for each: `peer_id`, `session`, and
 * `wks_event_progress`.
 */
#define WKS_EVENT_SYNC_PROGRESS 7

/**
 * The clock of this machine disagrees with those of the peers, as far as three networks or more say
 * the same: `offset_ms`, `peers`. Told once, and again when it changes much or is put right.
 */
#define WKS_EVENT_CLOCK_SKEW 8

/**
 * A peer is connected again, or for the first time.
 */
#define WKS_EVENT_ONLINE 9

/**
 * No peer has been connected for the grace, while the node looks for some. It goes on dialling.
 */
#define WKS_EVENT_OFFLINE 10

/**
 * A file of the node's own could not be used and was moved aside (`.bad` is put behind its name); the
 * node goes on without what was in it: `path`, `why`. Told to the first that reads the events.
 */
#define WKS_EVENT_STATE_SET_ASIDE 11

/**
 * It reads, and the last commit went well, or there was none yet.
 */
#define WKS_ARCHIVE_WRITABLE 0

/**
 * It was opened read-only.
 */
#define WKS_ARCHIVE_READ_ONLY 1

/**
 * The last commit found no space on the disk. Reads go on.
 */
#define WKS_ARCHIVE_DISK_FULL 2

/**
 * Its database cannot be reached; it is tried again by itself.
 */
#define WKS_ARCHIVE_UNAVAILABLE 3

/**
 * The last commit failed of something else.
 */
#define WKS_ARCHIVE_FAILING 4

/**
 * It was closed.
 */
#define WKS_ARCHIVE_CLOSED 5

/**
 * Something is lost or does not work.
 */
#define WKS_LOG_ERROR 1

/**
 * Something that should not be, and that the library goes on with.
 */
#define WKS_LOG_WARN 2

/**
 * What an operator wants to know.
 */
#define WKS_LOG_INFO 3

/**
 * What helps to find out why.
 */
#define WKS_LOG_DEBUG 4

/**
 * All there is.
 */
#define WKS_LOG_TRACE 5

/**
 * The message's content does not give the hash that it is filed under.
 */
#define WKS_FINDING_HASH_MISMATCH 1

/**
 * A message, or a range of rows, cannot be read.
 */
#define WKS_FINDING_UNREADABLE 2

/**
 * The content is no message: an empty topic, a field of the wrong type.
 */
#define WKS_FINDING_INVALID 3

/**
 * The file's structure, or an index, is damaged.
 */
#define WKS_FINDING_STRUCTURE 4

/**
 * A figure that is kept is not what is counted.
 */
#define WKS_FINDING_FIGURE 5

/**
 * Pubsub and content topics, as deployed nodes have it since nwaku v0.37. The default.
 */
#define WKS_DIALECT_TOPICS 0

/**
 * Cluster and shards, as in the published document and in nwaku v0.35 and v0.36.
 */
#define WKS_DIALECT_SHARDS 1

/**
 * Nothing is lacking.
 */
#define WKS_ONCE_COMPLETE 0

/**
 * The time was over.
 */
#define WKS_ONCE_DEADLINE 1

/**
 * The bytes were used up.
 */
#define WKS_ONCE_BUDGET 2

/**
 * No peer was left that had not failed.
 */
#define WKS_ONCE_PEERS 3

/**
 * The peer has them and we lack them.
 */
#define WKS_DIFFERENCE_MISSING 0

/**
 * We have them and the peer lacks them.
 */
#define WKS_DIFFERENCE_SURPLUS 1

/**
 * The best that the peer speaks. Only to ask for: reports and events name one of the others.
 */
#define WKS_PROTOCOL_AUTO 0

/**
 * Reconciliation 1.0.0.
 */
#define WKS_PROTOCOL_V1 1

/**
 * wakustore's own.
 */
#define WKS_PROTOCOL_STRONG 2

/**
 * Store queries alone.
 */
#define WKS_PROTOCOL_STORE 3

/**
 * The app asked for it.
 */
#define WKS_BEGUN_ON_DEMAND 0

/**
 * The time between two syncs was over.
 */
#define WKS_BEGUN_BY_INTERVAL 1

/**
 * A peer came, at start or again.
 */
#define WKS_BEGUN_ON_CONNECT 2

/**
 * To fill the gap since the node was last online.
 */
#define WKS_BEGUN_TO_RESUME 3

/**
 * The peer began it.
 */
#define WKS_BEGUN_BY_PEER 4

/**
 * The sync ended early, or something was left over.
 */
#define WKS_AGREEMENT_NONE 0

/**
 * Nothing is left over by what 1.0.0 or Store can tell.
 */
#define WKS_AGREEMENT_WEAK 1

/**
 * Both sides' fingerprints are equal, in a construction that chosen hashes cannot blind.
 */
#define WKS_AGREEMENT_STRONG 2

/**
 * By where messages are published.
 */
#define WKS_TOPIC_PUBSUB 0

/**
 * By what messages are filed under.
 */
#define WKS_TOPIC_CONTENT 1

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The code: the status that the call returned.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE` for a handle that is null or stale (that is then the answer).
 */
wks_status wks_error_code(struct wks_error error);

/**
 * What is wrong, and with what, for people: UTF-8 that ends in NUL. It never carries a payload, a
 * key or a password.
 *
 * Threads: any. Blocks: no. Owns: the text is the error's, and lives until `wks_error_free`.
 * Errors: none; the empty text for a handle that is null or stale.
 */
const char *wks_error_message(struct wks_error error);

/**
 * The name of the error's kind and the function that failed, for logs: UTF-8 that ends in NUL.
 *
 * Threads: any. Blocks: no. Owns: the text is the error's, and lives until `wks_error_free`.
 * Errors: none; the empty text for a handle that is null or stale.
 */
const char *wks_error_detail(struct wks_error error);

/**
 * Frees an error and its texts. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_error_free(struct wks_error error);

/**
 * The name of a status, `WKS_ERR_DIAL` say, as a text that ends in NUL; `WKS_ERR_UNKNOWN` for a
 * number that this library does not know.
 *
 * Threads: any. Blocks: no. Owns: the text is a constant.
 * Errors: none.
 */
const char *wks_status_name(int32_t status);

/**
 * The bytes of a buffer.
 *
 * Threads: any. Blocks: no. Owns: the bytes are the buffer's, and live until `wks_buffer_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_buffer_bytes(struct wks_buffer buffer,
                            struct wks_bytes *bytes,
                            struct wks_error *error);

/**
 * Frees a buffer and its bytes. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_buffer_free(struct wks_buffer buffer);

/**
 * How many texts there are.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_strings_count(struct wks_strings strings, size_t *count, struct wks_error *error);

/**
 * Text `index`, counted from 0.
 *
 * Threads: any. Blocks: no. Owns: the text is the list's, and lives until `wks_strings_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
 * beyond the end.
 */
wks_status wks_strings_get(struct wks_strings strings,
                           size_t index,
                           struct wks_bytes *text,
                           struct wks_error *error);

/**
 * Frees a list and its texts. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_strings_free(struct wks_strings strings);

/**
 * The hashes, 32 bytes each, one after the other: `len` is 32 times their count.
 *
 * Threads: any. Blocks: no. Owns: the bytes are the list's, and live until `wks_hashes_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_hashes_bytes(struct wks_hashes hashes,
                            struct wks_bytes *bytes,
                            struct wks_error *error);

/**
 * Frees a list of hashes. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_hashes_free(struct wks_hashes hashes);

/**
 * The version of the library's ABI: major in the upper 16 bits, minor in the lower. A program
 * works with a library of the same major and the same or a later minor version.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: none. It may be asked in any process, also before a fork.
 */
uint32_t wks_abi_version(void);

/**
 * The version of the library, `1.2.3` say, as a text that ends in NUL.
 *
 * Threads: any. Blocks: no. Owns: the text is a constant.
 * Errors: none. It may be asked in any process, also before a fork.
 */
const char *wks_version(void);

/**
 * Waits until the operation has ended, well or not; `wks_op_status` tells which. `WKS_FOREVER`
 * waits without limit.
 *
 * Threads: any but the dispatcher's. Blocks: yes, up to `timeout_ms` milliseconds. Owns: nothing.
 * Errors: `WKS_ERR_TIMED_OUT` where it has not ended by then (it goes on),
 * `WKS_ERR_WOULD_DEADLOCK` from a callback, `WKS_ERR_HANDLE`.
 */
wks_status wks_op_wait(struct wks_op op, uint64_t timeout_ms, struct wks_error *error);

/**
 * How the operation ended: `WKS_OK` where its result is there, or was taken.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: the operation's own, `WKS_ERR_NOT_READY` where it has not ended, `WKS_ERR_HANDLE`.
 */
wks_status wks_op_status(struct wks_op op, struct wks_error *error);

/**
 * Ends the operation with `WKS_ERR_CANCELLED`, unless it has ended. Any number of times. A put
 * that was accepted is committed all the same.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_op_cancel(struct wks_op op, struct wks_error *error);

/**
 * How far the operation is: a backup, a check and the like. Of all others both numbers are 0. Set
 * `progress->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_op_progress(struct wks_op op,
                           struct wks_progress *progress,
                           struct wks_error *error);

/**
 * Has `callback` called with `user` once the operation has ended; at once where it has. Only one
 * callback or queue, once, for each operation.
 *
 * Threads: any. Blocks: no. Owns: takes `user`; `drop` is called for it exactly once: after the
 * callback, or where the operation is freed before, or where a shutdown gave up waiting for it, or
 * where this call fails.
 * Errors: `WKS_ERR_NULL_POINTER`, `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` where something is
 * attached already, `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`.
 */
wks_status wks_op_set_callback(struct wks_op op,
                               wks_callback callback,
                               void *user,
                               wks_drop drop,
                               struct wks_error *error);

/**
 * Has `queue` told once the operation has ended, with `user` beside it; at once where it has. Only
 * one callback or queue, once, for each operation.
 *
 * Threads: any. Blocks: no. Owns: `user` stays the caller's; the library only hands it back.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` where something is attached already,
 * `WKS_ERR_SHUTDOWN` where the queue was made before a shutdown: its wake function is not called
 * any more. Make another queue; the operation can be attached to that.
 */
wks_status wks_op_set_queue(struct wks_op op,
                            struct wks_queue queue,
                            void *user,
                            struct wks_error *error);

/**
 * Takes a page: of a query, a get, or the next of a history (the null handle at its end).
 *
 * Threads: any. Blocks: no. Owns: the page is the caller's, to free with `wks_page_free`.
 * Errors: the operation's own, `WKS_ERR_NOT_READY`, `WKS_ERR_NO_RESULT` where the result is of
 * another type or was taken, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_op_take_page(struct wks_op op, struct wks_page *page, struct wks_error *error);

/**
 * Takes what became of the messages of a put.
 *
 * Threads: any. Blocks: no. Owns: the outcomes are the caller's, to free with
 * `wks_outcomes_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_outcomes(struct wks_op op,
                                struct wks_outcomes *outcomes,
                                struct wks_error *error);

/**
 * Takes a list of hashes.
 *
 * Threads: any. Blocks: no. Owns: the list is the caller's, to free with `wks_hashes_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_hashes(struct wks_op op, struct wks_hashes *hashes, struct wks_error *error);

/**
 * Takes bytes, or a text: a store response, a peer id.
 *
 * Threads: any. Blocks: no. Owns: the buffer is the caller's, to free with `wks_buffer_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_buffer(struct wks_op op, struct wks_buffer *buffer, struct wks_error *error);

/**
 * Takes an archive that was opened.
 *
 * Threads: any. Blocks: no. Owns: the archive is the caller's, to free with `wks_archive_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_archive(struct wks_op op,
                               struct wks_archive *archive,
                               struct wks_error *error);

/**
 * Takes an archive's figures. Set `struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: as `wks_op_take_page`, and `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`.
 */
wks_status wks_op_take_stats(struct wks_op op, struct wks_stats *stats, struct wks_error *error);

/**
 * Takes a node that was started.
 *
 * Threads: any. Blocks: no. Owns: the node is the caller's, to free with `wks_node_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_node(struct wks_op op, struct wks_node *node, struct wks_error *error);

/**
 * Takes the report of a sync.
 *
 * Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_report_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_report(struct wks_op op, struct wks_report *report, struct wks_error *error);

/**
 * Takes a node's event; the null handle once the node has stopped.
 *
 * Threads: any. Blocks: no. Owns: the event is the caller's, to free with `wks_event_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_event(struct wks_op op, struct wks_event *event, struct wks_error *error);

/**
 * Frees an operation, and with it a result that was not taken. One that has not ended is
 * cancelled. A callback that the dispatcher has not taken up by then never begins (its `drop` is
 * called here); one that runs, or is just about to, goes on, and its `drop` is called after: what
 * `user` points to is safe to free only once `drop` was called. A queue does not tell of the
 * operation any more. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_op_free(struct wks_op op);

/**
 * Makes an empty queue. Starts the library's threads where they do not run.
 *
 * Threads: any. Blocks: no. Owns: the queue is the caller's, to free with `wks_queue_free`.
 * Errors: `WKS_ERR_NULL_POINTER`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`.
 */
wks_status wks_queue_new(struct wks_queue *queue, struct wks_error *error);

/**
 * A file descriptor that is readable while the queue holds something: for `poll`, `epoll`,
 * `select`, `add_reader`. Do not read from it or close it. (It may be readable and the queue
 * empty, where operations were freed meanwhile.)
 *
 * Threads: any. Blocks: no. Owns: the descriptor is the queue's, and open until
 * `wks_queue_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_queue_fd(struct wks_queue queue, int32_t *fd, struct wks_error *error);

/**
 * Takes completions out, the oldest first: up to `capacity` of them, and writes how many to
 * `count`. Set `struct_size` of the first of `completions`.
 *
 * Threads: any. Blocks: no; `count` is 0 where there is none. Owns: `completions` is the
 * caller's; so are the operations in it.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size` or a `capacity` of 0.
 */
wks_status wks_queue_poll(struct wks_queue queue,
                          struct wks_completion *completions,
                          size_t capacity,
                          size_t *count,
                          struct wks_error *error);

/**
 * Has `wake` called with `user` each time something comes into the empty queue, and at once where
 * something is in it: take everything out then, until `wks_queue_poll` gives less than its
 * capacity. A null `wake` takes the one before away: it will not be called again, but one that runs
 * on the dispatcher, or is just about to, goes on, and `drop` is called after it: what `user` points
 * to is safe to free only once `drop` was called.
 *
 * Threads: any. Blocks: no. Owns: takes `user`; `drop` is called for it exactly once: when it is
 * replaced, when the queue is freed, or where this call fails.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`.
 */
wks_status wks_queue_set_wake(struct wks_queue queue,
                              wks_wake wake,
                              void *user,
                              wks_drop drop,
                              struct wks_error *error);

/**
 * Frees a queue and forgets the completions in it. Operations that are attached go on, untold. The
 * null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle; the operations stay the caller's.
 * Errors: none; a stale handle is ignored.
 */
void wks_queue_free(struct wks_queue queue);

/**
 * How many outcomes there are: as many as messages were put.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_outcomes_count(struct wks_outcomes outcomes, size_t *count, struct wks_error *error);

/**
 * What became of message `index`, counted from 0. Set `outcome->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `outcome` is the caller's; what it points to is the outcomes',
 * and lives until `wks_outcomes_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
 * beyond the end or a wrong `struct_size`.
 */
wks_status wks_outcomes_get(struct wks_outcomes outcomes,
                            size_t index,
                            struct wks_outcome *outcome,
                            struct wks_error *error);

/**
 * Frees outcomes and all that they point to. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_outcomes_free(struct wks_outcomes outcomes);

/**
 * Computes a message's hash.
 *
 * Threads: any. Blocks: no. Owns: nothing; `message` is lent for the call.
 * Errors: `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`,
 * `WKS_ERR_INVALID_TOPIC`.
 */
wks_status wks_message_hash(const struct wks_message *message,
                            struct wks_hash *hash,
                            struct wks_error *error);

/**
 * The shard of a content topic in a cluster of so many shards, by autosharding.
 *
 * Threads: any. Blocks: no. Owns: nothing; the topic is lent for the call.
 * Errors: `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC` where the topic is not of the form
 * /application/version/name/encoding, `WKS_ERR_INVALID_ARGUMENT` for 0 shards.
 */
wks_status wks_shard_of(struct wks_bytes content_topic,
                        uint32_t shards,
                        uint32_t *shard,
                        struct wks_error *error);

/**
 * Makes a query for everything.
 *
 * Threads: any. Blocks: no. Owns: the query is the caller's, to free with `wks_query_free`.
 * Errors: `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_query_new(struct wks_query *query, struct wks_error *error);

/**
 * Only messages that were published on this topic; empty for any.
 *
 * Threads: any. Blocks: no. Owns: nothing; the topic is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC`.
 */
wks_status wks_query_set_pubsub_topic(struct wks_query query,
                                      struct wks_bytes pubsub_topic,
                                      struct wks_error *error);

/**
 * Only messages that are filed under this topic, or under another one that was added; 100 at the
 * most.
 *
 * Threads: any. Blocks: no. Owns: nothing; the topic is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC`,
 * `WKS_ERR_INVALID_ARGUMENT` for too many.
 */
wks_status wks_query_add_content_topic(struct wks_query query,
                                       struct wks_bytes content_topic,
                                       struct wks_error *error);

/**
 * Only messages of the half-open span from `start` to before `end`, in Unix nanoseconds.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_TIME_RANGE` where it ends before it starts.
 */
wks_status wks_query_set_time(struct wks_query query,
                              int64_t start,
                              int64_t end,
                              struct wks_error *error);

/**
 * Only messages of these hashes, 32 bytes each, one after the other; 1,000 at the most, none for
 * any. No other filter may be set beside them.
 *
 * Threads: any. Blocks: no. Owns: nothing; the hashes are copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_HASH` for a length that is
 * not a multiple of 32, `WKS_ERR_INVALID_ARGUMENT` for too many.
 */
wks_status wks_query_set_hashes(struct wks_query query,
                                struct wks_bytes hashes,
                                struct wks_error *error);

/**
 * Go on after (forward) or before (backward) the message of this hash; empty to begin at the
 * beginning.
 *
 * Threads: any. Blocks: no. Owns: nothing; the hash is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_HASH` unless it is 32 bytes
 * or none.
 */
wks_status wks_query_set_cursor(struct wks_query query,
                                struct wks_bytes cursor,
                                struct wks_error *error);

/**
 * Which way to walk: `WKS_DIRECTION_FORWARD` or `WKS_DIRECTION_BACKWARD`.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other.
 */
wks_status wks_query_set_direction(struct wks_query query,
                                   wks_direction direction,
                                   struct wks_error *error);

/**
 * The most entries of a page, 1 to 100. (What is out of that is refused by the call that uses the
 * query.)
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_query_set_limit(struct wks_query query, size_t limit, struct wks_error *error);

/**
 * Whole messages (1), or hashes alone (0).
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other.
 */
wks_status wks_query_set_include_data(struct wks_query query,
                                      uint8_t include_data,
                                      struct wks_error *error);

/**
 * Frees a query. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_query_free(struct wks_query query);

/**
 * How many entries there are.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_page_count(struct wks_page page, size_t *count, struct wks_error *error);

/**
 * Where to go on, for `wks_query_set_cursor`: 32 bytes; none where nothing more matches.
 *
 * Threads: any. Blocks: no. Owns: the bytes are the page's, and live until `wks_page_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_page_cursor(struct wks_page page, struct wks_bytes *cursor, struct wks_error *error);

/**
 * Entry `index`, counted from 0. Set `entry->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `entry` is the caller's; what it points to is the page's, and
 * lives until `wks_page_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
 * beyond the end or a wrong `struct_size`.
 */
wks_status wks_page_entry(struct wks_page page,
                          size_t index,
                          struct wks_entry *entry,
                          struct wks_error *error);

/**
 * The first entries, up to `capacity` of them, in one call; how many goes to `count`. Set
 * `struct_size` of the first of `entries`.
 *
 * Threads: any. Blocks: no. Owns: `entries` is the caller's; what they point to is the page's, and
 * lives until `wks_page_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_page_entries(struct wks_page page,
                            struct wks_entry *entries,
                            size_t capacity,
                            size_t *count,
                            struct wks_error *error);

/**
 * Frees a page and all that its entries point to. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_page_free(struct wks_page page);

/**
 * Makes options for an archive in memory, with all else as the library has it.
 *
 * Threads: any. Blocks: no. Owns: the options are the caller's, to free with
 * `wks_archive_options_free`.
 * Errors: `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_options_new(struct wks_archive_options *options, struct wks_error *error);

/**
 * The file, UTF-8, taken literally; or `:memory:`. It is created with mode 0600 where there is
 * none. What begins with `postgres://` or `postgresql://` is the URL of a PostgreSQL database
 * instead (docs/POSTGRES.md); its durability is the server's.
 *
 * Threads: any. Blocks: no. Owns: nothing; the path is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is empty,
 * not UTF-8 or has a NUL in it.
 */
wks_status wks_archive_options_set_path(struct wks_archive_options options,
                                        struct wks_bytes path,
                                        struct wks_error *error);

/**
 * Whether the archive is only read (1) or not (0, the default). What would change it gives
 * `WKS_ERR_ARCHIVE_READ_ONLY`; retention is off. The file must be there, and is neither written nor
 * brought up to date: it can lie where nothing can be written.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_archive_options_set_read_only(struct wks_archive_options options,
                                             uint8_t read_only,
                                             struct wks_error *error);

/**
 * The key that the file is encrypted with, or is to be where it is created: 32 random bytes; empty
 * for none. A build without SQLCipher answers with `WKS_ERR_UNSUPPORTED` where it is used.
 *
 * Threads: any. Blocks: no. Owns: nothing; the key is copied, and overwritten when the options, and
 * the archives opened with them, are freed.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for another length.
 */
wks_status wks_archive_options_set_key(struct wks_archive_options options,
                                       struct wks_bytes key,
                                       struct wks_error *error);

/**
 * As `wks_archive_options_set_key`, with words that the key is made of, slowly (some hundred
 * milliseconds for each connection): 1 to 4,096 bytes of UTF-8.
 *
 * Threads: any. Blocks: no. Owns: nothing; the words are copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for what is empty,
 * too long, not UTF-8 or has a NUL in it.
 */
wks_status wks_archive_options_set_passphrase(struct wks_archive_options options,
                                              struct wks_bytes words,
                                              struct wks_error *error);

/**
 * What a commit survives: `WKS_DURABILITY_FULL` or `WKS_DURABILITY_NORMAL`.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other.
 */
wks_status wks_archive_options_set_durability(struct wks_archive_options options,
                                              wks_durability durability,
                                              struct wks_error *error);

/**
 * Threads that read beside the one that writes, up to 64. (What is out of that is refused by the
 * call that opens the archive.)
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_archive_options_set_readers(struct wks_archive_options options,
                                           uint32_t readers,
                                           struct wks_error *error);

/**
 * How far a live message's timestamp may lie from the clock, both ways, and how far any message's
 * may lie ahead of it, in milliseconds. 20,000 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_archive_options_set_clock_tolerance(struct wks_archive_options options,
                                                   uint64_t tolerance_ms,
                                                   struct wks_error *error);

/**
 * Whether a live message that is too old is refused (1, the default) or not (0), for a host that
 * feeds old messages in as live. One that is of the future is refused in any case.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_archive_options_set_check_live_age(struct wks_archive_options options,
                                                  uint8_t check,
                                                  struct wks_error *error);

/**
 * How many bytes of messages may wait to be committed; puts beyond it end with `WKS_ERR_BUSY`.
 * 64 MiB by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_archive_options_set_max_queued_bytes(struct wks_archive_options options,
                                                    size_t bytes,
                                                    struct wks_error *error);

/**
 * Frees options. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_archive_options_free(struct wks_archive_options options);

/**
 * Has `validate` called with every batch of messages before it is committed, on top of the
 * library's own rules: for rate-limit proofs, say. A batch that it has not judged after
 * `timeout_ms` (`WKS_FOREVER` for no limit; 10,000 is a good one) counts as unknown, and so do
 * those that come until it has returned. A null `validate` takes the one before away. Archives that
 * are open are not concerned.
 *
 * Threads: any. Blocks: no; it may wait for the one before to be let go of. Owns: takes `user`,
 * which is used by one thread at a time; `drop` is called for it exactly once: when it is replaced,
 * or the options are freed, and every archive that was opened with it is closed and freed too, and
 * not while the validator runs; or where this call fails.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for a limit of 0.
 */
wks_status wks_archive_options_set_validator(struct wks_archive_options options,
                                             wks_validate validate,
                                             uint64_t timeout_ms,
                                             void *user,
                                             wks_drop drop,
                                             struct wks_error *error);

/**
 * How many messages there are to judge, at least one.
 *
 * Threads: any, while the validator runs. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_batch_count(struct wks_batch batch, size_t *count, struct wks_error *error);

/**
 * Where the messages came from.
 *
 * Threads: any, while the validator runs. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_batch_origin(struct wks_batch batch, wks_origin *origin, struct wks_error *error);

/**
 * Message `index`, counted from 0. Set `entry->struct_size` first.
 *
 * Threads: any, while the validator runs. Blocks: no. Owns: `entry` is the caller's; what it
 * points to is the batch's, and lives until the validator returns.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
 * beyond the end or a wrong `struct_size`.
 */
wks_status wks_batch_entry(struct wks_batch batch,
                           size_t index,
                           struct wks_entry *entry,
                           struct wks_error *error);

/**
 * Judges message `index`: a `WKS_VERDICT_…`, and a reason for people, which may be empty. The last
 * word counts.
 *
 * Threads: any, while the validator runs. Blocks: no. Owns: the reason is lent for the call.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
 * beyond the end, another verdict or a reason that is not UTF-8.
 */
wks_status wks_batch_judge(struct wks_batch batch,
                           size_t index,
                           wks_verdict verdict,
                           struct wks_bytes reason,
                           struct wks_error *error);

/**
 * Judges every message of the batch alike, as `wks_batch_judge` does one.
 *
 * Threads: any, while the validator runs. Blocks: no. Owns: the reason is lent for the call.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for another verdict
 * or a reason that is not UTF-8.
 */
wks_status wks_batch_judge_all(struct wks_batch batch,
                               wks_verdict verdict,
                               struct wks_bytes reason,
                               struct wks_error *error);

/**
 * Opens an archive, or creates it. Starts the library's threads where they do not run.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is open. Owns: the archive is the
 * caller's, to free with `wks_archive_free`.
 * Errors: `WKS_ERR_ARCHIVE_OPEN`, `WKS_ERR_ARCHIVE_CORRUPT`, `WKS_ERR_SCHEMA_TOO_NEW`,
 * `WKS_ERR_ARCHIVE_LOCKED`, `WKS_ERR_ARCHIVE_READ_ONLY`, `WKS_ERR_DISK_FULL`,
 * `WKS_ERR_ARCHIVE_UNAVAILABLE` where a database cannot be reached,
 * `WKS_ERR_INVALID_ARGUMENT` for options that cannot be, `WKS_ERR_WOULD_DEADLOCK` from a callback,
 * `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_open(struct wks_archive_options options,
                            struct wks_archive *archive,
                            struct wks_error *error);

/**
 * Starts to open an archive: take it with `wks_op_take_archive`.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the
 * operation's are those of `wks_archive_open`.
 */
wks_status wks_archive_open_async(struct wks_archive_options options,
                                  struct wks_op *op,
                                  struct wks_error *error);

/**
 * Stores messages in one commit, and tells what became of each. It is acknowledged after its
 * commit. A message that the rules refuse does not hinder the others. Where `outcomes` is null,
 * the first refusal is the call's error (the others are stored all the same).
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is committed. Owns: the messages are
 * lent for the call; the outcomes are the caller's, to free with `wks_outcomes_free`.
 * Errors: `WKS_ERR_INVALID_TOPIC`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`, flag or origin, `WKS_ERR_UNSUPPORTED` for fields of a newer header,
 * `WKS_ERR_BUSY`, `WKS_ERR_DISK_FULL`, `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_READ_ONLY`,
 * `WKS_ERR_ARCHIVE_CLOSED` (with each of these nothing is stored); without `outcomes` the refusals
 * from `WKS_ERR_MESSAGE_TOO_LARGE` to `WKS_ERR_TIMESTAMP_TOO_OLD`; `WKS_ERR_WOULD_DEADLOCK`,
 * `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
 */
wks_status wks_archive_put(struct wks_archive archive,
                           const struct wks_message *messages,
                           size_t count,
                           wks_origin origin,
                           struct wks_outcomes *outcomes,
                           struct wks_error *error);

/**
 * Starts to store messages: take what became of them with `wks_op_take_outcomes`. Cancelling does
 * not take the messages back.
 *
 * Threads: any. Blocks: no. Owns: the messages are lent for the call; the operation is the
 * caller's, to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_put`; the operation's
 * are the others.
 */
wks_status wks_archive_put_async(struct wks_archive archive,
                                 const struct wks_message *messages,
                                 size_t count,
                                 wks_origin origin,
                                 struct wks_op *op,
                                 struct wks_error *error);

/**
 * Reads one page of what matches a query.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is read. Owns: the page is the
 * caller's, to free with `wks_page_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` for a limit that is not 1 to 100 or hashes beside other
 * filters, `WKS_ERR_CURSOR_NOT_FOUND`, `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_CORRUPT`,
 * `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_BUSY`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
 * `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_query(struct wks_archive archive,
                             struct wks_query what,
                             struct wks_page *page,
                             struct wks_error *error);

/**
 * Starts to read one page: take it with `wks_op_take_page`.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_query`.
 */
wks_status wks_archive_query_async(struct wks_archive archive,
                                   struct wks_query what,
                                   struct wks_op *op,
                                   struct wks_error *error);

/**
 * Reads those of the messages that are held, in the order asked for, each once, as a page without
 * a cursor. `hashes` are 32 bytes each, one after the other.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until they are read. Owns: the hashes are lent
 * for the call; the page is the caller's, to free with `wks_page_free`.
 * Errors: `WKS_ERR_INVALID_HASH` for a length that is not a multiple of 32; and as
 * `wks_archive_query`.
 */
wks_status wks_archive_get(struct wks_archive archive,
                           struct wks_bytes hashes,
                           struct wks_page *page,
                           struct wks_error *error);

/**
 * Starts to read messages by their hashes: take them with `wks_op_take_page`.
 *
 * Threads: any. Blocks: no. Owns: the hashes are lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_get`; the operation's
 * are the others.
 */
wks_status wks_archive_get_async(struct wks_archive archive,
                                 struct wks_bytes hashes,
                                 struct wks_op *op,
                                 struct wks_error *error);

/**
 * Tells which of these messages are not held, in the order asked for, each once. `hashes` are 32
 * bytes each, one after the other, any number of them.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is known. Owns: the hashes are lent for
 * the call; the answer is the caller's, to free with `wks_hashes_free`.
 * Errors: as `wks_archive_get`.
 */
wks_status wks_archive_missing(struct wks_archive archive,
                               struct wks_bytes hashes,
                               struct wks_hashes *lacking,
                               struct wks_error *error);

/**
 * Starts to find out which messages are not held: take the answer with `wks_op_take_hashes`.
 *
 * Threads: any. Blocks: no. Owns: the hashes are lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_get`; the operation's
 * are the others.
 */
wks_status wks_archive_missing_async(struct wks_archive archive,
                                     struct wks_bytes hashes,
                                     struct wks_op *op,
                                     struct wks_error *error);

/**
 * Figures of the archive. Set `figures->struct_size` first.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until they are known. Owns: nothing.
 * Errors: `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_stats(struct wks_archive archive,
                             struct wks_stats *figures,
                             struct wks_error *error);

/**
 * Starts to find figures: take them with `wks_op_take_stats`.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_stats`.
 */
wks_status wks_archive_stats_async(struct wks_archive archive,
                                   struct wks_op *op,
                                   struct wks_error *error);

/**
 * Commits what was accepted and closes the archive, also under a node that uses it: every other
 * call, and a read that waits, then gives `WKS_ERR_ARCHIVE_CLOSED`. A second time is fine. The
 * handle still has to be freed.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is closed. Owns: nothing.
 * Errors: `WKS_ERR_WOULD_DEADLOCK` from a callback, `WKS_ERR_SHUTDOWN` after a shutdown (which
 * closed it), `WKS_ERR_HANDLE`.
 */
wks_status wks_archive_close(struct wks_archive archive, struct wks_error *error);

/**
 * Starts to close an archive. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_close_async(struct wks_archive archive,
                                   struct wks_op *op,
                                   struct wks_error *error);

/**
 * Frees an archive's handle. The last to let go of an archive (a node over it, and a walk through
 * its history, hold it too) closes it: puts that were accepted are committed, reads that wait end
 * with `WKS_ERR_ARCHIVE_CLOSED`. The null handle is fine.
 *
 * Threads: any. Blocks: where it closes the archive, until what was accepted is committed. Owns:
 * takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_archive_free(struct wks_archive archive);

/**
 * Messages older than this, by their timestamp, are removed in small steps, and none is taken in.
 * `WKS_UNBOUNDED`, the default, keeps them whatever their age. Of the bounds that are set, each
 * holds.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for 0.
 */
wks_status wks_archive_options_set_max_age(struct wks_archive_options options,
                                           uint64_t age_ms,
                                           struct wks_error *error);

/**
 * Beyond so many messages the oldest are removed, in small steps. `WKS_UNBOUNDED` is the default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for 0.
 */
wks_status wks_archive_options_set_max_messages(struct wks_archive_options options,
                                                uint64_t messages,
                                                struct wks_error *error);

/**
 * Beyond so many bytes on disk the oldest messages are removed, in small steps: of the file as far
 * as it is in use. Space that was freed is given back to the system in small steps, and until then
 * used again. `WKS_UNBOUNDED` is the default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for 0.
 */
wks_status wks_archive_options_set_max_bytes(struct wks_archive_options options,
                                             uint64_t bytes,
                                             struct wks_error *error);

/**
 * The lowest timestamp that is kept and taken in, in Unix nanoseconds: what is older was removed
 * by retention, or will be. The lowest number there is where nothing bounds it.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_floor(struct wks_archive archive, int64_t *floor, struct wks_error *error);

/**
 * Takes messages down: those that are held are removed, all in one commit, and none of these is
 * ever taken in again, from wherever it comes (`WKS_ERR_TAKEN_DOWN`), nor asked for by a sync or
 * named by `wks_archive_missing`. `hashes` are 32 bytes each, one after the other, at most 100,000
 * of them; `held` tells how many of them were held, and may be null. A note of some 50 bytes stays
 * for each.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is committed. Owns: the hashes are lent
 * for the call.
 * Errors: `WKS_ERR_INVALID_HASH` for a length that is not a multiple of 32,
 * `WKS_ERR_INVALID_ARGUMENT` for too many, `WKS_ERR_BUSY`, `WKS_ERR_DISK_FULL`,
 * `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_READ_ONLY`, `WKS_ERR_ARCHIVE_CLOSED`,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_take_down(struct wks_archive archive,
                                 struct wks_bytes hashes,
                                 uint64_t *held,
                                 struct wks_error *error);

/**
 * Starts to take messages down: take how many were held with `wks_op_take_number`. Cancelling does
 * not take it back.
 *
 * Threads: any. Blocks: no. Owns: the hashes are lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_take_down`; the
 * operation's are the others.
 */
wks_status wks_archive_take_down_async(struct wks_archive archive,
                                       struct wks_bytes hashes,
                                       struct wks_op *op,
                                       struct wks_error *error);

/**
 * Takes a number: how many messages were taken down.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_number(struct wks_op op, uint64_t *number, struct wks_error *error);

/**
 * Subscribes to what the archive commits from now on. Up to `capacity` messages wait for the
 * reader, and always one commit, however large it is; what is beyond that it is told to have
 * missed. A put's messages are there by the time it is acknowledged; what others commit on the same
 * file or database comes within some 250 ms, and may be missed where it falls into the moment of
 * this call: where none may be, ask for `wks_archive_position` and subscribe from there.
 *
 * Threads: any. Blocks: no. Owns: the subscription is the caller's, to free with
 * `wks_changes_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` for a capacity of 0, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`. (That of an archive that was closed has ended already.)
 */
wks_status wks_archive_subscribe(struct wks_archive archive,
                                 size_t capacity,
                                 struct wks_changes *changes,
                                 struct wks_error *error);

/**
 * Subscribes to everything after a position, each change once: first what lies behind, as fast as
 * it is read, then what is committed, with no gap or double between the two. An empty `position` is
 * the beginning: from there all messages that are held are told first, in the order in which they
 * were stored. A reader that is behind cannot lag. `capacity` is as for `wks_archive_subscribe`.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the archive has answered. Owns: the
 * position is lent for the call; the subscription is the caller's, to free with
 * `wks_changes_free`.
 * Errors: `WKS_ERR_POSITION_GONE` where the position is too old, or of another archive: then read
 * anew, from the beginning; `WKS_ERR_MALFORMED` for a length that is neither 0 nor 24,
 * `WKS_ERR_INVALID_ARGUMENT` for a capacity of 0, `WKS_ERR_UNSUPPORTED` where the archive keeps no
 * log of its changes, `WKS_ERR_BUSY`, `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_CLOSED`,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_subscribe_from(struct wks_archive archive,
                                      struct wks_bytes position,
                                      size_t capacity,
                                      struct wks_changes *changes,
                                      struct wks_error *error);

/**
 * Starts to subscribe from a position: take the subscription with `wks_op_take_changes`.
 *
 * Threads: any. Blocks: no. Owns: the position is lent for the call; the operation is the
 * caller's, to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_subscribe_from`; the
 * operation's are the others.
 */
wks_status wks_archive_subscribe_from_async(struct wks_archive archive,
                                            struct wks_bytes position,
                                            size_t capacity,
                                            struct wks_op *op,
                                            struct wks_error *error);

/**
 * Takes a subscription.
 *
 * Threads: any. Blocks: no. Owns: the subscription is the caller's, to free with
 * `wks_changes_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_changes(struct wks_op op,
                               struct wks_changes *changes,
                               struct wks_error *error);

/**
 * Where the change feed stands now: a subscription from there tells of everything that is committed
 * after this.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the archive has answered. Owns: nothing.
 * Errors: `WKS_ERR_UNSUPPORTED` where the archive keeps no log of its changes, `WKS_ERR_BUSY`,
 * `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
 * `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_position(struct wks_archive archive,
                                struct wks_position *position,
                                struct wks_error *error);

/**
 * Starts to ask where the change feed stands: take it with `wks_op_take_position`.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_position`.
 */
wks_status wks_archive_position_async(struct wks_archive archive,
                                      struct wks_op *op,
                                      struct wks_error *error);

/**
 * Takes a position.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_position(struct wks_op op,
                                struct wks_position *position,
                                struct wks_error *error);

/**
 * Waits for the next change; the null handle once the archive is closed and all were given.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until something is committed. Owns: the change
 * is the caller's, to free with `wks_change_free`.
 * Errors: `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_changes_next(struct wks_changes changes,
                            struct wks_change *change,
                            struct wks_error *error);

/**
 * Starts to wait for the next change: take it with `wks_op_take_change`. A cancel loses no change:
 * the next call gives it.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_changes_next_async(struct wks_changes changes,
                                  struct wks_op *op,
                                  struct wks_error *error);

/**
 * Takes a change; the null handle at the end of the feed.
 *
 * Threads: any. Blocks: no. Owns: the change is the caller's, to free with `wks_change_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_change(struct wks_op op, struct wks_change *change, struct wks_error *error);

/**
 * Ends a subscription. Changes that it gave stay. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_changes_free(struct wks_changes changes);

/**
 * What a change tells. Set `info->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `info` is the caller's; what it points to is the change's, and
 * lives until `wks_change_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_change_read(struct wks_change change,
                           struct wks_change_info *info,
                           struct wks_error *error);

/**
 * Message `index` of a change, counted from 0. Set `message->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `message` is the caller's; what it points to is the change's,
 * and lives until `wks_change_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
 * beyond the end or a wrong `struct_size`.
 */
wks_status wks_change_get(struct wks_change change,
                          size_t index,
                          struct wks_change_message *message,
                          struct wks_error *error);

/**
 * The first messages of a change, up to `capacity` of them, in one call; how many goes to `count`.
 * Set `struct_size` of the first of `messages`.
 *
 * Threads: any. Blocks: no. Owns: `messages` is the caller's; what they point to is the change's,
 * and lives until `wks_change_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_change_messages(struct wks_change change,
                               struct wks_change_message *messages,
                               size_t capacity,
                               size_t *count,
                               struct wks_error *error);

/**
 * Frees a change and all that its messages point to. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_change_free(struct wks_change change);

/**
 * Begins a walk through an archive. The query's limit is the size of a page.
 *
 * Threads: any. Blocks: no. Owns: the walk is the caller's, to free with `wks_history_free`; it
 * keeps the archive open.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`. (A query that cannot be is
 * refused with the first page.)
 */
wks_status wks_archive_history(struct wks_archive archive,
                               struct wks_query query,
                               struct wks_history *history,
                               struct wks_error *error);

/**
 * The next page; the null handle at the end. After an error the walk stands where it was, and this
 * asks for the same page again.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the page is there. Owns: the page is the
 * caller's, to free with `wks_page_free`.
 * Errors: those of `wks_archive_query`, or of `wks_node_store_query`.
 */
wks_status wks_history_next(struct wks_history history,
                            struct wks_page *page,
                            struct wks_error *error);

/**
 * Starts to get the next page: take it with `wks_op_take_page`. A cancel loses no page: the next
 * call gives it.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_history_next`.
 */
wks_status wks_history_next_async(struct wks_history history,
                                  struct wks_op *op,
                                  struct wks_error *error);

/**
 * Where to resume, after the pages that were given, should the walk be given up here: a cursor for
 * a query. All zero where it stands at the beginning.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_history_cursor(struct wks_history history,
                              struct wks_hash *cursor,
                              struct wks_error *error);

/**
 * Frees a walk. Pages that it gave stay. The null handle is fine.
 *
 * Threads: any. Blocks: where it is the last to let go of an archive, until what was accepted is
 * committed. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_history_free(struct wks_history history);

/**
 * Answers a store request: takes its bytes, without length prefix, and gives the response's. What
 * is wrong with the request, or with the archive, is told to the peer in the response.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the archive has answered. Owns: the
 * request is lent for the call; the response is the caller's, to free with `wks_buffer_free`.
 * Errors: `WKS_ERR_FRAME_TOO_LARGE` over 1 MiB (reset the stream), `WKS_ERR_WOULD_DEADLOCK`,
 * `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_store_respond(struct wks_archive archive,
                             struct wks_bytes request,
                             struct wks_buffer *response,
                             struct wks_error *error);

/**
 * Starts to answer a store request: take the response with `wks_op_take_buffer`.
 *
 * Threads: any. Blocks: no. Owns: the request is lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: as `wks_store_respond`, but `WKS_ERR_WOULD_DEADLOCK`.
 */
wks_status wks_store_respond_async(struct wks_archive archive,
                                   struct wks_bytes request,
                                   struct wks_op *op,
                                   struct wks_error *error);

/**
 * The response (429) to a request that the host does not want to answer because of its load.
 *
 * Threads: any. Blocks: no. Owns: the response is the caller's, to free with `wks_buffer_free`.
 * Errors: `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_store_too_many_requests(struct wks_buffer *response, struct wks_error *error);

/**
 * A store request's bytes, without length prefix, for a peer. `request_id` should be random text;
 * `wks_store_decode` needs it again.
 *
 * Threads: any. Blocks: no. Owns: the id is lent for the call; the request is the caller's, to
 * free with `wks_buffer_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` for a query that a peer does not take or an id that is not
 * UTF-8, `WKS_ERR_STORE_BAD_REQUEST`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_store_encode(struct wks_bytes request_id,
                            struct wks_query query,
                            struct wks_buffer *request,
                            struct wks_error *error);

/**
 * Checks a peer's response, without length prefix, against the request: its id, its status, its
 * count, and that every message has the hash it is listed under and matches the query.
 *
 * Threads: any. Blocks: no. Owns: id and response are lent for the call; the page is the caller's,
 * to free with `wks_page_free`.
 * Errors: `WKS_ERR_STORE_BAD_REQUEST`, `WKS_ERR_STORE_BAD_RESPONSE`,
 * `WKS_ERR_STORE_TOO_MANY_REQUESTS`, `WKS_ERR_STORE_UNAVAILABLE`, `WKS_ERR_CURSOR_NOT_FOUND`,
 * `WKS_ERR_MALFORMED`, `WKS_ERR_TRUNCATED`, `WKS_ERR_FRAME_TOO_LARGE`,
 * `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_store_decode(struct wks_bytes request_id,
                            struct wks_query query,
                            struct wks_bytes response,
                            struct wks_page *page,
                            struct wks_error *error);

/**
 * Makes options as the library has them: a new identity, no listening address, cluster 0, Store
 * and Sync on.
 *
 * Threads: any. Blocks: no. Owns: the options are the caller's, to free with
 * `wks_node_options_free`.
 * Errors: `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_options_new(struct wks_node_options *options, struct wks_error *error);

/**
 * Keeps the identity key in this file: it is created, with mode 0600, where there is none. The path
 * is UTF-8.
 *
 * Threads: any. Blocks: no. Owns: nothing; the path is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where the path is empty,
 * not UTF-8 or has a NUL in it.
 */
wks_status wks_node_options_set_identity_file(struct wks_node_options options,
                                              struct wks_bytes path,
                                              struct wks_error *error);

/**
 * Uses this identity key: the 32 secret bytes of an ed25519 key.
 *
 * Threads: any. Blocks: no. Owns: nothing; the secret is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` unless there are 32.
 */
wks_status wks_node_options_set_identity_secret(struct wks_node_options options,
                                                struct wks_bytes secret,
                                                struct wks_error *error);

/**
 * Listens there: a multiaddress, `/ip4/127.0.0.1/tcp/0` say, or one that ends in `/ws`, in
 * `/udp/0/quic-v1`, or with a certificate (`wks_node_options_set_wss_files`) in `/tls/ws`. Port 0
 * takes a free one.
 *
 * Threads: any. Blocks: no. Owns: nothing; the address is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is not UTF-8 or
 * there are more than 1,024. (One that is no address is refused when the node is started.)
 */
wks_status wks_node_options_add_listen(struct wks_node_options options,
                                       struct wks_bytes address,
                                       struct wks_error *error);

/**
 * The cluster. Peers of another are dropped.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_cluster_id(struct wks_node_options options,
                                           uint32_t cluster_id,
                                           struct wks_error *error);

/**
 * Tells peers that the node serves this shard.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for more than 1,024.
 */
wks_status wks_node_options_add_shard(struct wks_node_options options,
                                      uint32_t shard,
                                      struct wks_error *error);

/**
 * Whether the node answers store requests: 1, the default, or 0.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_node_options_set_serve_store(struct wks_node_options options,
                                            uint8_t on,
                                            struct wks_error *error);

/**
 * Whether the node answers and begins syncs: 1, the default, or 0.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_node_options_set_sync(struct wks_node_options options,
                                     uint8_t on,
                                     struct wks_error *error);

/**
 * Syncs messages of this pubsub topic, and of others that were added; without any, of all.
 *
 * Threads: any. Blocks: no. Owns: nothing; the topic is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC`,
 * `WKS_ERR_INVALID_ARGUMENT` for more than 1,024.
 */
wks_status wks_node_options_add_sync_pubsub_topic(struct wks_node_options options,
                                                  struct wks_bytes pubsub_topic,
                                                  struct wks_error *error);

/**
 * Syncs messages of this content topic, and of others that were added; without any, of all.
 *
 * Threads: any. Blocks: no. Owns: nothing; the topic is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC`,
 * `WKS_ERR_INVALID_ARGUMENT` for more than 1,024.
 */
wks_status wks_node_options_add_sync_content_topic(struct wks_node_options options,
                                                   struct wks_bytes content_topic,
                                                   struct wks_error *error);

/**
 * How far back a sync goes, in milliseconds. An hour by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_window(struct wks_node_options options,
                                            uint64_t ms,
                                            struct wks_error *error);

/**
 * How long before now a sync's window ends, in milliseconds: younger messages may still be on their
 * way. 20,000 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_margin(struct wks_node_options options,
                                            uint64_t ms,
                                            struct wks_error *error);

/**
 * How far back the node keeps its messages' ids in memory for syncs, in milliseconds. Two hours by
 * default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_horizon(struct wks_node_options options,
                                             uint64_t ms,
                                             struct wks_error *error);

/**
 * The longest that a sync waits for the peer, in milliseconds. 30,000 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_idle_timeout(struct wks_node_options options,
                                                  uint64_t ms,
                                                  struct wks_error *error);

/**
 * How long an announced message may still come after the end of reconciliation, in milliseconds.
 * 10,000 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_grace(struct wks_node_options options,
                                           uint64_t ms,
                                           struct wks_error *error);

/**
 * How long a dial or a store request may take, in milliseconds. 30,000 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_request_timeout(struct wks_node_options options,
                                                uint64_t ms,
                                                struct wks_error *error);

/**
 * The time between two syncs that the node begins by itself with a peer chosen at random, in
 * milliseconds, jittered by a tenth; 0 for none. 300,000 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_interval(struct wks_node_options options,
                                              uint64_t ms,
                                              struct wks_error *error);

/**
 * The most syncs at once, in all. 16 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_max_sessions(struct wks_node_options options,
                                                  size_t sessions,
                                                  struct wks_error *error);

/**
 * The most messages that one sync may bring. 1,000,000 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_max_messages(struct wks_node_options options,
                                                  size_t messages,
                                                  struct wks_error *error);

/**
 * The most bytes that one sync may bring. 4 GiB by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_max_bytes(struct wks_node_options options,
                                               size_t bytes,
                                               struct wks_error *error);

/**
 * The most connections at once, in all. 200 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_max_connections(struct wks_node_options options,
                                                uint32_t connections,
                                                struct wks_error *error);

/**
 * The most connections at once of one peer. 4 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_max_connections_per_peer(struct wks_node_options options,
                                                         uint32_t connections,
                                                         struct wks_error *error);

/**
 * The most store requests that are answered at once; others get a 429. 64 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_max_store_requests(struct wks_node_options options,
                                                   size_t requests,
                                                   struct wks_error *error);

/**
 * Frees options. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_node_options_free(struct wks_node_options options);

/**
 * Starts a node over an archive and listens. The node keeps the archive open.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it listens. Owns: the node is the
 * caller's, to free with `wks_node_free`; options and archive stay the caller's.
 * Errors: `WKS_ERR_KEY_FILE`, `WKS_ERR_ADDRESS`, `WKS_ERR_LISTEN`, `WKS_ERR_INVALID_ARGUMENT` for
 * options that cannot be, `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
 * `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_start(struct wks_node_options options,
                          struct wks_archive archive,
                          struct wks_node *node,
                          struct wks_error *error);

/**
 * Begins to start a node: take it with `wks_op_take_node`.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_node_start`.
 */
wks_status wks_node_start_async(struct wks_node_options options,
                                struct wks_archive archive,
                                struct wks_op *op,
                                struct wks_error *error);

/**
 * The node's own peer id, as text.
 *
 * Threads: any. Blocks: no. Owns: the buffer is the caller's, to free with `wks_buffer_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_peer_id(struct wks_node node,
                            struct wks_buffer *peer_id,
                            struct wks_error *error);

/**
 * Where the node listens now: addresses that end in `/p2p/` and its peer id.
 *
 * Threads: any. Blocks: no. Owns: the list is the caller's, to free with `wks_strings_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_addresses(struct wks_node node,
                              struct wks_strings *addresses,
                              struct wks_error *error);

/**
 * The ids of the peers that are connected now.
 *
 * Threads: any. Blocks: no. Owns: the list is the caller's, to free with `wks_strings_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_peers(struct wks_node node, struct wks_strings *peers, struct wks_error *error);

/**
 * Connects to an address, and gives the peer's id as text. Fine where it is connected already.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is connected. Owns: the address is lent
 * for the call; the buffer is the caller's, to free with `wks_buffer_free`. `peer_id` may be null.
 * Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_DIAL`, `WKS_ERR_TIMED_OUT`, `WKS_ERR_OTHER_CLUSTER`,
 * `WKS_ERR_INVALID_ARGUMENT` where the address is not UTF-8, `WKS_ERR_WOULD_DEADLOCK`,
 * `WKS_ERR_SHUTDOWN` also where the node was stopped, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_dial(struct wks_node node,
                         struct wks_bytes address,
                         struct wks_buffer *peer_id,
                         struct wks_error *error);

/**
 * Begins to connect to an address: take the peer's id with `wks_op_take_buffer`.
 *
 * Threads: any. Blocks: no. Owns: the address is lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`; the operation's are those of `wks_node_dial`.
 */
wks_status wks_node_dial_async(struct wks_node node,
                               struct wks_bytes address,
                               struct wks_op *op,
                               struct wks_error *error);

/**
 * Ends all connections to a peer.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until they are closed. Owns: the peer's name is
 * lent for the call.
 * Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_PEER_UNKNOWN`, `WKS_ERR_INVALID_ARGUMENT`,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_disconnect(struct wks_node node,
                               struct wks_bytes peer,
                               struct wks_error *error);

/**
 * Begins to end all connections to a peer. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the peer's name is lent for the call; the operation is the
 * caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`; the operation's are those of `wks_node_disconnect`.
 */
wks_status wks_node_disconnect_async(struct wks_node node,
                                     struct wks_bytes peer,
                                     struct wks_op *op,
                                     struct wks_error *error);

/**
 * Reads one page from a store peer. Every message is checked: its hash, and that it matches.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the answer is there. Owns: the peer's name
 * is lent for the call; the page is the caller's, to free with `wks_page_free`.
 * Errors: `WKS_ERR_PEER_UNKNOWN`, `WKS_ERR_ADDRESS`, `WKS_ERR_DIAL`, `WKS_ERR_TIMED_OUT`,
 * `WKS_ERR_PROTOCOL_UNSUPPORTED`, `WKS_ERR_STREAM_CLOSED`, `WKS_ERR_OTHER_CLUSTER`, the
 * `WKS_ERR_STORE_…`, `WKS_ERR_CURSOR_NOT_FOUND`, `WKS_ERR_MALFORMED`, `WKS_ERR_TRUNCATED`,
 * `WKS_ERR_FRAME_TOO_LARGE`, `WKS_ERR_INVALID_ARGUMENT` for a query that a peer does not take,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_store_query(struct wks_node node,
                                struct wks_bytes peer,
                                struct wks_query query,
                                struct wks_page *page,
                                struct wks_error *error);

/**
 * Begins to read one page from a store peer: take it with `wks_op_take_page`.
 *
 * Threads: any. Blocks: no. Owns: the peer's name is lent for the call; the operation is the
 * caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`; the operation's are those of `wks_node_store_query`.
 */
wks_status wks_node_store_query_async(struct wks_node node,
                                      struct wks_bytes peer,
                                      struct wks_query query,
                                      struct wks_op *op,
                                      struct wks_error *error);

/**
 * Begins a walk through a store peer's history: pull its pages with `wks_history_next`. The query's
 * limit is the size of a page.
 *
 * Threads: any. Blocks: no. Owns: the peer's name is lent for the call; the walk is the caller's,
 * to free with `wks_history_free`. It does not keep the node running.
 * Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_history(struct wks_node node,
                            struct wks_bytes peer,
                            struct wks_query query,
                            struct wks_history *history,
                            struct wks_error *error);

/**
 * Syncs with a peer: finds the messages that one of the two lacks, and sends them. `options` may
 * be null. A sync that breaks down is an error; what it brought until then is stored.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the end. Owns: the peer's name and the
 * options are lent for the call; the report is the caller's, to free with `wks_report_free`.
 * `report` may be null.
 * Errors: `WKS_ERR_SYNC_PROTOCOL`, `WKS_ERR_SYNC_SCOPE`, `WKS_ERR_SYNC_BUSY`,
 * `WKS_ERR_PEER_UNKNOWN`, `WKS_ERR_ADDRESS`, `WKS_ERR_DIAL`, `WKS_ERR_TIMED_OUT`,
 * `WKS_ERR_PROTOCOL_UNSUPPORTED`, `WKS_ERR_STREAM_CLOSED`, `WKS_ERR_OTHER_CLUSTER`,
 * `WKS_ERR_UNSUPPORTED` where the node has Sync off or for fields of a newer header,
 * `WKS_ERR_INVALID_TIME_RANGE`, `WKS_ERR_INVALID_ARGUMENT`, the archive's errors,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_sync(struct wks_node node,
                         struct wks_bytes peer,
                         const struct wks_sync_options *options,
                         struct wks_report *report,
                         struct wks_error *error);

/**
 * Begins a sync with a peer: take its report with `wks_op_take_report`. A cancel ends the sync.
 *
 * Threads: any. Blocks: no. Owns: the peer's name and the options are lent for the call; the
 * operation is the caller's, to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_node_sync`; the operation's
 * are the others.
 */
wks_status wks_node_sync_async(struct wks_node node,
                               struct wks_bytes peer,
                               const struct wks_sync_options *options,
                               struct wks_op *op,
                               struct wks_error *error);

/**
 * Subscribes to what happens from now on: pull it with `wks_events_next`.
 *
 * Threads: any. Blocks: no. Owns: the subscription is the caller's, to free with
 * `wks_events_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_events(struct wks_node node,
                           struct wks_events *events,
                           struct wks_error *error);

/**
 * Stops a node: ends its syncs and connections. Its archive stays open. A second time is fine. The
 * handle still has to be freed.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it has stopped. Owns: nothing.
 * Errors: `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN` after a shutdown (which stopped it),
 * `WKS_ERR_HANDLE`.
 */
wks_status wks_node_stop(struct wks_node node, struct wks_error *error);

/**
 * Begins to stop a node. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_stop_async(struct wks_node node, struct wks_op *op, struct wks_error *error);

/**
 * Frees a node. One that runs is stopped, in the background; operations on it go on until then.
 * The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle; lets go of the archive when it has stopped.
 * Errors: none; a stale handle is ignored.
 */
void wks_node_free(struct wks_node node);

/**
 * The figures of a sync. Set `figures->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `figures` is the caller's; what it points to is the report's,
 * and lives until `wks_report_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_report_figures(struct wks_report report,
                              struct wks_sync_figures *figures,
                              struct wks_error *error);

/**
 * Frees a report and all that its figures point to. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_report_free(struct wks_report report);

/**
 * Waits for the next event; the null handle once the node has stopped and all were given.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until something happens. Owns: the event is the
 * caller's, to free with `wks_event_free`.
 * Errors: `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_events_next(struct wks_events events,
                           struct wks_event *event,
                           struct wks_error *error);

/**
 * Starts to wait for the next event: take it with `wks_op_take_event`. A cancel loses no event:
 * the next call gives it.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_events_next_async(struct wks_events events,
                                 struct wks_op *op,
                                 struct wks_error *error);

/**
 * Ends a subscription. Events that it gave stay. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_events_free(struct wks_events events);

/**
 * What an event tells. Set `info->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `info` is the caller's; what it points to is the event's, and
 * lives until `wks_event_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_event_read(struct wks_event event,
                          struct wks_event_info *info,
                          struct wks_error *error);

/**
 * The report of a sync that has finished.
 *
 * Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_report_free`.
 * Errors: `WKS_ERR_NO_RESULT` for an event of another kind, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_event_report(struct wks_event event,
                            struct wks_report *report,
                            struct wks_error *error);

/**
 * Frees an event and all that its info points to. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_event_free(struct wks_event event);

/**
 * How the node is: whether it syncs, how far it is behind, how its archive is, what waits. Set
 * `health->struct_size` first.
 *
 * Threads: any but the dispatcher's. Blocks: shortly; two seconds at the most, after which what was
 * not told is 0. Owns: nothing.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`, `WKS_ERR_WOULD_DEADLOCK`,
 * `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_health(struct wks_node node,
                           struct wks_health *health,
                           struct wks_error *error);

/**
 * Starts to find out how the node is: take it with `wks_op_take_health`.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_node_health`.
 */
wks_status wks_node_health_async(struct wks_node node, struct wks_op *op, struct wks_error *error);

/**
 * Takes a node's health. Set `health->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: as `wks_op_take_page`, and `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`.
 */
wks_status wks_op_take_health(struct wks_op op, struct wks_health *health, struct wks_error *error);

/**
 * The node's metrics and its archive's, in OpenMetrics' text form, which ends in `# EOF`: to be
 * served as `application/openmetrics-text; version=1.0.0; charset=utf-8`.
 *
 * Threads: any but the dispatcher's. Blocks: shortly; two seconds at the most, after which what was
 * not told is left out. Owns: the text is the caller's, to free with `wks_buffer_free`.
 * Errors: `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_metrics(struct wks_node node, struct wks_buffer *text, struct wks_error *error);

/**
 * Starts to gather a node's metrics: take the text with `wks_op_take_buffer`.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_node_metrics`.
 */
wks_status wks_node_metrics_async(struct wks_node node, struct wks_op *op, struct wks_error *error);

/**
 * The metrics of an archive that is used without a node, as `wks_node_metrics` gives them.
 *
 * Threads: any but the dispatcher's. Blocks: shortly; two seconds at the most. Owns: the text is the
 * caller's, to free with `wks_buffer_free`.
 * Errors: as `wks_node_metrics`.
 */
wks_status wks_archive_metrics(struct wks_archive archive,
                               struct wks_buffer *text,
                               struct wks_error *error);

/**
 * Starts to gather an archive's metrics: take the text with `wks_op_take_buffer`.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_metrics`.
 */
wks_status wks_archive_metrics_async(struct wks_archive archive,
                                     struct wks_op *op,
                                     struct wks_error *error);

/**
 * Has `log` called with the library's log, in place of the function before; a null `log` ends it.
 * There is one for the whole process, whichever archives and nodes there are, and at first none:
 * then nothing is logged anywhere. It stays over a shutdown, which hands out what waits; once the
 * process exits, and in the child of a fork, it is not called.
 *
 * `filter` is a level (`off`, `error`, `warn`, `info`, `debug`, `trace`), for the library's own
 * lines, or several parts with commas between them, of which each may name the beginning of a
 * target: `info,wakustore::node=debug,libp2p_swarm=warn`. The longest beginning counts. Lines hold
 * no payloads, keys or passwords; those of libraries under this one, which are told where they are
 * named, are their own.
 *
 * Threads: any. Blocks: no. Owns: the filter is lent for the call; takes `user`, which is used by
 * one thread at a time; `drop` is called for it exactly once: when it is replaced or ended, and
 * not while `log` runs, which may be at its end on the library's thread; or where this call fails.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` for a filter that is none, `WKS_ERR_NULL_POINTER`,
 * `WKS_ERR_UNSUPPORTED` where a Rust program has set a subscriber of its own, `WKS_ERR_FORKED`.
 */
wks_status wks_log_set(struct wks_bytes filter,
                       wks_log log,
                       void *user,
                       wks_drop drop,
                       struct wks_error *error);

/**
 * Shuts the library down: takes no more work, ends every operation with `WKS_ERR_CANCELLED`, stops
 * the nodes, commits and closes the archives, joins the threads and lets the last callbacks run.
 * A second time is fine. Handles still have to be freed; those of archives and nodes give
 * `WKS_ERR_SHUTDOWN` from here on. The next call that opens something starts the library again.
 *
 * `timeout_ms` bounds the waits for peers, tasks and callbacks (`WKS_FOREVER` does not); archives
 * are always closed to the end.
 *
 * A process that exits without it does the same by itself, but for the callbacks and drop
 * functions, which do not run any more then.
 *
 * Threads: any but the dispatcher's. Blocks: yes. Owns: nothing.
 * Errors: `WKS_ERR_WOULD_DEADLOCK` from a callback, with nothing done; `WKS_ERR_TIMED_OUT` where
 * something did not end in time: it is left behind, all else is done.
 */
wks_status wks_shutdown(uint64_t timeout_ms, struct wks_error *error);

/**
 * With how many peers the node agrees over which spans of time, as of now; also of the last run,
 * where the node keeps its state in a file.
 *
 * Threads: any. Blocks: no. Owns: the coverage is the caller's, to free with `wks_coverage_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_coverage(struct wks_node node,
                             struct wks_coverage *coverage,
                             struct wks_error *error);

/**
 * How many spans there are.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_coverage_count(struct wks_coverage coverage, size_t *count, struct wks_error *error);

/**
 * Span `index`, counted from 0. Set `span->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `span` is the caller's.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
 * the end or a wrong `struct_size`.
 */
wks_status wks_coverage_get(struct wks_coverage coverage,
                            size_t index,
                            struct wks_coverage_span *span,
                            struct wks_error *error);

/**
 * Frees a coverage. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_coverage_free(struct wks_coverage coverage);

/**
 * Makes an archive of a backup: copies it to the path of `to`, checks the copy's structure,
 * recomputes every hash in it, and only then gives it its name. An archive that is there is
 * replaced only where `replace` is 1, and only when nobody has it open. A backup that is encrypted
 * is with the key of `to`. Set `report->struct_size` first.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is there. Owns: `from` is lent for the
 * call.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` where a file is there and `replace` is 0,
 * `WKS_ERR_ARCHIVE_CORRUPT` where the backup is something else or not sound,
 * `WKS_ERR_ARCHIVE_LOCKED` where the archive that is there is in use, and as `wks_archive_open`.
 */
wks_status wks_archive_restore(struct wks_bytes from,
                               struct wks_archive_options to,
                               uint8_t replace,
                               struct wks_backup *report,
                               struct wks_error *error);

/**
 * Starts to make an archive of a backup: take the report with `wks_op_take_backup`.
 * `wks_op_progress` tells how many pages are done; cancelling leaves what was there.
 *
 * Threads: any. Blocks: no. Owns: `from` is lent for the call; the operation is the caller's, to
 * free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_archive_restore`.
 */
wks_status wks_archive_restore_async(struct wks_bytes from,
                                     struct wks_archive_options to,
                                     uint8_t replace,
                                     struct wks_op *op,
                                     struct wks_error *error);

/**
 * Reads what can be read of a file that may be damaged into a new archive, row by row, and tells
 * what could not be brought over. A message comes over where its content gives its hash. Nothing is
 * written to `from`. The new archive's key may be another: this also encrypts an archive that is
 * not, and the other way round.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is done. Owns: the report is the
 * caller's, to free with `wks_findings_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` where there is a file at the path of `to`,
 * `WKS_ERR_ARCHIVE_CORRUPT` where nothing at all can be read of `from`, and as `wks_archive_open`.
 */
wks_status wks_archive_salvage(struct wks_archive_options from,
                               struct wks_archive_options to,
                               struct wks_findings *findings,
                               struct wks_error *error);

/**
 * Starts to salvage a file: take the report with `wks_op_take_findings`. `wks_op_progress` tells how
 * many messages came over; a cancel leaves no new archive.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_salvage`.
 */
wks_status wks_archive_salvage_async(struct wks_archive_options from,
                                     struct wks_archive_options to,
                                     struct wks_op *op,
                                     struct wks_error *error);

/**
 * Checks a file as `wks_archive_verify` checks an open archive, also one that is too damaged to be
 * opened. Nothing is written.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until all is checked. Owns: the report is the
 * caller's, to free with `wks_findings_free`.
 * Errors: `WKS_ERR_ARCHIVE_CORRUPT` where nothing at all can be read of it,
 * `WKS_ERR_ARCHIVE_READ_ONLY` where it is of an earlier version and must be opened once first, and
 * as `wks_archive_open`.
 */
wks_status wks_archive_verify_file(struct wks_archive_options file,
                                   struct wks_findings *findings,
                                   struct wks_error *error);

/**
 * Starts to check a file: take the report with `wks_op_take_findings`. `wks_op_progress` tells how
 * many messages were looked at.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_verify_file`.
 */
wks_status wks_archive_verify_file_async(struct wks_archive_options file,
                                         struct wks_op *op,
                                         struct wks_error *error);

/**
 * Takes the report of a check or a salvage.
 *
 * Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_findings_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_findings(struct wks_op op,
                                struct wks_findings *findings,
                                struct wks_error *error);

/**
 * What was counted. Set `info->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `info` is the caller's.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_findings_read(struct wks_findings findings,
                             struct wks_findings_info *info,
                             struct wks_error *error);

/**
 * Finding `index` of those that are listed, counted from 0. Set `finding->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `finding` is the caller's; what it points to is the report's, and
 * lives until `wks_findings_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
 * the end or a wrong `struct_size`.
 */
wks_status wks_findings_get(struct wks_findings findings,
                            size_t index,
                            struct wks_finding *finding,
                            struct wks_error *error);

/**
 * Frees a report. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_findings_free(struct wks_findings findings);

/**
 * Finds peers in this tree in DNS (EIP-1459), `enrtree://KEY@DOMAIN`, and in others that were added.
 *
 * Threads: any. Blocks: no. Owns: nothing; the URL is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is not UTF-8.
 * (What is no such URL, and more than 16, are refused when the node is started.)
 */
wks_status wks_node_options_add_discovery_tree(struct wks_node_options options,
                                               struct wks_bytes url,
                                               struct wks_error *error);

/**
 * How often the discovery trees are walked through again, in milliseconds. 3,600,000 by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_discovery_interval(struct wks_node_options options,
                                                   uint64_t ms,
                                                   struct wks_error *error);

/**
 * Looks names up with this name server, `192.0.2.1` or `192.0.2.1:5353`, and with others that were
 * added; without any, with the system's.
 *
 * Threads: any. Blocks: no. Owns: nothing; the address is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is not UTF-8.
 * (What is no such address, and more than 16, are refused when the node is started.)
 */
wks_status wks_node_options_add_name_server(struct wks_node_options options,
                                            struct wks_bytes address,
                                            struct wks_error *error);

/**
 * Trusts this authority, beside those of the public web, when a `/tls/ws` or `/wss` address is
 * dialled: certificates in PEM, or one in DER.
 *
 * Threads: any. Blocks: no. Owns: nothing; the bytes are copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for more than a MiB.
 * (What is no certificate is refused when the node is started.)
 */
wks_status wks_node_options_add_root(struct wks_node_options options,
                                     struct wks_bytes certificates,
                                     struct wks_error *error);

/**
 * Listens at `/tls/ws` (or `/wss`) addresses with this certificate: two files in PEM, the
 * certificate with those between it and its authority, and its key. The paths are UTF-8.
 *
 * Threads: any. Blocks: no. Owns: nothing; the paths are copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where a path is empty,
 * not UTF-8 or has a NUL in it. (The files are read when the node is started.)
 */
wks_status wks_node_options_set_wss_files(struct wks_node_options options,
                                          struct wks_bytes chain,
                                          struct wks_bytes key,
                                          struct wks_error *error);

/**
 * Uses this identity key: the 32 secret bytes of a secp256k1 key, as deployed nodes have them. Only
 * a node with such a key can be published in a discovery tree.
 *
 * Threads: any. Blocks: no. Owns: nothing; the secret is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` unless there are 32.
 */
wks_status wks_node_options_set_identity_secp256k1(struct wks_node_options options,
                                                   struct wks_bytes secret,
                                                   struct wks_error *error);

/**
 * Keeps the node's own state (when it was last online, with whom it agrees over what) in this file,
 * of mode 0600; without it that is forgotten at the end, and a restart fills no gap. The path is
 * UTF-8.
 *
 * Threads: any. Blocks: no. Owns: nothing; the path is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where the path is
 * empty, not UTF-8 or has a NUL in it.
 */
wks_status wks_node_options_set_state_file(struct wks_node_options options,
                                           struct wks_bytes path,
                                           struct wks_error *error);

/**
 * With how many peers the node syncs each time that the interval between two syncs is over. 1 by
 * default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_heartbeat_peers(struct wks_node_options options,
                                                     size_t peers,
                                                     struct wks_error *error);

/**
 * Whether the node begins a sync with the first peers that come at start, and with one that comes
 * again: 1, the default, or 0.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_node_options_set_sync_on_connect(struct wks_node_options options,
                                                uint8_t on,
                                                struct wks_error *error);

/**
 * Whether the gap since the node was last online is filled at start: 1, the default, or 0. Needs a
 * state file.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_node_options_set_resume(struct wks_node_options options,
                                       uint8_t on,
                                       struct wks_error *error);

/**
 * The longest gap that is filled at start, in milliseconds; what is older is left to syncs on
 * demand. Six hours by default.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_resume_limit(struct wks_node_options options,
                                             uint64_t ms,
                                             struct wks_error *error);

/**
 * Whether wakustore's own sync protocol is spoken with peers that have it: 1, the default, or 0 for
 * 1.0.0 with all.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_node_options_set_sync_strong(struct wks_node_options options,
                                            uint8_t on,
                                            struct wks_error *error);

/**
 * Which form of the header of reconciliation 1.0.0 the node writes and reads.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for what is no `WKS_DIALECT_…`.
 */
wks_status wks_node_options_set_sync_dialect(struct wks_node_options options,
                                             wks_sync_dialect dialect,
                                             struct wks_error *error);

/**
 * Imports the archive of a nwaku (or go-waku): an SQLite file, which is only read, or a
 * `postgres://` database. Each message is hashed anew and goes the way of any message. It begins
 * after `from`, the position of an earlier report (empty: at the beginning), and ends at the end,
 * or after `limit` rows or a few more (0: none): call it again with the report's position to go on.
 * What is there already is a duplicate and nothing worse.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is done. Owns: the texts are lent for
 * the call; the report is the caller's, to free with `wks_move_free`.
 * Errors: `WKS_ERR_ARCHIVE_OPEN` where the source cannot be opened or reached,
 * `WKS_ERR_ARCHIVE_CORRUPT` where its tables are not nwaku's, `WKS_ERR_INVALID_ARGUMENT` for a
 * position that is none of this source, `WKS_ERR_ARCHIVE_IO`, those of `wks_archive_put` that are
 * not of one message,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`. What was committed before stays.
 */
wks_status wks_archive_import_nwaku(struct wks_archive archive,
                                    struct wks_bytes source,
                                    struct wks_bytes from,
                                    uint64_t limit,
                                    struct wks_move *report,
                                    struct wks_error *error);

/**
 * Starts an import: take its report with `wks_op_take_move`. `wks_op_progress` tells how many rows
 * were read. A cancel stops it soon; what was committed stays.
 *
 * Threads: any. Blocks: no. Owns: the texts are lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_archive_import_nwaku`.
 */
wks_status wks_archive_import_nwaku_async(struct wks_archive archive,
                                          struct wks_bytes source,
                                          struct wks_bytes from,
                                          uint64_t limit,
                                          struct wks_op *op,
                                          struct wks_error *error);

/**
 * Writes messages to an archive of nwaku's: an SQLite file, created where there is none, or a
 * `postgres://` database. Those that the query's topics and times match (all where it is null; it
 * has no hashes), after `from` and up to `limit` of them as for `wks_archive_import_nwaku`.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is done. Owns: the texts are lent for
 * the call; the report is the caller's, to free with `wks_move_free`.
 * Errors: `WKS_ERR_ARCHIVE_OPEN` where the target cannot be opened or reached,
 * `WKS_ERR_ARCHIVE_CORRUPT` where its tables are not nwaku's, `WKS_ERR_UNSUPPORTED` where they are
 * of a version that is not written,
 * `WKS_ERR_INVALID_ARGUMENT` for hashes or a position that is none, `WKS_ERR_DISK_FULL`,
 * `WKS_ERR_ARCHIVE_IO`, and as `wks_archive_query`. What was written before stays.
 */
wks_status wks_archive_export_nwaku(struct wks_archive archive,
                                    struct wks_query query,
                                    struct wks_bytes target,
                                    struct wks_bytes from,
                                    uint64_t limit,
                                    struct wks_move *report,
                                    struct wks_error *error);

/**
 * Starts an export: take its report with `wks_op_take_move`. `wks_op_progress` tells how many
 * messages were dealt with. A cancel stops it soon; what was written stays.
 *
 * Threads: any. Blocks: no. Owns: the texts are lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_archive_export_nwaku`.
 */
wks_status wks_archive_export_nwaku_async(struct wks_archive archive,
                                          struct wks_query query,
                                          struct wks_bytes target,
                                          struct wks_bytes from,
                                          uint64_t limit,
                                          struct wks_op *op,
                                          struct wks_error *error);

/**
 * Takes the report of an import or an export.
 *
 * Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_move_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_move(struct wks_op op, struct wks_move *report, struct wks_error *error);

/**
 * What was counted. Set `info->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `info` is the caller's; what it points to is the report's, and
 * lives until `wks_move_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_move_read(struct wks_move report,
                         struct wks_move_info *info,
                         struct wks_error *error);

/**
 * Row `index` of those that were refused and are listed, counted from 0. Set `row->struct_size`
 * first.
 *
 * Threads: any. Blocks: no. Owns: `row` is the caller's; what it points to is the report's, and
 * lives until `wks_move_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
 * the end or a wrong `struct_size`.
 */
wks_status wks_move_refused(struct wks_move report,
                            size_t index,
                            struct wks_refused_row *row,
                            struct wks_error *error);

/**
 * Frees a report. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_move_free(struct wks_move report);

/**
 * Keeps this peer connected: an address, best with `/p2p/` and the peer id at its end. It is dialled
 * at the start and whenever it went, after waits that grow with each failure. At most 256.
 *
 * Threads: any. Blocks: no. Owns: nothing; the address is copied.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is not UTF-8 or
 * there are more than 1,024. (One that cannot be dialled, or too many, are refused when the node is
 * started.)
 */
wks_status wks_node_options_add_bootstrap(struct wks_node_options options,
                                          struct wks_bytes address,
                                          struct wks_error *error);

/**
 * So many peers that speak Store are kept connected, out of those that the node reached before or
 * learned of; at most 64. By default 4 where the node has bootstrap peers or learned of some, and
 * none otherwise.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_store_peers(struct wks_node_options options,
                                            uint32_t peers,
                                            struct wks_error *error);

/**
 * The same of peers that sync.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_sync_peers(struct wks_node_options options,
                                           uint32_t peers,
                                           struct wks_error *error);

/**
 * The same of peers that relay, where the node relays itself.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_relay_peers(struct wks_node_options options,
                                            uint32_t peers,
                                            struct wks_error *error);

/**
 * The most connections that peers open. By default three quarters of all, so that the node can
 * always dial.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_max_incoming(struct wks_node_options options,
                                             uint32_t connections,
                                             struct wks_error *error);

/**
 * The most connections that the node opens. By default as many as there may be in all.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_max_outgoing(struct wks_node_options options,
                                             uint32_t connections,
                                             struct wks_error *error);

/**
 * So many of the connections that peers open are not for strangers, which speak neither Store nor
 * sync. By default a quarter of them. More than there are is refused when the node is started.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_reserved(struct wks_node_options options,
                                         uint32_t connections,
                                         struct wks_error *error);

/**
 * Whether the node keeps where it reached peers in a file beside its state (`.peers` is put behind
 * the name): 1, the default, or 0. Without a state file it does not.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_node_options_set_keep_peers(struct wks_node_options options,
                                           uint8_t on,
                                           struct wks_error *error);

/**
 * The wait before a peer is dialled again, and the longest that it grows to, in milliseconds. 1,000
 * and 300,000 by default. Zero, or a first one beyond the longest, is refused when the node is
 * started.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_redial(struct wks_node_options options,
                                       uint64_t first_ms,
                                       uint64_t longest_ms,
                                       struct wks_error *error);

/**
 * So long without a connected peer, in milliseconds, and the node is offline. 10,000 by default.
 * Zero is refused when the node is started.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_node_options_set_offline_grace(struct wks_node_options options,
                                              uint64_t ms,
                                              struct wks_error *error);

/**
 * Whether a peer is connected, or was until less than the grace ago: 1 or 0. Changes are told as
 * `WKS_EVENT_ONLINE` and `WKS_EVENT_OFFLINE`.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_online(struct wks_node node, uint8_t *online, struct wks_error *error);

/**
 * Tells the node that the network is another, or back: whoever is to be dialled again is dialled
 * soon, and not after the wait that earlier failures brought about.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`.
 */
wks_status wks_node_network_changed(struct wks_node node, struct wks_error *error);

/**
 * Tells the node of a peer that the host found by a discovery of its own: an address that ends in
 * `/p2p/` and the peer id, and whether the peer is said to speak Store, to sync, and to relay (0 or
 * 1 each). It is dialled where peers of its kind are wanted. An address that leads into a private
 * network or to this machine is taken only where the node itself listens nowhere else.
 *
 * Threads: any. Blocks: no. Owns: nothing; the address is copied.
 * Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_INVALID_ARGUMENT` for any other number or where the address is
 * not UTF-8, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_learn(struct wks_node node,
                          struct wks_bytes address,
                          uint8_t store,
                          uint8_t sync,
                          uint8_t relay,
                          struct wks_error *error);

/**
 * How often is looked for what others wrote to the same file or database, while anybody is
 * subscribed to changes, in milliseconds: 250 by default. 0 where nobody else writes while the
 * archive is open: then an idle archive wakes up for nothing.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`.
 */
wks_status wks_archive_options_set_look_every(struct wks_archive_options options,
                                              uint64_t every_ms,
                                              struct wks_error *error);

/**
 * Syncs what is due, within a time and a number of bytes, and returns when the time is over at the
 * latest: for the seconds that a phone gives its apps in the background. Wherever it stops, all that
 * came is stored, and the next call goes on from there. With the first of the `count` peers that can
 * be reached, each a peer id or an address, and another where it fails; with none, a peer that is
 * connected, or else one that was dialled before. `options` may be null.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the end. Owns: peers and options are lent
 * for the call; the report is the caller's, to free with `wks_once_report_free`. `report` may be null.
 * Errors: `WKS_ERR_SYNC_BUSY` while another of these runs, `WKS_ERR_PEER_UNKNOWN` where there is
 * nobody to sync with; of the last peer, where none could be synced with at all, those of
 * `wks_node_sync`; `WKS_ERR_UNSUPPORTED` where the node has Sync off or for fields of a newer
 * header, `WKS_ERR_INVALID_TIME_RANGE`, `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SUSPENDED`,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_sync_once(struct wks_node node,
                              const struct wks_bytes *peers,
                              size_t count,
                              const struct wks_once_options *options,
                              struct wks_once_report *report,
                              struct wks_error *error);

/**
 * Begins a sync within a time and a number of bytes: take its report with
 * `wks_op_take_once_report`. A cancel ends it, with what came stored.
 *
 * Threads: any. Blocks: no. Owns: peers and options are lent for the call; the operation is the
 * caller's, to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_node_sync_once`; the
 * operation's are the others.
 */
wks_status wks_node_sync_once_async(struct wks_node node,
                                    const struct wks_bytes *peers,
                                    size_t count,
                                    const struct wks_once_options *options,
                                    struct wks_op *op,
                                    struct wks_error *error);

/**
 * Takes the report of a sync within a time and a number of bytes.
 *
 * Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_once_report_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_once_report(struct wks_op op,
                                   struct wks_once_report *report,
                                   struct wks_error *error);

/**
 * The figures. Set `figures->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `figures` is the caller's; what it points to is the report's, and
 * lives until `wks_once_report_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
 * `struct_size`.
 */
wks_status wks_once_report_figures(struct wks_once_report report,
                                   struct wks_once_figures *figures,
                                   struct wks_error *error);

/**
 * Span `index` of what is left, counted from 0, ascending. Set `span->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `span` is the caller's.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
 * the end or a wrong `struct_size`.
 */
wks_status wks_once_report_lacking(struct wks_once_report report,
                                   size_t index,
                                   struct wks_span *span,
                                   struct wks_error *error);

/**
 * Frees a report and all that its figures point to. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_once_report_free(struct wks_once_report report);

/**
 * Lets go of what a system takes badly in an app that it freezes: ends syncs (what came is stored),
 * closes all connections and sockets, keeps the node's state, and suspends its archive. What is
 * under way ends with `WKS_ERR_SUSPENDED`, and so does whatever is asked before `wks_node_resume`. No
 * timer runs meanwhile. A second time is fine.
 *
 * Threads: any but the dispatcher's. Blocks: yes, four seconds at the most. Owns: nothing.
 * Errors: `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
 * `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
 */
wks_status wks_node_suspend(struct wks_node node,
                            struct wks_error *error);

/**
 * Begins to suspend a node. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_node_suspend`.
 */
wks_status wks_node_suspend_async(struct wks_node node, struct wks_op *op, struct wks_error *error);

/**
 * Comes back: opens the archive, listens at the same addresses where they are free, and dials again
 * the peers that it had dialled. A heartbeat that was missed, or many, come as one. Where it fails
 * the node stays suspended. Fine where it is not suspended.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it listens. Owns: nothing.
 * Errors: `WKS_ERR_LISTEN`, those of `wks_archive_open` for the archive,
 * `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
 * `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
 */
wks_status wks_node_resume(struct wks_node node, struct wks_error *error);

/**
 * Begins to resume a node. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_node_resume`.
 */
wks_status wks_node_resume_async(struct wks_node node, struct wks_op *op, struct wks_error *error);

/**
 * Lets go of the file or database: commits what was accepted, and closes all connections, so that no
 * lock is held and no file is open. Until `wks_archive_resume` whatever is asked ends with
 * `WKS_ERR_SUSPENDED`; subscribers stay. What is in memory alone is kept. A second time is fine.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until what was accepted is committed. Owns: nothing.
 * Errors: `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
 * `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
 */
wks_status wks_archive_suspend(struct wks_archive archive,
                               struct wks_error *error);

/**
 * Begins to suspend an archive. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_suspend`.
 */
wks_status wks_archive_suspend_async(struct wks_archive archive,
                                     struct wks_op *op,
                                     struct wks_error *error);

/**
 * Opens the file or database again. Subscribers hear what others wrote meanwhile. Where it fails the
 * archive stays suspended. Fine where it is not suspended.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is open. Owns: nothing.
 * Errors: those of `wks_archive_open` for its file or database, `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
 * `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
 */
wks_status wks_archive_resume(struct wks_archive archive,
                              struct wks_error *error);

/**
 * Begins to resume an archive. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_resume`.
 */
wks_status wks_archive_resume_async(struct wks_archive archive,
                                    struct wks_op *op,
                                    struct wks_error *error);

/**
 * Whether the node takes part in relay (gossipsub): 0, the default, or 1. Then it is subscribed to
 * the topics of its shards from the start, and what comes is stored.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
 */
wks_status wks_node_options_set_relay(struct wks_node_options options,
                                      uint8_t on,
                                      struct wks_error *error);

/**
 * Takes part in a pubsub topic over relay: what comes is stored and passed on. Fine a second time.
 *
 * Threads: any but the dispatcher's. Blocks: shortly. Owns: the topic is lent for the call.
 * Errors: `WKS_ERR_UNSUPPORTED` where the node does not relay, `WKS_ERR_INVALID_TOPIC`,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_subscribe(struct wks_node node,
                              struct wks_bytes pubsub_topic,
                              struct wks_error *error);

/**
 * Starts to take part in a pubsub topic. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the topic is lent for the call; the operation is the caller's, to
 * free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_node_subscribe`.
 */
wks_status wks_node_subscribe_async(struct wks_node node,
                                    struct wks_bytes pubsub_topic,
                                    struct wks_op *op,
                                    struct wks_error *error);

/**
 * Takes no part in a pubsub topic any more. Fine where it did not.
 *
 * Threads: any but the dispatcher's. Blocks: shortly. Owns: the topic is lent for the call.
 * Errors: as `wks_node_subscribe`.
 */
wks_status wks_node_unsubscribe(struct wks_node node,
                                struct wks_bytes pubsub_topic,
                                struct wks_error *error);

/**
 * Starts to leave a pubsub topic. The operation has no result: its status tells.
 *
 * Threads: any. Blocks: no. Owns: the topic is lent for the call; the operation is the caller's, to
 * free with `wks_op_free`.
 * Errors: as `wks_node_subscribe_async`.
 */
wks_status wks_node_unsubscribe_async(struct wks_node node,
                                      struct wks_bytes pubsub_topic,
                                      struct wks_op *op,
                                      struct wks_error *error);

/**
 * Stores a message (unless it is ephemeral), sends it over relay, and gives its hash, which may be
 * null. The node need not be subscribed to the topic. Where nobody took it it stays stored, and
 * syncs will bring it to others; the same message may be published again.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it was handed to peers. Owns: the message is
 * lent for the call.
 * Errors: `WKS_ERR_NO_RELAY_PEERS`, `WKS_ERR_UNSUPPORTED` where the node does not relay; what the
 * archive refuses it for, as `wks_archive_put`, and then it was not sent; those of
 * `wks_node_subscribe`.
 */
wks_status wks_node_publish(struct wks_node node,
                            const struct wks_message *message,
                            struct wks_hash *hash,
                            struct wks_error *error);

/**
 * Starts to publish a message: take its hash, 32 bytes, with `wks_op_take_buffer`.
 *
 * Threads: any. Blocks: no. Owns: the message is lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_node_publish`.
 */
wks_status wks_node_publish_async(struct wks_node node,
                                  const struct wks_message *message,
                                  struct wks_op *op,
                                  struct wks_error *error);

/**
 * The ids of the connected peers that are subscribed to a pubsub topic over relay.
 *
 * Threads: any but the dispatcher's. Blocks: shortly. Owns: the topic is lent for the call; the list
 * is the caller's, to free with `wks_strings_free`.
 * Errors: as `wks_node_subscribe`.
 */
wks_status wks_node_relay_peers(struct wks_node node,
                                struct wks_bytes pubsub_topic,
                                struct wks_strings *peers,
                                struct wks_error *error);

/**
 * Starts to ask who is subscribed: take the list with `wks_op_take_strings`.
 *
 * Threads: any. Blocks: no. Owns: the topic is lent for the call; the operation is the caller's, to
 * free with `wks_op_free`.
 * Errors: as `wks_node_subscribe_async`.
 */
wks_status wks_node_relay_peers_async(struct wks_node node,
                                      struct wks_bytes pubsub_topic,
                                      struct wks_op *op,
                                      struct wks_error *error);

/**
 * Takes a list of texts.
 *
 * Threads: any. Blocks: no. Owns: the list is the caller's, to free with `wks_strings_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_strings(struct wks_op op,
                               struct wks_strings *strings,
                               struct wks_error *error);

/**
 * How many ids of a side a dry run found to differ.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_NO_RESULT` for the report of another sync, `WKS_ERR_INVALID_ARGUMENT` for what is
 * no side, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_report_difference_count(struct wks_report report,
                                       wks_difference_side side,
                                       size_t *count,
                                       struct wks_error *error);

/**
 * Id `index` of a side of what differs, counted from 0, by timestamp and then hash. Set
 * `id->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `id` is the caller's; what it points to is the report's, and
 * lives until `wks_report_free`.
 * Errors: `WKS_ERR_NO_RESULT` for the report of another sync, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for what is no side, an index beyond the end or
 * a wrong `struct_size`.
 */
wks_status wks_report_difference(struct wks_report report,
                                 wks_difference_side side,
                                 size_t index,
                                 struct wks_sync_id *id,
                                 struct wks_error *error);

/**
 * The first ids of a side of what differs, up to `capacity` of them, in one call; how many goes to
 * `count`. Set `struct_size` of the first of `ids`.
 *
 * Threads: any. Blocks: no. Owns: `ids` is the caller's; what they point to is the report's, and
 * lives until `wks_report_free`.
 * Errors: `WKS_ERR_NO_RESULT` for the report of another sync, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for what is no side or a wrong `struct_size`.
 */
wks_status wks_report_differences(struct wks_report report,
                                  wks_difference_side side,
                                  struct wks_sync_id *ids,
                                  size_t capacity,
                                  size_t *count,
                                  struct wks_error *error);

/**
 * How far the sync is that an event of kind `WKS_EVENT_SYNC_PROGRESS` tells of. Set
 * `progress->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `progress` is the caller's.
 * Errors: `WKS_ERR_NO_RESULT` for an event of another kind, `WKS_ERR_HANDLE`,
 * `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`.
 */
wks_status wks_event_progress(struct wks_event event,
                              struct wks_sync_progress *progress,
                              struct wks_error *error);

/**
 * Gives a sync up, whoever began it, by its number. Its end, `WKS_ERR_CANCELLED`, is told as an
 * event. Nothing happens where it has ended, or never was.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`.
 */
wks_status wks_node_cancel_sync(struct wks_node node, uint64_t session, struct wks_error *error);

/**
 * Writes a copy of the archive to a new file while puts and queries go on. It is of one moment, at
 * or after this call. The file gets its name when it is whole and on the disk; one that is there
 * stays until then, and is replaced only where `replace` is 1. That of an encrypted archive is
 * encrypted with the same key. `report` may be null; set `report->struct_size` first.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is written. Owns: the path is lent for
 * the call.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` where a file is there and `replace` is 0, or the path is none,
 * `WKS_ERR_ARCHIVE_LOCKED` where the file that is there is an archive in use, `WKS_ERR_DISK_FULL`,
 * `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_BUSY` while four such works run on the archive,
 * `WKS_ERR_UNSUPPORTED` where it makes no backups, `WKS_ERR_ARCHIVE_CLOSED`,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown or a close,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_backup(struct wks_archive archive,
                              struct wks_bytes path,
                              uint8_t replace,
                              struct wks_backup *report,
                              struct wks_error *error);

/**
 * Starts a backup: take its report with `wks_op_take_backup`. `wks_op_progress` tells how many pages
 * are copied; cancelling leaves what was there.
 *
 * Threads: any. Blocks: no. Owns: the path is lent for the call; the operation is the caller's, to
 * free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_archive_backup`.
 */
wks_status wks_archive_backup_async(struct wks_archive archive,
                                    struct wks_bytes path,
                                    uint8_t replace,
                                    struct wks_op *op,
                                    struct wks_error *error);

/**
 * Takes the report of a backup or a restore. Set `report->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: as `wks_op_take_page`, and `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`.
 */
wks_status wks_op_take_backup(struct wks_op op, struct wks_backup *report, struct wks_error *error);

/**
 * Checks all that is held: recomputes each message's hash, then checks the file's structure and the
 * figures that are kept, while puts and queries go on. What is wrong is in the report.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until all is checked. Owns: the report is the
 * caller's, to free with `wks_findings_free`.
 * Errors: `WKS_ERR_BUSY` while four such works run on the archive, `WKS_ERR_ARCHIVE_IO`,
 * `WKS_ERR_UNSUPPORTED` where it cannot be checked, `WKS_ERR_ARCHIVE_CLOSED`,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown or a close,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_verify(struct wks_archive archive,
                              struct wks_findings *findings,
                              struct wks_error *error);

/**
 * Starts to check an archive: take the report with `wks_op_take_findings`. `wks_op_progress` tells
 * how many messages were looked at.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_verify`.
 */
wks_status wks_archive_verify_async(struct wks_archive archive,
                                    struct wks_op *op,
                                    struct wks_error *error);

/**
 * Takes down what a query's topics and times match (not its hashes, page or cursor), in small steps
 * beside puts and queries: each message as by `wks_archive_take_down`. What matches and was never
 * held is not kept out. `removed` tells how many went, and may be null.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until all are gone. Owns: nothing.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` for a query with hashes, or one that restricts nothing; those
 * of `wks_archive_take_down`. What went until then stays down.
 */
wks_status wks_archive_take_down_matching(struct wks_archive archive,
                                          struct wks_query query,
                                          uint64_t *removed,
                                          struct wks_error *error);

/**
 * Starts to take down what matches: take how many went with `wks_op_take_number`.
 * `wks_op_progress` tells how many have; what went before a cancel stays down.
 *
 * Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
 * Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
 * of `wks_archive_take_down_matching`.
 */
wks_status wks_archive_take_down_matching_async(struct wks_archive archive,
                                                struct wks_query query,
                                                struct wks_op *op,
                                                struct wks_error *error);

/**
 * Hashes that were taken down, in ascending order: those after `after` (32 bytes; empty from the
 * first on), `limit` of them, 1 to 1,000. Fewer are the last.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until they are known. Owns: `after` is lent for
 * the call; the list is the caller's, to free with `wks_hashes_free`.
 * Errors: `WKS_ERR_INVALID_HASH`, `WKS_ERR_INVALID_ARGUMENT` for a limit that is none,
 * `WKS_ERR_UNSUPPORTED`, and as `wks_archive_get`.
 */
wks_status wks_archive_tombstones(struct wks_archive archive,
                                  struct wks_bytes after,
                                  size_t limit,
                                  struct wks_hashes *hashes,
                                  struct wks_error *error);

/**
 * Starts to list what was taken down: take it with `wks_op_take_hashes`.
 *
 * Threads: any. Blocks: no. Owns: `after` is lent for the call; the operation is the caller's, to
 * free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_archive_tombstones`.
 */
wks_status wks_archive_tombstones_async(struct wks_archive archive,
                                        struct wks_bytes after,
                                        size_t limit,
                                        struct wks_op *op,
                                        struct wks_error *error);

/**
 * Lifts takedowns: these may be taken in again, from wherever they come. (They are not brought
 * back.) `hashes` are 32 bytes each, at most 100,000 of them; `lifted` tells how many were taken
 * down, and may be null.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until it is committed. Owns: the hashes are lent
 * for the call.
 * Errors: as `wks_archive_take_down`.
 */
wks_status wks_archive_reinstate(struct wks_archive archive,
                                 struct wks_bytes hashes,
                                 uint64_t *lifted,
                                 struct wks_error *error);

/**
 * Starts to lift takedowns: take how many there were with `wks_op_take_number`.
 *
 * Threads: any. Blocks: no. Owns: the hashes are lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_archive_reinstate`.
 */
wks_status wks_archive_reinstate_async(struct wks_archive archive,
                                       struct wks_bytes hashes,
                                       struct wks_op *op,
                                       struct wks_error *error);

/**
 * One page of figures by topic, in the order of the topics' names as bytes: those after `after`
 * (empty for the first page; the last name of a page for the next), `limit` of them, 1 to 1,000. A
 * page with fewer is the last. Topics whose messages have all been removed may be among them. The
 * cost is by topics, not by messages.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until they are known. Owns: the page is the
 * caller's, to free with `wks_topics_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` for a kind or a limit that is none, `WKS_ERR_ARCHIVE_IO`,
 * `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_UNSUPPORTED` where the archive keeps no such figures,
 * `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
 * `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_archive_topic_stats(struct wks_archive archive,
                                   wks_topic_kind kind,
                                   struct wks_bytes after,
                                   size_t limit,
                                   struct wks_topics *topics,
                                   struct wks_error *error);

/**
 * Starts to find figures by topic: take them with `wks_op_take_topics`.
 *
 * Threads: any. Blocks: no. Owns: `after` is lent for the call; the operation is the caller's, to
 * free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_archive_topic_stats`.
 */
wks_status wks_archive_topic_stats_async(struct wks_archive archive,
                                         wks_topic_kind kind,
                                         struct wks_bytes after,
                                         size_t limit,
                                         struct wks_op *op,
                                         struct wks_error *error);

/**
 * Takes figures by topic.
 *
 * Threads: any. Blocks: no. Owns: the page is the caller's, to free with `wks_topics_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_topics(struct wks_op op, struct wks_topics *topics, struct wks_error *error);

/**
 * How many topics a page has.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_topics_count(struct wks_topics topics, size_t *count, struct wks_error *error);

/**
 * Figures of topic `index`, counted from 0. Set `figures->struct_size` first.
 *
 * Threads: any. Blocks: no. Owns: `figures` is the caller's; what it points to is the page's, and
 * lives until `wks_topics_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
 * the end or a wrong `struct_size`.
 */
wks_status wks_topics_get(struct wks_topics topics,
                          size_t index,
                          struct wks_topic_stats *figures,
                          struct wks_error *error);

/**
 * Frees a page of figures. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_topics_free(struct wks_topics topics);

/**
 * Begins a walk through the history of several store peers: one is asked for as long as it answers,
 * and another goes on where it fails. Pull its pages with `wks_history_next`. With no peers named it
 * is any connected one that speaks Store, the best by what was measured of them first. `options` may
 * be null.
 *
 * Threads: any. Blocks: no. Owns: names and options are lent for the call; the walk is the caller's,
 * to free with `wks_history_free`. It does not keep the node running.
 * Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_INVALID_ARGUMENT` for more than 1,024 peers, a query that a
 * peer does not take, or a span so short that there are more than 100,000 of them,
 * `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_history_of(struct wks_node node,
                               const struct wks_bytes *peers,
                               size_t count,
                               struct wks_query query,
                               const struct wks_history_options *options,
                               struct wks_history *history,
                               struct wks_error *error);

/**
 * Those of the hashes (32 bytes each, one after the other; a million at the most) that a store peer
 * holds, in the order asked for, each once.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the answers are there. Owns: name and hashes
 * are lent for the call; the list is the caller's, to free with `wks_hashes_free`.
 * Errors: those of `wks_node_store_query`, and `WKS_ERR_INVALID_HASH` for a length that is not a
 * multiple of 32.
 */
wks_status wks_node_presence(struct wks_node node,
                             struct wks_bytes peer,
                             struct wks_bytes hashes,
                             struct wks_hashes *held,
                             struct wks_error *error);

/**
 * Starts to ask which of the hashes a store peer holds: take them with `wks_op_take_hashes`.
 *
 * Threads: any. Blocks: no. Owns: name and hashes are lent for the call; the operation is the
 * caller's, to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_node_presence`.
 */
wks_status wks_node_presence_async(struct wks_node node,
                                   struct wks_bytes peer,
                                   struct wks_bytes hashes,
                                   struct wks_op *op,
                                   struct wks_error *error);

/**
 * The messages of these hashes (32 bytes each, one after the other; a million at the most), from the
 * first of the peers that holds them; with no peers named, of the connected ones that speak Store.
 * The page has each hash once, in the order asked for; an entry whose `has_data` is 0 was held by
 * nobody. All of it is in memory at once; nothing is stored.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the answers are there. Owns: names and
 * hashes are lent for the call; the page is the caller's, to free with `wks_page_free`.
 * Errors: those of `wks_node_store_query`, where no peer answered for a part of the hashes;
 * `WKS_ERR_PEER_UNKNOWN` where there is nobody to ask; `WKS_ERR_INVALID_HASH` for a length that is
 * not a multiple of 32.
 */
wks_status wks_node_fetch(struct wks_node node,
                          const struct wks_bytes *peers,
                          size_t count,
                          struct wks_bytes hashes,
                          struct wks_page *page,
                          struct wks_error *error);

/**
 * Starts to get the messages of hashes: take the page with `wks_op_take_page`.
 *
 * Threads: any. Blocks: no. Owns: names and hashes are lent for the call; the operation is the
 * caller's, to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_node_fetch`.
 */
wks_status wks_node_fetch_async(struct wks_node node,
                                const struct wks_bytes *peers,
                                size_t count,
                                struct wks_bytes hashes,
                                struct wks_op *op,
                                struct wks_error *error);

/**
 * Asks several store peers for the hashes of a query, puts their answers together, and says what
 * each of them left out: so one server that hides messages is found out by the others. At most
 * `max` hashes of each peer are taken. A peer that fails is told of in the answer.
 *
 * Threads: any but the dispatcher's. Blocks: yes, until the answers are there. Owns: the names are
 * lent for the call; the check is the caller's, to free with `wks_check_free`.
 * Errors: `WKS_ERR_INVALID_ARGUMENT` for fewer than two peers or more than 1,024, or a query that a
 * peer does not take, `WKS_ERR_ADDRESS`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
 * `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_node_cross_check(struct wks_node node,
                                const struct wks_bytes *peers,
                                size_t count,
                                struct wks_query query,
                                size_t max,
                                struct wks_check *check,
                                struct wks_error *error);

/**
 * Starts a cross-check: take it with `wks_op_take_check`.
 *
 * Threads: any. Blocks: no. Owns: the names are lent for the call; the operation is the caller's,
 * to free with `wks_op_free`.
 * Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
 * `wks_node_cross_check`.
 */
wks_status wks_node_cross_check_async(struct wks_node node,
                                      const struct wks_bytes *peers,
                                      size_t count,
                                      struct wks_query query,
                                      size_t max,
                                      struct wks_op *op,
                                      struct wks_error *error);

/**
 * Takes a cross-check.
 *
 * Threads: any. Blocks: no. Owns: the check is the caller's, to free with `wks_check_free`.
 * Errors: as `wks_op_take_page`.
 */
wks_status wks_op_take_check(struct wks_op op, struct wks_check *check, struct wks_error *error);

/**
 * The hashes of all peers together, each once, 32 bytes each, one after the other: in the order of
 * the first peer, then what only the others told.
 *
 * Threads: any. Blocks: no. Owns: the bytes are the check's, and live until `wks_check_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_check_hashes(struct wks_check check,
                            struct wks_bytes *hashes,
                            struct wks_error *error);

/**
 * How many peers were asked.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
 */
wks_status wks_check_count(struct wks_check check, size_t *count, struct wks_error *error);

/**
 * What peer `index` told, counted from 0 in the order they were named. Set `told->struct_size`
 * first.
 *
 * Threads: any. Blocks: no. Owns: `told` is the caller's; what it points to is the check's, and
 * lives until `wks_check_free`.
 * Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
 * the end or a wrong `struct_size`.
 */
wks_status wks_check_get(struct wks_check check,
                         size_t index,
                         struct wks_check_peer *told,
                         struct wks_error *error);

/**
 * Frees a cross-check. The null handle is fine.
 *
 * Threads: any. Blocks: no. Owns: takes the handle.
 * Errors: none; a stale handle is ignored.
 */
void wks_check_free(struct wks_check check);

/**
 * How many Store requests are answered in a time, in all and of one peer; beyond it the answer is
 * 429. 0 requests, the default of both, for no such limit.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`. (A time of zero is refused when the node is started.)
 */
wks_status wks_node_options_set_store_rate(struct wks_node_options options,
                                           uint32_t requests,
                                           uint64_t per_ns,
                                           uint32_t requests_of_peer,
                                           uint64_t per_ns_of_peer,
                                           struct wks_error *error);

/**
 * What one page of an answer may take, in bytes, at least 256 KiB; 4 MiB by default. What does not
 * fit comes with the next page.
 *
 * Threads: any. Blocks: no. Owns: nothing.
 * Errors: `WKS_ERR_HANDLE`. (Too few are refused when the node is started.)
 */
wks_status wks_node_options_set_max_page_bytes(struct wks_node_options options,
                                               size_t bytes,
                                               struct wks_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/**
 * The bytes of a C string, without its NUL: for the inputs of this header. Null gives none.
 */
static inline wks_bytes wks_str(const char *text)
{
    wks_bytes bytes;
    bytes.ptr = (const uint8_t *)text;
    bytes.len = text ? strlen(text) : 0;
    return bytes;
}

#endif  /* WAKUSTORE_H */
