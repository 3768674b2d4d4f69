//! From opening a large archive to its first page.

use wakustore::archive::Durability;
use wakustore::types::Filter;

use super::contenders::Bare;
use super::pages::page;
use super::{files, full, median, open, seconds};
use crate::report::versus;

const ROUNDS: usize = 21;

pub(crate) fn run() {
    let n = if full() { 10_000_000 } else { 1_000_000 };
    let file = files::ours(n);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Each is closed before the other opens, after time was taken.
        let mut opened = None;
        ours.push(seconds(|| {
            let archive = opened.insert(open(&file, Durability::Full));
            page(archive, Filter::default(), None)
        }));
        opened.take().unwrap().close();
        let mut bare = None;
        theirs.push(seconds(|| bare.insert(Bare::open(&file)).first_page()));
        drop(bare);
    }
    let name = format!("archive.open_to_first_page_ms.n{n}");
    versus(&name, median(ours) * 1e3, "ms", "bare", median(theirs) * 1e3);
}
