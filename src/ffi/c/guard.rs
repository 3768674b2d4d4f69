//! The guard: the whole body of every export is one call of a function of this module.
//!
//! It writes the outputs on every path, refuses in a forked child, catches panics and poisons the
//! objects that the call had in hand, and turns an error into a status and an error object.

use std::ffi::c_void;

use super::error::{self, wks_error};
use super::handle::{Handle, Output};
use super::memory::{self, Record};
use super::process;
use super::status::wks_status;
use super::user::{UserData, wks_drop};
use crate::error::{Error, Result};
use crate::runtime;

/// One call, and the objects it has in hand.
#[derive(Default)]
pub(super) struct Call {
    held: [Option<Held>; 3],
}

/// How an object is poisoned, and its number.
type Held = (fn(u64), u64);

impl Call {
    /// The object of a handle. A panic later in this call poisons it.
    pub(super) fn get<H: Handle>(&mut self, handle: H) -> Result<runtime::Handle<H::Object>> {
        let object = H::table().get(handle.id())?;
        if let Some(place) = self.held.iter_mut().find(|h| h.is_none()) {
            *place = Some((|id| H::table().poison(id), handle.id()));
        }
        Ok(object)
    }
}

fn enter<T>(work: impl FnOnce(&mut Call) -> Result<T>) -> Result<T> {
    process::enter()?;
    let mut call = Call::default();
    match runtime::catch(|| work(&mut call)) {
        Ok(result) => result,
        Err(panic) => {
            for (poison, id) in call.held.into_iter().flatten() {
                poison(id);
            }
            Err(panic)
        }
    }
}

/// The name of the export whose closure this is, from the type's name.
fn name_of<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let function = path.split("::{{closure}}").next().unwrap_or(path);
    function.rsplit("::").next().unwrap_or(function)
}

fn finish<F>(error: *mut wks_error, result: Result<()>) -> wks_status {
    match result {
        Ok(()) => wks_status::WKS_OK,
        Err(e) => fail::<F>(error, &e),
    }
}

#[cold]
fn fail<F>(error: *mut wks_error, e: &Error) -> wks_status {
    // In a forked child the table's lock may be held for ever: the status has to do.
    if !error.is_null() && !process::is_forked() {
        memory::store(error, error::object(e, name_of::<F>()));
    }
    e.kind().into()
}

/// A call without outputs.
pub(super) fn run<F>(error: *mut wks_error, work: F) -> wks_status
where
    F: FnOnce(&mut Call) -> Result<()>,
{
    memory::store(error, Output::NOTHING);
    finish::<F>(error, enter(work))
}

/// A call with one output, which is written on every path.
pub(super) fn give<T, F>(error: *mut wks_error, out: *mut T, work: F) -> wks_status
where
    T: Output,
    F: FnOnce(&mut Call) -> Result<T>,
{
    memory::store(error, Output::NOTHING);
    memory::store(out, T::NOTHING);
    let result = memory::not_null(out, "the output").and_then(|()| enter(work));
    finish::<F>(error, result.map(|value| memory::store(out, value)))
}

/// [`give`] whose output may be null, if the caller does not want it.
pub(super) fn offer<T, F>(error: *mut wks_error, out: *mut T, work: F) -> wks_status
where
    T: Output,
    F: FnOnce(&mut Call) -> Result<T>,
{
    memory::store(error, Output::NOTHING);
    memory::store(out, T::NOTHING);
    finish::<F>(error, enter(work).map(|value| memory::store(out, value)))
}

/// A call that fills a caller-allocated struct, which is zeroed where the call fails.
pub(super) fn fill<T, F>(error: *mut wks_error, out: *mut T, work: F) -> wks_status
where
    T: Record,
    F: FnOnce(&mut Call) -> Result<T>,
{
    memory::store(error, Output::NOTHING);
    let result = memory::clear_record(out, 1)
        .and_then(|size| enter(work).map(|value| memory::store_record(out, 0, size, &value)));
    finish::<F>(error, result)
}

/// A call that fills an array of caller-allocated structs, of which the first tells the size of
/// each, and tells how many it filled. Both are zeroed where the call fails.
pub(super) fn fill_many<T, F>(
    error: *mut wks_error,
    out: *mut T,
    capacity: usize,
    count: *mut usize,
    work: F,
) -> wks_status
where
    T: Record,
    F: FnOnce(&mut Call, usize) -> Result<Vec<T>>,
{
    memory::store(error, Output::NOTHING);
    memory::store(count, 0);
    let result = memory::not_null(count, "the count").and_then(|()| {
        let size = if capacity > 0 { memory::clear_record(out, capacity)? } else { 0 };
        let records = enter(|call| work(call, capacity))?;
        for (i, record) in records.iter().take(capacity).enumerate() {
            memory::store_record(out, i, size, record);
        }
        memory::store(count, records.len().min(capacity));
        Ok(())
    });
    finish::<F>(error, result)
}

/// A call that takes the host's data over, whatever comes of it.
pub(super) fn register<F>(
    error: *mut wks_error,
    user: *mut c_void,
    drop: wks_drop,
    work: F,
) -> wks_status
where
    F: FnOnce(&mut Call, UserData) -> Result<()>,
{
    let user = UserData::new(user, drop);
    memory::store(error, Output::NOTHING);
    finish::<F>(error, enter(|call| work(call, user)))
}

/// A call that cannot fail: `otherwise` stands for every error.
pub(super) fn ask<T>(otherwise: T, work: impl FnOnce(&mut Call) -> Result<T>) -> T {
    enter(work).unwrap_or(otherwise)
}

/// A constant of the library: it is no use of it, so it may be asked before a fork.
pub(super) fn constant<T>(value: T) -> T {
    value
}

/// Frees a handle, after `last` was done to its object. Null, stale and forged handles, and all in
/// a forked child, are left alone.
pub(super) fn free<H: Handle>(handle: H, last: impl FnOnce(&H::Object)) {
    if handle.id() == 0 || process::is_forked() {
        return;
    }
    let _ = enter(|_| {
        let object = H::table().remove(handle.id())?;
        last(&object);
        drop(object);
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::bytes::{wks_buffer, wks_buffer_bytes, wks_buffer_free, wks_bytes};
    use super::super::error::{
        wks_error_code, wks_error_detail, wks_error_free, wks_error_message,
    };
    use super::*;
    use crate::error::bail;

    fn a_buffer() -> wks_buffer {
        wks_buffer::publish(bytes::Bytes::from_static(b"abc")).unwrap()
    }

    fn text(at: *const std::ffi::c_char) -> String {
        // SAFETY: a text of an error that is not freed yet.
        unsafe { std::ffi::CStr::from_ptr(at) }.to_str().unwrap().to_owned()
    }

    fn read(buffer: wks_buffer) -> (wks_status, usize) {
        let mut bytes = wks_bytes { ptr: std::ptr::null(), len: 9 };
        (wks_buffer_bytes(buffer, &mut bytes, std::ptr::null_mut()), bytes.len)
    }

    #[test]
    fn a_panic_is_an_error_and_poisons_what_was_in_hand() {
        let (held, other) = (a_buffer(), a_buffer());
        let mut error = wks_error::NOTHING;
        let mut out = 7_u64;
        let status = give(&mut error, &mut out, |call| {
            let _object = call.get(held)?;
            if std::hint::black_box(true) {
                panic!("secret");
            }
            Ok(1)
        });
        assert_eq!((status, out), (wks_status::WKS_ERR_INTERNAL, 0));
        assert_eq!(wks_error_code(error), wks_status::WKS_ERR_INTERNAL);
        let message = text(wks_error_message(error));
        assert!(message.contains("ffi/c/guard.rs:") && !message.contains("secret"), "{message}");
        wks_error_free(error);

        assert_eq!(read(held), (wks_status::WKS_ERR_POISONED, 0));
        assert_eq!(read(other), (wks_status::WKS_OK, 3));
        wks_buffer_free(held);
        assert_eq!(read(held), (wks_status::WKS_ERR_HANDLE, 0));
        wks_buffer_free(other);
    }

    #[test]
    fn an_error_tells_the_function_and_its_outputs_are_zero() {
        fn wks_of_the_test(error: *mut wks_error, out: *mut u64) -> wks_status {
            give(error, out, |_| bail!(Dial, "no\0body"))
        }
        let (mut error, mut out) = (wks_error::NOTHING, 7);
        assert_eq!(wks_of_the_test(&mut error, &mut out), wks_status::WKS_ERR_DIAL);
        assert_eq!(out, 0);
        assert_eq!(text(wks_error_detail(error)), "Dial in wks_of_the_test");
        assert_eq!(text(wks_error_message(error)), "no\u{fffd}body");
        wks_error_free(error);
        let null = wks_of_the_test(std::ptr::null_mut(), std::ptr::null_mut());
        assert_eq!(null, wks_status::WKS_ERR_NULL_POINTER);
    }

    #[test]
    fn what_is_handed_over_is_dropped_once_whatever_happens() {
        static DROPS: AtomicU32 = AtomicU32::new(0);
        unsafe extern "C" fn count(_user: *mut c_void) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
        let null: *mut c_void = std::ptr::null_mut();
        let ok = register(null.cast(), null, Some(count), |_, _user| Ok(()));
        let failed = register(null.cast(), null, Some(count), |_, _user| bail!(Busy, "full"));
        let panicked = register(null.cast(), null, Some(count), |_, _user| {
            if std::hint::black_box(true) {
                panic!("on purpose");
            }
            Ok(())
        });
        let statuses = [ok, failed, panicked];
        let want = [wks_status::WKS_OK, wks_status::WKS_ERR_BUSY, wks_status::WKS_ERR_INTERNAL];
        assert_eq!(statuses, want);
        assert_eq!(DROPS.load(Ordering::Relaxed), 3);
    }
}
