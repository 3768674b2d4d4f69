//! The generated protobuf structs, and how bytes of a stranger become them.
//!
//! The repeated fields are counted before anything is decoded: an empty entry takes three bytes on
//! the wire and hundreds in memory, so a count that the protocol never needs is refused while it
//! has cost nothing.

use bytes::Buf;
use prost::Message;

use crate::error::{Error, ErrorKind, Result, bail};

macro_rules! generated {
    ($($outer:ident::$inner:ident),*) => {
        $(pub(super) mod $outer {
            // The names are those of the specification's .proto files.
            #[allow(missing_docs, unreachable_pub, clippy::all)]
            pub(in crate::wire) mod $inner {
                include!(concat!(
                    env!("OUT_DIR"),
                    "/waku.",
                    stringify!($outer),
                    ".",
                    stringify!($inner),
                    ".rs"
                ));
            }
        })*
    };
}

generated!(message::v1, store::v3, transfer::v1, metadata::v1);

/// Decodes; the error names `what` could not be read.
pub(super) fn decode<M: Message + Default>(what: &str, bytes: impl Buf) -> Result<M> {
    // prost's own text names the field and what is wrong with it, and no contents.
    M::decode(bytes).map_err(|e| Error::new(ErrorKind::Malformed, format!("{what}: {e}")))
}

/// Refuses more than `max` occurrences of one field.
pub(super) fn bound(what: &str, bytes: &[u8], field: u32, max: usize) -> Result<()> {
    let mut count = 0;
    for found in (Fields { rest: bytes }) {
        let (number, _) = found.map_err(|e| e.context(what))?;
        count += usize::from(number == field);
        if count > max {
            bail!(FrameTooLarge, "{what}: more than {max} entries of field {field}");
        }
    }
    Ok(())
}

/// The last string of this field, where the bytes up to it can be read at all.
pub(super) fn find_string(bytes: &[u8], field: u32) -> Option<&str> {
    let all = Fields { rest: bytes }.map_while(Result::ok);
    let last = all.filter(|(number, _)| *number == field).last()?;
    std::str::from_utf8(last.1?).ok()
}

/// The fields of a message on its outermost level: number, and contents where they are of the
/// length-delimited kind. What stands in a group (no message here has one) counts as outside of it.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => bail!(Truncated, "the bytes end within a field"),
        }
    }

    /// Protobuf, unlike the frames, does not demand the shortest form.
    fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        bail!(Malformed, "a number does not fit 64 bits")
    }

    fn field(&mut self) -> Result<(u32, Option<&'a [u8]>)> {
        let key = self.number()?;
        let Ok(field) = u32::try_from(key >> 3) else {
            bail!(Malformed, "a field number is too large")
        };
        let contents = match key & 7 {
            0 => self.number().map(|_| None)?,
            1 => self.take(8).map(|_| None)?,
            2 => {
                let len = self.number()?;
                Some(self.take(len)?)
            }
            3 | 4 => None,
            5 => self.take(4).map(|_| None)?,
            _ => bail!(Malformed, "a field is of an unknown kind"),
        };
        Ok((field, contents))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Option<&'a [u8]>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn fields_of_every_kind_are_passed() {
        // 1: "ab"; 2: varint 300; 3: fixed32; 4: fixed64; 5: group with 1: "z" in it; 1: "c".
        let bytes = [
            &[0x0a, 2, b'a', b'b'][..],
            &[0x10, 0xac, 0x02],
            &[0x1d, 1, 2, 3, 4],
            &[0x21, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x2b, 0x0a, 1, b'z', 0x2c],
            &[0x0a, 1, b'c'],
        ]
        .concat();
        let numbers: Vec<u32> = Fields { rest: &bytes }.map(|f| f.unwrap().0).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 1, 5, 1]);
        assert_eq!(find_string(&bytes, 1), Some("c"));
        assert_eq!(find_string(&bytes, 9), None);
        assert_eq!(find_string(&bytes, 2), None);
        assert!(bound("x", &bytes, 1, 3).is_ok());
        assert_eq!(bound("x", &bytes, 1, 2).unwrap_err().kind(), ErrorKind::FrameTooLarge);
    }

    #[test]
    fn broken_bytes_end_the_walk_with_an_error() {
        for (bytes, kind) in [
            (&[0x0a, 5, 1][..], ErrorKind::Truncated),
            (&[0x80], ErrorKind::Truncated),
            (&[0xff; 12], ErrorKind::Malformed),
            (&[0x0e], ErrorKind::Malformed),
        ] {
            assert_eq!(bound("x", bytes, 1, 9).unwrap_err().kind(), kind, "{bytes:?}");
        }
        assert_eq!(find_string(&[0x0a, 1, b'c', 0x0a, 5, 1], 1), Some("c"));
    }
}
