//! The peer book as bytes, for its file.
//!
//! ```text
//! "peers" version:u8 count:u32
//! count times: id:bytes flags:u8 seen:u64 cost:u32 places:u8
//!              places times: trust:u8 when:u64 failures:u8 at:bytes
//! bytes: length:u16, then so many        numbers are little-endian
//! ```
//!
//! What must hold: what was configured is not kept (the configuration may change), but that a peer
//! was reached there is; and bytes that say anything impossible are refused whole.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId};

use super::book::{Book, Entry, MAX_PEERS, MAX_PLACES, Place, Speaks, Trust};
use crate::error::{Result, bail};

const MAGIC: &[u8] = b"peers\x01";
const STORE: u8 = 1;
const SYNC: u8 = 2;
const RELAY: u8 = 4;
const TOLD: u8 = 0;
const REACHED: u8 = 1;

/// The book in bytes.
pub(super) fn encode(book: &Book) -> Vec<u8> {
    let kept: Vec<(&PeerId, &Entry, Vec<&Place>)> = book
        .iter()
        .map(|(peer, entry)| {
            let kept = |p: &&Place| p.trust != Trust::Configured || p.when > 0;
            (peer, entry, entry.places.iter().filter(kept).collect::<Vec<_>>())
        })
        .filter(|(_, _, places)| !places.is_empty())
        .collect();
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&(kept.len() as u32).to_le_bytes());
    for (peer, entry, places) in kept {
        put_bytes(&mut out, &peer.to_bytes());
        let Speaks { store, sync, relay } = entry.speaks;
        out.push(u8::from(store) * STORE | u8::from(sync) * SYNC | u8::from(relay) * RELAY);
        out.extend_from_slice(&entry.seen.to_le_bytes());
        out.extend_from_slice(&entry.cost.to_le_bytes());
        out.push(places.len() as u8);
        for place in places {
            out.push(if place.trust == Trust::Told { TOLD } else { REACHED });
            out.extend_from_slice(&place.when.to_le_bytes());
            out.push(place.failures);
            put_bytes(&mut out, place.at.as_ref());
        }
    }
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // A peer id and a kept address are far shorter.
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads a book.
///
/// # Errors
/// [`crate::ErrorKind::Malformed`].
pub(super) fn decode(bytes: &[u8]) -> Result<Book> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        bail!(Malformed, "it is no peer book, or one of a later version");
    };
    let mut rest = Rest(rest);
    let count = u32::from_le_bytes(rest.take()?) as usize;
    if count > MAX_PEERS {
        bail!(Malformed, "a peer book of {count} peers; at most {MAX_PEERS} are kept");
    }
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let (peer, entry) = entry(&mut rest)?;
        entries.insert(peer, entry);
    }
    if !rest.0.is_empty() {
        bail!(Malformed, "{} bytes behind the last peer of the book", rest.0.len());
    }
    Ok(Book::of(entries))
}

fn entry(rest: &mut Rest<'_>) -> Result<(PeerId, Entry)> {
    let Ok(peer) = PeerId::from_bytes(rest.bytes()?) else {
        bail!(Malformed, "the peer book holds what is no peer id");
    };
    let [flags] = rest.take()?;
    let seen = u64::from_le_bytes(rest.take()?);
    let cost = u32::from_le_bytes(rest.take()?);
    let [count] = rest.take()?;
    if count == 0 || usize::from(count) > MAX_PLACES {
        bail!(Malformed, "a peer with {count} addresses in the book");
    }
    let mut places = Vec::new();
    for _ in 0..count {
        let [trust] = rest.take()?;
        let when = u64::from_le_bytes(rest.take()?);
        let [failures] = rest.take()?;
        let Ok(at) = Multiaddr::try_from(rest.bytes()?.to_vec()) else {
            bail!(Malformed, "the peer book holds what is no address");
        };
        let trust = match trust {
            TOLD => Trust::Told,
            REACHED => Trust::Reached,
            other => bail!(Malformed, "an address of kind {other} in the peer book"),
        };
        places.push(Place { at, trust, when, failures });
    }
    let speaks =
        Speaks { store: flags & STORE != 0, sync: flags & SYNC != 0, relay: flags & RELAY != 0 };
    Ok((peer, Entry { places, speaks, seen, cost }))
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((taken, rest)) = self.0.split_first_chunk() else {
            bail!(Malformed, "the peer book ends early");
        };
        self.0 = rest;
        Ok(*taken)
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let Some((taken, rest)) = self.0.split_at_checked(length) else {
            bail!(Malformed, "the peer book ends early");
        };
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;

    const NOW: u64 = 1_700_000_000;

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn book() -> (Book, [PeerId; 3]) {
        let (mut book, peers) = (Book::default(), [(); 3].map(|()| PeerId::random()));
        book.reached(peers[0], &at("/ip4/8.8.8.8/tcp/1"), NOW);
        book.told(peers[0], &[at("/dns4/node.example/tcp/443/wss")], NOW - 5);
        book.speaks(&peers[0], Speaks { store: true, sync: false, relay: true }, NOW);
        book.cost(&peers[0], 77);
        book.told(peers[1], &[at("/ip4/9.9.9.9/tcp/1")], NOW);
        book.failed(&peers[1], &at("/ip4/9.9.9.9/tcp/1"));
        book.configured(peers[2], &at("/ip4/7.7.7.7/tcp/1"));
        (book, peers)
    }

    #[test]
    fn a_book_is_read_as_it_was_written_without_what_was_configured() {
        let (mut book, peers) = book();
        let read = decode(&encode(&book)).unwrap();
        for peer in &peers[..2] {
            assert_eq!(read.get(peer), book.get(peer));
        }
        assert_eq!(read.get(&peers[2]), None);
        assert!(!read.is_changed());
        // But that it was reached there is.
        book.reached(peers[2], &at("/ip4/7.7.7.7/tcp/1"), NOW);
        let read = decode(&encode(&book)).unwrap();
        assert_eq!(read.get(&peers[2]).unwrap().trust(), Trust::Reached);
        assert_eq!(read.iter().count(), 3);
    }

    #[test]
    fn whatever_is_cut_or_changed_is_refused_or_bounded() {
        let whole = encode(&book().0);
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]).unwrap_err().kind(), ErrorKind::Malformed);
        }
        assert!(decode(&[&whole[..], &[0]].concat()).is_err());
        for n in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[n] ^= 1 << bit;
                if let Ok(book) = decode(&bytes) {
                    assert!(book.iter().all(|(_, entry)| entry.places.len() <= MAX_PLACES));
                }
            }
        }
        let mut many = MAGIC.to_vec();
        many.extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&many).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn the_largest_book_is_small() {
        let mut book = Book::default();
        let long = |n: usize| at(&format!("/dns4/{n:04}{}.org/tcp/1", "a".repeat(200)));
        for _ in 0..MAX_PEERS {
            let peer = PeerId::random();
            (0..MAX_PLACES).for_each(|n| book.reached(peer, &long(n), NOW));
        }
        assert!(encode(&book).len() < 1024 * 1024);
    }
}
