//! One sync of everything that is due, within a time and a number of bytes: what a phone does in the
//! seconds that it is given in the background.
//!
//! What is due is cut into slices of time, newest first. Each slice that comes to its end is done
//! with, in this call and (by the engine's own notes of gaps and coverage) in the next; one that is
//! cut short keeps what it brought. So no message is fetched twice, and however little each call may
//! take, the calls together come to the end: a slice that was cut is made shorter the next time.
//!
//! What must hold: it ends in time; when it returns, all that was read is stored; and no more is
//! read once the bytes are used up, but what was asked for by Store before.

use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::{TryLockError, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::address::{PeerName, parse_peer};
use super::shared::{Shared, stopped};
use super::sync_input::Input;
use super::traffic::Counted;
use super::{Node, NodeSyncReport};
use crate::engine::{Gap, SyncDirection, SyncOptions};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{TimeRange, Timestamp};

/// The length of a slice at first, and its bounds.
const SLICE: Duration = Duration::from_secs(3600);
const LEAST_SLICE: Duration = Duration::from_secs(8);
const LONGEST_SLICE: Duration = Duration::from_secs(24 * 3600);
/// A slice in which more differs makes the next one shorter; one in which less does, longer.
const MANY: u64 = 20_000;
const FEW: u64 = 1_000;
/// Of the time, what is kept for storing what came: a fifth, and no more than this.
const LAST: Duration = Duration::from_secs(2);
/// Another sync with the peer runs: it is looked again after this.
const AGAIN: Duration = Duration::from_millis(100);

/// What [`Node::sync_once`] may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncOnceOptions {
    /// With whom, each by its peer id or an address: the first that can be reached, and another
    /// where it fails. With none named: a peer that is connected, or else one that was dialled
    /// before.
    pub peers: Vec<String>,
    /// The span to sync. By default what is due: the window of a sync before now, and whatever the
    /// node knows to have missed before that (where [`crate::engine::EngineConfig::resume`] is on).
    /// Of a span that is named, what lies before that window and was agreed on with anybody, in this
    /// run or an earlier one, is left out.
    pub window: Option<TimeRange>,
    /// Which way messages go.
    pub direction: SyncDirection,
    /// When it is over, at the latest. Its last fifth (at most two seconds) is for storing what has
    /// come by then.
    pub deadline: Duration,
    /// The most bytes, both ways: of sync's and Store's streams, without what libp2p adds, of
    /// everything that the node does meanwhile. What was asked of a Store peer before is still
    /// read: up to two hundred messages. `None` for no limit.
    pub byte_budget: Option<u64>,
}

impl Default for SyncOnceOptions {
    /// 25 seconds, any number of bytes, any peer, both ways.
    fn default() -> Self {
        SyncOnceOptions {
            peers: Vec::new(),
            window: None,
            direction: SyncDirection::Both,
            deadline: Duration::from_secs(25),
            byte_budget: None,
        }
    }
}

/// Why a [`Node::sync_once`] has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncOnceEnd {
    /// Nothing is lacking.
    Complete,
    /// The time was over.
    Deadline,
    /// The bytes were used up.
    Budget,
    /// No peer was left that had not failed.
    Peers,
}

/// What came of a [`Node::sync_once`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncOnceReport {
    /// Why it ended.
    pub end: SyncOnceEnd,
    /// What was to be synced, from the first moment to the last; there may be gaps in it that were
    /// left out.
    pub window: TimeRange,
    /// What is left of it, ascending: the next call goes on there.
    pub lacking: Vec<TimeRange>,
    /// Messages that a peer is known to have, that were not there when its sync was cut short.
    pub outstanding: u64,
    /// Messages that came and were stored (new ones only).
    pub received: u64,
    /// Messages that were sent.
    pub sent: u64,
    /// Bytes that came, as [`SyncOnceOptions::byte_budget`] counts them.
    pub bytes_in: u64,
    /// Bytes that went.
    pub bytes_out: u64,
    /// How long it took.
    pub duration: Duration,
    /// Why the last peer that failed did.
    pub error: Option<Error>,
}

/// How long a slice is made: kept from one call to the next.
#[derive(Clone, Copy)]
pub(super) struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Pace(SLICE)
    }
}

impl Pace {
    fn shorter(&mut self) {
        self.0 = (self.0 / 2).max(LEAST_SLICE);
    }

    /// A slice came to its end, in which so much differed.
    fn found(&mut self, differences: u64) {
        match differences {
            n if n > MANY => self.shorter(),
            n if n < FEW => self.0 = (self.0 * 2).min(LONGEST_SLICE),
            _ => {}
        }
    }
}

impl Node {
    /// Syncs what is due, within a time and a number of bytes, and returns when the time is over at
    /// the latest. It dials where it must, and lets go again of those that it dialled. It needs
    /// nothing else to run: a node without heartbeat and without listeners can do this now and then,
    /// and be suspended in between.
    ///
    /// Wherever it stops, all that came is stored, and the next call goes on from there. Dropping the
    /// future ends it in the same way, without a report.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for no time, no bytes or an empty span;
    /// [`crate::ErrorKind::Unsupported`] where the node does not sync;
    /// [`crate::ErrorKind::SyncBusy`] while another of these calls runs;
    /// [`crate::ErrorKind::PeerUnknown`] where there is nobody to sync with; those of
    /// [`Node::sync`], of the last peer, where none could be synced with at all;
    /// [`crate::ErrorKind::Suspended`], [`crate::ErrorKind::Shutdown`].
    pub async fn sync_once(&self, options: SyncOnceOptions) -> Result<SyncOnceReport> {
        if !self.0.syncs {
            bail!(Unsupported, "this node was started without sync");
        }
        if options.deadline.is_zero() || options.byte_budget == Some(0) {
            bail!(InvalidArgument, "a sync needs some time, and some bytes");
        }
        let shared = self.shared();
        shared.check_awake()?;
        let names =
            options.peers.iter().map(|peer| parse_peer(peer)).collect::<Result<Vec<_>>>()?;
        let mut pace = match shared.once.try_lock() {
            Ok(pace) => pace,
            Err(TryLockError { .. }) => bail!(SyncBusy, "another such sync runs already"),
        };
        let begun = Instant::now();
        let due = due(shared, options.window).await?;
        let ends = begun + options.deadline;
        let mut run = Run {
            node: self,
            direction: options.direction,
            left: due,
            cut_at: ends - LAST.min(options.deadline / 5),
            ends,
            pace: &mut pace,
            outstanding: 0,
            error: None,
            synced: false,
        };
        let window = run.window()?;
        let before = shared.traffic.counted();
        let _release = Release(shared);
        shared.traffic.limit(options.byte_budget);
        let end = run.with_peers(names).await?;
        if let (SyncOnceEnd::Peers, false, Some(e)) = (end, run.synced, &run.error) {
            return Err(e.clone());
        }
        let Counted { bytes_in, bytes_out, received, sent } =
            shared.traffic.counted().since(&before);
        Ok(SyncOnceReport {
            end,
            window,
            lacking: run.left.spans().to_vec(),
            outstanding: run.outstanding,
            received,
            sent,
            bytes_in,
            bytes_out,
            duration: begun.elapsed(),
            error: run.error,
        })
    }
}

/// However it ends: others read on.
struct Release<'a>(&'a Shared);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.traffic.release();
    }
}

/// What is to be synced.
async fn due(shared: &Shared, asked: Option<TimeRange>) -> Result<Gap> {
    let (told, answer) = oneshot::channel();
    shared.sync.send(Input::Due { told }).map_err(|_| stopped())?;
    let due = answer.await.map_err(|_| stopped())?;
    let mut left = Gap::default();
    let Some(asked) = asked else {
        due.into_iter().for_each(|span| left.add(span));
        return Ok(left);
    };
    left.add(TimeRange::new(asked.start().max(Timestamp(0)), asked.end())?);
    // What is recent may have got something since it was compared.
    let recent = due.last().map_or(Timestamp::MAX, TimeRange::start);
    for covered in shared.told_coverage() {
        let (start, end) = (covered.span.start(), covered.span.end().min(recent));
        if let Ok(span) = TimeRange::new(start, end.max(start)) {
            left.fill(&span);
        }
    }
    Ok(left)
}

/// One call.
struct Run<'a> {
    node: &'a Node,
    direction: SyncDirection,
    left: Gap,
    /// When it is cut short.
    cut_at: Instant,
    /// When it is over.
    ends: Instant,
    pace: &'a mut Pace,
    outstanding: u64,
    error: Option<Error>,
    /// A sync was begun, at least.
    synced: bool,
}

/// What became of the syncs with one peer.
enum Went {
    /// All of it is done.
    Done,
    /// It was cut short.
    Cut(SyncOnceEnd),
    /// It failed.
    Failed(Error),
}

impl Run<'_> {
    fn window(&self) -> Result<TimeRange> {
        let spans = self.left.spans();
        match (spans.first(), spans.last()) {
            (Some(first), Some(last)) => TimeRange::new(first.start(), last.end()),
            _ => Ok(TimeRange::new(Timestamp(0), Timestamp(0))?),
        }
    }

    async fn with_peers(&mut self, names: Vec<PeerName>) -> Result<SyncOnceEnd> {
        let shared = self.node.shared();
        let names = match names.is_empty() {
            false => names,
            true => anybody(shared).await?,
        };
        if self.left.is_empty() {
            return Ok(SyncOnceEnd::Complete);
        }
        if names.is_empty() {
            bail!(PeerUnknown, "no peer is connected, and none was dialled before");
        }
        for name in names {
            let connected = shared.peer_ids();
            let reached = tokio::select! {
                reached = shared.in_time("the dial", shared.reach(name)) => reached,
                () = sleep_until(self.cut_at) => return Ok(SyncOnceEnd::Deadline),
            };
            let peer = match reached {
                Ok(peer) => peer,
                Err(e) => {
                    shared.check_awake()?;
                    self.error = Some(e);
                    continue;
                }
            };
            let went = self.with_peer(peer).await;
            if !connected.contains(&peer) {
                self.let_go(peer).await;
            }
            match went {
                Went::Done => return Ok(SyncOnceEnd::Complete),
                Went::Cut(end) => return Ok(end),
                Went::Failed(e) => {
                    shared.check_awake()?;
                    self.error = Some(e);
                }
            }
        }
        Ok(SyncOnceEnd::Peers)
    }

    /// Slice by slice.
    async fn with_peer(&mut self, peer: PeerId) -> Went {
        while let Some(slice) = self.left.newest(Timestamp::MAX, self.pace.0) {
            match self.slice(peer, slice).await {
                Ok(report) => {
                    self.synced = true;
                    let figures = report.report.figures;
                    match report.report.error {
                        None if report.report.outstanding == 0 => {
                            self.left.fill(&slice);
                            self.pace.found(figures.missing + figures.surplus);
                        }
                        None => {
                            self.outstanding += report.report.outstanding;
                            let what = "the peer did not send all that it has";
                            return Went::Failed(Error::new(ErrorKind::StreamClosed, what));
                        }
                        Some(e) if e.kind() == ErrorKind::SyncBusy => sleep(AGAIN).await,
                        // It holds more than one sync may bring.
                        Some(e)
                            if e.kind() == ErrorKind::InvalidArgument
                                && self.pace.0 > LEAST_SLICE =>
                        {
                            self.pace.shorter();
                        }
                        Some(e) => {
                            self.outstanding += report.report.outstanding;
                            return Went::Failed(e);
                        }
                    }
                }
                Err(Went::Failed(e)) if e.kind() == ErrorKind::SyncBusy => {
                    // The node itself, or the peer, syncs: that is as good.
                    tokio::select! {
                        () = sleep(AGAIN) => {}
                        () = sleep_until(self.cut_at) => {
                            self.wind_down(peer).await;
                            return Went::Cut(SyncOnceEnd::Deadline);
                        }
                        () = self.node.shared().traffic.enough() => {
                            self.wind_down(peer).await;
                            return Went::Cut(SyncOnceEnd::Budget);
                        }
                    }
                }
                Err(went) => return went,
            }
        }
        Went::Done
    }

    /// One sync; how it ended, or why nothing goes on.
    async fn slice(&mut self, peer: PeerId, slice: TimeRange) -> Result<NodeSyncReport, Went> {
        let shared = self.node.shared();
        let options = SyncOptions {
            window: Some(slice),
            direction: self.direction,
            ..SyncOptions::default()
        };
        let sync = self.node.begin_sync(peer, options).map_err(Went::Failed)?;
        tokio::pin!(sync);
        let end = tokio::select! {
            biased;
            ended = &mut sync => return ended.map_err(Went::Failed),
            () = shared.traffic.enough() => SyncOnceEnd::Budget,
            () = sleep_until(self.cut_at) => SyncOnceEnd::Deadline,
        };
        self.synced = true;
        self.wind_down(peer).await;
        // It has ended by now, or will not in time.
        if let Ok(Ok(report)) = timeout_at(self.ends, sync).await {
            if report.report.error.is_none() && report.report.outstanding == 0 {
                self.left.fill(&slice);
            } else {
                self.outstanding += report.report.outstanding;
                self.pace.shorter();
            }
        }
        Err(Went::Cut(end))
    }

    /// Reads nothing more, and ends all syncs with a peer once what was read is stored.
    async fn wind_down(&self, peer: PeerId) {
        let shared = self.node.shared();
        shared.traffic.hold();
        let (done, ended) = oneshot::channel();
        if shared.sync.send(Input::WindDown { peer, done }).is_ok() {
            let _ = timeout_at(self.ends, ended).await;
        }
    }

    /// Ends the connections to a peer that was dialled for this.
    async fn let_go(&self, peer: PeerId) {
        self.wind_down(peer).await;
        let shared = self.node.shared();
        let _ = timeout_at(self.ends, shared.disconnect(peer)).await;
    }
}

/// Whom to sync with where nobody is named, the best first.
async fn anybody(shared: &Shared) -> Result<Vec<PeerName>> {
    let mut all: Vec<PeerId> = shared.peer_ids().into_iter().collect();
    let cost = |peer: &PeerId| shared.measured.cost(peer);
    all.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    all.extend(shared.dialable_peers().await?);
    Ok(all.into_iter().map(PeerName::Id).collect())
}
