//! The measurements of `make bench`: one JSON line a figure, under the names that the goals use.
//!
//! A comparison prints `versus` and `ratio`, ours over theirs, and keeps the slower contender here
//! so that the ratio can be seen again. Absolute figures are of this machine and this moment.
//! `cargo bench -- NAME` runs what has NAME in its group's name; `FULL=1` takes larger sets.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod archive;
mod index;
mod own;
mod report;
mod rivals;
mod sets;
mod sync;
#[path = "../sync_common/mod.rs"]
mod sync_common;
mod wall;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let runs = |group: &str| wanted.is_empty() || wanted.iter().any(|w| group.contains(w.as_str()));
    if wanted.iter().any(|w| w == "tuning") {
        sync::tuning();
        return;
    }
    if runs("sync.index") {
        index::run(1_000_000);
    }
    if runs("sync.sets") {
        sync::run();
    }
    if runs("sync.wall") {
        wall::run_all();
    }
    let archive: [(&str, fn()); 4] = [
        ("archive.put", archive::puts::run),
        ("archive.page", archive::pages::run),
        ("archive.retention", archive::retention::run),
        ("archive.open", archive::opening::run),
    ];
    archive.into_iter().filter(|(group, _)| runs(group)).for_each(|(_, measure)| measure());
}
