//! What the engine asks its host to do.

use bytes::Bytes;

use super::{SyncProgress, SyncProtocol, SyncReport};
use crate::archive::IndexQuery;
use crate::types::{MessageHash, Origin, Query, StoredMessage};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u64);)*
    };
}

id! {
    /// A peer, by a number that the host chose. By the same number each time that it comes, a
    /// peer that was gone is known again and synced with.
    PeerKey
    /// A sync session, by a number that the engine chose.
    SessionId
    /// A question to the archive for messages.
    FetchId
    /// A batch for the archive to store.
    StoreId
    /// A step of a walk over the archive's ids.
    LoadId
    /// A Store query to a peer.
    QueryId
    /// A question to the archive, which of some hashes it lacks.
    MissingId
}

/// Something that honest peers do not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misbehaviour {
    /// Its bytes are not the protocol's.
    BadFrame,
    /// It sent messages outside of any session, or beyond its quota.
    Unsolicited,
    /// It sent messages that may not be stored (a timestamp of the future, too large).
    BadMessage,
}

/// What the host must do. Each is carried out once, in order.
#[derive(Debug)]
pub enum Output {
    /// Open a reconciliation stream to the peer; sends for the session wait until it is open.
    OpenReconciliation {
        /// For this session.
        session: SessionId,
        /// To this peer.
        peer: PeerKey,
        /// Which protocol id it is opened under.
        protocol: SyncProtocol,
    },
    /// Ask the peer by Store v3 and answer by [`super::Engine::store_answered`].
    QueryStore {
        /// The question.
        query: QueryId,
        /// To this peer.
        peer: PeerKey,
        /// Of a size that deployed nodes answer.
        request: Box<Query>,
    },
    /// Ask the archive which of these hashes it lacks and answer by [`super::Engine::missing`].
    Missing {
        /// The question.
        missing: MissingId,
        /// Bounded by the engine.
        hashes: Vec<MessageHash>,
    },
    /// The engine's own state changed (last online, coverage): keep what [`super::Engine::state`]
    /// gives, apart from the messages. At most once in a few seconds.
    SaveState,
    /// Send one frame on the session's stream.
    SendReconciliation {
        /// The session.
        session: SessionId,
        /// The frame, without length prefix.
        frame: Bytes,
    },
    /// Close the session's reconciliation stream once all is sent.
    CloseReconciliation {
        /// The session.
        session: SessionId,
    },
    /// Send frames on the session's outgoing transfer stream; open it at the first. Report each
    /// that is written by [`super::Engine::transfer_sent`].
    SendTransfer {
        /// The session.
        session: SessionId,
        /// To this peer.
        peer: PeerKey,
        /// Frames, without length prefix.
        frames: Vec<Bytes>,
    },
    /// Close the session's outgoing transfer stream once all is sent (if it was opened).
    CloseTransfer {
        /// The session.
        session: SessionId,
    },
    /// Ask the archive for these messages and answer by [`super::Engine::fetched`].
    Fetch {
        /// The question.
        fetch: FetchId,
        /// Bounded by the engine.
        hashes: Vec<MessageHash>,
    },
    /// Store these, with this origin, and answer by [`super::Engine::stored`].
    Store {
        /// The batch.
        store: StoreId,
        /// Sync or resume.
        origin: Origin,
        /// Hashed here, from what came.
        messages: Vec<StoredMessage>,
    },
    /// Read this from the archive and answer by [`super::Engine::loaded`].
    Load {
        /// The step.
        load: LoadId,
        /// Which ids.
        query: IndexQuery,
    },
    /// The peer did something that honest peers do not.
    Penalise {
        /// The peer.
        peer: PeerKey,
        /// What it did.
        what: Misbehaviour,
    },
    /// A session goes on; at most a few a second.
    Progress {
        /// The session.
        session: SessionId,
        /// How far it is.
        progress: SyncProgress,
    },
    /// A session has ended, well or not. The last output of a session.
    Finished {
        /// The session.
        session: SessionId,
        /// What came of it.
        report: Box<SyncReport>,
    },
}
