//! Reconciliation 1.0.0: a payload in, a payload out, and the differences on the way.
//!
//! Stateless between payloads but for what the caller keeps in [`Differences`]: the bounds are in
//! the payload.

use crate::types::{PubsubTopic, SyncId, TimeRange, Timestamp};
use crate::wire::reconciliation::{Payload, Scope};

use super::index::Index;

/// The trees of one session's scope, taken together: one index a pubsub topic, or one index that
/// was loaded for this session alone. Fingerprints over disjoint sets add up.
pub struct View<'a>(pub Vec<&'a Index>);

/// How to split and when to list. Ours to choose: the bounds are in the payload.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Parts that a range that differs is split into.
    pub fan_out: usize,
    /// Ranges of at most so many local ids are listed rather than split.
    pub max_item_set: usize,
    /// An answer beyond so many bytes answers its further ranges by their fingerprint, to be
    /// taken up in the next round.
    pub max_answer: usize,
}

/// What one session has found.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// Ours, that the peer lacks: to be sent.
    pub local_only: Vec<SyncId>,
    /// The peer's, that we lack: to be expected.
    pub remote_only: Vec<SyncId>,
    /// Spans in which the peer said that it holds nothing and wants all (an empty item set,
    /// reconciled 1): ids of ours in them are in `local_only`. Spans in which WE said so are in
    /// `granted`: what the peer sends of them comes unannounced.
    pub granted: Vec<(SyncId, SyncId)>,
}

/// The first payload of a session.
pub fn initiate(_view: &View<'_>, _window: TimeRange, _scope: &Scope, _t: &Tuning) -> Payload {
    todo!()
}

/// What a payload is answered with, or `None` where the session is done (the payload was empty or
/// all skip). An answer that is all skip comes as the empty payload: send it, then the session is
/// done too. Spans outside of `window` are answered with skip.
pub fn respond(
    _view: &View<'_>,
    _received: &Payload,
    _window: TimeRange,
    _scope: &Scope,
    _tuning: &Tuning,
    _found: &mut Differences,
) -> crate::Result<Option<Payload>> {
    todo!()
}

/// What both scopes compare: the intersection, where an empty list is a wildcard; `None` where
/// they do not meet.
pub fn meet(_a: &Scope, _b: &Scope) -> Option<Scope> {
    todo!()
}

#[allow(unused)]
fn _unused(_: PubsubTopic, _: Timestamp) {}
