#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::runtime::shutdown::tests::serial;

const SECONDS: Duration = Duration::from_secs(10);

fn runtime() -> Arc<Runtime> {
    panics::silence();
    Runtime::current().unwrap()
}

#[test]
fn gives_its_result_once_and_of_its_own_type() {
    let _serial = serial();
    let op = Op::start(&runtime(), async { Ok(String::from("x")) }).unwrap();
    op.wait(Some(SECONDS)).unwrap();
    assert_eq!(op.take::<u8>().unwrap_err().kind(), ErrorKind::NoResult);
    assert_eq!(op.take::<String>().unwrap(), "x");
    assert_eq!(op.take::<String>().unwrap_err().kind(), ErrorKind::NoResult);
    op.cancel();
    op.status().unwrap();
}

#[test]
fn an_error_and_a_panic_stay() {
    let _serial = serial();
    let failing = Op::start::<(), _>(&runtime(), async {
        bail!(Dial, "refused");
    });
    let panicking = Op::start(&runtime(), async {
        panics::tests::blow_up();
        Ok(())
    });
    for (op, kind) in [(failing, ErrorKind::Dial), (panicking, ErrorKind::Internal)] {
        let op = op.unwrap();
        op.wait(Some(SECONDS)).unwrap();
        for _ in 0..2 {
            assert_eq!(op.status().unwrap_err().kind(), kind);
            assert_eq!(op.take::<()>().unwrap_err().kind(), kind);
        }
    }
}

#[test]
fn cancel_ends_it_at_once_and_drops_the_work() {
    let _serial = serial();
    let (held, gone) = mpsc::channel::<()>();
    let op = Op::start(&runtime(), async move {
        let _held = held;
        std::future::pending::<Result<()>>().await
    })
    .unwrap();
    let e = op.wait(Some(Duration::from_millis(1))).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TimedOut);
    assert_eq!(op.status().unwrap_err().kind(), ErrorKind::NotReady);
    assert_eq!(op.take::<()>().unwrap_err().kind(), ErrorKind::NotReady);
    op.cancel();
    op.cancel();
    op.wait(Some(Duration::ZERO)).unwrap();
    assert_eq!(op.status().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(gone.recv_timeout(SECONDS), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_late_result_is_not_moved_out() {
    let _serial = serial();
    let (go, wait) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let (began, has_begun) = mpsc::channel();
    let op = Op::start_with(&runtime(), move |completer| async move {
        tokio::task::spawn_blocking(move || {
            began.send(()).unwrap();
            wait.recv().unwrap();
            let mut moved = false;
            completer.complete_with(|| {
                moved = true;
                Ok(Box::new(()))
            });
            done.send(moved).unwrap();
        })
        .await
        .unwrap();
    })
    .unwrap();
    has_begun.recv_timeout(SECONDS).unwrap();
    op.cancel();
    go.send(()).unwrap();
    assert_eq!(is_done.recv_timeout(SECONDS), Ok(false));
}

#[test]
fn a_callback_is_called_once_or_dropped_once() {
    let _serial = serial();
    let runtime = runtime();
    let (called, rx) = mpsc::channel();
    // Before the end, and after it.
    for ended in [false, true] {
        let op = if ended {
            Op::ended(&runtime, Ok(()))
        } else {
            Op::start(&runtime, std::future::pending::<Result<()>>()).unwrap()
        };
        let (tx, inner) = (called.clone(), op.clone());
        op.attach_callback(Box::new(move || {
            let deadlock = inner.wait(None).map_err(|e| e.kind());
            tx.send((on_dispatcher(), deadlock)).unwrap();
        }))
        .unwrap();
        let again = op.attach_callback(Box::new(|| {})).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::InvalidArgument);
        op.cancel();
        let heard = rx.recv_timeout(SECONDS).unwrap();
        assert_eq!(heard, (true, Err(ErrorKind::WouldDeadlock)));
    }

    // Let go before its end: dropped, not called.
    let op = Op::start(&runtime, std::future::pending::<Result<()>>()).unwrap();
    let (tx, rx) = mpsc::channel();
    op.attach_callback(Box::new(move || tx.send(()).unwrap())).unwrap();
    op.abandon();
    assert_eq!(rx.recv_timeout(SECONDS), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn let_go_while_its_callback_waits_in_line() {
    let _serial = serial();
    let runtime = runtime();
    let (go, wait) = mpsc::channel::<()>();
    let first = Op::ended(&runtime, Ok(()));
    first.attach_callback(Box::new(move || wait.recv().unwrap())).unwrap();
    let second = Op::ended(&runtime, Ok(()));
    let (tx, rx) = mpsc::channel();
    second.attach_callback(Box::new(move || tx.send(()).unwrap())).unwrap();
    second.abandon();
    assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Disconnected), "dropped at once");
    go.send(()).unwrap();
}

#[test]
fn ends_once_under_a_race() {
    let _serial = serial();
    let runtime = runtime();
    let calls = Arc::new(AtomicUsize::new(0));
    let ops: Vec<Op> = (0..500_usize)
        .map(|i| {
            let op = Op::start(&runtime, async move {
                if i % 2 == 0 {
                    tokio::task::yield_now().await;
                }
                Ok(i)
            })
            .unwrap();
            let calls = Arc::clone(&calls);
            op.attach_callback(Box::new(move || {
                calls.fetch_add(1, Ordering::Relaxed);
            }))
            .unwrap();
            op.cancel();
            op
        })
        .collect();
    for (i, op) in ops.iter().enumerate() {
        op.wait(Some(SECONDS)).unwrap();
        match op.take::<usize>() {
            Ok(v) => assert_eq!(v, i),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Cancelled),
        }
    }
    crate::runtime::shutdown(SECONDS).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 500);
}

#[test]
fn a_callback_that_the_dispatcher_cannot_take_is_dropped_and_refused() {
    let _serial = serial();
    let runtime = runtime();
    runtime.dispatcher().start().unwrap();
    // What an op finds where the shutdown comes after it has asked for the dispatcher.
    crate::runtime::shutdown(SECONDS).unwrap();
    let (tx, rx) = mpsc::channel::<()>();
    let op = Op::ended(&runtime, Ok(()));
    let e = op.register(Box::new(move || tx.send(()).unwrap())).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Shutdown);
    assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Disconnected));

    // An op that the shutdown did not wait for ends after it.
    let (tx, rx) = mpsc::channel::<()>();
    let late = Op::new(&runtime, Outcome::Pending);
    late.register(Box::new(move || tx.send(()).unwrap())).unwrap();
    assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Empty));
    late.cancel();
    assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}
