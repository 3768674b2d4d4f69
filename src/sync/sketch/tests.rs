//! Sketches decode what they should, whoever made the cells; keys, places and salts are fixed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::places::chance;
use super::*;
use crate::types::{MessageHash, Timestamp};

/// SplitMix64: keys that look random and are the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn key(&mut self) -> Key {
        let mut key = [0; 12];
        key[..8].copy_from_slice(&self.next().to_le_bytes());
        key[8..].copy_from_slice(&self.next().to_le_bytes()[..4]);
        Key(key)
    }

    fn keys(&mut self, count: usize) -> Vec<Key> {
        (0..count).map(|_| self.key()).collect()
    }
}

fn sketch(keys: &[Key], len: usize) -> Sketch {
    let mut sketch = Sketch::new(len);
    keys.iter().for_each(|key| sketch.add(key));
    sketch
}

/// The cells of a difference of so many keys, the given part of them ours.
fn difference(noise: &mut Noise, ours: usize, theirs: usize, len: usize) -> Vec<Cell> {
    let mut sketch = sketch(&noise.keys(ours), len);
    noise.keys(theirs).iter().for_each(|key| sketch.remove(key));
    sketch.cells
}

fn sorted(keys: &[Key]) -> Vec<Key> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys
}

#[test]
fn a_plain_key_tells_time_and_prefix() {
    let mut hash = [7; 32];
    hash[..6].copy_from_slice(b"prefix");
    let at = |t: i64| Key::plain(&SyncId::new(Timestamp(t), MessageHash(hash)));
    let key = at(0x0123_4567_89ab_cdef);
    assert_eq!(key.time_low(), 0x4567_89ab_cdef);
    assert_eq!(&key.prefix(), b"prefix");
    assert_eq!(at(-1).time_low(), (1 << 48) - 1);
    assert!(at(5) < at(6));
}

/// What the other side computes too: changing any of this changes the protocol. The values were
/// computed by another implementation.
#[test]
fn places_checks_and_salted_values_are_fixed() {
    let key = Key(*b"twelve bytes");
    let places: Vec<_> = Places::of(&key).take(8).collect();
    assert_eq!(places, [0, 2, 23, 30, 33, 40, 48, 79]);
    assert_eq!(Cell::of(&key).check, 0x620c_5769);
    let salt = Salt::new(&[1; 16], &[2; 16]);
    let hash = MessageHash([3; 32]);
    assert_eq!(data_encoding::HEXLOWER.encode(&salt.key(&hash).0), "a4ada13e67c25dd6e10da9c9");
    assert_eq!(
        salt.hash(&hash).to_hex(),
        "09134156e08e3b677f061a4d3ec3f85366eac5330a5f6465d614fdcb2bb2daf8"
    );
    let swapped = Salt::new(&[2; 16], &[1; 16]);
    assert_ne!(swapped.key(&hash), salt.key(&hash));
    assert_ne!(swapped.hash(&hash), salt.hash(&hash));
}

#[test]
fn cells_are_hit_as_often_as_the_estimate_believes() {
    const KEYS: usize = 40_000;
    let mut noise = Noise(1);
    let mut hits = [0usize; 200];
    let mut total = 0;
    for _ in 0..KEYS {
        let places: Vec<_> = Places::of(&noise.key()).take_while(|at| *at < MAX_CELLS).collect();
        assert!(places.is_sorted_by(|a, b| a < b));
        assert_eq!(places[0], 0);
        total += places.len();
        places.iter().filter(|at| **at < 200).for_each(|at| hits[*at] += 1);
    }
    for (at, hits) in hits.iter().enumerate() {
        let p = chance(at);
        let off = *hits as f64 - p * KEYS as f64;
        let deviation = (p * (1.0 - p) * KEYS as f64).sqrt();
        assert!(off.abs() <= 5.0 * deviation, "cell {at}: {hits} of {KEYS} keys");
    }
    assert!((17.0..19.0).contains(&(total as f64 / KEYS as f64)), "{total} places");
}

#[test]
fn an_empty_difference_is_done_and_no_cells_are_not() {
    let mut decoder = Decoder::new();
    assert!(!decoder.is_done());
    assert!(!decoder.push(&[]));
    assert!(decoder.push(&[Cell::default(); 3]));
    assert!(decoder.local().is_empty() && decoder.remote().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn two_sets_difference_is_decoded_exactly(
        seed: u64, both in 0usize..200, ours in 0usize..80, theirs in 0usize..80, part in 1usize..60,
    ) {
        let mut noise = Noise(seed);
        let (both, ours, theirs) = (noise.keys(both), noise.keys(ours), noise.keys(theirs));
        let len = 2 * cells_for(ours.len() + theirs.len()) + 60;
        let mut a = sketch(&[both.as_slice(), &ours].concat(), len);
        let b = sketch(&[theirs.as_slice(), &both].concat(), len);
        a.take_all(&b);
        let mut decoder = Decoder::new();
        let mut done = false;
        for cells in a.cells().chunks(part) {
            // Cells that come after all is decoded do not undo it.
            done = decoder.push(cells);
            prop_assert!(decoder.local().len() <= ours.len());
            prop_assert!(decoder.remote().len() <= theirs.len());
        }
        prop_assert!(done && decoder.is_done() && !decoder.is_broken());
        prop_assert_eq!(sorted(decoder.local()), sorted(&ours));
        prop_assert_eq!(sorted(decoder.remote()), sorted(&theirs));
    }

    #[test]
    fn sketches_are_linear_and_their_parts_are_those_of_the_whole(
        seed: u64, a in 0usize..60, b in 0usize..60, from in 0usize..300, len in 0usize..300,
    ) {
        let mut noise = Noise(seed);
        let (a, b) = (noise.keys(a), noise.keys(b));
        let all = [a.as_slice(), &b].concat();
        let whole = sketch(&all, 600);
        let mut sum = sketch(&a, 600);
        sum.add_all(&sketch(&b, 600));
        prop_assert_eq!(&sum, &whole);
        sum.take_all(&sketch(&a, 500));
        prop_assert_eq!(&sum, &sketch(&b, 500));
        let part = Sketch::cells_from(&all, from..from + len);
        prop_assert_eq!(part.as_slice(), &whole.cells()[from..from + len]);
        let mut rest = whole.clone();
        a.iter().for_each(|key| rest.remove(key));
        prop_assert_eq!(&rest, &sketch(&b, 600));
        b.iter().for_each(|key| rest.remove(key));
        prop_assert!(rest.cells().iter().all(Cell::is_zero));
    }

    /// Whatever a peer sends: it ends, with no more keys than cells and none twice.
    #[test]
    fn made_up_cells_are_bounded(
        seed: u64, cells in 1usize..400, pure in 0u64..=100, part in 1usize..100,
    ) {
        let mut noise = Noise(seed);
        let few = noise.keys(7);
        let mut decoder = Decoder::new();
        let mut given = 0;
        let row: Vec<Cell> = (0..cells).map(|i| {
            let mut cell = if noise.next() % 100 < pure {
                // The same few keys again and again, in cells that are not theirs.
                Cell::of(&few[noise.next() as usize % few.len()])
            } else {
                Cell { key: noise.key(), check: noise.next() as u32, count: noise.next() as i64 }
            };
            if i % 3 == 0 {
                cell.count = cell.count.wrapping_neg();
            }
            cell
        }).collect();
        for cells in row.chunks(part) {
            let done = decoder.push(cells);
            given += cells.len();
            prop_assert_eq!(done, decoder.is_done());
            let mut found = [decoder.local(), decoder.remote()].concat();
            prop_assert!(found.len() <= given);
            found.sort_unstable();
            found.dedup();
            prop_assert_eq!(found.len(), decoder.local().len() + decoder.remote().len());
        }
    }
}

/// One key in a cell that is not its own comes back when it is taken out of its cells.
#[test]
fn a_key_that_decodes_twice_breaks_the_decoder() {
    let key = Noise(4).key();
    let len = 40;
    let own: BTreeSet<_> = Places::of(&key).take_while(|at| *at < len).collect();
    let foreign = (1..len).find(|at| !own.contains(at)).unwrap();
    let mut cells = sketch(&[key], len).cells;
    cells[foreign].add(&Cell::of(&key));
    let mut decoder = Decoder::new();
    assert!(!decoder.push(&cells));
    assert!(decoder.is_broken());
    assert_eq!(decoder.local(), [key]);
    assert!(!decoder.push(&[Cell::default()]), "nothing mends it");
    assert_eq!(decoder.len(), len);
}

/// Two ids of one plain key vanish from key and check: no cell tells them, and none is made up.
#[test]
fn colliding_keys_are_never_decoded() {
    let mut noise = Noise(5);
    let key = noise.key();
    let mut decoder = Decoder::new();
    assert!(!decoder.push(sketch(&[key, key], 100).cells()));
    assert!(decoder.local().is_empty());
}

#[test]
fn as_many_cells_as_recommended_decode_in_99_of_100() {
    let mut noise = Noise(6);
    for (differing, runs) in [(1, 400), (2, 400), (10, 400), (30, 400), (100, 300), (1_000, 100)] {
        let failed = (0..runs)
            .filter(|run| {
                let ours = if run % 2 == 0 { differing / 2 } else { differing };
                let len = cells_for(differing);
                let cells = difference(&mut noise, ours, differing - ours, len);
                !Decoder::new().push(&cells)
            })
            .count();
        // 1 % is expected; thrice that and two more is not chance.
        assert!(failed <= 2 + runs * 3 / 100, "{failed} of {runs} with {differing}");
        assert!(cells_for(differing) <= differing * 3 / 2 + 30 + differing / 10);
    }
}

/// Over 300 seeds each: the mean error, its spread, and how often the bound is exceeded.
#[test]
fn estimates_are_as_good_as_they_say() {
    const RUNS: usize = 300;
    let mut noise = Noise(8);
    for cells in [32, 128] {
        for (ours, theirs) in [(5, 5), (50, 50), (500, 500), (450, 50), (400, 0)] {
            let differing = ours + theirs;
            let (mut sum, mut squares, mut exceeded) = (0.0, 0.0, 0);
            for _ in 0..RUNS {
                let guess = estimate(&difference(&mut noise, ours, theirs, cells));
                assert!(guess >= ours.abs_diff(theirs));
                let ratio = guess as f64 / differing as f64;
                sum += ratio;
                squares += (ratio - 1.0).powi(2);
                exceeded += usize::from(at_most(guess, cells) < differing);
            }
            let (mean, error) = (sum / RUNS as f64, (squares / RUNS as f64).sqrt());
            // Few keys are unevenly spread over the cells.
            let expected = (2.0 / cells as f64 + 0.2 / differing as f64).sqrt();
            assert!((0.94..1.15).contains(&mean), "{ours} + {theirs}, {cells} cells: {mean}");
            assert!(error < 1.3 * expected, "{ours} + {theirs}, {cells} cells: {error}");
            assert!(exceeded <= RUNS / 33, "{ours} + {theirs}, {cells} cells: {exceeded}");
        }
    }
    assert_eq!(estimate(&[]), 0);
    assert_eq!(estimate(&[Cell::default(); 32]), 0);
    let wild = [Cell { count: i64::MIN, ..Cell::default() }; 32];
    assert!(estimate(&wild) > MAX_CELLS);
}

/// From 32 cells and the low bytes of 224 counts, guess and decode.
#[test]
fn low_bytes_of_counts_make_a_better_estimate() {
    let mut noise = Noise(9);
    let runs = 60;
    let mut failed = 0;
    for (ours, theirs) in [(150, 150), (300, 3), (0, 300)] {
        for _ in 0..runs {
            let both = noise.keys(700);
            let mut a = sketch(&both, 256);
            let mut b = a.clone();
            noise.keys(ours).iter().for_each(|key| a.add(key));
            noise.keys(theirs).iter().for_each(|key| b.add(key));
            let low = low_counts(&b.cells()[32..]);
            let rest = a.cells()[32..].to_vec();
            a.take_all(&b);
            let guess = estimate_with(&a.cells()[..32], &rest, &low);
            assert_eq!(guess, estimate(a.cells()), "nothing is lost by sending bytes");
            failed += usize::from(at_most(guess, 256) < ours + theirs);
        }
    }
    assert!(failed <= 3 * runs / 33, "{failed}");
    // Too many for a byte: still not taken for few.
    let far = sketch(&noise.keys(60_000), 256);
    let low = low_counts(&far.cells()[32..]);
    let mut first: Vec<Cell> = far.cells()[..32].to_vec();
    first[0].count = 0;
    let none = [Cell::default(); 224];
    assert!(estimate_with(&first, &none, &low) > MAX_CELLS);
}
