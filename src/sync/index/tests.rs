//! The tree against a plain ordered set, and what must always hold inside of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tree::{INNER, LEAF, Tree};
use super::*;
use crate::types::{MessageHash, Timestamp};

fn id(t: i64, h: u64) -> SyncId {
    // The hash's low bytes differ too, so that an XOR of few does not vanish by chance.
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&h.to_be_bytes());
    for (i, b) in hash[8..].iter_mut().enumerate() {
        *b = (h.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 8 * 8)) as u8 ^ (t as u8) ^ i as u8;
    }
    SyncId::new(Timestamp(t), MessageHash(hash))
}

fn rng(seed: u64) -> impl FnMut() -> u64 {
    let mut x = seed.wrapping_mul(2).wrapping_add(1);
    move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Everything the tree promises of itself.
fn check(index: &Index) {
    let tree = &index.tree;
    let mut seen = (0, 0);
    let (sum, _) = walk(tree, tree.height, tree.root, (None, None), (true, true), &mut seen);
    assert_eq!(sum, tree.sum);
    assert_eq!(seen, (tree.leaves.live(), tree.inners.live()), "nodes are lost or leaked");
}

fn walk(
    tree: &Tree,
    level: usize,
    node: u32,
    within: (Option<SyncId>, Option<SyncId>),
    edge: (bool, bool),
    seen: &mut (usize, usize),
) -> (Fingerprint, usize) {
    let root = level == tree.height;
    if level == 0 {
        seen.0 += 1;
        let leaf = tree.leaf(node);
        assert!(leaf.len() <= LEAF && (root || leaf.len() > 0));
        assert!(edge.0 || edge.1 || leaf.len() >= LEAF / 4, "{} ids inside", leaf.len());
        let ids: Vec<_> = (0..leaf.len()).map(|i| leaf.get(i).unwrap()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|i| within.0.is_none_or(|lo| lo <= *i)));
        assert!(ids.iter().all(|i| within.1.is_none_or(|hi| *i < hi)));
        return (Fingerprint::of(ids.iter().map(|i| &i.hash)), 1);
    }
    seen.1 += 1;
    let inner = tree.inner(node);
    let n = inner.children.len();
    assert_eq!(n, inner.keys.len());
    assert!(n <= INNER && n >= if root { 2 } else { 1 });
    assert!(edge.0 || edge.1 || n >= INNER / 4, "{n} children inside");
    let mut sum = Fingerprint::default();
    let mut nodes = 1;
    for (i, child) in inner.children.iter().enumerate() {
        let lower = if i == 0 { within.0 } else { inner.keys.get(i) };
        let upper = if i + 1 == n { within.1 } else { inner.keys.get(i + 1) };
        let edge = (edge.0 && i == 0, edge.1 && i + 1 == n);
        let (below, m) = walk(tree, level - 1, child.node, (lower, upper), edge, seen);
        assert_eq!(below, child.sum);
        sum.add(&below);
        nodes += m;
    }
    (sum, nodes)
}

fn same(index: &Index, model: &BTreeSet<SyncId>, bounds: &[SyncId]) {
    check(index);
    assert_eq!(index.len(), model.len());
    let all: Vec<SyncId> = model.iter().copied().collect();
    let low = id(i64::MIN, 0);
    assert!(index.range(&low, &SyncId::new(Timestamp::MAX, MessageHash::MAX)).eq(all.clone()));
    for (i, a) in bounds.iter().enumerate() {
        let below = all.partition_point(|x| x < a);
        assert_eq!(index.rank(a), below);
        assert_eq!(index.contains(a), model.contains(a));
        assert_eq!(index.select(below), all.get(below).copied());
        let b = &bounds[(i * 7 + 3) % bounds.len()];
        let want: Vec<SyncId> =
            if a < b { model.range(*a..*b).copied().collect() } else { Vec::new() };
        assert_eq!(index.fingerprint(a, b), Fingerprint::of(want.iter().map(|i| &i.hash)));
        let range = index.range(a, b);
        assert_eq!(range.len(), want.len());
        assert!(range.eq(want));
    }
    assert_eq!(index.select(all.len()), None);
    let ranks: Vec<_> = (0..all.len() + 9).step_by(3).flat_map(|r| [r, r]).collect();
    let ids: Vec<_> = ranks.iter().filter_map(|r| all.get(*r).copied()).collect();
    assert_eq!(index.select_each(&ranks), ids);
    let mut ordered = bounds.to_vec();
    ordered.extend(all.iter().step_by(5));
    ordered.sort_unstable();
    let sums: Vec<_> = ordered.iter().map(|b| index.fingerprint(&low, b)).collect();
    assert_eq!(index.below_each(&ordered), sums);
    assert_eq!(index.below_each(&[]), []);
    assert_eq!(index.below_each(&ordered[..1]), sums[..1]);
}

#[derive(Clone, Debug)]
enum Op {
    Insert(i64, u64),
    InsertRun(i64, u64, u16, i64),
    Append(i64, u64, u16, i64),
    Remove(usize),
    RemoveRun(usize, usize),
    Prune(i64, u64),
}

fn op() -> impl Strategy<Value = Op> {
    let time = prop_oneof![4 => -50i64..50, 1 => any::<i64>()];
    prop_oneof![
        3 => (time.clone(), 0u64..1000).prop_map(|(t, h)| Op::Insert(t, h)),
        4 => (time.clone(), 0u64..1000, 1u16..400, -2i64..3)
            .prop_map(|(t, h, n, step)| Op::InsertRun(t, h, n, step)),
        3 => (-50i64..2000, 0u64..1000, 1u16..400, -1i64..3)
            .prop_map(|(t, h, n, step)| Op::Append(t, h, n, step)),
        3 => any::<usize>().prop_map(Op::Remove),
        3 => (any::<usize>(), 1usize..300).prop_map(|(a, n)| Op::RemoveRun(a, n)),
        1 => (time, 0u64..1000).prop_map(|(t, h)| Op::Prune(t, h)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_the_model(
        ops in prop::collection::vec(op(), 1..40),
        bounds in prop::collection::vec((-60i64..60, 0u64..1500), 4..20),
    ) {
        let mut index = Index::new();
        let mut model = BTreeSet::new();
        let bounds: Vec<_> = bounds.into_iter()
            .map(|(t, h)| if h > 1000 { SyncId::floor(Timestamp(t)) } else { id(t, h) }).collect();
        for op in ops {
            match op {
                Op::Insert(t, h) => {
                    prop_assert_eq!(index.insert(id(t, h)), model.insert(id(t, h)));
                }
                Op::InsertRun(t, h, n, step) => for k in 0..i64::from(n) {
                    let x = id(t.saturating_add(k * step), h + k as u64 * 13 % 97);
                    prop_assert_eq!(index.insert(x), model.insert(x));
                },
                // Above all, among them, descending, with equals: whatever comes.
                Op::Append(t, h, n, step) => {
                    let run: Vec<_> = (0..i64::from(n))
                        .map(|k| id(t + k * step, h + k as u64 * 13 % 97))
                        .collect();
                    let new = run.iter().filter(|x| model.insert(**x)).count();
                    prop_assert_eq!(index.append(&run), new);
                }
                Op::Remove(at) => {
                    let x = model.iter().nth(at % model.len().max(1)).copied().unwrap_or(id(0, 0));
                    prop_assert_eq!(index.remove(&x), model.remove(&x));
                    prop_assert!(!index.remove(&x));
                }
                Op::RemoveRun(at, n) => {
                    let from = at % model.len().max(1);
                    let run: Vec<_> = model.iter().skip(from).take(n).copied().collect();
                    for x in run {
                        prop_assert!(index.remove(&x) && model.remove(&x));
                    }
                }
                Op::Prune(t, h) => {
                    let bound = id(t, h);
                    let kept = model.split_off(&bound);
                    prop_assert_eq!(index.prune_before(&bound), model.len());
                    model = kept;
                }
            }
            check(&index);
        }
        same(&index, &model, &bounds);
    }
}

#[test]
fn empty_answers() {
    let index = Index::new();
    check(&index);
    let (a, b) = (id(i64::MIN, 0), SyncId::new(Timestamp::MAX, MessageHash::MAX));
    assert!(index.is_empty() && !index.contains(&a) && index.select(0).is_none());
    assert_eq!(index.fingerprint(&a, &b), Fingerprint::default());
    assert_eq!(index.range(&a, &b).count(), 0);
}

/// Ascending, descending, inside out, shuffled, and all with one timestamp; then down to nothing
/// in as many orders.
#[test]
fn adversarial_orders() {
    let n = 6000i64;
    let mut next = rng(7);
    let mut shuffled: Vec<i64> = (0..n).collect();
    for i in (1..shuffled.len()).rev() {
        shuffled.swap(i, (next() % (i as u64 + 1)) as usize);
    }
    let orders: Vec<Vec<i64>> = vec![
        (0..n).collect(),
        (0..n).rev().collect(),
        (0..n).map(|i| if i % 2 == 0 { n / 2 + i / 2 } else { n / 2 - 1 - i / 2 }).collect(),
        (0..n).map(|i| if i % 2 == 0 { i / 2 } else { n - 1 - i / 2 }).collect(),
        shuffled,
    ];
    for one_time in [false, true] {
        let name = |i: i64| if one_time { id(5, i as u64) } else { id(i * 3, 1) };
        for insert in &orders {
            for remove in &orders {
                let mut index = Index::new();
                for &i in insert {
                    assert!(index.insert(name(i)));
                }
                check(&index);
                assert!(!index.insert(name(n / 2)));
                assert_eq!(index.len(), n as usize);
                for (k, &i) in remove.iter().enumerate() {
                    assert!(index.remove(&name(i)));
                    if k % 977 == 0 {
                        check(&index);
                    }
                }
                check(&index);
                assert!(index.is_empty());
                assert_eq!(index.tree.height, 0);
                // It works again after that, below where it was pruned too.
                assert!(index.insert(name(3)) && index.contains(&name(3)));
            }
        }
    }
}

/// The life of an index: ids come nearly in order, the oldest go, and some late ones fall before
/// all that is left.
#[test]
fn sliding_window() {
    let mut next = rng(11);
    let mut index = Index::new();
    let mut model = BTreeSet::new();
    for round in 0..60i64 {
        for k in 0..500 {
            let t = round * 500 + k - (next() % 300) as i64;
            let x = id(t, next());
            assert_eq!(index.insert(x), model.insert(x));
        }
        if round >= 8 {
            let bound = id((round - 8) * 500 + (next() % 700) as i64, next());
            let kept = model.split_off(&bound);
            assert_eq!(index.prune_before(&bound), model.len());
            model = kept;
        }
        for _ in 0..40 {
            let late = id((round - 9) * 500 - (next() % 3000) as i64, next());
            assert_eq!(index.insert(late), model.insert(late));
        }
        check(&index);
    }
    let bounds: Vec<_> = model.iter().step_by(97).copied().collect();
    same(&index, &model, &bounds);
    let end = SyncId::new(Timestamp::MAX, MessageHash::MAX);
    assert_eq!(index.prune_before(&end), model.len());
    check(&index);
    assert!(index.is_empty());
}

#[test]
fn memory_is_bounded() {
    let n = 200_000;
    let sorted: Index = (0..n).map(|i| id(i * 1000, i as u64)).collect();
    assert!(sorted.heap_bytes() <= 64 * n as usize);
    let mut next = rng(3);
    let mut random: Index = (0..n).map(|_| id((next() >> 20) as i64, next())).collect();
    check(&random);
    assert!(random.heap_bytes() <= 64 * n as usize, "{}", random.heap_bytes());
    random.prune_before(&SyncId::floor(Timestamp::MAX));
    assert!(random.heap_bytes() < 1 << 20, "what was pruned keeps {}", random.heap_bytes());
}
