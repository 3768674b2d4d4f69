//! The host's validator: it sees every batch before it is committed, and can harm no other put.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, FeedEvent, MemoryBackend, PutOutcome, Validator, Validity,
};
use wakustore::types::{Origin, StoredMessage, Timestamp};

/// Answers by payload, and notes what it saw.
#[derive(Default)]
struct ByPayload {
    seen: Mutex<Vec<(Vec<String>, Origin)>>,
}

fn text(m: &StoredMessage) -> String {
    String::from_utf8(m.message.payload.to_vec()).unwrap()
}

impl Validator for ByPayload {
    fn validate(&self, batch: &[StoredMessage], origin: Origin) -> Vec<Validity> {
        let texts: Vec<String> = batch.iter().map(text).collect();
        self.seen.lock().unwrap().push((texts.clone(), origin));
        if texts.iter().any(|t| t == "panic") {
            panic!("as ordered");
        }
        if texts.iter().any(|t| t == "short") {
            return vec![Validity::Valid; texts.len() - 1];
        }
        let answer = |t: String| match t.as_str() {
            "bad" => Validity::Invalid("its proof is wrong".into()),
            "later" => Validity::Unknown("no root yet".into()),
            _ => Validity::Valid,
        };
        texts.into_iter().map(answer).collect()
    }
}

fn with(validator: Arc<dyn Validator>) -> ArchiveConfig {
    ArchiveConfig { validator: Some(validator), ..config() }
}

fn batch(payloads: &[&str]) -> Vec<StoredMessage> {
    payloads.iter().map(|p| message(0, 0, NOW.0, p)).collect()
}

fn kinds(outcomes: &[PutOutcome]) -> Vec<Option<ErrorKind>> {
    let kind = |o: &PutOutcome| match o {
        PutOutcome::Refused(e) => Some(e.kind()),
        PutOutcome::Stored | PutOutcome::Duplicate => None,
    };
    outcomes.iter().map(kind).collect()
}

#[test]
fn what_it_refuses_is_not_stored_and_the_rest_of_the_batch_is() {
    let validator = Arc::new(ByPayload::default());
    for opened in every_backend(&with(validator.clone())) {
        let name = opened.name;
        let mut feed = opened.archive.subscribe(100);
        let mut put = batch(&["a", "bad", "b", "later"]);
        // The archive's own rules come first: of this one the validator hears nothing.
        put.insert(1, message(0, 0, Timestamp::MAX.0, "future"));
        let outcomes = opened.archive.put(put, Origin::Sync).wait().unwrap();
        use ErrorKind::{Busy, TimestampInFuture, ValidatorRefused};
        let expected = [None, Some(TimestampInFuture), Some(ValidatorRefused), None, Some(Busy)];
        assert_eq!(kinds(&outcomes), expected, "{name}");
        let PutOutcome::Refused(e) = &outcomes[2] else { panic!("{outcomes:?}") };
        assert_eq!(e.message(), "its proof is wrong");
        assert_eq!(opened.archive.stats().wait().unwrap().messages, 2, "{name}");
        let Some(FeedEvent::Stored(items)) = feed.try_next() else { panic!("nothing was fed") };
        assert_eq!(items.len(), 2, "{name}");
        // What was not to be told may be put again; what is stored is a duplicate.
        let again = opened.archive.put(batch(&["b", "bad"]), Origin::Import).wait().unwrap();
        assert_eq!((&again[0], kinds(&again)[1]), (&PutOutcome::Duplicate, Some(ValidatorRefused)));
    }
    let seen = validator.seen.lock().unwrap();
    let strings = |p: &[&str]| p.iter().map(|t| t.to_string()).collect::<Vec<_>>();
    for seen in seen.chunks(2) {
        assert_eq!(seen[0], (strings(&["a", "bad", "b", "later"]), Origin::Sync));
        assert_eq!(seen[1], (strings(&["b", "bad"]), Origin::Import));
    }
}

#[test]
fn it_sees_every_origin_and_no_empty_batch() {
    let validator = Arc::new(ByPayload::default());
    let archive = Archive::open(MemoryBackend::default(), with(validator.clone())).unwrap();
    let origins = [Origin::Live, Origin::Sync, Origin::Resume, Origin::Import];
    for origin in origins {
        let payload = format!("{origin:?}");
        archive.put(batch(&[&payload]), origin).wait().unwrap();
        assert_eq!(archive.put(vec![], origin).wait().unwrap(), []);
        let refused = archive.put(vec![message(0, 0, Timestamp::MAX.0, "x")], origin).wait();
        assert_eq!(kinds(&refused.unwrap()), [Some(ErrorKind::TimestampInFuture)]);
    }
    let seen: Vec<Origin> = validator.seen.lock().unwrap().iter().map(|(_, o)| *o).collect();
    assert_eq!(seen, origins);
}

/// Puts that wait share a commit, but not a fate.
#[test]
fn a_panic_or_a_short_answer_ends_its_own_put_alone() {
    let archive =
        Archive::open(MemoryBackend::default(), with(Arc::new(ByPayload::default()))).unwrap();
    for _ in 0..3 {
        let puts: Vec<_> = [&["a", "panic"][..], &["b"], &["c", "short"], &["short"], &["d"]]
            .iter()
            .map(|payloads| archive.put(batch(payloads), Origin::Live))
            .collect();
        let puts: Vec<_> = puts.into_iter().map(|put| put.wait()).collect();
        let internal = Some(ErrorKind::Internal);
        assert_eq!(kinds(puts[0].as_ref().unwrap()), [internal, internal]);
        assert_eq!(kinds(puts[1].as_ref().unwrap()), [None]);
        for short in &puts[2..4] {
            let e = short.as_ref().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Internal);
            assert!(e.message().contains("validator"), "{e}");
        }
        assert_eq!(kinds(puts[4].as_ref().unwrap()), [None]);
    }
    assert_eq!(archive.stats().wait().unwrap().messages, 2, "b and d");
    archive.close();
}

/// A validator that waits for a word before its answer, and then asks the archive something.
struct Waits {
    begun: Sender<usize>,
    go_on: Mutex<Receiver<()>>,
    archive: OnceLock<Archive>,
    answers: Sender<Option<ErrorKind>>,
}

impl Validator for Waits {
    fn validate(&self, batch: &[StoredMessage], _: Origin) -> Vec<Validity> {
        self.begun.send(batch.len()).unwrap();
        self.go_on.lock().unwrap().recv_timeout(Duration::from_secs(30)).unwrap();
        if let Some(archive) = self.archive.get() {
            // Anything may be asked, only not waited for.
            let e = archive.put(own_batch(), Origin::Import).wait().err().map(|e| e.kind());
            self.answers.send(e).unwrap();
        }
        vec![Validity::Valid; batch.len()]
    }
}

fn own_batch() -> Vec<StoredMessage> {
    batch(&["from the validator"])
}

#[test]
fn no_lock_is_held_while_it_runs() {
    let (begun, begins) = channel();
    let (go, go_on) = channel();
    let (answers, answered) = channel();
    let validator =
        Arc::new(Waits { begun, go_on: Mutex::new(go_on), archive: OnceLock::new(), answers });
    let archive = Archive::open(MemoryBackend::default(), with(validator.clone())).unwrap();
    validator.archive.set(archive.clone()).unwrap();
    let put = archive.put(batch(&["a", "b"]), Origin::Live);
    assert_eq!(begins.recv_timeout(Duration::from_secs(30)), Ok(2));
    // Meanwhile puts are taken in, feeds are subscribed to and questions answered.
    let mut feed = archive.subscribe(10);
    let second = archive.put(batch(&["c"]), Origin::Live);
    assert_eq!(archive.stats().wait().unwrap().messages, 0, "not committed before its answer");
    assert!(feed.try_next().is_none());
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    assert_eq!(put.wait().unwrap(), [PutOutcome::Stored, PutOutcome::Stored]);
    assert_eq!(second.wait().unwrap(), [PutOutcome::Stored]);
    let e = answered.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(e, Some(ErrorKind::WouldDeadlock));
    // Its own puts go through it too, for ever more of them: this test lets them go.
    drop(go);
    archive.close();
}
