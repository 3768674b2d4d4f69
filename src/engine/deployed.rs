//! What is different with a deployed node (nwaku) as the peer.
//!
//! Its index covers about its last hour, and it reports as missing all that we hold and it has let
//! go of: so a session with it compares that hour alone, and says so in its report. What is older
//! is for Store.
//!
//! If it knows none of the content topics that it is told, its filter is off: it then answers with,
//! and pushes, everything, whether they are told or not. So they are not told, and both sides know
//! what is compared: all of the pubsub topics on its side, on ours what our scope takes. What we
//! push is in our scope, as we hold nothing else; of what it pushes the grants take what is in our
//! scope and drop the rest without penalty.

use std::borrow::Cow;
use std::time::Duration;

use super::horizon::floor;
use super::session::Session;
use super::{Engine, SessionId, SyncProtocol};
use crate::error::{Error, ErrorKind};
use crate::types::{TimeRange, Timestamp};
use crate::wire::reconciliation::Scope;

/// How far back the index of a deployed node reaches.
pub(super) const INDEXED: Duration = Duration::from_secs(3600);

/// The scope that is told to a peer.
pub(super) fn told<'a>(own: &'a Scope, session: &Session) -> Cow<'a, Scope> {
    if session.deployed && !own.content_topics.is_empty() {
        let pubsub_topics = own.pubsub_topics.clone();
        return Cow::Owned(Scope { pubsub_topics, content_topics: Vec::new() });
    }
    Cow::Borrowed(own)
}

impl Engine {
    /// Cuts the window of a session over 1.0.0 with a deployed peer to what that can compare.
    /// False where nothing is left of it; the session has ended then.
    pub(super) fn cut_to_index(&mut self, id: SessionId) -> bool {
        let Some(s) = self.sessions.get_mut(&id) else { return false };
        if !s.deployed || s.protocol != SyncProtocol::V1 || s.window.is_empty() {
            return true;
        }
        let indexed = floor(self.now.wall.saturating_sub(INDEXED));
        let all = TimeRange::new(indexed, Timestamp::MAX).unwrap_or(TimeRange::ALL);
        s.window = s.window.intersect(&all);
        if s.window.is_empty() && s.initiator {
            let what = "a deployed peer compares its last hour alone, and the window is older: \
                        sync over Store";
            self.fail(id, Error::new(ErrorKind::InvalidArgument, what));
            return false;
        }
        true
    }
}
