//! wakustore's own protocol: its frames, to begin with and to decode, and engines that speak it.

use std::cell::RefCell;

use wakustore::Error;
use wakustore::engine::{PeerInfo, SyncOptions};
use wakustore::wire::reconciliation::Payload;
use wakustore::wire::strong::Frame;

use crate::sim::{Random, World, hour, quiet};

const STRONG: PeerInfo = PeerInfo {
    reconciles: true,
    strong: true,
    store: false,
    deployed: false,
    group: wakustore::engine::AddressGroup(0),
};

thread_local! {
    static HEARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A mutation that changes nothing, and keeps what it saw.
fn hear(_: &mut Random, frame: &[u8]) -> Vec<u8> {
    HEARD.with(|heard| heard.borrow_mut().push(frame.to_vec()));
    frame.to_vec()
}

/// Frames to begin with: those of sessions of all kinds, by sketches, ranges and dry.
pub fn frames() -> Vec<Vec<u8>> {
    let mut r = Random(5);
    for (count, lacks) in [(60, 0), (60, 3), (60, 30), (60, 60), (400, 1), (400, 90)] {
        for dry_run in [false, true] {
            let all = hour(&mut r, count);
            let mut world = World::new(7);
            world.info = STRONG;
            world.add(quiet(), &all[lacks..]);
            world.add(quiet(), &all[..all.len() - lacks]);
            world.settle();
            world.connect(0, 1);
            world.garbled.extend([(0, 1), (1, 1)]);
            world.mutation = Some(hear);
            let options = SyncOptions { dry_run, ..SyncOptions::default() };
            let (report, _) = world.sync_to_end(0, 1, options);
            assert_eq!(report.error, None);
        }
    }
    let mut frames = HEARD.with(RefCell::take);
    frames.retain(|frame| frame.len() < 4096);
    let read = frames.iter().filter(|frame| Frame::decode(frame).is_ok()).count();
    assert!(read > 30, "{read} frames of the protocol");
    frames
}

/// What the decoder says of these bytes; what is read must be written and read back equal.
pub fn decode(bytes: &[u8]) -> Vec<Option<Error>> {
    let read = Frame::decode(bytes);
    match &read {
        // Bounds may come shortened, and a payload without ranges is nothing but that.
        Ok(Frame::Ranges(payload)) => {
            let again = Frame::decode(&Frame::Ranges(payload.clone()).encode());
            let expected = if payload.ranges.is_empty() {
                Payload::default()
            } else {
                payload.clone().as_read()
            };
            assert_eq!(again, Ok(Frame::Ranges(expected)));
        }
        Ok(frame) => assert_eq!(Frame::decode(&frame.encode()).as_ref(), Ok(frame)),
        Err(_) => {}
    }
    vec![read.err()]
}

/// Half of the pairs of engines speak it.
pub fn choose_protocol(world: &mut World, random: &mut Random) {
    if random.below(2) == 0 {
        world.info = STRONG;
    }
}
