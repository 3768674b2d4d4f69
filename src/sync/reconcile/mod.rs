//! Reconciliation 1.0.0: a payload in, a payload out, and the differences on the way.
//!
//! Stateless between payloads but for what the caller keeps in [`Differences`]: the bounds are in
//! the payload. What must always hold:
//! - Bounds that we write lie between timestamps (their hash is zero): deployed decoders read no
//!   others as meant.
//! - No difference is reported twice in a session, whatever the peer sends.
//! - An answer stays within [`Tuning::max_answer`], but for the one range that it must settle.
//! - Each answer takes the leftmost open range further, so a session ends: see [`respond`].

mod answer;
mod differences;
mod mark;
mod plan;
mod respond;
mod scope;
mod settling;
mod split;
mod view;

pub use differences::{Differences, MAX_ROUNDS};
pub use mark::mark;
pub use respond::{initiate, respond};
pub use scope::meet;
pub use settling::Settling;
pub use view::View;

/// How to split and when to list. Ours to choose: the bounds are in the payload.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// The most parts that a range that differs is split into; at least 2. Where the last payload
    /// tells that a range holds few differences there are fewer. A timestamp that holds more than
    /// its part becomes a part of its own, so there may be up to twice as many.
    pub fan_out: usize,
    /// Ranges of at most so many local ids are listed rather than split; of fewer, where a list
    /// would be longer than splitting on.
    pub max_item_set: usize,
    /// An answer beyond so many bytes answers its further ranges by their fingerprint, to be
    /// taken up in the next round.
    pub max_answer: usize,
}
