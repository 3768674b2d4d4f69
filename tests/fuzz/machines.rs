//! A pair of reconciling machines whose frames change on the way: they come to an end, in bounded
//! memory, and neither comes to believe anything of its own ids that is not so.

use wakustore::sync::index::Index;
use wakustore::sync::reconcile::{Differences, MAX_ROUNDS, Tuning, View, initiate, respond};
use wakustore::types::{SyncId, Timestamp};
use wakustore::wire::reconciliation::{Payload, Scope};

use crate::budget::Budget;
use crate::memory::most_of;
use crate::mutate;
use crate::sim::Random;
use crate::sync_common::{Noise, Set, inside, window};

/// The most bytes that a session of so few ids may hold at once.
const MAX_BYTES: usize = 4 * 1024 * 1024;

struct Machine {
    ids: Set,
    index: Index,
    found: Differences,
    tuning: Tuning,
}

impl Machine {
    fn new(ids: Set, r: &mut Random) -> Self {
        let index = ids.iter().copied().collect();
        let tuning = Tuning {
            fan_out: 2 + r.below(20) as usize,
            max_item_set: 1 + r.below(60) as usize,
            max_answer: 300 + r.below(20_000) as usize,
        };
        Machine { ids, index, found: Differences::default(), tuning }
    }

    /// Its answer; `None` at the end, be it a good one or not.
    fn answer(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload::decode(frame).ok()?;
        let (view, scope) = (View(vec![&self.index]), Scope::default());
        let all = window(0, 1000);
        let answer = respond(&view, &payload, all, &scope, &self.tuning, &mut self.found);
        let answer = answer.ok()??;
        (!answer.ranges.is_empty()).then(|| answer.encode())
    }

    /// What it found is about its own ids, each once.
    fn check(&self) {
        let set = |list: &[_]| -> Set { list.iter().copied().collect() };
        let (local, remote) = (set(&self.found.local_only), set(&self.found.remote_only));
        assert_eq!(local.len(), self.found.local_only.len(), "a difference was told twice");
        assert_eq!(remote.len(), self.found.remote_only.len(), "a difference was told twice");
        assert!(local.is_subset(&self.ids), "it would send what it does not hold");
        assert!(remote.is_disjoint(&self.ids), "it would ask for what it holds");
        assert_eq!(inside(&remote, window(0, 1000)), remote, "out of the window");
        let held: Set = self.index.range(&at(0), &at(i64::MAX)).collect();
        assert_eq!(held, self.ids);
    }
}

fn at(t: i64) -> SyncId {
    SyncId::floor(Timestamp(t))
}

fn sets(r: &mut Random) -> (Set, Set) {
    let noise = &mut Noise::new(r.next());
    let spread = 1 + r.below(1000);
    let all: Set = (0..r.below(400)).map(|_| noise.id(noise_time(r, spread))).collect();
    let (lack_a, lack_b) = (r.below(60), r.below(60));
    let some =
        |r: &mut Random, lack| all.iter().filter(|_| r.below(100) >= lack).copied().collect();
    (some(r, lack_a), some(r, lack_b))
}

fn noise_time(r: &mut Random, spread: u64) -> i64 {
    r.below(spread) as i64
}

#[test]
fn machines() {
    let mut budget = Budget::new("machines", 600);
    let mut longest = 0;
    while let Some(mut r) = budget.next() {
        let (a, b) = sets(&mut r);
        let mut sides = [Machine::new(a, &mut r), Machine::new(b, &mut r)];
        let first = initiate(
            &View(vec![&sides[0].index]),
            window(0, 1000),
            &Scope::default(),
            &sides[0].tuning,
        );
        let mut frame = first.encode();
        let one_in = 1 + r.below(6);
        let mut frames = 0;
        let ((), most) = most_of(|| {
            let mut turn = 1;
            loop {
                frames += 1;
                assert!(frames <= 2 * MAX_ROUNDS + 2, "no end");
                if r.below(one_in) == 0 {
                    frame = mutate::frame(&mut r, &frame);
                }
                budget.trying.clone_from(&frame);
                match sides[turn].answer(&frame) {
                    Some(answer) => frame = answer,
                    None => break,
                }
                turn = 1 - turn;
            }
        });
        longest = longest.max(frames);
        assert!(most <= MAX_BYTES, "{most} bytes of memory");
        sides.iter().for_each(Machine::check);
        honest_again(sides, &mut r);
    }
    println!("the longest session had {longest} frames");
}

/// The next session, over an honest line, finds all that differs.
fn honest_again(sides: [Machine; 2], r: &mut Random) {
    let [mut a, mut b] = sides;
    (a.found, b.found) = (Differences::default(), Differences::default());
    let view = View(vec![&a.index]);
    let mut frame = initiate(&view, window(0, 1000), &Scope::default(), &a.tuning).encode();
    let mut turn = r.below(1) == 0;
    for _ in 0..2 * MAX_ROUNDS {
        let side = if turn { &mut b } else { &mut a };
        turn = !turn;
        match side.answer(&frame) {
            Some(answer) => frame = answer,
            None => break,
        }
    }
    // Of a granted span what is missing comes unannounced.
    let granted =
        |list: &[(SyncId, SyncId)], id: SyncId| list.iter().any(|(a, b)| *a <= id && id < *b);
    for (mine, other) in [(&a, &b), (&b, &a)] {
        let set: Set = mine.found.local_only.iter().copied().collect();
        assert_eq!(set, &mine.ids - &other.ids, "what it alone has");
        let told: Set = mine.found.remote_only.iter().copied().collect();
        for id in &other.ids - &mine.ids {
            assert!(told.contains(&id) || granted(&mine.found.granted, id), "what it lacks");
        }
    }
}
