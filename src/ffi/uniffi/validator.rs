//! A host's validator, as an interface that the host implements.
//!
//! It is called on a thread that the archive has for it, under no lock, and is waited for no longer
//! than the options say. Once the process exits it is neither called nor let go of: the interpreter
//! or machine that it belongs to may be gone.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use super::error::{Result, WakuError};
use super::message::{Origin, StoredMessage};
use crate::archive::{self, ValidatorThread};
use crate::error::bail;
use crate::{runtime, types};

/// How long a validator is waited for, where the options do not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a validator says of one message.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Enum)]
pub enum Validity {
    /// It may be stored.
    Valid,
    /// It may never be stored: it is refused with `ValidatorRefused`, and a sync does not ask for it
    /// again.
    Invalid {
        /// Why, for people.
        reason: String,
    },
    /// It cannot be told now: it is refused with `Busy`, and may be put again, or come with a later
    /// sync.
    Unknown {
        /// Why, for people.
        reason: String,
    },
}

/// A host's validation of messages, on top of the library's own rules: for rate-limit proofs, say.
/// Give it to `Archive.open`.
#[uniffi::export(with_foreign)]
pub trait Validator: Send + Sync {
    /// Judges the messages of one put before they are committed: one answer each, in order. There
    /// is at least one, and they have passed the library's rules; some may be held already.
    ///
    /// It is called on a thread of the library's that is there for it, one batch at a time. The puts
    /// behind it wait for it, and so does the archive's shutdown: it must not wait for either, nor
    /// for any other call of the library. What it throws counts as not knowing, of each message;
    /// answers of another number fail the put with `Internal`.
    fn validate(&self, messages: Vec<StoredMessage>, origin: Origin) -> Result<Vec<Validity>>;
}

/// The host's validator as the archive sees it.
struct Foreign(ManuallyDrop<Arc<dyn Validator>>);

/// Has a validator called on a thread of its own.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`] for no time at all.
pub(super) fn on_its_thread(
    validator: Arc<dyn Validator>,
    timeout: Option<Duration>,
) -> crate::Result<Arc<dyn archive::Validator>> {
    let timeout = timeout.unwrap_or(TIMEOUT);
    if timeout.is_zero() {
        bail!(InvalidArgument, "validator_timeout is 0: a validator needs more time than none");
    }
    let foreign = Arc::new(Foreign(ManuallyDrop::new(validator)));
    Ok(Arc::new(ValidatorThread::new(foreign, Some(timeout))))
}

impl archive::Validator for Foreign {
    fn validate(
        &self,
        batch: &[types::StoredMessage],
        origin: types::Origin,
    ) -> Vec<archive::Validity> {
        let none = |why: String| vec![archive::Validity::Unknown(why); batch.len()];
        if runtime::is_exiting() {
            return none("the process is exiting".to_owned());
        }
        let messages = batch.iter().cloned().map(StoredMessage::from).collect();
        match runtime::as_callback(|| self.0.validate(messages, origin.into())) {
            Ok(said) => said.into_iter().map(archive::Validity::from).collect(),
            Err(WakuError::Failed { reason, .. }) => {
                none(format!("the validator failed: {reason}"))
            }
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if !runtime::is_exiting() {
            // SAFETY: taken here once, and not used after.
            drop(unsafe { ManuallyDrop::take(&mut self.0) });
        }
    }
}

impl From<Validity> for archive::Validity {
    fn from(said: Validity) -> Self {
        match said {
            Validity::Valid => archive::Validity::Valid,
            Validity::Invalid { reason } => archive::Validity::Invalid(reason),
            Validity::Unknown { reason } => archive::Validity::Unknown(reason),
        }
    }
}
