//! Verification of an archive on PostgreSQL: what is wrong is found and told as what it is, also
//! where a table is damaged; and what goes on beside it is no finding.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use archive_support::cluster::Cluster;
use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{Archive, FindingKind, TopicKind, TopicQuery, VerifyReport};
use wakustore::types::MessageHash;

fn verify(archive: &Archive) -> VerifyReport {
    archive.verify().wait().unwrap()
}

#[test]
fn what_is_wrong_is_found() {
    use FindingKind::{Figure, HashMismatch, Invalid};
    // Of 300 messages, what is done to them, and what is to be found.
    let cases: [(&str, u64, &[FindingKind]); 9] = [
        ("SELECT", 300, &[]),
        // The payload is counted by its length too.
        (
            "UPDATE wakustore.message SET payload = 'x' WHERE hash = $1",
            300,
            &[HashMismatch, Figure],
        ),
        ("UPDATE wakustore.message SET meta = 'x' WHERE hash = $1", 300, &[HashMismatch, Figure]),
        ("UPDATE wakustore.message SET hash = '\\x0102' WHERE hash = $1", 299, &[Invalid]),
        ("UPDATE wakustore.message SET channel = 4711 WHERE hash = $1", 299, &[Invalid]),
        ("DELETE FROM wakustore.message WHERE hash = $1", 299, &[Figure, Figure]),
        ("UPDATE wakustore.partition_count SET messages = messages + 1", 300, &[Figure]),
        ("UPDATE wakustore.archive SET tombstones = 1", 300, &[Figure]),
        (
            "INSERT INTO wakustore.channel_count
             SELECT cell, 4711, slot, 1, 1 FROM wakustore.channel_count LIMIT 1",
            300,
            &[Figure],
        ),
    ];
    for (text, messages, kinds) in cases {
        let database = Cluster::shared().database();
        let archive = postgres(&database.url, few_partitions(), &config());
        let all = many(300, 40);
        import(&archive, all.clone());
        let mut client = database.client();
        let done = match text.contains("$1") {
            true => client.execute(text, &[&&all[150].hash.as_bytes()[..]]).unwrap(),
            false => client.execute(text, &[]).unwrap(),
        };
        assert!(done == 1 || kinds.is_empty(), "{text}");
        let report = verify(&archive);
        let found: Vec<FindingKind> = report.findings.first.iter().map(|f| f.kind).collect();
        assert_eq!(found, kinds, "{text}: {report:?}");
        assert_eq!(report.findings.count, kinds.len() as u64, "{text}");
        assert_eq!(report.messages, messages, "{text}");
        for finding in report.findings.first.iter().filter(|f| f.kind == HashMismatch) {
            assert_eq!(finding.hash, Some(all[150].hash), "{text}");
        }
    }
}

#[test]
fn a_damaged_table_is_read_around() {
    let cluster = Cluster::of_its_own(&[]);
    let database = cluster.database();
    let archive = postgres(&database.url, few_partitions(), &config());
    let all = many(3_000, 100);
    import(&archive, all.clone());
    // So that the index answers without the table.
    let mut client = database.client();
    client.batch_execute("VACUUM (FREEZE, ANALYZE)").unwrap();
    let text = "SELECT pg_relation_filepath(tableoid::regclass)::text, (ctid::text::point)[0]::int8
                FROM wakustore.message WHERE hash = $1";
    let row = client.query_one(text, &[&&all[1_500].hash.as_bytes()[..]]).unwrap();
    let (file, page): (String, i64) = (row.get(0), row.get(1));
    let text = "SELECT hash FROM wakustore.message WHERE (ctid::text::point)[0]::int8 = $1";
    let on_page = client.query(text, &[&page]).unwrap();
    let on_page: BTreeSet<MessageHash> =
        on_page.iter().map(|row| MessageHash::from_slice(row.get(0)).unwrap()).collect();
    assert!(on_page.len() > 10 && on_page.contains(&all[1_500].hash));
    drop(client);
    cluster.order("stop");
    let path = cluster.dir.join("data").join(file);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(u64::try_from(page).unwrap() * 8_192)).unwrap();
    file.write_all(&[0x5a; 8_192]).unwrap();
    drop(file);
    cluster.order("start");

    let archive = {
        archive.close();
        postgres(&database.url, few_partitions(), &config())
    };
    let report = verify(&archive);
    let findings = &report.findings.first;
    assert!(findings.iter().all(|f| f.kind == FindingKind::Unreadable), "{findings:?}");
    let told: BTreeSet<MessageHash> = findings.iter().filter_map(|f| f.hash).collect();
    assert_eq!(told, on_page);
    assert_eq!(report.messages, 3_000 - on_page.len() as u64, "all the others");
}

#[test]
fn what_goes_on_beside_it_is_no_finding() {
    let database = Cluster::shared().database();
    let nodes: Vec<Archive> =
        (0..2).map(|_| postgres(&database.url, few_partitions(), &config())).collect();
    let all = many(4_000, 30);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let work: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| {
                let all = &all;
                scope.spawn(move || {
                    for (j, batch) in all.chunks(40).enumerate() {
                        // Each puts all of them, and takes down some of those of the other.
                        import(node, batch.to_vec());
                        if j % 10 == 5 + i {
                            let down = batch[i * 20..i * 20 + 5].iter().map(|m| m.hash).collect();
                            node.take_down(down).wait().unwrap();
                        }
                    }
                })
            })
            .collect();
        let done = &done;
        let looking = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::SeqCst) {
                let report = verify(&nodes[looks % 2]);
                assert!(report.is_sound(), "{report:?}");
                looks += 1;
            }
        });
        let ended: Vec<_> = work.into_iter().map(|thread| thread.join()).collect();
        done.store(true, Ordering::SeqCst);
        looking.join().unwrap();
        ended.into_iter().for_each(|end| end.unwrap());
    });
    let report = verify(&nodes[0]);
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.messages, 4_000 - 20 * 5);
    for kind in [TopicKind::Content, TopicKind::Pubsub] {
        let query = TopicQuery { kind, after: None, limit: 100 };
        let topics = nodes[1].topic_stats(query).wait().unwrap();
        let messages: u64 = topics.iter().map(|topic| topic.messages).sum();
        let bytes: u64 = topics.iter().map(|topic| topic.bytes).sum();
        assert_eq!((messages, bytes), (3_900, 3_900 * 30), "{kind:?}");
    }
}

#[test]
fn a_backup_is_made_with_the_databases_own_tools() {
    let database = Cluster::shared().database();
    let archive = postgres(&database.url, few_partitions(), &config());
    let dir = tempfile::tempdir().unwrap();
    let e = archive.backup(dir.path().join("copy"), false).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.message().contains("pg_dump"), "{e:?}");
}
