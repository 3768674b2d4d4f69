//! Processes that write and say what was acknowledged, and what their archive must hold then.
//!
//! A child says, in lines on stdout, what it is about to do and what was acknowledged. Whatever
//! becomes of it, [`Told::check`] holds the file against that.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::process::Child;

use wakustore::ErrorKind;
use wakustore::archive::{Archive, PutOutcome};
use wakustore::types::{MessageHash, Origin};

use super::ledger::read_sound;
use super::seed::Seed;
use crate::archive_support::message;

/// What retention leaves, in the archives of the children.
pub const KEPT: u64 = 600;
/// Writers; the last of them writes what is large.
pub const THREADS: u32 = 4;

/// Tells the parent, in one write: print! would be kept back by the test harness.
pub fn tell(what: &str, time: i64, hashes: &[MessageHash]) {
    let hashes: String = hashes.iter().map(|hash| format!("{hash} ")).collect();
    let line = format!("{what} {time} {hashes}.\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// One writer: puts, and takes down some of it again.
pub fn write(archive: &Archive, t: u32, begin: i64, run: u64, mut seed: Seed, puts: i64) {
    for i in 0..puts {
        let size = if t + 1 == THREADS { 20_000 } else { 400 };
        let filler = "x".repeat(seed.size(0..=size));
        let time = begin + i;
        let batch: Vec<_> = (0..seed.size(1..=12) as u32)
            .map(|c| message(t, c, time, &format!("{run}-{t}-{i}-{c}-{filler}")))
            .collect();
        let hashes: Vec<_> = batch.iter().map(|m| m.hash).collect();
        tell("puts", time, &hashes);
        let outcomes = archive.put(batch, Origin::Import).wait().unwrap();
        if outcomes.iter().all(|o| *o == PutOutcome::Stored) {
            tell("put", time, &hashes);
        } else {
            // Retention has taken what is newer: whose clock is behind is refused, all of it.
            let old = |o: &PutOutcome| matches!(o, PutOutcome::Refused(e) if e.kind() == ErrorKind::TimestampTooOld);
            assert!(outcomes.iter().all(old), "{outcomes:?}");
        }
        if seed.percent(15) {
            let down = &hashes[..seed.size(1..=hashes.len())];
            tell("takes-down", time, down);
            archive.take_down(down.to_vec()).wait().unwrap();
            tell("down", time, down);
        }
    }
}

/// What all the children said.
#[derive(Default)]
pub struct Told {
    pub puts: Vec<Vec<MessageHash>>,
    pub times: HashMap<MessageHash, i64>,
    pub acknowledged: BTreeSet<MessageHash>,
    pub taking_down: BTreeSet<MessageHash>,
    pub down: BTreeSet<MessageHash>,
}

impl Told {
    /// One line; the last may be cut, and the test harness has its own.
    pub fn line(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(what), Some(time)) = (words.next(), words.next()) else { return };
        let Ok(time) = time.parse() else { return };
        let mut hashes: Vec<MessageHash> = Vec::new();
        loop {
            match words.next() {
                Some(".") => break,
                Some(word) => match word.parse() {
                    Ok(hash) => hashes.push(hash),
                    Err(_) => return,
                },
                None => return,
            }
        }
        match what {
            "puts" => {
                self.times.extend(hashes.iter().map(|hash| (*hash, time)));
                self.puts.push(hashes);
            }
            "put" => self.acknowledged.extend(hashes),
            "takes-down" => self.taking_down.extend(hashes),
            "down" => self.down.extend(hashes),
            _ => {}
        }
    }

    /// Holds what is in the file against what was said. How many messages there are.
    pub fn check(&self, path: &Path) -> usize {
        let found = read_sound(path);
        let held: BTreeSet<MessageHash> = found.held.keys().map(|id| id.hash).collect();
        assert!(self.down.is_subset(&found.down), "what was taken down is forgotten");
        assert!(found.down.is_subset(&self.taking_down), "nobody took it down");
        assert!(found.down.is_disjoint(&held), "what was taken down is held");
        // Retention takes nothing above the floor, and below it everything but what shares the time
        // of the last that it took.
        let floor = found.floor.unwrap_or(i64::MIN);
        let least = floor.saturating_sub(1);
        assert!(found.held.keys().all(|id| id.timestamp.nanos() >= least), "below the floor");
        for hash in &self.acknowledged {
            let gone = found.down.contains(hash) || self.times[hash] < floor;
            assert!(gone || held.contains(hash), "{hash:?} was acknowledged and is gone");
        }
        for put in &self.puts {
            let kept = put.iter().filter(|h| !found.down.contains(*h) && self.times[*h] >= floor);
            let mut there = kept.map(|hash| held.contains(hash));
            let first = there.next();
            assert!(there.all(|there| Some(there) == first), "a put is there by half");
        }
        let all = (self.acknowledged.len() as u64).min(KEPT);
        let there = (held.len() + found.down.len()) as u64;
        assert!(there >= all, "retention took more than it was to");
        held.len()
    }
}

/// A child that is gone with the test, however that ends.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
