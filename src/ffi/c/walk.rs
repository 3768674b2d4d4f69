//! Questions to several store peers: a walk that fails over, presence, contents of many hashes, and
//! one query put to all of them.

use std::collections::HashMap;
use std::time::Duration;

use super::bytes::{HashesObject, nth, wks_bytes, wks_hashes};
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::{Handle, handle};
use super::history::{HistoryObject, wks_history};
use super::memory::{Record, borrow_hashes, borrow_str, lent_list, read_record};
use super::node::{with_node, wks_node};
use super::node_options::wks_node_options;
use super::op::{block, publish, take, wks_op};
use super::page::wks_page;
use super::query::wks_query;
use super::status::wks_status;
use crate::error::{Error, Result, bail};
use crate::node::{CrossCheck, Fetched, HistoryOptions, MAX_FETCH, RateLimit};
use crate::runtime::Op;
use crate::types::{Entry, MessageHash, Page};

/// How a walk goes. The caller allocates it, zeroed, and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_history_options {
    /// `sizeof(wks_history_options)`.
    pub struct_size: usize,
    /// A query for a longer time is asked in spans of so many nanoseconds, one after the other,
    /// since some service nodes refuse long ones; 0 to ask it whole.
    pub span_ns: u64,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_history_options {
    const NAME: &'static str = "wks_history_options";
    const FIRST_SIZE: usize = size_of::<Self>();
}

fn read_options(at: *const wks_history_options) -> Result<HistoryOptions> {
    if at.is_null() {
        return Ok(HistoryOptions::default());
    }
    let told = read_record(at)?;
    let span = (told.span_ns != 0).then(|| Duration::from_nanos(told.span_ns));
    Ok(HistoryOptions { span })
}

/// The most peers of one call.
const MAX_PEERS: usize = 1024;

/// The names of peers, copied.
fn names(peers: *const wks_bytes, count: usize) -> Result<Vec<String>> {
    if count > MAX_PEERS {
        bail!(InvalidArgument, "{count} peers, at most {MAX_PEERS} in one call");
    }
    let peers = lent_list(peers, count, "peers")?;
    peers.iter().map(|peer| borrow_str(*peer, "peer").map(str::to_owned)).collect()
}

/// Hashes of one call, copied.
fn asked(hashes: wks_bytes) -> Result<Vec<MessageHash>> {
    if hashes.len / 32 > MAX_FETCH {
        bail!(InvalidArgument, "{} hashes, at most {MAX_FETCH} in one call", hashes.len / 32);
    }
    borrow_hashes(hashes, "hashes")
}

/// Begins a walk through the history of several store peers: one is asked for as long as it answers,
/// and another goes on where it fails. Pull its pages with `wks_history_next`. With no peers named it
/// is any connected one that speaks Store, the best by what was measured of them first. `options` may
/// be null.
///
/// Threads: any. Blocks: no. Owns: names and options are lent for the call; the walk is the caller's,
/// to free with `wks_history_free`. It does not keep the node running.
/// Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_INVALID_ARGUMENT` for more than 1,024 peers, a query that a
/// peer does not take, or a span so short that there are more than 100,000 of them,
/// `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_history_of(
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    query: wks_query,
    options: *const wks_history_options,
    history: *mut wks_history,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, history, |call| {
        let object = call.get(node)?;
        let (peers, query) = (names(peers, count)?, call.get(query)?.query());
        let walk = object.node()?.history_of(&peers, query, &read_options(options)?)?;
        wks_history::publish(HistoryObject::of_peer(object.runtime(), walk))
    })
}

fn presence(call: &mut Call, node: wks_node, peer: wks_bytes, hashes: wks_bytes) -> Result<Op> {
    let (peer, hashes) = (borrow_str(peer, "peer")?.to_owned(), asked(hashes)?);
    with_node(call, node, |o| async move {
        o.node()?.presence(&peer, &hashes).await.map(HashesObject::new)
    })
}

/// Those of the hashes (32 bytes each, one after the other; a million at the most) that a store peer
/// holds, in the order asked for, each once.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the answers are there. Owns: name and hashes
/// are lent for the call; the list is the caller's, to free with `wks_hashes_free`.
/// Errors: those of `wks_node_store_query`, and `WKS_ERR_INVALID_HASH` for a length that is not a
/// multiple of 32.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_presence(
    node: wks_node,
    peer: wks_bytes,
    hashes: wks_bytes,
    held: *mut wks_hashes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, held, |call| take(&block(|| presence(call, node, peer, hashes))?))
}

/// Starts to ask which of the hashes a store peer holds: take them with `wks_op_take_hashes`.
///
/// Threads: any. Blocks: no. Owns: name and hashes are lent for the call; the operation is the
/// caller's, to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_node_presence`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_presence_async(
    node: wks_node,
    peer: wks_bytes,
    hashes: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(presence(call, node, peer, hashes)))
}

/// What was asked for, each hash once, in that order: with its message where one was found.
fn in_order(hashes: Vec<MessageHash>, found: Fetched) -> Page {
    let mut messages: HashMap<MessageHash, _> = found
        .messages
        .into_iter()
        .map(|found| (found.hash, (found.pubsub_topic, found.message)))
        .collect();
    let mut left: std::collections::HashSet<_> = hashes.iter().copied().collect();
    let entries = hashes.into_iter().filter(|hash| left.remove(hash));
    let entries = entries.map(|hash| Entry { hash, data: messages.remove(&hash) }).collect();
    Page { entries, cursor: None }
}

fn fetch(
    call: &mut Call,
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    hashes: wks_bytes,
) -> Result<Op> {
    let (peers, hashes) = (names(peers, count)?, asked(hashes)?);
    with_node(call, node, |o| async move {
        let found = o.node()?.fetch(&peers, &hashes).await?;
        Ok(in_order(hashes, found))
    })
}

/// The messages of these hashes (32 bytes each, one after the other; a million at the most), from the
/// first of the peers that holds them; with no peers named, of the connected ones that speak Store.
/// The page has each hash once, in the order asked for; an entry whose `has_data` is 0 was held by
/// nobody. All of it is in memory at once; nothing is stored.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the answers are there. Owns: names and
/// hashes are lent for the call; the page is the caller's, to free with `wks_page_free`.
/// Errors: those of `wks_node_store_query`, where no peer answered for a part of the hashes;
/// `WKS_ERR_PEER_UNKNOWN` where there is nobody to ask; `WKS_ERR_INVALID_HASH` for a length that is
/// not a multiple of 32.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_fetch(
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    hashes: wks_bytes,
    page: *mut wks_page,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, page, |call| take(&block(|| fetch(call, node, peers, count, hashes))?))
}

/// Starts to get the messages of hashes: take the page with `wks_op_take_page`.
///
/// Threads: any. Blocks: no. Owns: names and hashes are lent for the call; the operation is the
/// caller's, to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_node_fetch`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_fetch_async(
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    hashes: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(fetch(call, node, peers, count, hashes)))
}

/// What several store peers told when they were asked the same.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_check {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_check, 30, CheckObject);

/// A cross-check, its hashes as they are lent.
pub(super) struct CheckObject {
    hashes: Vec<[u8; 32]>,
    peers: Vec<Told>,
}

struct Told {
    peer: String,
    told: usize,
    omitted: Vec<[u8; 32]>,
    error: Option<Error>,
}

impl From<CrossCheck> for CheckObject {
    fn from(check: CrossCheck) -> Self {
        let flat = |hashes: Vec<MessageHash>| hashes.into_iter().map(|h| h.0).collect();
        let peers = check.peers.into_iter().map(|p| Told {
            peer: p.peer,
            told: p.told,
            omitted: flat(p.omitted),
            error: p.error,
        });
        CheckObject { peers: peers.collect(), hashes: flat(check.hashes) }
    }
}

/// What one peer told. The caller allocates it and sets `struct_size`; what it points to is the
/// check's, and lives until `wks_check_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_check_peer {
    /// `sizeof(wks_check_peer)`.
    pub struct_size: usize,
    /// The peer, as the caller named it.
    pub peer: wks_bytes,
    /// How many hashes it told.
    pub told: usize,
    /// The hashes that others told and it did not, 32 bytes each, one after the other. (It may have
    /// come to know them since, or others may hold what it let go by its retention.) They say nothing
    /// where its answer broke off.
    pub omitted: wks_bytes,
    /// Why its answer broke off: a `wks_status`; `WKS_OK` where it did not.
    pub status: i32,
    /// Why it broke off, for people; empty where it did not.
    pub reason: wks_bytes,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_check_peer {
    const NAME: &'static str = "wks_check_peer";
    const FIRST_SIZE: usize = size_of::<Self>();
}

fn cross_check(
    call: &mut Call,
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    query: wks_query,
    max: usize,
) -> Result<Op> {
    let (peers, query) = (names(peers, count)?, call.get(query)?.query());
    with_node(call, node, |o| async move {
        o.node()?.cross_check(&peers, query, max).await.map(CheckObject::from)
    })
}

/// Asks several store peers for the hashes of a query, puts their answers together, and says what
/// each of them left out: so one server that hides messages is found out by the others. At most
/// `max` hashes of each peer are taken. A peer that fails is told of in the answer.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the answers are there. Owns: the names are
/// lent for the call; the check is the caller's, to free with `wks_check_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` for fewer than two peers or more than 1,024, or a query that a
/// peer does not take, `WKS_ERR_ADDRESS`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
/// `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_cross_check(
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    query: wks_query,
    max: usize,
    check: *mut wks_check,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, check, |call| {
        take(&block(|| cross_check(call, node, peers, count, query, max))?)
    })
}

/// Starts a cross-check: take it with `wks_op_take_check`.
///
/// Threads: any. Blocks: no. Owns: the names are lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_node_cross_check`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_cross_check_async(
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    query: wks_query,
    max: usize,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(cross_check(call, node, peers, count, query, max)))
}

/// Takes a cross-check.
///
/// Threads: any. Blocks: no. Owns: the check is the caller's, to free with `wks_check_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_check(
    op: wks_op,
    check: *mut wks_check,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, check, |call| take(&*call.get(op)?))
}

/// The hashes of all peers together, each once, 32 bytes each, one after the other: in the order of
/// the first peer, then what only the others told.
///
/// Threads: any. Blocks: no. Owns: the bytes are the check's, and live until `wks_check_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_check_hashes(
    check: wks_check,
    hashes: *mut wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, hashes, |call| Ok(wks_bytes::lend(call.get(check)?.hashes.as_flattened())))
}

/// How many peers were asked.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_check_count(
    check: wks_check,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, count, |call| Ok(call.get(check)?.peers.len()))
}

/// What peer `index` told, counted from 0 in the order they were named. Set `told->struct_size`
/// first.
///
/// Threads: any. Blocks: no. Owns: `told` is the caller's; what it points to is the check's, and
/// lives until `wks_check_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
/// the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_check_get(
    check: wks_check,
    index: usize,
    told: *mut wks_check_peer,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, told, |call| {
        let check = call.get(check)?;
        let of = nth(&check.peers, index, "peer")?;
        let status = of.error.as_ref().map_or(wks_status::WKS_OK, |e| e.kind().into());
        Ok(wks_check_peer {
            struct_size: size_of::<wks_check_peer>(),
            peer: wks_bytes::lend(of.peer.as_bytes()),
            told: of.told,
            omitted: wks_bytes::lend(of.omitted.as_flattened()),
            status: status as i32,
            reason: wks_bytes::lend(of.error.as_ref().map_or("", |e| e.message()).as_bytes()),
        })
    })
}

/// Frees a cross-check. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_check_free(check: wks_check) {
    guard::free(check, |_| {})
}

fn rate(requests: u32, per_ns: u64) -> Option<RateLimit> {
    (requests != 0).then(|| RateLimit { requests, per: Duration::from_nanos(per_ns) })
}

/// How many Store requests are answered in a time, in all and of one peer; beyond it the answer is
/// 429. 0 requests, the default of both, for no such limit.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`. (A time of zero is refused when the node is started.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_store_rate(
    options: wks_node_options,
    requests: u32,
    per_ns: u64,
    requests_of_peer: u32,
    per_ns_of_peer: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let options = call.get(options)?;
        let mut options = options.lock();
        options.store_rate = rate(requests, per_ns);
        options.store_rate_of_peer = rate(requests_of_peer, per_ns_of_peer);
        Ok(())
    })
}

/// What one page of an answer may take, in bytes, at least 256 KiB; 4 MiB by default. What does not
/// fit comes with the next page.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`. (Too few are refused when the node is started.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_max_page_bytes(
    options: wks_node_options,
    bytes: usize,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().max_page_bytes = bytes;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::types::{ContentTopic, PubsubTopic, StoredMessage, Timestamp, WakuMessage};

    #[test]
    fn a_fetched_page_has_each_hash_once_in_the_order_asked_for() {
        let topic = PubsubTopic::new("/waku/2/rs/0/0").unwrap();
        let of = |n: u8| {
            let filed = ContentTopic::new("/a/1/b/proto").unwrap();
            StoredMessage::new(topic.clone(), WakuMessage::new(vec![n], filed, Timestamp(1)))
        };
        let (one, two, gone) = (of(1), of(2), MessageHash([7; 32]));
        let hashes = vec![two.hash, gone, one.hash, two.hash, gone];
        let found = Fetched { messages: vec![one.clone(), two.clone()], missing: vec![gone] };
        let page = in_order(hashes, found);
        let told: Vec<_> =
            page.entries.iter().map(|entry| (entry.hash, entry.data.is_some())).collect();
        assert_eq!(told, [(two.hash, true), (gone, false), (one.hash, true)]);
    }
}
