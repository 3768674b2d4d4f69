//! Every decoder of the wire, on what mutations made of the bytes that deployed nodes wrote.
//!
//! No input may make one panic; what is read must be written and read back equal; and memory stays
//! within a multiple of the input, whatever numbers it says.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::budget::Budget;
use crate::memory::most_of;
use crate::sim::Random;
use crate::wire_common::{decode_all, vectors};
use crate::{extra, mutate};

/// The dearest that is read: a range of two bytes, while its list grows, written and read again.
const BYTES_A_BYTE: usize = 400;
/// What all decoders take for nothing.
const BYTES_AT_LEAST: usize = 64 * 1024;

/// The most inputs that are kept because they were new.
const MAX_KEPT: usize = 2000;

/// The most kinds of answer that are told apart.
const MAX_SEEN: usize = 4_000_000;

/// What was said of an input, without the numbers in it.
fn signature(told: &[Option<wakustore::Error>]) -> u64 {
    let words = told.iter().map(|error| match error {
        None => "read".to_string(),
        Some(e) => {
            let text = e.message().chars().filter(char::is_ascii_alphabetic).take(60);
            format!("{:?} {}", e.kind(), text.collect::<String>())
        }
    });
    let mut hasher = DefaultHasher::new();
    words.for_each(|word| word.hash(&mut hasher));
    hasher.finish()
}

#[test]
fn decoders() {
    let mut budget = Budget::new("decoders", 40_000);
    let mut kept: Vec<Vec<u8>> = vectors().iter().filter(|v| v.len() < 4096).cloned().collect();
    kept.extend(extra::frames());
    let first = kept.len();
    let mut seen = HashSet::new();
    let mut dearest = 0;
    while let Some(mut r) = budget.next() {
        let any = |r: &mut Random| r.below(kept.len() as u64) as usize;
        let (a, b) = (any(&mut r), any(&mut r));
        budget.trying = mutate::some(&mut r, &kept[a], &kept[b]);
        let input = &budget.trying;
        let (told, most) = most_of(|| {
            let mut told = decode_all(input);
            told.extend(extra::decode(input));
            told
        });
        let bound = BYTES_AT_LEAST + BYTES_A_BYTE * input.len();
        assert!(most <= bound, "{most} bytes of memory for {} of input", input.len());
        dearest = dearest.max(most / input.len().max(64));
        if input.len() < 4096 && seen.len() < MAX_SEEN && seen.insert(signature(&told)) {
            if kept.len() < first + MAX_KEPT {
                kept.push(input.clone());
            } else {
                kept[first + r.below(MAX_KEPT as u64) as usize].clone_from(input);
            }
        }
    }
    println!("{} inputs that were new, at most {dearest} bytes of memory a byte", seen.len());
    assert!(seen.len() > 100, "the mutations say nothing new: {}", seen.len());
}
