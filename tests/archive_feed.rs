//! The change feed: what it tells, in which order, and what a slow reader misses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::thread;
use std::time::Duration;

use archive_support::*;
use futures::StreamExt;
use wakustore::ErrorKind;
use wakustore::archive::{Archive, FeedEvent, FeedItem, MemoryBackend};
use wakustore::types::{Origin, StoredMessage};

const LONG: Duration = Duration::from_secs(30);

fn item(m: &StoredMessage, origin: Origin) -> FeedItem {
    FeedItem {
        id: m.sync_id(),
        pubsub_topic: m.pubsub_topic.clone(),
        content_topic: m.message.content_topic.clone(),
        origin,
    }
}

fn stored(event: Option<FeedEvent>) -> Vec<FeedItem> {
    match event {
        Some(FeedEvent::Stored(items)) => items.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn missed(event: Option<FeedEvent>) -> u64 {
    match event {
        Some(FeedEvent::Lagged { missed, .. }) => missed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_tells_what_is_new_by_the_time_it_is_acknowledged() {
    for opened in every_backend(&config()) {
        let archive = opened.archive;
        let (a, b, c) = (message(0, 0, 9, "a"), message(1, 2, 5, "b"), message(0, 1, 7, "c"));
        import(&archive, vec![a.clone()]);
        let mut feed = archive.subscribe(100);
        assert_eq!(feed.try_next(), None, "{}: nothing of before", opened.name);
        // In the order of the put, without the duplicates and what is refused.
        let future = message(0, 0, i64::MAX, "of the future");
        let batch = vec![c.clone(), a.clone(), future, b.clone(), c.clone()];
        archive.put(batch, Origin::Resume).wait().unwrap();
        let want = [item(&c, Origin::Resume), item(&b, Origin::Resume)];
        assert_eq!(stored(feed.try_next()), want, "{}", opened.name);
        import(&archive, vec![a, b, c]);
        assert_eq!(feed.try_next(), None, "{}: nothing new, nothing told", opened.name);
    }
}

#[test]
fn many_commits_come_in_the_order_of_the_commits() {
    for opened in every_backend(&config()) {
        let archive = opened.archive;
        let mut feed = archive.subscribe(10_000);
        let held = many(1_000, 8);
        let pending: Vec<_> =
            held.chunks(3).map(|batch| archive.put(batch.to_vec(), Origin::Live)).collect();
        for put in pending {
            put.wait().unwrap();
        }
        archive.close();
        let mut told = Vec::new();
        while let Some(event) = futures::executor::block_on(feed.next()) {
            told.extend(stored(Some(event)));
        }
        let want: Vec<_> = held.iter().map(|m| item(m, Origin::Live)).collect();
        assert!(told == want, "{}", opened.name);
    }
}

#[test]
fn a_slow_reader_is_told_how_much_it_missed_and_where() {
    let archive = Archive::open(MemoryBackend::default(), config()).unwrap();
    let mut feed = archive.subscribe(3);
    let mut fast = archive.subscribe(1_000);
    let held = many(12, 8);
    let put = |range: std::ops::Range<usize>| {
        archive.put(held[range].to_vec(), Origin::Live).wait().unwrap();
    };
    put(0..2);
    put(2..4); // One fits, two do not.
    put(4..5); // This one fits again.
    put(5..7);
    put(7..8);
    assert_eq!(stored(feed.try_next()).len(), 2);
    assert_eq!(missed(feed.try_next()), 2);
    assert_eq!(stored(feed.try_next()), [item(&held[4], Origin::Live)]);
    assert_eq!(missed(feed.try_next()), 3);
    assert_eq!(feed.try_next(), None);
    // A commit larger than the queue is taken whole where the queue is empty.
    put(8..12);
    assert_eq!(stored(feed.try_next()).len(), 4);
    let mut all = 0;
    while let Some(event) = fast.try_next() {
        all += stored(Some(event)).len();
    }
    assert_eq!(all, 12, "the slow one is nobody else's trouble");
}

#[test]
fn it_wakes_whoever_waits() {
    let archive = Archive::open(MemoryBackend::default(), config()).unwrap();
    let mut by_stream = archive.subscribe(10);
    let mut by_wait = archive.subscribe(10);
    let streamed = thread::spawn(move || {
        futures::executor::block_on(async move {
            let mut n = 0;
            while let Some(event) = StreamExt::next(&mut by_stream).await {
                n += stored(Some(event)).len();
            }
            n
        })
    });
    let waited = thread::spawn(move || {
        let mut n = 0;
        while let Some(event) = by_wait.wait(LONG).unwrap() {
            n += stored(Some(event)).len();
        }
        n
    });
    for batch in many(10, 8).chunks(2) {
        archive.put(batch.to_vec(), Origin::Live).wait().unwrap();
    }
    archive.close();
    assert_eq!((streamed.join().unwrap(), waited.join().unwrap()), (10, 10));
}

#[test]
fn waiting_ends_in_time() {
    let archive = Archive::open(MemoryBackend::default(), config()).unwrap();
    let mut feed = archive.subscribe(0);
    let e = feed.wait(Duration::from_millis(5)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TimedOut);
    archive.put(many(1, 8), Origin::Live).wait().unwrap();
    assert!(feed.wait(Duration::ZERO).unwrap().is_some());
    drop(archive);
    assert_eq!(feed.wait(Duration::ZERO).unwrap(), None);
}
