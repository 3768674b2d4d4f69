//! The one error of the bindings: a kind from the table of [`crate::ErrorKind`], and a reason.
//!
//! [`ErrorKind`] repeats that table name by name and number by number, because UniFFI wants the
//! enum spelled out where it is derived; a test holds the two together.

use crate::error::{Error, ErrorKind as Kind};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:tt,)*) => {
        /// What went wrong. The values are the status numbers of the C ABI, and are only ever
        /// added to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
        #[repr(i32)]
        pub enum ErrorKind { $($(#[$doc])* $name = $code,)* }

        impl From<Kind> for ErrorKind {
            fn from(kind: Kind) -> Self {
                match kind { $(Kind::$name => ErrorKind::$name,)* }
            }
        }
    };
}

kinds! {
    /// A bug in the library: a panic was caught. The object it happened in is poisoned.
    Internal = 1,
    /// An argument is outside of what the function documents.
    InvalidArgument = 2,
    /// A pointer that must not be null is null.
    NullPointer = 3,
    /// A handle is null, stale, forged or of another kind.
    Handle = 4,
    /// The object, or the library, was in use before a `fork` and this is the child.
    Forked = 5,
    /// The library, or the object, is shutting down or has been shut down.
    Shutdown = 6,
    /// A blocking call was made from a callback.
    WouldDeadlock = 7,
    /// The operation was cancelled.
    Cancelled = 8,
    /// The time allowed for it has passed.
    TimedOut = 9,
    /// An earlier panic left this object unusable.
    Poisoned = 10,
    /// A bounded queue is full; try again later.
    Busy = 11,
    /// This build, or this object, does not offer it.
    Unsupported = 12,
    /// The operation has not ended yet.
    NotReady = 13,
    /// The result of the operation is of another type, or was taken already.
    NoResult = 14,
    /// The system gives no more threads, descriptors or memory.
    Resources = 15,
    /// The archive, or the node, is suspended: it works again once it is resumed.
    Suspended = 16,

    /// A pubsub or content topic is empty, too long, not UTF-8, or malformed.
    InvalidTopic = 100,
    /// A message hash is not 32 bytes.
    InvalidHash = 101,
    /// A message is larger than the network's largest, 150 KiB.
    MessageTooLarge = 102,
    /// The meta field is longer than 64 bytes.
    MetaTooLarge = 103,
    /// A message without a timestamp cannot be stored.
    NoTimestamp = 104,
    /// An ephemeral message is never stored.
    Ephemeral = 105,
    /// The timestamp lies too far in the future.
    TimestampInFuture = 106,
    /// The timestamp lies too far in the past for where the message came from.
    TimestampTooOld = 107,
    /// A time range ends before it starts.
    InvalidTimeRange = 108,

    /// The bytes end before the value does.
    Truncated = 200,
    /// A frame, or a count in it, is larger than allowed.
    FrameTooLarge = 201,
    /// The bytes are not what the protocol says.
    Malformed = 202,

    /// The archive cannot be opened at this place.
    ArchiveOpen = 300,
    /// The file is not an archive, or it is damaged.
    ArchiveCorrupt = 301,
    /// No space is left on the disk. Reads go on; writes work again once there is space.
    DiskFull = 302,
    /// The cursor names a message that the archive does not hold (any more).
    CursorNotFound = 303,
    /// The archive was written by a newer version of the library.
    SchemaTooNew = 304,
    /// Reading or writing the archive failed.
    ArchiveIo = 305,
    /// Another process holds the archive's lock.
    ArchiveLocked = 306,
    /// The archive was opened read-only, or its file cannot be written.
    ArchiveReadOnly = 307,
    /// The archive was closed.
    ArchiveClosed = 308,
    /// The host's validator refused the message.
    ValidatorRefused = 309,
    /// The message was taken down: it is not taken in again.
    TakenDown = 310,
    /// The position is not one of this archive's change feed (any more): read the archive anew, and
    /// go on from where it stands now.
    PositionGone = 311,
    /// The archive is encrypted with another key, or a key was given for one that is not encrypted.
    WrongKey = 312,
    /// The database that holds the archive cannot be reached; it is tried again by itself.
    ArchiveUnavailable = 313,

    /// The store peer, or we, found the request invalid (status 400).
    StoreBadRequest = 400,
    /// The store peer could not answer, or its answer is not one to this request (status 300).
    StoreBadResponse = 401,
    /// The store peer's rate limit is reached (status 429).
    StoreTooManyRequests = 402,
    /// The store peer is out of service (status 503).
    StoreUnavailable = 403,

    /// The peer broke the sync protocol.
    SyncProtocol = 500,
    /// The peer serves none of the topics that were to be compared.
    SyncScope = 501,
    /// A sync with this peer is already running, or too many are.
    SyncBusy = 502,

    /// The text is not a multiaddress, or not one that this node can use.
    Address = 600,
    /// The peer could not be reached.
    Dial = 601,
    /// The node could not listen at this address.
    Listen = 602,
    /// No connection to this peer, and no address of it is known.
    PeerUnknown = 603,
    /// The peer does not speak this protocol.
    ProtocolUnsupported = 604,
    /// The stream, or the connection under it, ended early.
    StreamClosed = 605,
    /// The identity key's file cannot be read, written, or is not a key.
    KeyFile = 606,
    /// The peer belongs to another cluster.
    OtherCluster = 607,
    /// No connected peer takes messages of this topic over relay.
    NoRelayPeers = 608,
}

/// What every call of the library that can fail throws. One variant: tell failures apart by
/// `kind`.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Error)]
pub enum WakuError {
    /// It failed.
    Failed {
        /// What went wrong, as a stable number.
        kind: ErrorKind,
        /// What is wrong and with what, for people. (Not `message`: Kotlin's exceptions have a
        /// property of that name.)
        reason: String,
    },
}

impl std::fmt::Display for WakuError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let WakuError::Failed { kind, reason } = self;
        write!(f, "{kind:?}: {reason}")
    }
}

impl std::error::Error for WakuError {}

impl From<Error> for WakuError {
    fn from(e: Error) -> Self {
        WakuError::Failed { kind: e.kind().into(), reason: e.message().to_owned() }
    }
}

/// What a host's code throws that is called by the library, and that is not of this type.
impl From<uniffi::UnexpectedUniFFICallbackError> for WakuError {
    fn from(e: uniffi::UnexpectedUniFFICallbackError) -> Self {
        WakuError::Failed { kind: ErrorKind::Internal, reason: e.reason }
    }
}

/// A failure that is told rather than thrown: of one message of a batch, or of a sync that the
/// peer began.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Failure {
    /// What went wrong, as a stable number.
    pub kind: ErrorKind,
    /// What is wrong and with what, for people.
    pub reason: String,
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure { kind: e.kind().into(), reason: e.message().to_owned() }
    }
}

/// The result of what is exported.
pub(super) type Result<T> = std::result::Result<T, WakuError>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn the_table_is_the_crates_own() {
        for &kind in Kind::ALL {
            let ours = ErrorKind::from(kind);
            assert_eq!((ours as i32, format!("{ours:?}").as_str()), (kind.code(), kind.name()));
        }
    }

    #[test]
    fn kind_and_reason_come_across() {
        let e = WakuError::from(Error::new(Kind::CursorNotFound, "no such message"));
        assert_eq!(e.to_string(), "CursorNotFound: no such message");
    }
}
