//! Kept summaries against the plain computation, through random histories.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::sync::index::Index;
use crate::sync::lattice::Lattice;
use crate::sync::sketch::{Key, MAX_CELLS, Sketch};
use crate::types::MessageHash;

fn hash(n: u64) -> MessageHash {
    let mut hash = [0; 32];
    for (i, part) in hash.chunks_mut(8).enumerate() {
        let x = (n.wrapping_add(1) << 2 | i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        part.copy_from_slice(&(x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
    }
    MessageHash(hash)
}

fn id(t: i64, n: u64) -> SyncId {
    SyncId::new(Timestamp(t), hash(n))
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(Timestamp(start), Timestamp(end)).unwrap()
}

/// Against what is computed from a plain set, with nothing of what is tested.
fn same(kept: &Kept, index: &Index, set: &BTreeSet<SyncId>, range: TimeRange) {
    let mut lattice = Lattice::default();
    let inside: Vec<_> = set.iter().filter(|id| range.contains(id.timestamp)).collect();
    inside.iter().for_each(|id| lattice.add(&id.hash));
    let parts = [0..40, 30..90, MAX_CELLS - 400..MAX_CELLS];
    let cells = parts.map(|part| {
        (part.clone(), Sketch::cells_from(inside.iter().map(|id| Key::plain(id)), part))
    });
    for kept in [Some(kept), None] {
        let read = lattice_of(kept, index, range);
        assert_eq!(read, (inside.len() as u64, lattice.clone()), "{range:?}");
        for (part, cells) in &cells {
            assert_eq!(cells_of(kept, index, range, part.clone()), *cells, "{range:?} {part:?}");
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(i64, u64, u64),
    Remove(usize, usize),
    Prune(i64),
    Advance(i64, i64, usize),
    Window(i64, i64),
}

/// Times in quarters of slices, so that ends and ids often meet.
fn time() -> impl Strategy<Value = i64> {
    (-9i64..40).prop_map(|quarters| quarters * (SLICE / 4))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (time(), 0u64..50, 1u64..30).prop_map(|(t, n, count)| Op::Insert(t, n, count)),
        2 => (any::<usize>(), 1usize..20).prop_map(|(at, count)| Op::Remove(at, count)),
        1 => time().prop_map(Op::Prune),
        5 => (time(), 0i64..40, 0usize..60)
            .prop_map(|(t, len, ids)| Op::Advance(t, t + len * (SLICE / 4), ids)),
        3 => (time(), 0i64..40).prop_map(|(t, len)| Op::Window(t, t + len * (SLICE / 4))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_the_plain_computation(
        ops in prop::collection::vec(op(), 1..40), told_of_prunes: bool,
    ) {
        let (mut index, mut set, mut kept) = (Index::new(), BTreeSet::new(), Kept::new());
        for op in ops {
            match op {
                Op::Insert(t, n, count) => for i in 0..count {
                    // Some at one time, some after it.
                    let id = id(t + (i / 3) as i64, n + i);
                    if index.insert(id) {
                        set.insert(id);
                        kept.inserted(&id);
                    }
                },
                Op::Remove(at, count) => for i in 0..count {
                    let Some(id) = index.select((at % set.len().max(1)) + i / 2) else { break };
                    index.remove(&id);
                    set.remove(&id);
                    kept.removed(&id);
                },
                Op::Prune(t) => {
                    let bound = SyncId::floor(Timestamp(t));
                    if told_of_prunes {
                        set.range(..bound).for_each(|id| kept.removed(id));
                    } else {
                        kept.before_prune(&index, &bound);
                    }
                    index.prune_before(&bound);
                    set = set.split_off(&bound);
                }
                Op::Advance(start, end, ids) => {
                    let to = range(start, end);
                    let there = kept.advance(&index, to, ids);
                    prop_assert!(!there || kept.coverage() == whole_slices(to));
                    if there {
                        prop_assert!(kept.advance(&index, to, 0), "it stays");
                    }
                }
                Op::Window(start, end) => same(&kept, &index, &set, range(start, end)),
            }
            let covered = kept.coverage();
            prop_assert!(covered.start() <= covered.end());
        }
        same(&kept, &index, &set, kept.coverage());
        same(&kept, &index, &set, TimeRange::ALL);
        // Step by step to the end it gets everywhere, and is right at each step.
        let to = range(-2 * SLICE, 7 * SLICE);
        let mut steps = 0;
        while !kept.advance(&index, to, 25) {
            steps += 1;
            prop_assert!(steps <= 4 + set.len() / 10);
            same(&kept, &index, &set, kept.coverage());
        }
        prop_assert_eq!(kept.coverage(), to);
        same(&kept, &index, &set, to);
    }
}

/// Thousands of ids of one timestamp do not make one step of thousands.
#[test]
fn a_step_touches_no_more_ids_than_it_may() {
    let set: BTreeSet<_> = (0..3_000).map(|n| id(SLICE + 5, n)).collect();
    let index: Index = set.iter().copied().collect();
    let (to, mut kept, mut steps) = (range(0, 4 * SLICE), Kept::new(), 1);
    while !kept.advance(&index, to, 100) {
        let covered = index.rank(&kept.upper) - index.rank(&kept.lower);
        assert_eq!(covered, 100 * steps);
        if steps % 9 == 0 {
            same(&kept, &index, &set, range(0, 3 * SLICE));
        }
        steps += 1;
    }
    assert_eq!(steps, 30);
    assert_eq!(kept.coverage(), to);
}

/// A summary that lies shows whether it was used: for its own window it is, for one that has
/// little in common with it it is not.
#[test]
fn the_cheaper_way_is_taken() {
    let index: Index = (0..1_000).map(|n| id(n as i64 * (SLICE / 100), n)).collect();
    let mut kept = Kept::new();
    assert!(kept.advance(&index, range(0, 8 * SLICE), 1_000));
    kept.inserted(&id(7, 5_000));
    let lies = |window: TimeRange| {
        let lattice = lattice_of(Some(&kept), &index, window) != lattice_of(None, &index, window);
        let of = |kept| cells_of(kept, &index, window, 0..64);
        assert_eq!(lattice, of(Some(&kept)) != of(None));
        lattice
    };
    assert!(lies(range(0, 8 * SLICE)));
    assert!(lies(range(2 * SLICE, 9 * SLICE)), "300 ids are touched, not 700");
    assert!(!lies(range(6 * SLICE, 9 * SLICE)), "700 would be touched for 300");
    assert!(!lies(range(8 * SLICE, 9 * SLICE)));
    let far = cells_of(Some(&kept), &index, range(0, 8 * SLICE), MAX_CELLS..MAX_CELLS + 9);
    assert_eq!(far, cells_of(None, &index, range(0, 8 * SLICE), MAX_CELLS..MAX_CELLS + 9));
}

#[test]
fn whole_slices_are_within() {
    let (from, to) = (SLICE - 1, 3 * SLICE + 1);
    assert_eq!(whole_slices(range(from, to)), range(SLICE, 3 * SLICE));
    assert_eq!(whole_slices(range(-SLICE - 1, -1)), range(-SLICE, -SLICE));
    assert_eq!(whole_slices(range(SLICE, 2 * SLICE)), range(SLICE, 2 * SLICE));
    assert!(whole_slices(range(1, 2)).is_empty());
    assert!(whole_slices(range(i64::MAX - 1, i64::MAX)).is_empty());
    let all = whole_slices(TimeRange::ALL);
    assert_eq!((all.start(), all.end().nanos()), (Timestamp::MIN, i64::MAX - (SLICE - 1)));
}

#[test]
fn an_id_is_found_by_its_plain_key() {
    let near = |prefix: u8, last: u8| {
        let mut hash = hash(1);
        (hash.0[5], hash.0[31]) = (prefix, last);
        hash
    };
    let at = |t: i64, hash| SyncId::new(Timestamp(t), hash);
    for base in [0, 1_763_900_000_000_000_000, -(1 << 47) - 5, i64::MAX - (1 << 40)] {
        let mut ids: Vec<_> = (0..500).map(|n| id(base + n / 3 * 1_000, n as u64)).collect();
        ids.push(at(base + 7, near(8, 0)));
        ids.push(at(base + 7, near(9, 255)));
        let mut top = MessageHash::MAX;
        top.0[0] = 3;
        ids.push(at(base + 8, top));
        let index: Index = ids.iter().copied().collect();
        let window = range(base, base + (1 << 39));
        for id in &ids {
            assert_eq!(find(&index, window, &Key::plain(id)), Some(*id));
        }
        assert_eq!(find(&index, window, &Key::plain(&at(base + 7, near(7, 1)))), None);
        assert_eq!(find(&index, window, &Key::plain(&at(base + 9, near(8, 0)))), None);
        let later = range(base + 8, base + (1 << 39));
        assert_eq!(find(&index, later, &Key::plain(&at(base + 7, near(8, 0)))), None);
    }
}

#[test]
fn its_memory_is_said() {
    let bytes = Kept::new().heap_bytes();
    assert!((390_000..410_000).contains(&bytes), "{bytes}");
}
