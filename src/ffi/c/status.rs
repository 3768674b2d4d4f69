//! The status of a call: the table of [`ErrorKind`] as a C enum.

use std::ffi::CStr;

use crate::error::ErrorKind;

/// What came of a call: 0 for success, or the kind of an error. The numbers are grouped by layer,
/// a hundred each, and are only ever added to: treat one that you do not know as an error.
#[repr(i32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum wks_status {
    /// Success.
    WKS_OK = 0,
    /// A bug in the library: a panic was caught. The object it happened in is poisoned.
    WKS_ERR_INTERNAL = 1,
    /// An argument is outside of what the function documents.
    WKS_ERR_INVALID_ARGUMENT = 2,
    /// A pointer that must not be null is null.
    WKS_ERR_NULL_POINTER = 3,
    /// A handle is null, stale, forged or of another kind.
    WKS_ERR_HANDLE = 4,
    /// The library was in use before a `fork` and this is the child.
    WKS_ERR_FORKED = 5,
    /// The library, or the object, is shutting down or has been shut down.
    WKS_ERR_SHUTDOWN = 6,
    /// A blocking call was made from a callback.
    WKS_ERR_WOULD_DEADLOCK = 7,
    /// The operation was cancelled.
    WKS_ERR_CANCELLED = 8,
    /// The time allowed for it has passed.
    WKS_ERR_TIMED_OUT = 9,
    /// An earlier panic left this object unusable: free it.
    WKS_ERR_POISONED = 10,
    /// A bounded queue is full; try again later.
    WKS_ERR_BUSY = 11,
    /// This build, or this object, does not offer it.
    WKS_ERR_UNSUPPORTED = 12,
    /// The operation has not ended yet.
    WKS_ERR_NOT_READY = 13,
    /// The result of the operation is of another type, or was taken already.
    WKS_ERR_NO_RESULT = 14,
    /// The system gives no more threads, descriptors or memory.
    WKS_ERR_RESOURCES = 15,
    /// The archive, or the node, is suspended: it works again once it is resumed.
    WKS_ERR_SUSPENDED = 16,

    /// A pubsub or content topic is empty, too long, not UTF-8, or malformed.
    WKS_ERR_INVALID_TOPIC = 100,
    /// A message hash is not 32 bytes.
    WKS_ERR_INVALID_HASH = 101,
    /// A message is larger than the network's largest, 150 KiB.
    WKS_ERR_MESSAGE_TOO_LARGE = 102,
    /// The meta field is longer than 64 bytes.
    WKS_ERR_META_TOO_LARGE = 103,
    /// A message without a timestamp cannot be stored.
    WKS_ERR_NO_TIMESTAMP = 104,
    /// An ephemeral message is never stored.
    WKS_ERR_EPHEMERAL = 105,
    /// The timestamp lies too far in the future.
    WKS_ERR_TIMESTAMP_IN_FUTURE = 106,
    /// The timestamp lies too far in the past for where the message came from.
    WKS_ERR_TIMESTAMP_TOO_OLD = 107,
    /// A time range ends before it starts.
    WKS_ERR_INVALID_TIME_RANGE = 108,

    /// The bytes end before the value does.
    WKS_ERR_TRUNCATED = 200,
    /// A frame, or a count in it, is larger than allowed.
    WKS_ERR_FRAME_TOO_LARGE = 201,
    /// The bytes are not what the protocol says.
    WKS_ERR_MALFORMED = 202,

    /// The archive cannot be opened at this place.
    WKS_ERR_ARCHIVE_OPEN = 300,
    /// The file is not an archive, or it is damaged.
    WKS_ERR_ARCHIVE_CORRUPT = 301,
    /// No space is left on the disk. Reads go on; writes work again once there is space.
    WKS_ERR_DISK_FULL = 302,
    /// The cursor names a message that the archive does not hold (any more).
    WKS_ERR_CURSOR_NOT_FOUND = 303,
    /// The archive was written by a newer version of the library.
    WKS_ERR_SCHEMA_TOO_NEW = 304,
    /// Reading or writing the archive failed.
    WKS_ERR_ARCHIVE_IO = 305,
    /// Another process holds the archive's lock.
    WKS_ERR_ARCHIVE_LOCKED = 306,
    /// The archive was opened read-only, or its file cannot be written.
    WKS_ERR_ARCHIVE_READ_ONLY = 307,
    /// The archive was closed.
    WKS_ERR_ARCHIVE_CLOSED = 308,
    /// The host's validator refused the message.
    WKS_ERR_VALIDATOR_REFUSED = 309,
    /// The message was taken down: it is not taken in again.
    WKS_ERR_TAKEN_DOWN = 310,
    /// The position is not one of this archive's change feed (any more): read the archive anew, and
    /// go on from where it stands now.
    WKS_ERR_POSITION_GONE = 311,
    /// The archive is encrypted with another key, or a key was given for one that is not encrypted.
    WKS_ERR_WRONG_KEY = 312,
    /// The database that holds the archive cannot be reached; it is tried again by itself.
    WKS_ERR_ARCHIVE_UNAVAILABLE = 313,

    /// The store peer, or we, found the request invalid (status 400).
    WKS_ERR_STORE_BAD_REQUEST = 400,
    /// The store peer could not answer, or its answer is not one to this request (status 300).
    WKS_ERR_STORE_BAD_RESPONSE = 401,
    /// The store peer's rate limit is reached (status 429).
    WKS_ERR_STORE_TOO_MANY_REQUESTS = 402,
    /// The store peer is out of service (status 503).
    WKS_ERR_STORE_UNAVAILABLE = 403,

    /// The peer broke the sync protocol.
    WKS_ERR_SYNC_PROTOCOL = 500,
    /// The peer serves none of the topics that were to be compared.
    WKS_ERR_SYNC_SCOPE = 501,
    /// A sync with this peer is already running, or too many are.
    WKS_ERR_SYNC_BUSY = 502,

    /// The text is not a multiaddress, or not one that this node can use.
    WKS_ERR_ADDRESS = 600,
    /// The peer could not be reached.
    WKS_ERR_DIAL = 601,
    /// The node could not listen at this address.
    WKS_ERR_LISTEN = 602,
    /// No connection to this peer, and no address of it is known.
    WKS_ERR_PEER_UNKNOWN = 603,
    /// The peer does not speak this protocol.
    WKS_ERR_PROTOCOL_UNSUPPORTED = 604,
    /// The stream, or the connection under it, ended early.
    WKS_ERR_STREAM_CLOSED = 605,
    /// The identity key's file cannot be read, written, or is not a key.
    WKS_ERR_KEY_FILE = 606,
    /// The peer belongs to another cluster.
    WKS_ERR_OTHER_CLUSTER = 607,
    /// No connected peer takes messages of this topic over relay.
    WKS_ERR_NO_RELAY_PEERS = 608,
}

impl From<ErrorKind> for wks_status {
    fn from(kind: ErrorKind) -> Self {
        use wks_status as S;
        match kind {
            ErrorKind::Internal => S::WKS_ERR_INTERNAL,
            ErrorKind::InvalidArgument => S::WKS_ERR_INVALID_ARGUMENT,
            ErrorKind::NullPointer => S::WKS_ERR_NULL_POINTER,
            ErrorKind::Handle => S::WKS_ERR_HANDLE,
            ErrorKind::Forked => S::WKS_ERR_FORKED,
            ErrorKind::Shutdown => S::WKS_ERR_SHUTDOWN,
            ErrorKind::WouldDeadlock => S::WKS_ERR_WOULD_DEADLOCK,
            ErrorKind::Cancelled => S::WKS_ERR_CANCELLED,
            ErrorKind::TimedOut => S::WKS_ERR_TIMED_OUT,
            ErrorKind::Poisoned => S::WKS_ERR_POISONED,
            ErrorKind::Busy => S::WKS_ERR_BUSY,
            ErrorKind::Unsupported => S::WKS_ERR_UNSUPPORTED,
            ErrorKind::NotReady => S::WKS_ERR_NOT_READY,
            ErrorKind::NoResult => S::WKS_ERR_NO_RESULT,
            ErrorKind::Resources => S::WKS_ERR_RESOURCES,
            ErrorKind::Suspended => S::WKS_ERR_SUSPENDED,
            ErrorKind::InvalidTopic => S::WKS_ERR_INVALID_TOPIC,
            ErrorKind::InvalidHash => S::WKS_ERR_INVALID_HASH,
            ErrorKind::MessageTooLarge => S::WKS_ERR_MESSAGE_TOO_LARGE,
            ErrorKind::MetaTooLarge => S::WKS_ERR_META_TOO_LARGE,
            ErrorKind::NoTimestamp => S::WKS_ERR_NO_TIMESTAMP,
            ErrorKind::Ephemeral => S::WKS_ERR_EPHEMERAL,
            ErrorKind::TimestampInFuture => S::WKS_ERR_TIMESTAMP_IN_FUTURE,
            ErrorKind::TimestampTooOld => S::WKS_ERR_TIMESTAMP_TOO_OLD,
            ErrorKind::InvalidTimeRange => S::WKS_ERR_INVALID_TIME_RANGE,
            ErrorKind::Truncated => S::WKS_ERR_TRUNCATED,
            ErrorKind::FrameTooLarge => S::WKS_ERR_FRAME_TOO_LARGE,
            ErrorKind::Malformed => S::WKS_ERR_MALFORMED,
            ErrorKind::ArchiveOpen => S::WKS_ERR_ARCHIVE_OPEN,
            ErrorKind::ArchiveCorrupt => S::WKS_ERR_ARCHIVE_CORRUPT,
            ErrorKind::DiskFull => S::WKS_ERR_DISK_FULL,
            ErrorKind::CursorNotFound => S::WKS_ERR_CURSOR_NOT_FOUND,
            ErrorKind::SchemaTooNew => S::WKS_ERR_SCHEMA_TOO_NEW,
            ErrorKind::ArchiveIo => S::WKS_ERR_ARCHIVE_IO,
            ErrorKind::ArchiveLocked => S::WKS_ERR_ARCHIVE_LOCKED,
            ErrorKind::ArchiveReadOnly => S::WKS_ERR_ARCHIVE_READ_ONLY,
            ErrorKind::ArchiveClosed => S::WKS_ERR_ARCHIVE_CLOSED,
            ErrorKind::ValidatorRefused => S::WKS_ERR_VALIDATOR_REFUSED,
            ErrorKind::TakenDown => S::WKS_ERR_TAKEN_DOWN,
            ErrorKind::PositionGone => S::WKS_ERR_POSITION_GONE,
            ErrorKind::WrongKey => S::WKS_ERR_WRONG_KEY,
            ErrorKind::ArchiveUnavailable => S::WKS_ERR_ARCHIVE_UNAVAILABLE,
            ErrorKind::StoreBadRequest => S::WKS_ERR_STORE_BAD_REQUEST,
            ErrorKind::StoreBadResponse => S::WKS_ERR_STORE_BAD_RESPONSE,
            ErrorKind::StoreTooManyRequests => S::WKS_ERR_STORE_TOO_MANY_REQUESTS,
            ErrorKind::StoreUnavailable => S::WKS_ERR_STORE_UNAVAILABLE,
            ErrorKind::SyncProtocol => S::WKS_ERR_SYNC_PROTOCOL,
            ErrorKind::SyncScope => S::WKS_ERR_SYNC_SCOPE,
            ErrorKind::SyncBusy => S::WKS_ERR_SYNC_BUSY,
            ErrorKind::Address => S::WKS_ERR_ADDRESS,
            ErrorKind::Dial => S::WKS_ERR_DIAL,
            ErrorKind::Listen => S::WKS_ERR_LISTEN,
            ErrorKind::PeerUnknown => S::WKS_ERR_PEER_UNKNOWN,
            ErrorKind::ProtocolUnsupported => S::WKS_ERR_PROTOCOL_UNSUPPORTED,
            ErrorKind::StreamClosed => S::WKS_ERR_STREAM_CLOSED,
            ErrorKind::KeyFile => S::WKS_ERR_KEY_FILE,
            ErrorKind::OtherCluster => S::WKS_ERR_OTHER_CLUSTER,
            ErrorKind::NoRelayPeers => S::WKS_ERR_NO_RELAY_PEERS,
        }
    }
}

/// The name of a status, as written above.
pub(super) fn name(status: i32) -> &'static CStr {
    match status {
        0 => c"WKS_OK",
        1 => c"WKS_ERR_INTERNAL",
        2 => c"WKS_ERR_INVALID_ARGUMENT",
        3 => c"WKS_ERR_NULL_POINTER",
        4 => c"WKS_ERR_HANDLE",
        5 => c"WKS_ERR_FORKED",
        6 => c"WKS_ERR_SHUTDOWN",
        7 => c"WKS_ERR_WOULD_DEADLOCK",
        8 => c"WKS_ERR_CANCELLED",
        9 => c"WKS_ERR_TIMED_OUT",
        10 => c"WKS_ERR_POISONED",
        11 => c"WKS_ERR_BUSY",
        12 => c"WKS_ERR_UNSUPPORTED",
        13 => c"WKS_ERR_NOT_READY",
        14 => c"WKS_ERR_NO_RESULT",
        15 => c"WKS_ERR_RESOURCES",
        16 => c"WKS_ERR_SUSPENDED",
        100 => c"WKS_ERR_INVALID_TOPIC",
        101 => c"WKS_ERR_INVALID_HASH",
        102 => c"WKS_ERR_MESSAGE_TOO_LARGE",
        103 => c"WKS_ERR_META_TOO_LARGE",
        104 => c"WKS_ERR_NO_TIMESTAMP",
        105 => c"WKS_ERR_EPHEMERAL",
        106 => c"WKS_ERR_TIMESTAMP_IN_FUTURE",
        107 => c"WKS_ERR_TIMESTAMP_TOO_OLD",
        108 => c"WKS_ERR_INVALID_TIME_RANGE",
        200 => c"WKS_ERR_TRUNCATED",
        201 => c"WKS_ERR_FRAME_TOO_LARGE",
        202 => c"WKS_ERR_MALFORMED",
        300 => c"WKS_ERR_ARCHIVE_OPEN",
        301 => c"WKS_ERR_ARCHIVE_CORRUPT",
        302 => c"WKS_ERR_DISK_FULL",
        303 => c"WKS_ERR_CURSOR_NOT_FOUND",
        304 => c"WKS_ERR_SCHEMA_TOO_NEW",
        305 => c"WKS_ERR_ARCHIVE_IO",
        306 => c"WKS_ERR_ARCHIVE_LOCKED",
        307 => c"WKS_ERR_ARCHIVE_READ_ONLY",
        308 => c"WKS_ERR_ARCHIVE_CLOSED",
        309 => c"WKS_ERR_VALIDATOR_REFUSED",
        310 => c"WKS_ERR_TAKEN_DOWN",
        311 => c"WKS_ERR_POSITION_GONE",
        312 => c"WKS_ERR_WRONG_KEY",
        313 => c"WKS_ERR_ARCHIVE_UNAVAILABLE",
        400 => c"WKS_ERR_STORE_BAD_REQUEST",
        401 => c"WKS_ERR_STORE_BAD_RESPONSE",
        402 => c"WKS_ERR_STORE_TOO_MANY_REQUESTS",
        403 => c"WKS_ERR_STORE_UNAVAILABLE",
        500 => c"WKS_ERR_SYNC_PROTOCOL",
        501 => c"WKS_ERR_SYNC_SCOPE",
        502 => c"WKS_ERR_SYNC_BUSY",
        600 => c"WKS_ERR_ADDRESS",
        601 => c"WKS_ERR_DIAL",
        602 => c"WKS_ERR_LISTEN",
        603 => c"WKS_ERR_PEER_UNKNOWN",
        604 => c"WKS_ERR_PROTOCOL_UNSUPPORTED",
        605 => c"WKS_ERR_STREAM_CLOSED",
        606 => c"WKS_ERR_KEY_FILE",
        607 => c"WKS_ERR_OTHER_CLUSTER",
        608 => c"WKS_ERR_NO_RELAY_PEERS",
        _ => c"WKS_ERR_UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeMap;

    use super::*;

    /// `WKS_ERR_NO_RESULT` for `NoResult`.
    fn c_name(name: &str) -> String {
        let mut out = String::from("WKS_ERR");
        for c in name.chars() {
            if c.is_ascii_uppercase() {
                out.push('_');
            }
            out.push(c.to_ascii_uppercase());
        }
        out
    }

    #[test]
    fn the_two_tables_are_one() {
        let kinds: BTreeMap<i32, String> =
            ErrorKind::ALL.iter().map(|k| (k.code(), c_name(k.name()))).collect();
        for kind in ErrorKind::ALL {
            assert_eq!(wks_status::from(*kind) as i32, kind.code(), "{}", kind.name());
        }
        let source = include_str!("status.rs");
        let body = source.split("pub enum wks_status {").nth(1).unwrap();
        let body = body.split("\n}").next().unwrap();
        let listed: BTreeMap<i32, String> = body
            .lines()
            .filter_map(|l| l.trim().strip_suffix(',')?.split_once(" = "))
            .map(|(name, code)| (code.parse().unwrap(), name.to_owned()))
            .filter(|(code, _)| *code != 0)
            .collect();
        assert_eq!(listed, kinds);
        for (code, written) in listed {
            assert_eq!(name(code).to_str(), Ok(written.as_str()));
        }
        assert_eq!(name(0), c"WKS_OK");
        assert_eq!(name(-1), c"WKS_ERR_UNKNOWN");
    }
}
