//! How long a fuzzer runs, and what it tells where it fails.

use std::time::{Duration, Instant};

use crate::sim::Random;

/// The rounds of one fuzzer.
pub struct Budget {
    name: &'static str,
    seed: u64,
    rounds: u64,
    until: Option<Instant>,
    done: u64,
    /// What is being tried, for the one who is to find out why it failed.
    pub trying: Vec<u8>,
}

impl Budget {
    /// So many rounds, unless the environment names a time.
    pub fn new(name: &'static str, rounds: u64) -> Self {
        let number = |name| {
            std::env::var(name)
                .ok()
                .map(|n| n.parse::<u64>().expect("a number of seconds or a seed"))
        };
        let seconds = number("WAKUSTORE_FUZZ_SECONDS");
        Budget {
            name,
            seed: number("WAKUSTORE_FUZZ_SEED").unwrap_or(1),
            rounds,
            until: seconds.map(|s| Instant::now() + Duration::from_secs(s)),
            done: 0,
            trying: Vec::new(),
        }
    }

    /// The numbers of the next round, which depend on the seed and on how many rounds went before
    /// alone.
    pub fn next(&mut self) -> Option<Random> {
        let over = match self.until {
            Some(until) => Instant::now() >= until,
            None => self.done >= self.rounds,
        };
        if over {
            return None;
        }
        self.done += 1;
        let mut random = Random(self.seed ^ self.done.wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        Some(random)
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        let Budget { name, seed, done, trying, .. } = self;
        if std::thread::panicking() {
            let hex = data_encoding::HEXLOWER.encode(trying);
            println!("{name}: WAKUSTORE_FUZZ_SEED={seed}, round {done}, on {hex}");
        } else {
            println!("{name}: {done} rounds");
        }
    }
}
