//! Panics become errors, and print nothing.
//!
//! A library may not write to standard error, which is what Rust's default hook does. The hook
//! that [`silence`] sets stays quiet for panics on the library's own threads and inside of
//! [`catch`], notes where they happened, and leaves all others to the hook before it. The text of
//! a panic stays out of errors: it may hold what a message holds.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::sync::Once;

use crate::error::{Error, ErrorKind, Result};

/// What the names of the library's threads begin with.
const THREADS: &str = "wks-";

thread_local! {
    static CATCHING: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sets the hook, once. Where this library is a shared library of its own, so is its hook.
pub fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let catching = CATCHING.try_with(|c| c.get() > 0).unwrap_or(false);
            let ours =
                catching || std::thread::current().name().is_some_and(|n| n.starts_with(THREADS));
            if ours {
                let place = info.location().map(short);
                let _ = PLACE.try_with(|p| *p.borrow_mut() = place);
            } else {
                before(info);
            }
        }));
    });
}

/// File and line, without what the path says of the machine that built it.
fn short(location: &Location<'_>) -> String {
    let parts: Vec<&str> = location.file().split(['/', '\\']).collect();
    let tail = &parts[parts.len().saturating_sub(3)..];
    format!("{}:{}", tail.join("/"), location.line())
}

/// Runs `work` and turns a panic into [`ErrorKind::Internal`].
///
/// # Errors
/// That one alone.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T> {
    // The guards and objects that a panic may leave half done are poisoned by the caller.
    let _catching = Catching::enter();
    catch_unwind(AssertUnwindSafe(work)).map_err(|cause| {
        forget(cause);
        caught()
    })
}

/// [`catch`] for a future: each poll of it, and its drop after a panic.
pub(super) async fn catch_async<F: Future>(future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| match catch(|| future.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(error) => std::task::Poll::Ready(Err(error)),
    })
    .await
}

/// Drops what a panic carried; it could panic in turn.
fn forget(cause: Box<dyn std::any::Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(cause))) {
        std::mem::forget(again);
    }
}

/// The error of the panic that was just caught on this thread.
fn caught() -> Error {
    let place = PLACE.with(|p| p.borrow_mut().take());
    let place = place.as_deref().unwrap_or("an unknown place");
    Error::new(ErrorKind::Internal, format!("a bug in wakustore: it panicked at {place}"))
}

struct Catching;

impl Catching {
    fn enter() -> Self {
        CATCHING.with(|c| c.set(c.get() + 1));
        Catching
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        let _ = CATCHING.try_with(|c| c.set(c.get() - 1));
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    pub(crate) fn blow_up() {
        panic!("secret payload");
    }

    #[test]
    fn a_panic_tells_its_place_and_not_its_text() {
        silence();
        let e = catch(blow_up).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Internal);
        assert!(e.message().contains("src/runtime/panics.rs:"), "{e}");
        assert!(!e.message().contains("secret"), "{e}");
    }

    #[test]
    fn a_panic_in_a_drop_of_the_cause_is_caught() {
        struct Nasty;
        impl Drop for Nasty {
            fn drop(&mut self) {
                blow_up();
            }
        }
        silence();
        let e = catch(|| std::panic::panic_any(Nasty)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Internal);
    }
}
