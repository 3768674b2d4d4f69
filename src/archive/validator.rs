//! The host's own validation (rate-limit proofs, say): it sees what passed the rules before it is
//! committed, wherever it came from.
//!
//! What must hold: no lock is held and no transaction is open while the host's code runs; whatever
//! it does, a put is answered, and only its own put suffers; nothing is committed that it did not
//! call valid.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::PutOutcome;
use super::queue::Put;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{Origin, StoredMessage};

/// What a [`Validator`] says of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Validity {
    /// It may be stored.
    Valid,
    /// It may never be stored, for this reason: [`PutOutcome::Refused`] with
    /// [`ErrorKind::ValidatorRefused`]. Sync does not ask for it again.
    Invalid(String),
    /// It cannot be told now, for this reason (a group's root is not known yet):
    /// [`PutOutcome::Refused`] with [`ErrorKind::Busy`]. The same message may be put again.
    Unknown(String),
}

/// A host's validation of messages, beside the archive's rules.
///
/// It is called on the archive's writing thread, one put at a time, and holds up the puts behind
/// it: proofs of a batch are best verified together. Nothing of the archive may be waited for in
/// it (that answers with [`ErrorKind::WouldDeadlock`]).
pub trait Validator: Send + Sync {
    /// One answer for each message of the batch, in order. Never called with an empty batch. The
    /// messages have passed the archive's rules; some of them may be held already.
    ///
    /// An answer of another length ends the put with [`ErrorKind::Internal`]. A panic refuses the
    /// batch, each message with [`ErrorKind::Internal`], and the archive goes on.
    fn validate(&self, batch: &[StoredMessage], origin: Origin) -> Vec<Validity>;
}

impl fmt::Debug for dyn Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validator")
    }
}

/// Takes out of the put what the validator refuses, and notes why.
///
/// # Errors
/// [`ErrorKind::Internal`] where it did not answer for each message.
pub(super) fn check(validator: &dyn Validator, put: &mut Put) -> Result<()> {
    let asked = put.messages.len();
    if asked == 0 {
        return Ok(());
    }
    let call = || validator.validate(&put.messages, put.origin);
    let answers: Vec<Result<()>> = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answers) if answers.len() == asked => answers.into_iter().map(of_answer).collect(),
        Ok(answers) => {
            bail!(Internal, "the validator told of {} messages, not {asked}", answers.len())
        }
        Err(_) => {
            let error = Error::new(ErrorKind::Internal, "the validator panicked");
            vec![Err(error); asked]
        }
    };
    let mut passed = answers.iter().map(Result::is_ok);
    put.messages.retain(|_| passed.next() == Some(true));
    let open = |o: &&mut PutOutcome| !matches!(o, PutOutcome::Refused(_));
    for (outcome, answer) in put.outcomes.iter_mut().filter(open).zip(answers) {
        if let Err(error) = answer {
            *outcome = PutOutcome::Refused(error);
        }
    }
    Ok(())
}

fn of_answer(answer: Validity) -> Result<()> {
    match answer {
        Validity::Valid => Ok(()),
        Validity::Invalid(why) => Err(Error::new(ErrorKind::ValidatorRefused, why)),
        Validity::Unknown(why) => Err(Error::new(ErrorKind::Busy, why)),
    }
}
