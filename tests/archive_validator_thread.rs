//! A validator on a thread of its own: the archive waits for it no longer than the limit, and
//! nothing that it did not call valid in time is stored.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, MemoryBackend, PutOutcome, Validator, ValidatorThread, Validity,
};
use wakustore::types::{Origin, StoredMessage};

const LONG: Duration = Duration::from_secs(30);

/// Does what the first payload of a batch says, and tells when it is dropped.
struct Ordered {
    begun: Sender<ThreadId>,
    go_on: Mutex<Receiver<()>>,
    gone: Sender<ThreadId>,
}

impl Validator for Ordered {
    fn validate(&self, batch: &[StoredMessage], _: Origin) -> Vec<Validity> {
        self.begun.send(thread::current().id()).unwrap();
        match batch[0].message.payload.as_ref() {
            b"panic" => panic!("as ordered"),
            b"wait" => self.go_on.lock().unwrap().recv_timeout(LONG).unwrap(),
            _ => {}
        }
        vec![Validity::Valid; batch.len()]
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        let _ = self.gone.send(thread::current().id());
    }
}

/// Begins, go on, is gone.
type Ends = (Receiver<ThreadId>, Sender<()>, Receiver<ThreadId>);

fn ordered(limit: Option<Duration>) -> (ArchiveConfig, Ends) {
    let (begun, begins) = channel();
    let (go, go_on) = channel();
    let (gone, goes) = channel();
    let inner = Arc::new(Ordered { begun, go_on: Mutex::new(go_on), gone });
    let validator: Arc<dyn Validator> = Arc::new(ValidatorThread::new(inner, limit));
    (ArchiveConfig { validator: Some(validator), ..config() }, (begins, go, goes))
}

fn open(config: &ArchiveConfig) -> Archive {
    Archive::open(MemoryBackend::default(), config.clone()).unwrap()
}

fn put(archive: &Archive, payload: &str) -> Result<Option<ErrorKind>, wakustore::Error> {
    let outcomes = archive.put(vec![message(0, 0, NOW.0, payload)], Origin::Sync).wait()?;
    Ok(match &outcomes[..] {
        [PutOutcome::Refused(e)] => Some(e.kind()),
        [_] => None,
        other => panic!("{other:?}"),
    })
}

#[test]
fn one_thread_judges_for_all_archives_and_ends_with_the_last() {
    let (config, (begins, _go, gone)) = ordered(Some(LONG));
    let archives = [open(&config), open(&config)];
    drop(config);
    for i in 0..10 {
        assert_eq!(put(&archives[i % 2], &format!("m{i}")).unwrap(), None);
    }
    assert_eq!(put(&archives[0], "panic").unwrap(), Some(ErrorKind::Internal));
    assert_eq!(put(&archives[1], "after a panic").unwrap(), None);
    let threads: HashSet<ThreadId> = begins.try_iter().collect();
    assert_eq!(threads.len(), 1);
    assert!(!threads.contains(&thread::current().id()));
    let [first, second] = archives;
    first.close();
    drop(first);
    assert!(gone.try_recv().is_err(), "the second still has it");
    second.close();
    drop(second);
    let dropped_on = gone.try_recv().expect("dropped by the time the last archive is");
    assert!(!threads.contains(&dropped_on), "nothing of the host's is left to its thread");
}

#[test]
fn what_is_not_answered_in_time_is_refused_and_holds_nothing_up() {
    let (config, (begins, go, gone)) = ordered(Some(Duration::from_millis(50)));
    let archive = open(&config);
    drop(config);
    assert_eq!(put(&archive, "wait").unwrap(), Some(ErrorKind::Busy));
    begins.recv_timeout(LONG).unwrap();
    // It still waits: what comes now is answered without it, and everything else goes on.
    assert_eq!(put(&archive, "meanwhile").unwrap(), Some(ErrorKind::Busy));
    assert!(begins.try_recv().is_err(), "one call at a time");
    assert_eq!(archive.take_down(vec![]).wait().unwrap(), 0);
    assert_eq!(archive.stats().wait().unwrap().messages, 0);
    // Once it has returned, it is asked again. What it said too late counts for nothing.
    go.send(()).unwrap();
    while put(&archive, "again").unwrap() == Some(ErrorKind::Busy) {
        thread::yield_now();
    }
    assert_eq!(archive.stats().wait().unwrap().messages, 1);
    archive.close();
    drop(archive);
    gone.try_recv().unwrap();
}

#[test]
fn a_close_does_not_wait_for_one_that_is_stuck() {
    let (config, (begins, go, gone)) = ordered(Some(Duration::from_millis(50)));
    let archive = open(&config);
    drop(config);
    let stuck = archive.put(vec![message(0, 0, NOW.0, "wait")], Origin::Live);
    let behind = archive.put(vec![message(0, 0, NOW.0, "behind")], Origin::Live);
    let on = begins.recv_timeout(LONG).unwrap();
    archive.close();
    let busy = |outcomes: Vec<PutOutcome>| match &outcomes[..] {
        [PutOutcome::Refused(e)] => assert_eq!(e.kind(), ErrorKind::Busy),
        other => panic!("{other:?}"),
    };
    busy(stuck.wait().unwrap());
    busy(behind.wait().unwrap());
    drop(archive);
    assert!(gone.try_recv().is_err(), "it is in use");
    go.send(()).unwrap();
    assert_eq!(gone.recv_timeout(LONG), Ok(on), "let go of when it returned");
}
