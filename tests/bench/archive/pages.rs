//! Pages and presence, and bytes on disk.

use std::path::Path;

use wakustore::archive::{Archive, Durability};
use wakustore::types::{ContentTopic, Direction, Filter, MessageHash, PubsubTopic, Query};

use super::contenders::Deployed;
use super::{files, full, median, message, open, seconds, turns};
use crate::report::versus;

const ROUNDS: usize = 100;
/// What the growth of a deep page is measured from.
const FEW: usize = 100_000;
/// Hashes that one query names; as many as one may.
const HASHES: usize = 1_000;
const ASKED: usize = 100_000;

pub(super) fn page(archive: &Archive, filter: Filter, cursor: Option<MessageHash>) -> usize {
    ask(archive, filter, cursor, true)
}

fn ask(archive: &Archive, filter: Filter, cursor: Option<MessageHash>, data: bool) -> usize {
    let query =
        Query { filter, cursor, direction: Direction::Forward, limit: 100, include_data: data };
    let entries = archive.query(query).wait().unwrap().entries;
    assert_eq!(entries.len(), 100);
    entries.len()
}

fn topics(names: impl Iterator<Item = String>) -> Filter {
    let topic = |name: String| ContentTopic::new(format!("/bench/1/{name}/proto")).unwrap();
    Filter { content_topics: names.map(topic).collect(), ..Filter::default() }
}

pub(crate) fn run() {
    let n = if full() { 10_000_000 } else { 1_000_000 };
    let (file, theirs_file) = (files::ours(n), files::deployed(n));
    let hashes = files::hashes(n);
    let archive = open(&file, Durability::Full);
    let deployed = Deployed::open(&theirs_file, true);

    let everything = Filter::default;
    let (first, theirs) =
        turns(ROUNDS, |_| page(&archive, everything(), None), |_| deployed.first_page());
    versus("archive.page.first", first, "us", "deployed", theirs);

    let deep = |i: usize| hashes[n / 2 + i * 9973 % (n / 4)];
    let (ours, theirs) = turns(
        ROUNDS,
        |i| page(&archive, everything(), Some(deep(i))),
        |i| deployed.page_after(&deep(i)),
    );
    versus("archive.page.deep", ours, "us", "deployed", theirs);

    let some = |i: usize| -> Vec<MessageHash> {
        (0..HASHES).map(|j| hashes[(i * 7919 + j * 104_729) % n]).collect()
    };
    let by = |i| Filter { hashes: some(i), ..Filter::default() };
    // The same again and again; then others each time, which no cache has met.
    for (name, round) in [("hashes", 0), ("hashes_new", 1)] {
        let (ours, theirs) = turns(
            ROUNDS / 4,
            |i| page(&archive, by(i * round), None),
            |i| deployed.by_hashes(&some(i * round)),
        );
        versus(&format!("archive.page.{name}"), ours, "us", "deployed", theirs);
    }

    let beside_first = |name: &str, filter: &dyn Fn() -> Filter| {
        let (ours, first) = turns(
            ROUNDS,
            |_| page(&archive, filter(), None),
            |_| page(&archive, Filter::default(), None),
        );
        versus(name, ours, "us", "archive.page.first", first);
    };
    beside_first("archive.page.topic", &|| topics(["rare".to_string()].into_iter()));
    for many in [10, 100] {
        let name = format!("archive.page.topics{many}");
        beside_first(&name, &|| topics((0..many).map(|i| format!("t{i}"))));
    }
    beside_first("archive.page.pubsub_rare", &|| Filter {
        pubsub_topic: Some(PubsubTopic::of_shard(1, 1)),
        ..Filter::default()
    });
    let (ours, whole) = turns(
        ROUNDS,
        |_| ask(&archive, Filter::default(), None, false),
        |_| page(&archive, Filter::default(), None),
    );
    versus("archive.page.hashes_alone", ours, "us", "archive.page.first", whole);

    // Half of them held, in no order.
    let asked: Vec<MessageHash> = (0..ASKED)
        .map(|i| match i % 2 {
            0 => hashes[i.wrapping_mul(7919) % n],
            _ => message(n + i, n).hash,
        })
        .collect();
    let ours =
        || seconds(|| assert_eq!(archive.missing(asked.clone()).wait().unwrap().len(), ASKED / 2));
    let before = ours();
    // It takes long enough to be asked once.
    let theirs = seconds(|| assert_eq!(deployed.missing(&asked), ASKED / 2)) * 1e6;
    let ours = median(vec![before, ours(), ours()]) * 1e6;
    versus("archive.missing.100000", ours, "us", "deployed", theirs);

    let small = open(&files::ours(FEW), Durability::Full);
    let few: Vec<MessageHash> = files::hashes(FEW);
    let deep_of_few = |i: usize| few[FEW / 2 + i * 9973 % (FEW / 4)];
    let (ours, theirs) = turns(
        ROUNDS,
        |i| page(&archive, everything(), Some(deep(i))),
        |i| page(&small, everything(), Some(deep_of_few(i))),
    );
    versus("archive.page.deep.growth", ours, "us", &format!("n{FEW}"), theirs);

    small.close();
    archive.close();
    drop(deployed);
    let size = |path: &Path| std::fs::metadata(path).unwrap().len() as f64 / n as f64;
    let (ours, theirs) = (size(&file), size(&theirs_file));
    versus("archive.bytes_per_message", ours, "bytes", "deployed", theirs);
}
