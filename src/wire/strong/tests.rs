#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use crate::ErrorKind;
use crate::types::{ContentTopic, MessageHash, PubsubTopic, Timestamp};
use crate::wire::varint;

fn limits() -> Limits {
    Limits { max_frame: 32 << 20, max_cells: MAX_CELLS }
}

fn open() -> Open {
    let start = Timestamp(1_760_000_000_000_000_000);
    let end = Timestamp(start.nanos() + 3_600_000_000_000);
    Open {
        limits: limits(),
        takes: true,
        gives: true,
        dry_run: false,
        window: TimeRange::new(start, end).unwrap(),
        scope: Scope::default(),
        count: 1_000_000,
        digest: [7; 32],
    }
}

fn id(n: u64) -> SyncId {
    SyncId::new(Timestamp((n * n) as i64), MessageHash([n as u8; 32]))
}

fn cells(n: usize, from: usize) -> Cells {
    let cell = |at: usize| Cell {
        key: [at as u8; 12],
        check: at as u32 * 77_777,
        count: mean(1_000_000, from + at) + at as i64 % 300 - 150,
    };
    Cells { total: 1_000_000, from, cells: (0..n).map(cell).collect() }
}

fn every() -> Vec<Frame> {
    let scope = Scope {
        pubsub_topics: vec![PubsubTopic::of_shard(1, 1), PubsubTopic::of_shard(1, 2)],
        content_topics: vec![ContentTopic::new("/a/1/b/proto").unwrap()],
    };
    let key = |n: u64| {
        let mut key = [n as u8; 12];
        key[..6].copy_from_slice(&(n << 30).to_be_bytes()[2..]);
        key
    };
    let rescoped = Some((scope.clone(), [3; 32]));
    vec![
        Frame::Open(open()),
        Frame::Open(Open { scope, takes: false, dry_run: true, ..open() }),
        Frame::Refuse(Refuse { reason: Reason::TooLarge, detail: "zu viel: \u{fc}ber".into() }),
        Frame::Agree,
        Frame::Differs(Differs {
            limits: limits(),
            rescoped,
            cells: cells(32, 0),
            counts: (0..=255).collect(),
        }),
        Frame::Cells(cells(100, 900)),
        Frame::More(MAX_CELLS),
        Frame::Found(Found {
            lacks: (1..40)
                .map(|n| Name { time: n << 33, prefix: (n % 5 == 0).then_some([n as u8; 6]) })
                .collect(),
            offers: (3..9).map(key).collect(),
        }),
        Frame::Ranges(Payload::default()),
        Frame::Rest(vec![[1; 26], [2; 26]]),
        Frame::Have((0..30).map(id).collect()),
        Frame::Sent(Sent {
            digest: [9; 32],
            count: 500,
            unsent: (1..5).map(|n| Unsent { id: id(n), gone: n % 2 == 0 }).collect(),
            beyond: 3,
        }),
        Frame::Done(Done { verdict: Verdict::Equal, unstored: 300 }),
        Frame::Again([5; 16]),
    ]
}

#[test]
fn frames_are_read_back() {
    for frame in every() {
        assert_eq!(Frame::decode(&frame.encode()).unwrap(), frame);
    }
}

/// The goal for two nodes that agree is 96 bytes, answer and prefixes included.
#[test]
fn the_first_frame_is_short() {
    assert!(Frame::Open(open()).encode().len() <= 64);
    assert_eq!(Frame::Agree.encode().len(), 1);
    let cells = Frame::Cells(cells(1000, 100)).encode().len();
    assert!(cells <= 18_500, "{cells} bytes for 1,000 cells");
}

#[test]
fn whatever_is_cut_off_or_added_is_told() {
    for frame in every() {
        let whole = frame.encode();
        // A payload of ranges may end after each range, and is empty without a byte.
        let ranges = matches!(frame, Frame::Ranges(_));
        for len in (0..whole.len()).filter(|_| !ranges) {
            let error = Frame::decode(&whole[..len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{len} of {frame:?}");
        }
        let more = [&whole[..], &[0]].concat();
        assert!(ranges || Frame::decode(&more).is_err(), "{frame:?}");
    }
}

#[test]
fn counts_beyond_their_bounds_are_refused_before_anything_is_reserved() {
    let number = |n: u64| {
        let mut out = Vec::new();
        varint::write(n, &mut out);
        out
    };
    let kind = |parts: &[&[u8]]| Frame::decode(&parts.concat()).unwrap_err().kind();
    for (frame, max) in [(FOUND, MAX_KEYS), (HAVE, MAX_IDS), (REST, MAX_KEYS), (MORE, MAX_CELLS)] {
        assert_eq!(kind(&[&[frame], &number(max as u64 + 1)]), ErrorKind::FrameTooLarge);
        assert_eq!(kind(&[&[frame], &number(u64::MAX)]), ErrorKind::FrameTooLarge);
    }
    for frame in [FOUND, HAVE, REST] {
        assert_eq!(kind(&[&[frame], &number(1000)]), ErrorKind::Truncated);
    }
    // Cells that begin late may not reach beyond the bound either.
    let late = [&[CELLS, 0][..], &number(MAX_CELLS as u64 - 1), &[2], &[0; 40]].concat();
    assert_eq!(kind(&[&late]), ErrorKind::FrameTooLarge);
    assert_eq!(kind(&[&[OPEN, 2, 1, 2, 3]]), ErrorKind::ProtocolUnsupported);
    let mut small = open();
    small.limits.max_frame = MIN_MAX_FRAME - 1;
    assert_eq!(kind(&[&Frame::Open(small).encode()]), ErrorKind::Malformed);
}

#[test]
fn what_does_not_ascend_is_refused() {
    for frame in [
        Frame::Have(vec![id(3), id(3)]),
        Frame::Found(Found { lacks: Vec::new(), offers: vec![[1; 12], [1; 12]] }),
        Frame::Found(Found { lacks: vec![Name { time: 9, prefix: None }; 2], offers: Vec::new() }),
    ] {
        assert_eq!(Frame::decode(&frame.encode()).unwrap_err().kind(), ErrorKind::Malformed);
    }
}

proptest! {
    #[test]
    fn garbage_is_an_error_or_a_frame(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(frame) = Frame::decode(&bytes) {
            let _ = frame.encode();
        }
    }

    #[test]
    fn changed_frames_are_an_error_or_a_frame(
        which in 0usize..14,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = every()[which].encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(frame) = Frame::decode(&bytes)
            && !matches!(frame, Frame::Ranges(_) | Frame::Refuse(_))
        {
            prop_assert_eq!(frame.encode(), bytes);
        }
    }

    #[test]
    fn any_count_is_read_back(total in any::<u64>(), from in 0usize..16_000, count in any::<i64>()) {
        let cell = Cell { key: [3; 12], check: 9, count };
        let frame = Frame::Cells(Cells { total, from, cells: vec![cell] });
        prop_assert_eq!(Frame::decode(&frame.encode()).unwrap(), frame);
    }
}
