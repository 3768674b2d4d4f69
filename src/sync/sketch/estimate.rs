//! How many keys differ, guessed from the first cells of a difference, and how many cells that
//! takes.
//!
//! Cell i holds each key with a probability p of its own ([`super::places`]). With d differing
//! keys, D more of them ours than theirs, its count has the mean p D and the variance p (1 − p) d;
//! cell 0 tells D. So each further cell gives a guess of d, and k of them a guess with a standard
//! error of about √(2 / k): 25 % for 32, 12 % for 128. Only counts are looked at: to guess, a peer
//! need not send the rest of the cells.

use super::Cell;
use super::places::chance;

/// Estimates how many keys differ from the first cells of a difference (ours without theirs).
/// Never less than the counts prove; 0 only where all cells are zero.
pub fn estimate(cells: &[Cell]) -> usize {
    let counts = cells.iter().map(|cell| cell.count).enumerate();
    let some = usize::from(cells.iter().any(|cell| !cell.is_zero()));
    estimate_counts(counts).max(some)
}

/// As [`estimate`], from the counts of some cells with their numbers; the first must be that of
/// cell 0.
pub fn estimate_counts(counts: impl Iterator<Item = (usize, i64)> + Clone) -> usize {
    let mut rest = counts;
    let Some((_, more)) = rest.next() else { return 0 };
    let more = more as f64;
    let least = more.abs();
    // The square of each count's distance from its mean, and the variance for each differing key.
    let terms = rest.map(|(at, count)| {
        let p = chance(at);
        ((count as f64 - p * more).powi(2), p * (1.0 - p))
    });
    let (squares, variances) =
        terms.clone().fold((0.0, 0.0), |(s, v), (square, variance)| (s + square, v + variance));
    if variances == 0.0 {
        return least as usize;
    }
    // That weighs the first cells most. Knowing d roughly, each can have the weight that it
    // deserves: the inverse of the guess's own variance.
    let rough = (squares / variances).max(least).max(1.0);
    let (sum, weights) = terms.fold((0.0, 0.0), |(sum, weights), (square, variance)| {
        let weight = 1.0 / (2.0 + ((1.0 - 6.0 * variance) / (rough * variance)).max(0.0));
        (sum + weight * square / variance, weights + weight)
    });
    // A cast saturates: a hostile count gives no more than a large guess.
    (sum / weights).max(least).round() as usize
}

/// The low bytes of some cells' counts: what a peer sends of the cells that shall only serve the
/// estimate, a byte each.
pub fn low_counts(cells: &[Cell]) -> Vec<u8> {
    cells.iter().map(|cell| cell.count as u8).collect()
}

/// As [`estimate`], from the first cells of a difference and, of the cells that follow these, our
/// own and the low bytes of their counts. Of all differences that such a byte may stand for, the
/// one nearest to its mean is meant: right up to some 50,000 differing keys, and beyond that the
/// estimate stays above.
pub fn estimate_with(cells: &[Cell], ours: &[Cell], theirs: &[u8]) -> usize {
    let Some(more) = cells.first().map(|cell| cell.count) else { return 0 };
    let whole = cells.iter().map(|cell| cell.count).enumerate();
    let low = ours.iter().zip(theirs).enumerate().map(|(i, (ours, theirs))| {
        let at = cells.len() + i;
        // A cast saturates.
        let mean = (chance(at) * more as f64).round() as i64;
        let off = (ours.count as u8).wrapping_sub(*theirs).wrapping_sub(mean as u8) as i8;
        (at, mean.saturating_add(i64::from(off)))
    });
    let some = usize::from(cells.iter().any(|cell| !cell.is_zero()));
    estimate_counts(whole.chain(low)).max(some)
}

/// With 99 % of certainty no more keys differ, where an estimate was made from the counts of so
/// many cells.
pub fn at_most(estimate: usize, cells: usize) -> usize {
    // The estimate is distributed about as chi squared; its first percentile after Wilson and
    // Hilferty.
    let k = cells.saturating_sub(1).max(4) as f64;
    let part = 2.0 / (9.0 * k);
    let low = (1.0 - part - 2.33 * part.sqrt()).powi(3).max(0.05);
    (estimate as f64 / low).ceil() as usize
}

/// How many cells let a difference of exactly `differing` keys be decoded in 99 % of cases,
/// measured for 1 to 10,000. Where that number is an estimate, [`cells_for_guess`] adds what the
/// estimate may be wrong by; with this alone, every second time more cells have to be asked for.
pub fn cells_for(differing: usize) -> usize {
    let d = differing as f64;
    (1.35 * d + 3.5 * d.sqrt() + 14.0).ceil() as usize
}

/// How many cells let the difference be decoded in 99 % of cases, where `estimate` came from the
/// counts of so many cells.
pub fn cells_for_guess(estimate: usize, cells: usize) -> usize {
    cells_for(at_most(estimate, cells))
}
