//! The one error type of the crate: a stable kind with a number, and a message for people.
//!
//! The numbers are those of `wks_status` in the C ABI and of the error kinds in the bindings. They
//! are grouped by layer, a hundred each, and are only ever added to. Messages name what is wrong
//! and what was expected; they never carry a payload, a key or the password of a database URL.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What went wrong, as a stable number. Zero is success and has no kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum ErrorKind { $($(#[$doc])* $name = $code,)* }

        impl ErrorKind {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The stable name of the kind, as written here.
            pub fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name),)* }
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
    /// The handle, or the library, was in use before a `fork` and this is the child.
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

impl ErrorKind {
    /// The stable number, as in `wks_status`.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A kind and a message for people. Cheap to clone, so that one failure can end many waiters.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<(ErrorKind, String)>);

impl Error {
    /// An error of this kind; `message` says what is wrong and with what.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new((kind, message.into())))
    }

    /// The stable kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.0
    }

    /// The message alone, without the kind.
    pub fn message(&self) -> &str {
        &self.0.1
    }

    /// The same kind, with `what` and a colon before the message.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        Error::new(self.kind(), format!("{what}: {}", self.message()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind().name(), self.message())
    }
}

impl std::error::Error for Error {}

/// Returns early with an [`Error`] of a kind and a formatted message.
macro_rules! bail {
    ($kind:ident, $($arg:tt)*) => {
        return Err($crate::error::Error::new($crate::error::ErrorKind::$kind, format!($($arg)*)))
    };
}
pub(crate) use bail;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ordered() {
        assert!(ErrorKind::ALL.windows(2).all(|w| w[0].code() < w[1].code()));
    }

    #[test]
    fn context_keeps_the_kind() {
        let e = Error::new(ErrorKind::Dial, "refused").context("peer");
        assert_eq!((e.kind(), e.to_string()), (ErrorKind::Dial, "peer: refused".into()));
    }
}
