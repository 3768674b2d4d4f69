//! A host's validator: what it is called with, and how it answers.
//!
//! What must hold: it is called on a thread that the archive has for it, under no lock and in no
//! transaction; what it does not call valid while it is called is not stored; and however long it
//! takes, the archive waits no longer than the host has said.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::archive_options::wks_archive_options;
use super::bytes::{nth, wks_bytes};
use super::error::wks_error;
use super::guard;
use super::handle::{Handle, handle};
use super::memory::borrow_str;
use super::message::{number_of, wks_origin};
use super::op::WKS_FOREVER;
use super::page::wks_entry;
use super::status::wks_status;
use super::user::{UserData, wks_drop};
use crate::archive::{Validator, ValidatorThread, Validity};
use crate::error::{Result, bail};
use crate::runtime;
use crate::types::{Entry, Origin, StoredMessage};

/// Messages that a validator is asked about: those of one put that the library's own rules take.
/// It lives until the validator returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_batch {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_batch, 19, BatchObject);

/// The messages, and what is said of each.
pub(super) struct BatchObject {
    entries: Vec<Entry>,
    origin: Origin,
    said: Mutex<Vec<Validity>>,
}

impl BatchObject {
    fn new(batch: &[StoredMessage], origin: Origin) -> Self {
        let entry = |m: &StoredMessage| Entry {
            hash: m.hash,
            data: Some((m.pubsub_topic.clone(), m.message.clone())),
        };
        let unsaid = Validity::Unknown("the validator did not judge it".to_owned());
        BatchObject {
            entries: batch.iter().map(entry).collect(),
            origin,
            said: Mutex::new(vec![unsaid; batch.len()]),
        }
    }

    fn said(&self) -> MutexGuard<'_, Vec<Validity>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a validator says of a message: a `WKS_VERDICT_…`.
pub type wks_verdict = i32;
/// It cannot be told now: the put's outcome is `WKS_ERR_BUSY`, and the same message may be put
/// again, or come with a later sync. What is not judged at all counts as this.
pub const WKS_VERDICT_UNKNOWN: wks_verdict = 0;
/// It may be stored.
pub const WKS_VERDICT_VALID: wks_verdict = 1;
/// It may never be stored: the put's outcome is `WKS_ERR_VALIDATOR_REFUSED`, and a sync does not ask
/// for it again.
pub const WKS_VERDICT_INVALID: wks_verdict = 2;

fn verdict(number: wks_verdict, reason: wks_bytes) -> Result<Validity> {
    let said = borrow_str(reason, "reason")?;
    let reason = |otherwise: &str| if said.is_empty() { otherwise } else { said }.to_owned();
    Ok(match number {
        WKS_VERDICT_UNKNOWN => Validity::Unknown(reason("the validator cannot tell now")),
        WKS_VERDICT_VALID => Validity::Valid,
        WKS_VERDICT_INVALID => Validity::Invalid(reason("the validator refused it")),
        other => bail!(InvalidArgument, "{other} is no verdict"),
    })
}

/// Called with each batch before it is committed, wherever it comes from, on a thread that the
/// library has for it: neither a worker nor the dispatcher's, and never two at once. It judges with
/// `wks_batch_judge` or `wks_batch_judge_all` before it returns, and must not throw. It may call
/// everything but what blocks and `wks_shutdown`, which give `WKS_ERR_WOULD_DEADLOCK`. The puts
/// behind it, and closing the archive, wait for it up to its time limit.
pub type wks_validate = Option<unsafe extern "C" fn(batch: wks_batch, user: *mut c_void)>;

/// The host's function and its data.
struct HostValidator {
    validate: unsafe extern "C" fn(batch: wks_batch, user: *mut c_void),
    user: UserData,
}

impl Validator for HostValidator {
    fn validate(&self, batch: &[StoredMessage], origin: Origin) -> Vec<Validity> {
        let none = |why: String| vec![Validity::Unknown(why); batch.len()];
        if runtime::is_exiting() {
            return none("the process is exiting".to_owned());
        }
        let handle = match wks_batch::publish(BatchObject::new(batch, origin)) {
            Ok(handle) => handle,
            Err(e) => return none(e.message().to_owned()),
        };
        // SAFETY: a function of the host's, called with what the host gave for it, by one thread at
        // a time; `user` lives as long as this.
        runtime::as_callback(|| unsafe { (self.validate)(handle, self.user.ptr()) });
        match wks_batch::table().remove(handle.id()) {
            Ok(object) => std::mem::take(&mut *object.said()),
            Err(e) => none(e.message().to_owned()),
        }
    }
}

/// Has `validate` called with every batch of messages before it is committed, on top of the
/// library's own rules: for rate-limit proofs, say. A batch that it has not judged after
/// `timeout_ms` (`WKS_FOREVER` for no limit; 10,000 is a good one) counts as unknown, and so do
/// those that come until it has returned. A null `validate` takes the one before away. Archives that
/// are open are not concerned.
///
/// Threads: any. Blocks: no; it may wait for the one before to be let go of. Owns: takes `user`,
/// which is used by one thread at a time; `drop` is called for it exactly once: when it is replaced,
/// or the options are freed, and every archive that was opened with it is closed and freed too, and
/// not while the validator runs; or where this call fails.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for a limit of 0.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_validator(
    options: wks_archive_options,
    validate: wks_validate,
    timeout_ms: u64,
    user: *mut c_void,
    drop: wks_drop,
    error: *mut wks_error,
) -> wks_status {
    guard::register(error, user, drop, |call, user| {
        let options = call.get(options)?;
        if timeout_ms == 0 {
            bail!(InvalidArgument, "a validator needs more time than none");
        }
        let limit = (timeout_ms != WKS_FOREVER).then(|| Duration::from_millis(timeout_ms));
        let validator = validate.map(|validate| {
            let inner = Arc::new(HostValidator { validate, user });
            Arc::new(ValidatorThread::new(inner, limit)) as Arc<dyn Validator>
        });
        let before = std::mem::replace(&mut options.lock().archive.validator, validator);
        // Dropping it may call the host: not under the lock.
        std::mem::drop(before);
        Ok(())
    })
}

/// How many messages there are to judge, at least one.
///
/// Threads: any, while the validator runs. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_batch_count(
    batch: wks_batch,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, count, |call| Ok(call.get(batch)?.entries.len()))
}

/// Where the messages came from.
///
/// Threads: any, while the validator runs. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_batch_origin(
    batch: wks_batch,
    origin: *mut wks_origin,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, origin, |call| Ok(number_of(call.get(batch)?.origin)))
}

/// Message `index`, counted from 0. Set `entry->struct_size` first.
///
/// Threads: any, while the validator runs. Blocks: no. Owns: `entry` is the caller's; what it
/// points to is the batch's, and lives until the validator returns.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
/// beyond the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_batch_entry(
    batch: wks_batch,
    index: usize,
    entry: *mut wks_entry,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, entry, |call| {
        Ok(wks_entry::lend(nth(&call.get(batch)?.entries, index, "message")?))
    })
}

/// Judges message `index`: a `WKS_VERDICT_…`, and a reason for people, which may be empty. The last
/// word counts.
///
/// Threads: any, while the validator runs. Blocks: no. Owns: the reason is lent for the call.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
/// beyond the end, another verdict or a reason that is not UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn wks_batch_judge(
    batch: wks_batch,
    index: usize,
    verdict: wks_verdict,
    reason: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let object = call.get(batch)?;
        let verdict = self::verdict(verdict, reason)?;
        nth(&object.entries, index, "message")?;
        if let Some(said) = object.said().get_mut(index) {
            *said = verdict;
        }
        Ok(())
    })
}

/// Judges every message of the batch alike, as `wks_batch_judge` does one.
///
/// Threads: any, while the validator runs. Blocks: no. Owns: the reason is lent for the call.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for another verdict
/// or a reason that is not UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn wks_batch_judge_all(
    batch: wks_batch,
    verdict: wks_verdict,
    reason: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let object = call.get(batch)?;
        let verdict = self::verdict(verdict, reason)?;
        object.said().fill(verdict);
        Ok(())
    })
}
