//! What an archive goes through before something breaks, drawn from a seed.

use wakustore::archive::Removal;
use wakustore::types::{StoredMessage, Timestamp};

use super::ledger::{Commit, Model};
use super::seed::Seed;
use crate::archive_support::{NOW, message};

#[derive(Clone, Debug)]
pub enum Step {
    Commit(Commit),
    /// By a connection of somebody else's.
    Checkpoint(&'static str),
    Read,
    Reopen,
}

/// Draws steps. It goes by the messages that were put and acknowledged, which [`Workload::held`]
/// is to be told.
pub struct Workload {
    seed: Seed,
    drawn: u64,
    large: usize,
    /// Large payloads in a hundred.
    often: u64,
    /// Nobody else makes checkpoints, and it stays open.
    alone: bool,
}

impl Workload {
    /// Payloads as they mostly are, and checkpoints all the time.
    pub fn new(seed: Seed) -> Self {
        Workload { seed, drawn: 0, large: 20_000, often: 5, alone: false }
    }

    /// So much that the driver's own checkpoints are made, and none but those.
    pub fn large(seed: Seed) -> Self {
        Workload { seed, drawn: 0, large: 140_000, often: 60, alone: true }
    }

    fn message(&mut self, model: &Model) -> StoredMessage {
        self.drawn += 1;
        let seed = &mut self.seed;
        let (pubsub, content) = (seed.below(3) as u32, seed.below(12) as u32);
        // The second number tells messages of different workloads apart.
        let mut payload = format!("{}-{}-", self.drawn, seed.next());
        let size = match seed.below(100) {
            chance if chance < self.often => self.large,
            0..25 => 2_000,
            _ => 60,
        };
        payload.extend(std::iter::repeat_n('x', seed.size(0..=size)));
        // Several share a timestamp, and they do not come in order.
        let time = NOW.nanos() - 1_000_000 + seed.below(2_000) as i64;
        let time = time.max(model.floor.unwrap_or(i64::MIN));
        message(pubsub, content, time, &payload)
    }

    pub fn put(&mut self, most: usize, model: &Model) -> Commit {
        let count = self.seed.size(1..=most);
        let mut batch: Vec<_> = (0..count).map(|_| self.message(model)).collect();
        if self.seed.percent(20) {
            // Some that are there already, and one twice.
            let kept = model.held.values().filter(|m| Some(m.timestamp().nanos()) >= model.floor);
            batch.extend(kept.take(3).cloned());
            batch.push(batch[0].clone());
        }
        Commit::Put(batch)
    }

    /// The next step for an archive that holds this.
    pub fn step(&mut self, model: &Model) -> Step {
        match self.seed.below(100) {
            0..55 => Step::Commit(self.put(20, model)),
            55..65 => {
                let before = match model.held.keys().nth(self.seed.size(0..=60)) {
                    Some(id) if self.seed.percent(50) => id.timestamp,
                    _ => Timestamp::MAX,
                };
                let limit = self.seed.size(1..=60);
                Step::Commit(Commit::Remove(Removal::Oldest { before, limit }))
            }
            65..73 => {
                let mut hashes = Vec::new();
                let held: Vec<_> = model.held.keys().map(|id| id.hash).collect();
                for _ in 0..self.seed.size(1..=8) {
                    match self.seed.below(3) {
                        0 => hashes.push(self.message(model).hash),
                        _ if held.is_empty() => {}
                        _ => hashes.push(*self.seed.pick(&held)),
                    }
                }
                Step::Commit(Commit::Remove(Removal::Hashes(hashes)))
            }
            73..86 if !self.alone => {
                let ways = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];
                Step::Checkpoint(ways[self.seed.below(4) as usize])
            }
            73..98 => Step::Read,
            _ if self.alone => Step::Read,
            _ => Step::Reopen,
        }
    }
}
