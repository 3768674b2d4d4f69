//! What an operator does with an archive in use, on every backend: figures by topic, taking down
//! by filter, tombstones, verification.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::{BTreeMap, BTreeSet};

use archive_support::*;
use bytes::Bytes;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, MAX_TOOL_PAGE, PutOutcome, Retention, TopicKind, TopicQuery, TopicStats,
};
use wakustore::types::{
    Filter, MessageHash, Origin, Query, StoredMessage, TimeRange, Timestamp, WakuMessage,
};

/// All pages of this many topics.
fn topics(archive: &Archive, kind: TopicKind, limit: usize) -> Vec<TopicStats> {
    let mut all: Vec<TopicStats> = Vec::new();
    loop {
        let after = all.last().map(|topic| topic.name.clone());
        let page = archive.topic_stats(TopicQuery { kind, after, limit }).wait().unwrap();
        assert!(page.len() <= limit);
        let last = page.len() < limit;
        all.extend(page);
        if last {
            return all;
        }
    }
}

/// What the figures must be: from the messages, one by one. Topics without any are left out.
fn model(held: &[StoredMessage], kind: TopicKind) -> Vec<TopicStats> {
    let mut topics: BTreeMap<String, TopicStats> = BTreeMap::new();
    for m in held {
        let name = match kind {
            TopicKind::Pubsub => m.pubsub_topic.to_string(),
            TopicKind::Content => m.message.content_topic.to_string(),
        };
        let topic = topics.entry(name.clone()).or_insert(TopicStats {
            name,
            messages: 0,
            bytes: 0,
            oldest: None,
            newest: None,
        });
        let size = |field: &Option<Bytes>| field.as_ref().map_or(0, |field| field.len());
        let optional = size(&m.message.meta) + size(&m.message.rate_limit_proof);
        topic.messages += 1;
        topic.bytes += (m.message.payload.len() + optional) as u64;
        let time = m.timestamp();
        topic.oldest = Some(topic.oldest.map_or(time, |oldest| oldest.min(time)));
        topic.newest = topic.newest.max(Some(time));
    }
    topics.into_values().collect()
}

fn check_topics(name: &str, archive: &Archive, held: &[StoredMessage]) {
    for kind in [TopicKind::Pubsub, TopicKind::Content] {
        for limit in [1, 3, MAX_TOOL_PAGE] {
            let mut found = topics(archive, kind, limit);
            found.retain(|topic| topic.messages > 0);
            assert_eq!(found, model(held, kind), "{name} {kind:?} {limit}");
        }
    }
    assert!(archive.verify().wait().unwrap().is_sound(), "{name}");
}

/// Messages of all sizes with meta and proofs, of ten content and eight pubsub topics.
fn varied(count: usize) -> Vec<StoredMessage> {
    let vary = |(i, m): (usize, StoredMessage)| {
        let message = WakuMessage {
            payload: Bytes::from(vec![i as u8; i % 700]),
            meta: (i % 3 == 0).then(|| Bytes::from(vec![1; i % 64])),
            rate_limit_proof: (i % 5 == 0).then(|| Bytes::from(vec![2; 300])),
            ..m.message
        };
        StoredMessage::new(m.pubsub_topic, message)
    };
    many(count, 8).into_iter().enumerate().map(vary).collect()
}

fn hashes(messages: &[StoredMessage]) -> Vec<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

#[test]
fn figures_by_topic_follow_what_is_put_and_removed() {
    for Opened { name, archive, dir: _dir } in local_backends(&config()) {
        check_topics(name, &archive, &[]);
        let all = varied(500);
        import(&archive, all[..300].to_vec());
        check_topics(name, &archive, &all[..300]);
        // Half of them are duplicates.
        import(&archive, all[150..].to_vec());
        check_topics(name, &archive, &all);
        archive.take_down(hashes(&all[..40])).wait().unwrap();
        check_topics(name, &archive, &all[40..]);
        for limit in [0, MAX_TOOL_PAGE + 1] {
            let query = TopicQuery { kind: TopicKind::Content, after: None, limit };
            let e = archive.topic_stats(query).wait().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{name}");
        }
    }
}

#[test]
fn figures_by_topic_follow_retention() {
    let retention = Retention { max_messages: Some(100), ..Retention::default() };
    let config = ArchiveConfig { retention, ..config() };
    for Opened { name, archive, dir: _dir } in local_backends(&config) {
        let mut feed = archive.subscribe(10_000);
        let all = varied(400);
        import(&archive, all.clone());
        let mut removed = 0;
        while removed < 300 {
            let event = feed.wait(std::time::Duration::from_secs(30)).unwrap().unwrap();
            if let wakustore::archive::FeedEvent::Removed(items) = event {
                removed += items.len();
            }
        }
        check_topics(name, &archive, &all[300..]);
    }
}

#[test]
fn what_matches_is_taken_down_and_nothing_else() {
    for Opened { name, archive, dir: _dir } in local_backends(&config()) {
        let all = many(2_000, 50);
        import(&archive, all.clone());
        let time = TimeRange::new(all[300].timestamp(), all[1_500].timestamp()).unwrap();
        let filter =
            Filter { content_topics: vec![content(2), content(7)], time, ..Filter::default() };
        let (down, kept): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|m| {
            filter.content_topics.contains(&m.message.content_topic) && time.contains(m.timestamp())
        });
        let task = archive.take_down_matching(filter.clone());
        let control = task.control();
        assert_eq!(task.wait().unwrap(), down.len() as u64, "{name}");
        assert_eq!(control.progress().done, down.len() as u64, "{name}");
        assert_eq!(archive.missing(hashes(&all)).wait().unwrap(), [], "{name}: none is asked for");
        assert_eq!(archive.get(hashes(&all)).wait().unwrap(), kept, "{name}");
        for outcome in import(&archive, down.clone()) {
            let PutOutcome::Refused(e) = outcome else { panic!("{name}: {outcome:?}") };
            assert_eq!(e.kind(), ErrorKind::TakenDown, "{name}");
        }
        assert_eq!(archive.take_down_matching(filter).wait().unwrap(), 0, "{name}: there are none");
        check_topics(name, &archive, &kept);

        let everything = Filter::default();
        let by_hash = Filter { hashes: vec![all[0].hash], ..Filter::default() };
        let many = Filter { content_topics: vec![content(0); 101], ..Filter::default() };
        for filter in [everything, by_hash, many] {
            let e = archive.take_down_matching(filter).wait().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{name}");
        }
        assert_eq!(archive.stats().wait().unwrap().messages, kept.len() as u64, "{name}");
    }
}

#[test]
fn tombstones_are_listed_and_lifted() {
    for Opened { name, archive, dir: _dir } in local_backends(&config()) {
        let all = many(50, 50);
        import(&archive, all[..20].to_vec());
        let down: BTreeSet<MessageHash> = hashes(&all[10..]).into_iter().collect();
        archive.take_down(down.iter().copied().collect()).wait().unwrap();
        let mut listed: Vec<MessageHash> = Vec::new();
        loop {
            let page = archive.tombstones(listed.last().copied(), 7).wait().unwrap();
            listed.extend(&page);
            if page.len() < 7 {
                break;
            }
        }
        assert_eq!(listed, down.iter().copied().collect::<Vec<_>>(), "{name}");
        let mut lifted = hashes(&all[10..15]);
        lifted.push(unknown_hash(1));
        assert_eq!(archive.reinstate(lifted.clone()).wait().unwrap(), 5, "{name}");
        assert_eq!(archive.reinstate(lifted).wait().unwrap(), 0, "{name}");
        assert_eq!(archive.missing(hashes(&all)).wait().unwrap(), hashes(&all[10..15]), "{name}");
        let outcomes = import(&archive, all.clone());
        let stored = outcomes.iter().filter(|o| **o == PutOutcome::Stored).count();
        assert_eq!(stored, 5, "{name}");
        assert!(archive.verify().wait().unwrap().is_sound(), "{name}");
    }
}

#[test]
fn works_end_with_the_archive_and_answer() {
    for Opened { name, archive, dir: _dir } in local_backends(&config()) {
        import(&archive, many(3_000, 500));
        let tasks: Vec<_> = (0..3).map(|_| archive.verify()).collect();
        archive.close();
        for task in tasks {
            match task.wait() {
                Ok(report) => assert!(report.is_sound(), "{name}"),
                Err(e) => assert!(
                    [ErrorKind::Cancelled, ErrorKind::ArchiveClosed].contains(&e.kind()),
                    "{name}: {e:?}"
                ),
            }
        }
        let e = archive.verify().wait().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ArchiveClosed, "{name}");
    }
}

#[test]
fn a_cancelled_work_says_so() {
    for Opened { name, archive, dir: _dir } in local_backends(&config()) {
        import(&archive, many(5_000, 100));
        let task = archive.verify();
        task.cancel();
        match task.wait() {
            Err(e) => assert_eq!(e.kind(), ErrorKind::Cancelled, "{name}"),
            // It had ended before.
            Ok(report) => assert_eq!(report.messages, 5_000, "{name}"),
        }
        // A filter that takes long enough to be cancelled at its first step at the latest.
        let filter = Filter {
            time: TimeRange::new(Timestamp(0), Timestamp::MAX).unwrap(),
            ..Filter::default()
        };
        let task = archive.take_down_matching(filter);
        task.cancel();
        let result = task.wait();
        let held = archive.stats().wait().unwrap().messages;
        assert!(result.is_ok_and(|n| n == 5_000) || held > 0, "{name}");
        archive.query(Query::default()).wait().unwrap();
        let put = archive.put(vec![message(0, 0, 1, "it goes on")], Origin::Import);
        assert_eq!(put.wait().unwrap(), [PutOutcome::Stored], "{name}");
    }
}
