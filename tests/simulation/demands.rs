//! What is demanded of every run.
//!
//! 1. In time: within 4·log2(nodes) + 4 heartbeats of the network's healing each honest node holds
//!    every message of the window and of its scope that an honest node of its part of the network
//!    holds (the part of those nodes that compare the message's topics).
//!    A node of the deployed kind is one of them for messages of its last hour.
//! 2. Nothing but what honest nodes published, or liars announced as it is, is held anywhere.
//! 3. No honest node was ever penalised by another, and no session between two of them ended with
//!    an error that blames the peer.
//! 4. Every session that was begun ended once; when nothing runs, nothing is held but the index,
//!    and that holds exactly the archive's ids.
//! 5. Two that hold the same find that out by one frame each way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wakustore::archive::IndexEntry;
use wakustore::engine::{EngineUsage, SessionId, SyncOptions, SyncReport};
use wakustore::types::{MessageHash, SyncId, Timestamp};
use wakustore::{ErrorKind, Result};

use crate::deployed::INDEXED;
use crate::plan::{admits, parts};
use crate::run::Run;
use crate::sim::{START, key};

/// Sessions that were begun on demand, and what all of them told at their ends.
#[derive(Default)]
pub struct Reports {
    begun: BTreeMap<usize, BTreeSet<SessionId>>,
    of_former_lives: Vec<(usize, SyncReport)>,
    ended: usize,
}

impl Reports {
    pub fn begun(&mut self, node: usize, session: Result<SessionId>) {
        match session {
            Ok(id) => assert!(self.begun.entry(node).or_default().insert(id), "{id:?} twice"),
            Err(e) => assert_eq!(e.kind(), ErrorKind::SyncBusy, "{e}"),
        }
    }

    /// The node lost its engine: what it had begun will never end.
    pub fn restarted(&mut self, node: usize, reports: Vec<SyncReport>) {
        self.begun.remove(&node);
        self.of_former_lives.extend(reports.into_iter().map(|report| (node, report)));
    }

    pub fn count(&self) -> usize {
        self.of_former_lives.len() + self.ended
    }
}

/// For each honest node, which of the messages that it should hold it lacks.
fn lacking(run: &mut Run) -> Vec<usize> {
    let nodes = run.plan.nodes;
    let window = run.plan.config.window;
    // A minute for clocks that are off.
    let oldest = START.saturating_add(run.world.elapsed + Duration::from_secs(60));
    let oldest = oldest.saturating_sub(window);
    let mut all = BTreeMap::new();
    let mut held: Vec<BTreeSet<MessageHash>> = Vec::new();
    for node in 0..nodes {
        let ids = run.world.nodes[node].ids();
        held.push(ids.iter().map(|e| e.id.hash).collect());
        all.extend(ids.into_iter().filter(|e| e.id.timestamp >= oldest).map(|e| (e.id, e)));
    }
    // The deployed one is the next.
    let mut links = run.plan.links.clone();
    let mut indexed = Timestamp::MAX;
    if let Some((holdings, link)) = &run.deployed {
        links.insert(*link);
        indexed = START.saturating_add(run.world.elapsed + Duration::from_secs(60));
        indexed = indexed.saturating_sub(INDEXED);
        let holdings = holdings.borrow();
        held.push(holdings.messages.values().map(|m| m.hash).collect());
        for (id, m) in holdings.messages.range(SyncId::floor(indexed)..) {
            let (pubsub_topic, content_topic) =
                (m.pubsub_topic.clone(), m.message.content_topic.clone());
            all.insert(*id, IndexEntry { id: *id, pubsub_topic, content_topic });
        }
    }
    let mut networks: BTreeMap<_, Vec<BTreeSet<usize>>> = BTreeMap::new();
    let mut lacks = vec![0; held.len()];
    for entry in all.values() {
        let of_deployed = entry.id.timestamp >= indexed;
        let topics = (entry.pubsub_topic.clone(), entry.content_topic.clone(), of_deployed);
        let parts = networks.entry(topics).or_insert_with(|| {
            let compares = |node: &usize| match run.plan.scopes.get(*node) {
                Some(scope) => admits(scope, &entry.pubsub_topic, &entry.content_topic),
                None => of_deployed,
            };
            parts((0..held.len()).filter(compares), &links)
        });
        for part in parts {
            if part.iter().any(|node| held[*node].contains(&entry.id.hash)) {
                for node in part.iter() {
                    lacks[*node] += usize::from(!held[*node].contains(&entry.id.hash));
                }
            }
        }
    }
    lacks
}

/// Demand 1; gives how many heartbeats it took.
pub fn all_is_well_in_time(run: &mut Run) -> u32 {
    let allowed = run.plan.beats();
    for beat in 1..=allowed {
        let beat_length = run.plan.heartbeat();
        run.deployed_acts(beat.is_multiple_of(3));
        if !run.false_links.is_empty() {
            run.world.run_for(beat_length / 2);
            run.liars_act();
            run.world.run_for(beat_length / 2);
        } else {
            run.world.run_for(beat_length);
        }
        run.deployed_acts(false);
        let lacks = lacking(run);
        if lacks.iter().all(|n| *n == 0) {
            return beat;
        }
        nothing_false_is_held(run);
        assert!(beat < allowed, "after {beat} heartbeats the nodes lack {lacks:?}");
    }
    unreachable!("there is at least one heartbeat")
}

/// All others.
pub fn at_the_end(run: &mut Run) {
    assert!(lacking(run).iter().all(|n| *n == 0), "what was whole fell apart");
    nothing_false_is_held(run);
    nothing_is_left(run);
    equal_ones_find_out_at_once(run);
    the_honest_are_not_blamed(run);
    run.reports.ended = run.world.nodes.iter().map(|n| n.finished.len()).sum();
}

fn nothing_false_is_held(run: &mut Run) {
    let honest: BTreeSet<MessageHash> = run.plan.messages.iter().map(|(m, _)| m.hash).collect();
    let lies = run.lies.borrow();
    for node in 0..run.plan.nodes {
        for hash in run.world.nodes[node].hashes() {
            assert!(!lies.made_up.contains(&hash), "node {node} holds {hash:?}, which is made up");
            let known = honest.contains(&hash) || lies.honest.contains(&hash);
            assert!(known, "node {node} holds {hash:?}, which nobody announced");
        }
    }
}

fn the_honest_are_not_blamed(run: &mut Run) {
    let nodes = run.plan.nodes;
    let deployed = run.deployed.as_ref().map(|(_, (_, node))| *node as u64);
    let is_honest = |peer: u64| peer < nodes as u64 || deployed == Some(peer);
    let former = std::mem::take(&mut run.reports.of_former_lives);
    for (node, n) in run.world.nodes.iter().enumerate().take(nodes) {
        for (peer, what) in &n.penalties {
            assert!(!is_honest(peer.0), "node {node} penalised the honest {peer:?}: {what:?}");
        }
        let told = n.finished.iter().map(|(_, report)| report);
        let before = former.iter().filter(|(of, _)| *of == node).map(|(_, report)| report);
        for report in told.chain(before).filter(|r| is_honest(r.peer.0)) {
            use ErrorKind::{FrameTooLarge, Internal, Malformed, SyncProtocol, Truncated};
            if let Some(e) = &report.error {
                let blames = matches!(
                    e.kind(),
                    FrameTooLarge | Internal | Malformed | SyncProtocol | Truncated
                );
                assert!(!blames, "node {node} blames the honest {:?}: {e}", report.peer);
            }
        }
    }
    run.reports.of_former_lives = former;
}

fn nothing_is_left(run: &mut Run) {
    for (node, n) in run.world.nodes.iter_mut().enumerate().take(run.plan.nodes) {
        let usage = n.engine.usage();
        let scope = &run.plan.scopes[node];
        // What is older than any window of a heartbeat was never loaded.
        let young = Timestamp(START.nanos() - 3 * 3600 * 1_000_000_000);
        let ids = n.ids();
        let indexed = |e: &&IndexEntry| {
            e.id.timestamp > young && admits(scope, &e.pubsub_topic, &e.content_topic)
        };
        // Each id once, and once more where a peer compares its content topic alone.
        let mut of_content: BTreeMap<_, usize> = BTreeMap::new();
        for entry in ids.iter().filter(indexed) {
            *of_content.entry(&entry.content_topic).or_default() += 1;
        }
        let mut sums = BTreeSet::from([of_content.values().sum::<usize>()]);
        for count in of_content.values() {
            sums.extend(sums.clone().iter().map(|sum| sum + count));
        }
        assert!(
            sums.contains(&usage.index_ids),
            "node {node}: {} ids of {sums:?}",
            usage.index_ids
        );
        let expected = EngineUsage {
            peers: n.connected.len(),
            index_ids: usage.index_ids,
            ..EngineUsage::default()
        };
        assert_eq!(usage, expected, "node {node} holds on to something");
        let ended: BTreeSet<SessionId> = n.finished.iter().map(|(id, _)| *id).collect();
        let begun = run.reports.begun.remove(&node).unwrap_or_default();
        assert!(begun.is_subset(&ended), "node {node}: a session never ended");
    }
}

fn equal_ones_find_out_at_once(run: &mut Run) {
    for (a, b) in run.plan.links.clone() {
        if run.plan.scopes[a] != run.plan.scopes[b] {
            continue;
        }
        let now = START.saturating_add(run.world.elapsed);
        let ago = |s| now.saturating_sub(Duration::from_secs(s));
        let window = wakustore::types::TimeRange::new(ago(7000), ago(30)).unwrap();
        let options = SyncOptions { window: Some(window), ..SyncOptions::default() };
        let session = run.world.call(a, |e, now| e.sync(now, key(b), options)).unwrap();
        run.world.run_for(Duration::from_secs(15));
        let report = run.world.nodes[a].report(session);
        let f = &report.figures;
        assert_eq!(report.error, None, "{a} and {b} are equal");
        assert_eq!((f.missing, f.surplus, report.outstanding), (0, 0, 0), "{a} and {b} are equal");
        assert!(f.frames <= 3, "{} frames between {a} and {b}, which are equal", f.frames);
    }
}
