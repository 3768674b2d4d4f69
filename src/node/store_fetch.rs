//! Many hashes asked of Store peers: which they hold, and what they are; and one question put to
//! several of them, to see who leaves something out.
//!
//! What must hold: requests are legal whatever the number of hashes; only so many run at once; what
//! one peer does not hold, or cannot say, is asked of the next; what is given was checked against its
//! hash.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::history::{History, HistoryOptions};
use super::shared::Shared;
use crate::error::{Error, Result, bail};
use crate::types::{Filter, MAX_PAGE_SIZE, MessageHash, Query, StoredMessage};

/// The most hashes in one call of [`super::Node::presence`] or [`super::Node::fetch`].
pub const MAX_FETCH: usize = 1_000_000;
/// Requests of one call at once.
const AT_ONCE: usize = 4;

/// What [`super::Node::fetch`] found.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The messages that were found, in no particular order, each once.
    pub messages: Vec<StoredMessage>,
    /// The hashes that no peer held, in the order asked for.
    pub missing: Vec<MessageHash>,
}

/// What [`super::Node::cross_check`] found.
#[derive(Debug, Default)]
pub struct CrossCheck {
    /// The hashes of all peers together, each once: in the order of the first peer, then what only
    /// the others told.
    pub hashes: Vec<MessageHash>,
    /// What each peer told, in the order asked for.
    pub peers: Vec<PeerCheck>,
}

/// What one peer told in a [`CrossCheck`].
#[derive(Debug)]
pub struct PeerCheck {
    /// As the caller named it.
    pub peer: String,
    /// How many hashes it told.
    pub told: usize,
    /// Those that others told and it did not. (It may have come to know them since, or others may
    /// hold what it let go by its retention.)
    pub omitted: Vec<MessageHash>,
    /// Where its answer broke off, why; then what it omitted says nothing.
    pub error: Option<Error>,
}

/// One legal request's worth of hashes.
struct Part {
    hashes: Vec<MessageHash>,
}

fn parts(hashes: &[MessageHash]) -> Result<Vec<Part>> {
    if hashes.len() > MAX_FETCH {
        bail!(InvalidArgument, "{} hashes, at most {MAX_FETCH} in one call", hashes.len());
    }
    let mut seen = HashSet::with_capacity(hashes.len());
    let once: Vec<MessageHash> = hashes.iter().copied().filter(|hash| seen.insert(*hash)).collect();
    Ok(once.chunks(MAX_PAGE_SIZE).map(|part| Part { hashes: part.to_vec() }).collect())
}

/// Asks these peers, one after the other, for what is left of a part: the messages, where they are
/// wanted, and the hashes of what is held.
async fn ask(
    shared: &Arc<Shared>,
    peers: &[String],
    part: Part,
    include_data: bool,
) -> Result<(Vec<StoredMessage>, HashSet<MessageHash>)> {
    let mut wanted = part.hashes;
    let (mut messages, mut held) = (Vec::new(), HashSet::new());
    let mut failed = None;
    let mut answered = false;
    for peer in peers {
        let filter = Filter { hashes: wanted.clone(), ..Filter::default() };
        let query = Query { filter, limit: MAX_PAGE_SIZE, include_data, ..Query::default() };
        let one = std::slice::from_ref(peer);
        let mut pages = History::new(shared.clone(), one, query, &HistoryOptions::default())?;
        loop {
            match pages.next().await {
                Ok(Some(page)) => {
                    for entry in page.entries {
                        match entry.data {
                            Some((topic, message)) if held.insert(entry.hash) => {
                                messages.push(StoredMessage::new(topic, message));
                            }
                            None if !include_data => {
                                held.insert(entry.hash);
                            }
                            _ => {}
                        }
                    }
                }
                Ok(None) => {
                    answered = true;
                    break;
                }
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
        }
        wanted.retain(|hash| !held.contains(hash));
        if wanted.is_empty() {
            break;
        }
    }
    match failed {
        // What nobody could say is not missing.
        Some(e) if !answered => Err(e),
        _ => Ok((messages, held)),
    }
}

/// Whom to ask: those that are named, or those that are connected, the best first.
fn whom(shared: &Shared, peers: &[String]) -> Result<Vec<String>> {
    if !peers.is_empty() {
        return Ok(peers.to_vec());
    }
    let mut all = shared.store_peers();
    if all.is_empty() {
        bail!(PeerUnknown, "no connected peer speaks Store");
    }
    all.sort_by(|a, b| shared.measured.cost(a).total_cmp(&shared.measured.cost(b)));
    Ok(all.iter().map(ToString::to_string).collect())
}

/// See [`super::Node::presence`].
pub(super) async fn presence(
    shared: &Arc<Shared>,
    peer: &str,
    hashes: &[MessageHash],
) -> Result<Vec<MessageHash>> {
    let peers = [peer.to_owned()];
    let asked = parts(hashes)?.into_iter().map(|part| ask(shared, &peers, part, false));
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut held = HashSet::new();
    while let Some(answer) = answers.next().await {
        held.extend(answer?.1);
    }
    let mut told = HashSet::new();
    let there = hashes.iter().filter(|hash| held.contains(*hash) && told.insert(**hash));
    Ok(there.copied().collect())
}

/// See [`super::Node::fetch`].
pub(super) async fn fetch(
    shared: &Arc<Shared>,
    peers: &[String],
    hashes: &[MessageHash],
) -> Result<Fetched> {
    let peers = whom(shared, peers)?;
    let asked = parts(hashes)?.into_iter().map(|part| ask(shared, &peers, part, true));
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut found = Fetched::default();
    let mut held = HashSet::new();
    while let Some(answer) = answers.next().await {
        let (messages, of_part) = answer?;
        found.messages.extend(messages);
        held.extend(of_part);
    }
    let mut told = HashSet::new();
    let missing = hashes.iter().filter(|hash| !held.contains(*hash) && told.insert(**hash));
    found.missing = missing.copied().collect();
    Ok(found)
}

/// See [`super::Node::cross_check`].
pub(super) async fn cross_check(
    shared: &Arc<Shared>,
    peers: &[String],
    query: Query,
    max: usize,
) -> Result<CrossCheck> {
    if peers.len() < 2 {
        bail!(InvalidArgument, "{} peers: a cross-check needs two and more", peers.len());
    }
    let query = Query { include_data: false, ..query };
    // All that it works on is its own, so that the whole may move between threads.
    let of_peer = peers.iter().cloned().map(|peer| (peer, shared.clone(), query.clone()));
    let of_peer = of_peer.map(|(peer, shared, query)| async move {
        let one = std::slice::from_ref(&peer);
        let mut pages = History::new(shared, one, query, &HistoryOptions::default())?;
        let mut hashes = Vec::new();
        let error = loop {
            match pages.next().await {
                Ok(Some(page)) => hashes.extend(page.entries.iter().map(|entry| entry.hash)),
                Ok(None) => break None,
                Err(e) => break Some(e),
            }
            if hashes.len() > max {
                let told = format!("a peer told of more than {max} hashes");
                break Some(Error::new(crate::error::ErrorKind::FrameTooLarge, told));
            }
        };
        Ok::<_, Error>((peer, hashes, error))
    });
    let answers: Vec<_> = stream::iter(of_peer).buffered(AT_ONCE).collect().await;
    let answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
    let mut check = CrossCheck::default();
    let mut all = HashSet::new();
    for hash in answers.iter().flat_map(|(_, hashes, _)| hashes) {
        if all.insert(*hash) {
            check.hashes.push(*hash);
        }
    }
    for (peer, hashes, error) in answers {
        let own: HashSet<MessageHash> = hashes.iter().copied().collect();
        let omitted = check.hashes.iter().filter(|hash| !own.contains(*hash)).copied().collect();
        check.peers.push(PeerCheck { peer, told: own.len(), omitted, error });
    }
    Ok(check)
}
