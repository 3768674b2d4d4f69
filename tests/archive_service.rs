//! The archive's threads: groups, acknowledgements, back-pressure, panics, and ends of all kinds,
//! on a driver that does as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use archive_support::*;
use wakustore::archive::{
    Archive, ArchiveConfig, Backend, Driver, IndexEntry, IndexQuery, MemoryBackend, PutOutcome,
    Stats,
};
use wakustore::types::{MessageHash, Origin, Page, Query, StoredMessage};
use wakustore::{Error, ErrorKind, Result};

/// Longer than anything here takes; reached only by what hangs.
const LONG: Duration = Duration::from_secs(30);

/// What the next call of a driver does, beside its work.
enum Order {
    Go,
    Fail(ErrorKind),
    Panic,
}

/// A backend whose calls wait for orders, where there are to be any, and tell that they have begun.
#[derive(Default)]
struct Ordered {
    memory: MemoryBackend,
    puts: Option<Mutex<Receiver<Order>>>,
    reads: Option<Mutex<Receiver<Order>>>,
    begun: Option<Mutex<Sender<usize>>>,
    no_readers: bool,
    opens_once: bool,
    opened: AtomicBool,
    closed: Arc<AtomicUsize>,
}

struct Shared(Arc<Ordered>);
struct OrderedDriver(Arc<Ordered>, Box<dyn Driver>);

impl Backend for Shared {
    fn writer(&self) -> Result<Box<dyn Driver>> {
        if self.0.opened.swap(true, Ordering::SeqCst) && self.0.opens_once {
            return Err(Error::new(ErrorKind::Unsupported, "once only"));
        }
        Ok(Box::new(OrderedDriver(self.0.clone(), self.0.memory.writer()?)))
    }
    fn reader(&self) -> Result<Option<Box<dyn Driver>>> {
        if self.0.no_readers {
            return Ok(None);
        }
        Ok(Some(Box::new(OrderedDriver(self.0.clone(), self.0.memory.writer()?))))
    }
}

impl OrderedDriver {
    fn obey(orders: &Option<Mutex<Receiver<Order>>>) -> Result<()> {
        let Some(orders) = orders else { return Ok(()) };
        let order = orders.lock().unwrap().recv_timeout(LONG);
        match order.unwrap_or(Order::Go) {
            Order::Go => Ok(()),
            Order::Fail(kind) => Err(Error::new(kind, "as ordered")),
            Order::Panic => panic!("as ordered"),
        }
    }
}

impl Driver for OrderedDriver {
    fn put(&mut self, batch: &[(StoredMessage, Origin)]) -> Result<Vec<bool>> {
        if let Some(begun) = &self.0.begun {
            let _ = begun.lock().unwrap().send(batch.len());
        }
        OrderedDriver::obey(&self.0.puts)?;
        self.1.put(batch)
    }
    fn query(&mut self, query: &Query) -> Result<Page> {
        if let Some(begun) = &self.0.begun {
            let _ = begun.lock().unwrap().send(0);
        }
        OrderedDriver::obey(&self.0.reads)?;
        self.1.query(query)
    }
    fn get(&mut self, hashes: &[MessageHash]) -> Result<Vec<StoredMessage>> {
        self.1.get(hashes)
    }
    fn missing(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        self.1.missing(hashes)
    }
    fn index(&mut self, query: &IndexQuery) -> Result<Vec<IndexEntry>> {
        self.1.index(query)
    }
    fn stats(&mut self) -> Result<Stats> {
        self.1.stats()
    }
    fn close(&mut self) {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// The archive, the orders for its puts, and what each put begins with.
fn ordered_puts(config: ArchiveConfig) -> (Archive, Sender<Order>, Receiver<usize>) {
    let (orders, puts) = channel();
    let (begun, begins) = channel();
    let backend = Ordered {
        puts: Some(Mutex::new(puts)),
        begun: Some(Mutex::new(begun)),
        ..Ordered::default()
    };
    (Archive::open(Shared(Arc::new(backend)), config).unwrap(), orders, begins)
}

fn one(payload: &str) -> Vec<StoredMessage> {
    vec![message(0, 0, 1, payload)]
}

fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(pin!(future).poll(&mut cx), Poll::Ready(_))
}

#[test]
fn an_archive_is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Archive>();
}

#[test]
fn puts_that_wait_share_a_commit_and_each_is_told_of_its_own() {
    let (archive, orders, begins) = ordered_puts(config());
    let first = archive.put(one("first"), Origin::Import);
    assert_eq!(begins.recv_timeout(LONG), Ok(1));
    // These wait while the first is being committed.
    let mut waiting: Vec<_> = (0..10)
        .map(|i| {
            let mut batch = one(&format!("{}", i / 2));
            batch.extend(one("first"));
            archive.put(batch, Origin::Import)
        })
        .collect();
    assert!(!waiting.iter_mut().any(is_ready), "nothing is acknowledged before its commit");
    orders.send(Order::Go).unwrap();
    assert_eq!(first.wait().unwrap(), [PutOutcome::Stored]);
    assert_eq!(begins.recv_timeout(LONG), Ok(20), "one group");
    assert!(!waiting.iter_mut().any(is_ready));
    orders.send(Order::Go).unwrap();
    for (i, put) in waiting.into_iter().enumerate() {
        let own = if i % 2 == 0 { PutOutcome::Stored } else { PutOutcome::Duplicate };
        assert_eq!(put.wait().unwrap(), [own, PutOutcome::Duplicate], "put {i}");
    }
}

#[test]
fn a_group_that_fails_fails_for_all_and_the_writer_goes_on() {
    let (archive, orders, begins) = ordered_puts(config());
    let mut feed = archive.subscribe(100);
    let first = archive.put(one("first"), Origin::Import);
    begins.recv_timeout(LONG).unwrap();
    let waiting: Vec<_> =
        (0..5).map(|i| archive.put(one(&i.to_string()), Origin::Import)).collect();
    for order in [Order::Go, Order::Fail(ErrorKind::DiskFull), Order::Go] {
        orders.send(order).unwrap();
    }
    first.wait().unwrap();
    for put in waiting {
        assert_eq!(put.wait().unwrap_err().kind(), ErrorKind::DiskFull);
    }
    let again = archive.put(one("3"), Origin::Import).wait().unwrap();
    assert_eq!(again, [PutOutcome::Stored]);
    assert_eq!(archive.stats().wait().unwrap().messages, 2);
    archive.close();
    assert_eq!(drain(&mut feed), [1, 1], "of the group that failed nothing is told");
}

/// How many messages each event has; a lag counts below zero.
fn drain(feed: &mut wakustore::archive::Feed) -> Vec<i64> {
    use wakustore::archive::FeedEvent::{Lagged, Stored};
    std::iter::from_fn(|| feed.wait(LONG).unwrap())
        .map(|event| match event {
            Stored(items) => items.len() as i64,
            Lagged { missed, .. } => -(missed as i64),
            other => panic!("nothing is removed here: {other:?}"),
        })
        .collect()
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let (archive, orders, begins) =
        ordered_puts(ArchiveConfig { max_queued_bytes: 10_000, ..config() });
    let batch = |i: u32| vec![message(0, 0, 1, &format!("{i:04000}"))];
    // Alone it may be as large as it likes.
    let large = archive.put((0..5).flat_map(batch).collect(), Origin::Import);
    begins.recv_timeout(LONG).unwrap();
    let e = archive.put(batch(10), Origin::Import).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Busy);
    orders.send(Order::Go).unwrap();
    large.wait().unwrap();
    let mut waiting: Vec<_> = vec![archive.put(batch(20), Origin::Import)];
    begins.recv_timeout(LONG).unwrap();
    waiting.push(archive.put(batch(21), Origin::Import));
    let e = archive.put(batch(22), Origin::Import).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Busy, "two of 4,256 bytes fit, three do not");
    // What fails makes room too.
    orders.send(Order::Fail(ErrorKind::ArchiveIo)).unwrap();
    orders.send(Order::Go).unwrap();
    assert!(waiting.remove(0).wait().is_err());
    waiting.remove(0).wait().unwrap();
    orders.send(Order::Go).unwrap();
    archive.put(batch(23), Origin::Import).wait().unwrap();
    assert_eq!(archive.stats().wait().unwrap().messages, 7);
}

#[test]
fn questions_that_wait_are_bounded() {
    let (orders, reads) = channel();
    let backend = Ordered { reads: Some(Mutex::new(reads)), ..Ordered::default() };
    let archive = Archive::open(Shared(Arc::new(backend)), config()).unwrap();
    let mut asked = Vec::new();
    let busy = loop {
        let mut pending = archive.query(Query::default());
        if is_ready(&mut pending) {
            break asked.len();
        }
        asked.push(pending);
        assert!(asked.len() < 10_000);
    };
    assert!((1_024..=1_026).contains(&busy), "{busy}");
    for _ in 0..busy {
        orders.send(Order::Go).unwrap();
    }
    for pending in asked {
        pending.wait().unwrap();
    }
    orders.send(Order::Go).unwrap();
    archive.query(Query::default()).wait().unwrap();
}

#[test]
fn a_panic_in_a_driver_is_an_error_and_a_fresh_driver_goes_on() {
    let (orders, reads) = channel();
    let (put_orders, puts) = channel();
    let backend = Ordered {
        reads: Some(Mutex::new(reads)),
        puts: Some(Mutex::new(puts)),
        ..Ordered::default()
    };
    let archive = Archive::open(Shared(Arc::new(backend)), config()).unwrap();
    for (order, want) in [
        (Order::Panic, Some(ErrorKind::Internal)),
        (Order::Panic, Some(ErrorKind::Internal)),
        (Order::Panic, Some(ErrorKind::Internal)),
        (Order::Go, None),
    ] {
        orders.send(order).unwrap();
        let answer = archive.query(Query::default()).wait();
        assert_eq!(answer.err().map(|e| e.kind()), want);
    }
    put_orders.send(Order::Panic).unwrap();
    let e = archive.put(one("a"), Origin::Import).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Internal);
    put_orders.send(Order::Go).unwrap();
    assert_eq!(archive.put(one("a"), Origin::Import).wait().unwrap(), [PutOutcome::Stored]);
    archive.close();
}

#[test]
fn after_a_panic_without_another_driver_the_archive_is_poisoned_but_closes() {
    let (orders, puts) = channel();
    let backend = Ordered {
        puts: Some(Mutex::new(puts)),
        opens_once: true,
        no_readers: true,
        ..Ordered::default()
    };
    let archive = Archive::open(Shared(Arc::new(backend)), config()).unwrap();
    archive.stats().wait().unwrap();
    orders.send(Order::Panic).unwrap();
    let e = archive.put(one("a"), Origin::Import).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Internal);
    let e = archive.put(one("a"), Origin::Import).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Poisoned);
    assert_eq!(archive.stats().wait().unwrap_err().kind(), ErrorKind::Poisoned);
    archive.close();
    let e = archive.stats().wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveClosed);
}

#[test]
fn where_only_the_writer_reads_it_does_so_between_commits() {
    let backend = Ordered { no_readers: true, ..Ordered::default() };
    let closed = backend.closed.clone();
    let archive = Archive::open(Shared(Arc::new(backend)), config()).unwrap();
    let writing = archive.clone();
    let writer = thread::spawn(move || {
        for i in 0..500 {
            writing.put(one(&i.to_string()), Origin::Import).wait().unwrap();
        }
    });
    for _ in 0..500 {
        archive.query(Query::default()).wait().unwrap();
    }
    writer.join().unwrap();
    assert_eq!(archive.stats().wait().unwrap().messages, 500);
    drop(archive);
    assert_eq!(closed.load(Ordering::SeqCst), 1, "the last handle closes the driver");
}

#[test]
fn without_readers_of_its_own_too() {
    let archive =
        Archive::open(MemoryBackend::default(), ArchiveConfig { readers: 0, ..config() }).unwrap();
    import(&archive, one("a"));
    assert_eq!(archive.query(Query::default()).wait().unwrap().entries.len(), 1);
    let e = Archive::open(MemoryBackend::default(), ArchiveConfig { readers: 65, ..config() });
    assert_eq!(e.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn sixteen_threads_put_the_same_messages() {
    for opened in every_backend(&config()) {
        let archive = opened.archive;
        let mut feed = archive.subscribe(1_000_000);
        let threads: Vec<_> = (0..16)
            .map(|t| {
                let archive = archive.clone();
                thread::spawn(move || {
                    let mut stored = 0;
                    for i in 0..200 {
                        // Each message is put by four of the threads, alone and in batches.
                        let m = |i: i32| message(t % 4, 0, i64::from(i), "the same");
                        let batch = if i % 3 == 0 { vec![m(i), m(i + 1)] } else { vec![m(i)] };
                        let outcomes = archive.put(batch, Origin::Import).wait().unwrap();
                        stored += outcomes.iter().filter(|o| **o == PutOutcome::Stored).count();
                        assert!(!outcomes.iter().any(|o| matches!(o, PutOutcome::Refused(_))));
                    }
                    stored
                })
            })
            .collect();
        let stored: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(stored, 4 * 200, "{}: each is new once", opened.name);
        assert_eq!(archive.stats().wait().unwrap().messages, 4 * 200);
        archive.close();
        assert_eq!(drain(&mut feed).iter().sum::<i64>(), 4 * 200, "{}", opened.name);
    }
}

#[test]
fn close_commits_what_was_accepted_and_then_says_no() {
    let (archive, orders, begins) = ordered_puts(config());
    let mut feed = archive.subscribe(10);
    let first = archive.put(one("first"), Origin::Import);
    begins.recv_timeout(LONG).unwrap();
    let second = archive.put(one("second"), Origin::Import);
    // Several close at once, and all of them wait for the end.
    let closers: Vec<_> = (0..4)
        .map(|_| {
            let archive = archive.clone();
            thread::spawn(move || archive.close())
        })
        .collect();
    orders.send(Order::Go).unwrap();
    orders.send(Order::Go).unwrap();
    for closer in closers {
        closer.join().unwrap();
    }
    assert_eq!(first.wait().unwrap(), [PutOutcome::Stored]);
    assert_eq!(second.wait().unwrap(), [PutOutcome::Stored]);
    archive.close();
    assert_eq!(drain(&mut feed), [1, 1]);
    let closed = |e: Option<Error>| assert_eq!(e.unwrap().kind(), ErrorKind::ArchiveClosed);
    closed(archive.put(one("third"), Origin::Import).wait().err());
    closed(archive.put(vec![], Origin::Import).wait().err());
    closed(archive.query(Query::default()).wait().err());
    closed(archive.get(vec![]).wait().err());
    closed(archive.missing(vec![]).wait().err());
    closed(archive.stats().wait().err());
    assert_eq!(drain(&mut archive.subscribe(1)), [0; 0], "a feed of a closed archive has ended");
}

#[test]
fn questions_that_nobody_took_up_end_with_the_archive() {
    let (orders, reads) = channel();
    let (begun, begins) = channel();
    let backend = Ordered {
        reads: Some(Mutex::new(reads)),
        begun: Some(Mutex::new(begun)),
        ..Ordered::default()
    };
    let closed = backend.closed.clone();
    let archive =
        Archive::open(Shared(Arc::new(backend)), ArchiveConfig { readers: 1, ..config() }).unwrap();
    let mut asked: Vec<_> = (0..10).map(|_| archive.query(Query::default())).collect();
    // A question is asked once somebody looks for its answer.
    assert!(!asked.iter_mut().any(is_ready));
    begins.recv_timeout(LONG).unwrap();
    let closing = archive.clone();
    let closer = thread::spawn(move || closing.close());
    // The first has been taken up; the others wait behind it.
    for pending in asked.drain(1..) {
        assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::ArchiveClosed);
    }
    orders.send(Order::Go).unwrap();
    assert_eq!(asked.remove(0).wait().unwrap(), Page::default());
    closer.join().unwrap();
    assert_eq!(closed.load(Ordering::SeqCst), 2);
}

/// A waker that does something, once, on whichever thread it is called.
struct Act(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Act {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}

fn on_wake(act: impl FnOnce() + Send + 'static) -> Waker {
    Waker::from(Arc::new(Act(Mutex::new(Some(Box::new(act))))))
}

#[test]
fn the_last_handle_may_go_on_a_thread_of_the_archive() {
    for no_readers in [false, true] {
        for of_feed in [false, true] {
            for only_close in [false, true] {
                let (orders, puts) = channel();
                let backend =
                    Ordered { puts: Some(Mutex::new(puts)), no_readers, ..Ordered::default() };
                let closed = backend.closed.clone();
                let archive = Archive::open(Shared(Arc::new(backend)), config()).unwrap();
                let mut feed = archive.subscribe(10);
                let mut put = archive.put(one("a"), Origin::Import);
                let last = archive.clone();
                let (done, dropped) = channel();
                let waker = on_wake(move || {
                    if only_close {
                        last.close();
                        last.close();
                    }
                    drop(last);
                    done.send(thread::current().name().map(str::to_owned)).unwrap();
                });
                let mut cx = Context::from_waker(&waker);
                if of_feed {
                    assert!(pin!(feed.next()).poll(&mut cx).is_pending());
                } else {
                    assert!(pin!(&mut put).poll(&mut cx).is_pending());
                }
                drop(archive);
                orders.send(Order::Go).unwrap();
                let on = dropped.recv_timeout(LONG).unwrap();
                assert_eq!(on.as_deref(), Some("wks-archive-w"));
                assert_eq!(put.wait().unwrap(), [PutOutcome::Stored]);
                assert_eq!(drain(&mut feed), [1]);
                // The threads end by themselves.
                let readers = usize::from(!no_readers); // The other was never needed.
                let begin = std::time::Instant::now();
                while closed.load(Ordering::SeqCst) < 1 + readers {
                    assert!(begin.elapsed() < LONG, "the threads did not end");
                    thread::yield_now();
                }
            }
        }
    }
}

#[test]
fn waiting_on_a_thread_of_the_archive_is_an_error_not_a_deadlock() {
    let (archive, orders, begins) = ordered_puts(config());
    let mut put = archive.put(one("a"), Origin::Import);
    begins.recv_timeout(LONG).unwrap();
    let (done, outcome) = channel();
    let inner = archive.clone();
    let waker = on_wake(move || {
        let mut feed = inner.subscribe(1);
        let pending = inner.put(one("b"), Origin::Import);
        done.send((pending.wait().err(), feed.wait(LONG).err())).unwrap();
    });
    assert!(pin!(&mut put).poll(&mut Context::from_waker(&waker)).is_pending());
    orders.send(Order::Go).unwrap();
    orders.send(Order::Go).unwrap();
    let (pending, feed) = outcome.recv_timeout(LONG).unwrap();
    assert_eq!(pending.unwrap().kind(), ErrorKind::WouldDeadlock);
    assert_eq!(feed.unwrap().kind(), ErrorKind::WouldDeadlock);
    archive.close();
}

#[test]
fn a_waker_that_panics_hurts_nobody_else() {
    let (archive, orders, begins) = ordered_puts(config());
    let mut bad_feed = archive.subscribe(10);
    let mut feed = archive.subscribe(10);
    let mut put = archive.put(one("a"), Origin::Import);
    begins.recv_timeout(LONG).unwrap();
    let waker = on_wake(|| panic!("of the waker"));
    let other = on_wake(|| panic!("of the other waker"));
    assert!(pin!(&mut put).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(pin!(bad_feed.next()).poll(&mut Context::from_waker(&other)).is_pending());
    orders.send(Order::Go).unwrap();
    orders.send(Order::Go).unwrap();
    archive.put(one("b"), Origin::Import).wait().unwrap();
    archive.close();
    assert_eq!(drain(&mut feed), [1, 1]);
    assert_eq!(drain(&mut bad_feed), [1, 1]);
    assert_eq!(put.wait().unwrap(), [PutOutcome::Stored]);
}

#[test]
fn a_thread_that_cannot_be_had_is_an_error() {
    const CHILD: &str = "WAKUSTORE_TEST_WITHOUT_THREADS";
    if std::env::var_os(CHILD).is_some() {
        let e = Archive::open(MemoryBackend::default(), config()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ArchiveOpen, "{e:?}");
        assert!(e.message().contains("thread"), "{e}");
        return;
    }
    // A stack that no address space holds; with one test thread the child's test runs on its main
    // thread, which has one already.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_thread_that_cannot_be_had_is_an_error", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_MIN_STACK", (1u64 << 50).to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
