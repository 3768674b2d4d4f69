//! The node's own state as bytes: when it was last online, and coverage.
//!
//! Four bytes of name, one of version; then, as unsigned LEB128 unless said otherwise:
//! - last online: 0, or 1 and Unix nanoseconds (zigzag);
//! - the address groups: a count, and eight bytes each, ascending, little end first;
//! - the spans: a count, and for each the time from the end of the last one (of the first: Unix
//!   nanoseconds, zigzag), its length, and its voices: a count, and for each the group's place in
//!   the list above, times two, plus one where it agreed strongly, and the time of comparison
//!   (nanoseconds after that of the voice before, zigzag, from 0);
//!
//! then what is still to be filled of the time for which it was not online (see [`Gap`]), and at the end the first eight bytes of the SHA-256 of all before.
//!
//! What must hold: what is written is bounded, as coverage is; what is read is taken whole or not
//! at all, and nothing is reserved by a number that it claims.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::coverage::{Agreements, MAX_GROUPS, MAX_SPANS, Span, Voice, Voices};
use super::resume::Gap;
use super::{AddressGroup, Engine, Now};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::Timestamp;
use crate::wire::varint;

const NAME: &[u8; 4] = b"WKSE";
const VERSION: u8 = 1;
const CHECK: usize = 8;
/// More than the most that can be written.
const MAX_BYTES: usize = 1024 * 1024;

/// What is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    pub(super) last_online: Option<Timestamp>,
    pub(super) agreements: Agreements,
    pub(super) gap: Gap,
}

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(NAME);
        out.push(VERSION);
        match self.last_online {
            None => varint::write(0, &mut out),
            Some(t) => {
                varint::write(1, &mut out);
                varint::write(zigzag(t.nanos()), &mut out);
            }
        }
        let spans = self.agreements.spans();
        let groups: BTreeSet<AddressGroup> =
            spans.iter().flat_map(|span| span.voices.keys().copied()).collect();
        let groups: Vec<AddressGroup> = groups.into_iter().collect();
        varint::write(groups.len() as u64, &mut out);
        for group in &groups {
            out.extend_from_slice(&group.0.to_le_bytes());
        }
        varint::write(spans.len() as u64, &mut out);
        let (mut end, mut at) = (None, 0i64);
        for span in spans {
            match end {
                None => varint::write(zigzag(span.start.nanos()), &mut out),
                Some(end) => varint::write(span.start.nanos().abs_diff(end), &mut out),
            }
            varint::write(span.end.nanos().abs_diff(span.start.nanos()), &mut out);
            end = Some(span.end.nanos());
            varint::write(span.voices.len() as u64, &mut out);
            for (group, voice) in &span.voices {
                let place = groups.partition_point(|g| g < group) as u64;
                varint::write(place * 2 + u64::from(voice.strong), &mut out);
                varint::write(zigzag(voice.at.nanos().wrapping_sub(at)), &mut out);
                at = voice.at.nanos();
            }
        }
        self.gap.encode(&mut out);
        let check = check(&out);
        out.extend_from_slice(&check);
        out
    }

    /// # Errors
    /// [`ErrorKind::Malformed`] where these bytes are no such state.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        read(bytes).map_err(|e| {
            Error::new(ErrorKind::Malformed, format!("the node's state: {}", e.message()))
        })
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    for (to, from) in check.iter_mut().zip(Sha256::digest(bytes)) {
        *to = from;
    }
    check
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

fn read(bytes: &[u8]) -> Result<State> {
    let split = bytes.len().checked_sub(CHECK).and_then(|n| bytes.split_at_checked(n));
    let (Some((body, sum)), true) = (split, bytes.len() <= MAX_BYTES) else {
        bail!(Malformed, "{} bytes cannot be one", bytes.len());
    };
    let Some(rest) = body.strip_prefix(NAME) else {
        bail!(Malformed, "it does not begin with its name");
    };
    let Some((&VERSION, mut rest)) = rest.split_first() else {
        bail!(Malformed, "its version is not {VERSION}");
    };
    if check(body) != sum {
        bail!(Malformed, "it is damaged: its sum is another");
    }
    let last_online = match varint::read(&mut rest)? {
        0 => None,
        1 => Some(Timestamp(unzigzag(varint::read(&mut rest)?))),
        n => bail!(Malformed, "{n} times last online"),
    };
    let groups = read_groups(&mut rest)?;
    let spans = read_spans(&mut rest, &groups)?;
    let gap = Gap::decode(&mut rest)?;
    if !rest.is_empty() {
        bail!(Malformed, "{} bytes are left over", rest.len());
    }
    let Some(agreements) = Agreements::of(spans) else {
        bail!(Malformed, "its spans are not in order");
    };
    Ok(State { last_online, agreements, gap })
}

/// A count that must not be larger than what could have been written.
fn read_count(rest: &mut &[u8], max: usize) -> Result<usize> {
    let n = varint::read(rest)?;
    match usize::try_from(n) {
        Ok(n) if n <= max => Ok(n),
        _ => bail!(Malformed, "it counts {n} of what there are at most {max} of"),
    }
}

fn read_groups(rest: &mut &[u8]) -> Result<Vec<AddressGroup>> {
    let count = read_count(rest, MAX_SPANS * MAX_GROUPS)?;
    let mut groups = Vec::new();
    for _ in 0..count {
        let Some((group, behind)) = rest.split_first_chunk::<8>() else {
            bail!(Truncated, "it ends within a group");
        };
        groups.push(AddressGroup(u64::from_le_bytes(*group)));
        *rest = behind;
    }
    Ok(groups)
}

fn read_spans(rest: &mut &[u8], groups: &[AddressGroup]) -> Result<Vec<Span>> {
    let count = read_count(rest, MAX_SPANS)?;
    let mut spans = Vec::new();
    let (mut end, mut at) = (None, 0i64);
    let later = |t: i64, by: u64| match t.checked_add_unsigned(by) {
        Some(t) => Ok(t),
        None => bail!(Malformed, "a span ends after all time"),
    };
    for _ in 0..count {
        let start = match end {
            None => unzigzag(varint::read(rest)?),
            Some(end) => later(end, varint::read(rest)?)?,
        };
        let to = later(start, varint::read(rest)?)?;
        end = Some(to);
        let mut voices = Voices::new();
        for _ in 0..read_count(rest, MAX_GROUPS)? {
            let n = varint::read(rest)?;
            let place = usize::try_from(n / 2).unwrap_or(usize::MAX);
            let Some(group) = groups.get(place) else {
                bail!(Malformed, "a span names group {place} of {}", groups.len());
            };
            at = at.wrapping_add(unzigzag(varint::read(rest)?));
            voices.insert(*group, Voice { strong: n % 2 == 1, at: Timestamp(at) });
        }
        spans.push(Span { start: Timestamp(start), end: Timestamp(to), voices });
    }
    Ok(spans)
}

impl Engine {
    /// See [`Engine::state`].
    pub(super) fn encode_state(&self) -> Vec<u8> {
        let last_online = self.presence.to_save(self.now);
        let (agreements, gap) = (self.agreements.clone(), self.resume.gap.clone());
        State { last_online, agreements, gap }.encode()
    }

    /// See [`Engine::restore`].
    pub(super) fn restore_state(&mut self, now: Now, bytes: &[u8]) -> Result<()> {
        let State { last_online, agreements, gap } = State::decode(bytes)?;
        if self.config.resume {
            self.resume.restore(now, gap, self.config.resume_limit);
        }
        self.presence.restore(now, last_online);
        self.agreements = agreements;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::types::TimeRange;

    fn voices() -> impl Strategy<Value = Voices> {
        let voice = (any::<bool>(), any::<i64>())
            .prop_map(|(strong, at)| Voice { strong, at: Timestamp(at) });
        // Of few groups, and of any.
        let group = prop_oneof![0u64..6, any::<u64>()].prop_map(AddressGroup);
        prop::collection::btree_map(group, voice, 1..6)
    }

    fn states() -> impl Strategy<Value = State> {
        let span = (prop_oneof![Just(0i64), 0i64..1 << 50], 1i64..1 << 50, voices());
        let start = prop_oneof![Just(i64::MIN), -1000i64..1000, Just(1_760_000_000_000_000_000)];
        let spans = (start, prop::collection::vec(span, 0..20)).prop_map(|(start, list)| {
            let mut at = start;
            let place = |(gap, length, voices): (i64, i64, Voices)| {
                let start = at + gap;
                at = start + length;
                Span { start: Timestamp(start), end: Timestamp(at), voices }
            };
            list.into_iter().map(place).collect::<Vec<_>>()
        });
        (prop::option::of(any::<i64>().prop_map(Timestamp)), spans).prop_map(
            |(last_online, spans)| State {
                last_online,
                gap: spans.iter().step_by(2).fold(Gap::default(), |mut gap, span| {
                    gap.add(TimeRange::new(span.start, span.end).unwrap());
                    gap
                }),
                agreements: Agreements::of(spans).unwrap(),
            },
        )
    }

    fn resealed(mut body: Vec<u8>) -> Vec<u8> {
        let check = check(&body);
        body.extend_from_slice(&check);
        body
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(state in states()) {
            prop_assert_eq!(State::decode(&state.encode()).unwrap(), state);
        }

        #[test]
        fn a_bit_that_flipped_is_found(state in states(), bit in any::<prop::sample::Index>()) {
            let mut bytes = state.encode();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(State::decode(&bytes).unwrap_err().kind(), ErrorKind::Malformed);
        }

        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(State::decode(&bytes).unwrap_err().kind(), ErrorKind::Malformed);
        }

        /// With the right name and sum, what is read holds all that must hold, or is refused.
        #[test]
        fn bytes_made_to_look_right_do_no_harm(
            state in states(),
            at in any::<prop::sample::Index>(),
            put in prop::collection::vec(any::<u8>(), 0..20),
            cut in any::<bool>(),
        ) {
            let mut body = state.encode();
            body.truncate(body.len() - CHECK);
            let at = at.index(body.len() - NAME.len()) + NAME.len();
            let to = if cut { body.len() } else { (at + put.len()).min(body.len()) };
            body.splice(at..to, put);
            match State::decode(&resealed(body)) {
                Ok(state) => prop_assert_eq!(State::decode(&state.encode()).unwrap(), state),
                Err(e) => prop_assert_eq!(e.kind(), ErrorKind::Malformed),
            }
        }
    }

    #[test]
    fn the_largest_is_a_few_hundred_kilobytes() {
        let spans = (0..MAX_SPANS as i64).map(|n| {
            let voice = |g: u64| {
                let at = Timestamp(1_760_000_000_000_000_000 + n * g as i64 * 999_999_999);
                (AddressGroup(g.wrapping_mul(0x1234_5678_9abc_def1)), Voice { strong: true, at })
            };
            let start = n * 1_000_000_000_000;
            let voices = (0..MAX_GROUPS as u64).map(|g| voice(g + n as u64 * 100)).collect();
            Span { start: Timestamp(start), end: Timestamp(start + 999_999_999_999), voices }
        });
        let agreements = Agreements::of(spans.collect()).unwrap();
        let state = State { last_online: Some(Timestamp::MAX), agreements, gap: Gap::default() };
        let bytes = state.encode();
        assert!((200 * 1024..400 * 1024).contains(&bytes.len()), "{}", bytes.len());
        assert_eq!(State::decode(&bytes).unwrap(), state);
    }

    #[test]
    fn counts_beyond_the_bounds_are_refused() {
        let mut body = NAME.to_vec();
        body.extend([VERSION, 0]);
        varint::write(u64::MAX, &mut body);
        assert!(State::decode(&resealed(body.clone())).is_err());
        body.truncate(6);
        body.push(0);
        varint::write(1 << 40, &mut body);
        assert!(State::decode(&resealed(body)).is_err());
        assert!(State::decode(&vec![0; MAX_BYTES + 1]).is_err());
    }
}
