//! Questions to several store peers: a walk that fails over, presence, contents of many hashes, and
//! one query put to all of them.

use std::sync::Arc;
use std::time::Duration;

use super::call::{call, guard, guarded};
use super::error::{Failure, Result};
use super::message::{self, StoredMessage, bytes_of};
use super::node::Node;
use super::query::Query;
use super::stream::History;
use crate::node;

/// What was found of many hashes.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Fetched {
    /// The messages that were found, in no particular order, each once.
    pub messages: Vec<StoredMessage>,
    /// The hashes that no peer held, in the order asked for.
    pub missing: Vec<Vec<u8>>,
}

/// What several store peers told when they were asked the same.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct CrossCheck {
    /// The hashes of all peers together, each once: in the order of the first peer, then what only
    /// the others told.
    pub hashes: Vec<Vec<u8>>,
    /// What each peer told, in the order asked for.
    pub peers: Vec<PeerCheck>,
}

/// What one peer told.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct PeerCheck {
    /// As the caller named it.
    pub peer: String,
    /// How many hashes it told.
    pub told: u64,
    /// Those that others told and it did not. (It may have come to know them since, or others may
    /// hold what it let go by its retention.)
    pub omitted: Vec<Vec<u8>>,
    /// Why its answer broke off, where it did; then what it omitted says nothing.
    pub failure: Option<Failure>,
}

/// How many Store requests are answered in a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Record)]
pub struct RateLimit {
    /// So many, at least 1.
    pub requests: u32,
    /// In so long, more than zero.
    pub per: Duration,
}

impl From<RateLimit> for node::RateLimit {
    fn from(limit: RateLimit) -> Self {
        node::RateLimit { requests: limit.requests, per: limit.per }
    }
}

#[uniffi::export]
impl Node {
    /// A walk through the history of several store peers: one is asked for as long as it answers,
    /// and another goes on where it fails. With no peers named it is any connected one that speaks
    /// Store, the best by what was measured of them first. A query for a time longer than `span` is
    /// asked in spans of that length, since some service nodes refuse long ones.
    ///
    /// Fails as the query is wrong, or with `Address`, or with `InvalidArgument` for a span so short
    /// that there are more than 100,000 of them.
    #[uniffi::method(default(span = None))]
    pub fn history_of(
        &self,
        peers: Vec<String>,
        query: Query,
        span: Option<Duration>,
    ) -> Result<Arc<History>> {
        guard(|| {
            let options = node::HistoryOptions { span };
            let history = self.node()?.history_of(&peers, query.checked()?, &options)?;
            Ok(Arc::new(History::of_peer(self.runtime(), history)))
        })
    }

    /// Those of the hashes that a store peer holds, in the order asked for, each once; at most a
    /// million in one call.
    ///
    /// Fails as `store_query`.
    pub async fn presence(&self, peer: String, hashes: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        guarded(async move {
            let (node, hashes) = (self.node()?, message::hashes(&hashes)?);
            call(async move { node.presence(&peer, &hashes).await.map(bytes_of) }).await
        })
        .await
    }

    /// The messages of these hashes, from the first of the peers that holds them; with no peers
    /// named, of the connected ones that speak Store. At most a million hashes in one call; all of
    /// what is found is in memory at once. Nothing is stored.
    ///
    /// Fails as `store_query`, where no peer answered for a part of the hashes.
    pub async fn fetch(&self, peers: Vec<String>, hashes: Vec<Vec<u8>>) -> Result<Fetched> {
        guarded(async move {
            let (node, hashes) = (self.node()?, message::hashes(&hashes)?);
            let found = call(async move { node.fetch(&peers, &hashes).await }).await?;
            Ok(Fetched {
                messages: found.messages.into_iter().map(StoredMessage::from).collect(),
                missing: bytes_of(found.missing),
            })
        })
        .await
    }

    /// Asks several store peers for the hashes of a query, puts their answers together, and says
    /// what each of them left out: so one server that hides messages is found out by the others. At
    /// most `max` hashes of each peer are taken. A peer that fails is told of in the answer.
    ///
    /// Fails with `InvalidArgument` for fewer than two peers or a query that cannot be asked, and
    /// with `Address`.
    #[uniffi::method(default(max = 100_000))]
    pub async fn cross_check(
        &self,
        peers: Vec<String>,
        query: Query,
        max: u64,
    ) -> Result<CrossCheck> {
        guarded(async move {
            let (node, query) = (self.node()?, query.checked()?);
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            let check = call(async move { node.cross_check(&peers, query, max).await }).await?;
            let peers = check.peers.into_iter().map(|of| PeerCheck {
                peer: of.peer,
                told: of.told as u64,
                omitted: bytes_of(of.omitted),
                failure: of.error.map(Failure::from),
            });
            Ok(CrossCheck { peers: peers.collect(), hashes: bytes_of(check.hashes) })
        })
        .await
    }
}
