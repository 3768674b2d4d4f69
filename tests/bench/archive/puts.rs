//! Puts a second of 1 KiB messages through the whole archive: hash, validation, commit, answer.
//! Sustained: the files grow from round to round, and checkpoints are among what is measured.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use futures::future::join_all;
use wakustore::archive::{Archive, Durability};
use wakustore::types::{Origin, PubsubTopic, StoredMessage, WakuMessage};

use super::contenders::{Bare, Deployed};
use super::{full, median, message, open, plain, seconds};
use crate::report::versus;

const BATCH: usize = 1_000;
/// Batches that the one who puts them has on the way: one is committed while he makes the next.
const ON_THE_WAY: usize = 2;
const TASKS: usize = 64;
/// A commit a message is slow: so many a round are enough.
const SINGLE: usize = 1_500;
const ROUNDS: usize = 5;

type Plain = (PubsubTopic, WakuMessage);

fn stored((pubsub, message): Plain) -> StoredMessage {
    StoredMessage::new(pubsub, message)
}

fn batches(archive: &Archive, messages: Vec<Plain>) {
    let mut on_the_way = VecDeque::new();
    let mut messages = messages.into_iter().peekable();
    while messages.peek().is_some() {
        let batch: Vec<StoredMessage> = messages.by_ref().take(BATCH).map(stored).collect();
        on_the_way.push_back(archive.put(batch, Origin::Import));
        if on_the_way.len() >= ON_THE_WAY
            && let Some(oldest) = on_the_way.pop_front()
        {
            oldest.wait().unwrap();
        }
    }
    on_the_way.into_iter().for_each(|last| drop(last.wait().unwrap()));
}

/// 64 tasks of one executor, each with one message on its way at a time.
fn tasks(archive: &Archive, messages: Vec<Plain>) {
    let messages = Mutex::new(messages.into_iter());
    let next = || messages.lock().unwrap().next();
    let task = |_| async {
        while let Some(message) = next() {
            archive.put(vec![stored(message)], Origin::Import).await.unwrap();
        }
    };
    futures::executor::block_on(join_all((0..TASKS).map(task)));
}

fn one_by_one(archive: &Archive, messages: Vec<Plain>) {
    for message in messages {
        archive.put(vec![stored(message)], Origin::Import).wait().unwrap();
    }
}

/// An archive that has met all topics.
fn fresh(path: &Path, durability: Durability, n: usize) -> Archive {
    let archive = open(path, durability);
    let first = (n..n + BATCH).map(|i| message(i, n)).collect();
    archive.put(first, Origin::Import).wait().unwrap();
    archive
}

pub(crate) fn run() {
    let dir = tempfile::tempdir().unwrap();
    let per_round = if full() { 200_000 } else { 40_000 };
    let n = 2 * ROUNDS * per_round;
    let file = |name: &str| dir.path().join(name);
    fresh(&file("bare.db"), Durability::Normal, n).close();
    let bare = Bare::open(&file("bare.db")).knowing_topics();
    let deployed = Deployed::open(&file("deployed.db"), true);
    let ours = |name: &str, durability| fresh(&file(name), durability, n);
    let (normal, full) = (Durability::Normal, Durability::Full);
    type Way = fn(&Archive, Vec<Plain>);
    let ways: [(&str, Way, usize, Archive, &str); 5] = [
        ("archive.put.batch1000", batches, per_round, ours("bn.db", normal), "bare"),
        ("archive.put.tasks64", tasks, per_round, ours("tn.db", normal), "bare"),
        ("archive.put.batch1000", batches, per_round, ours("bf.db", full), "deployed"),
        ("archive.put.tasks64", tasks, per_round, ours("tf.db", full), "deployed"),
        ("archive.put.one", one_by_one, SINGLE, ours("of.db", full), "deployed"),
    ];

    let mut rates = vec![Vec::new(); ways.len()];
    let (mut of_bare, mut of_deployed) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let from = round * per_round;
        let part = |count: usize| (from..from + count).map(|i| plain(i, n)).collect::<Vec<_>>();
        let whole: Vec<_> = part(per_round).into_iter().map(stored).collect();
        let rows: Vec<_> = whole.chunks(BATCH).map(|batch| bare.rows(batch)).collect();
        let rate = |count: usize, seconds: f64| count as f64 / seconds;
        of_bare.push(rate(per_round, seconds(|| rows.iter().for_each(|rows| bare.put(rows)))));
        for ((_, way, count, archive, _), rates) in ways.iter().zip(&mut rates) {
            let messages = part(*count);
            rates.push(rate(*count, seconds(|| way(archive, messages))));
        }
        let few = &whole[..SINGLE];
        of_deployed.push(rate(SINGLE, seconds(|| few.iter().for_each(|m| deployed.put(m)))));
    }
    let (of_bare, of_deployed) = (median(of_bare), median(of_deployed));
    for ((name, _, _, archive, contender), rates) in ways.iter().zip(rates) {
        let theirs = if *contender == "bare" { of_bare } else { of_deployed };
        versus(name, median(rates), "messages/s", contender, theirs);
        archive.close();
    }
}
