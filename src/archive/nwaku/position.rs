//! How far an import has come: the key of the last row that was dealt with.
//!
//! It is a value that the caller keeps, as text, wherever he likes. What must hold: it names the
//! order in which the source is walked, so that one of another kind of source is refused; and its
//! values are compared as SQLite does, so that a walk that goes backwards (in a file that is
//! damaged, or made for it) is seen.

#[cfg(feature = "sqlite")]
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::error::{Error, Result, bail};

/// The longest key value that is taken, in bytes. nwaku's own are 8 to some hundred bytes.
pub(super) const MAX_KEY_VALUE: usize = 4 * 1024;
/// The longest text that is read as a position.
const MAX_TEXT: usize = 64 * 1024;
/// The longest name of a row in a report.
const MAX_LABEL: usize = 200;

/// Where an import is to go on. Kept as text ([`fmt::Display`], [`FromStr`]); it is of use for the
/// same source only.
#[derive(Clone, PartialEq, Debug)]
pub struct Position {
    /// The kind of source and the columns of the key.
    pub(super) walk: String,
    pub(super) key: Vec<Value>,
}

/// One column of a key.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

#[cfg(feature = "sqlite")]
impl Value {
    fn rank(&self) -> u8 {
        match self {
            Value::Integer(_) | Value::Real(_) => 0,
            Value::Text(_) => 1,
            Value::Blob(_) => 2,
        }
    }

    /// The order of SQLite: numbers, then texts, then blobs.
    fn compare(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
            (Value::Integer(a), Value::Real(b)) => compare(*a, *b),
            (Value::Real(a), Value::Integer(b)) => compare(*b, *a).reverse(),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

/// An integer against a real, without rounding the integer.
#[cfg(feature = "sqlite")]
fn compare(integer: i64, real: f64) -> Ordering {
    // Every i64 lies in [-2^63, 2^63), and both ends are exact as reals.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if real >= BEYOND {
        return Ordering::Less;
    }
    if real < -BEYOND {
        return Ordering::Greater;
    }
    // In range, and a cast cuts the fraction off.
    integer.cmp(&(real as i64)).then_with(|| 0f64.total_cmp(&(real.fract() + 0.0)))
}

/// Whether key `a` stands before key `b`.
#[cfg(feature = "sqlite")]
pub(super) fn before(a: &[Value], b: &[Value]) -> bool {
    let differ = a.iter().zip(b).map(|(a, b)| a.compare(b)).find(|o| o.is_ne());
    differ == Some(Ordering::Less)
}

/// A key as reports name it.
pub(super) fn label(key: &[Value]) -> String {
    let mut text = written(key);
    if text.len() > MAX_LABEL {
        // All of it is ASCII.
        text.truncate(MAX_LABEL);
    }
    text
}

fn written(key: &[Value]) -> String {
    let one = |value: &Value| match value {
        Value::Integer(i) => format!("i{i}"),
        Value::Real(r) => format!("r{:016x}", r.to_bits()),
        Value::Text(t) => format!("t{}", HEXLOWER.encode(t.as_bytes())),
        Value::Blob(b) => format!("b{}", HEXLOWER.encode(b)),
    };
    key.iter().map(one).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.walk, written(&self.key))
    }
}

impl FromStr for Position {
    type Err = Error;

    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] where it is not what [`fmt::Display`] wrote.
    fn from_str(text: &str) -> Result<Self> {
        let parsed = || {
            let (walk, key) = text.split_once('=').filter(|_| text.len() <= MAX_TEXT)?;
            let key = key.split(',').map(value).collect::<Option<Vec<_>>>()?;
            Some(Position { walk: walk.to_owned(), key })
        };
        match parsed() {
            Some(position) => Ok(position),
            None => bail!(InvalidArgument, "the text is no position of an import"),
        }
    }
}

fn value(text: &str) -> Option<Value> {
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).ok();
    let (kind, rest) = text.split_at_checked(1)?;
    Some(match kind {
        "i" => Value::Integer(rest.parse().ok()?),
        "r" => Value::Real(f64::from_bits(u64::from_str_radix(rest, 16).ok()?)),
        "t" => Value::Text(String::from_utf8(hex(rest)?).ok()?),
        "b" => Value::Blob(hex(rest)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_position_is_read_back_from_its_text() {
        let key = vec![
            Value::Integer(-5),
            Value::Real(1.25),
            Value::Text("/a,b=c:d".into()),
            Value::Blob(vec![0, 255]),
            Value::Blob(Vec::new()),
        ];
        let position = Position { walk: "sqlite:storedAt,id".into(), key };
        assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        for bad in ["", "x", "sqlite:id=", "sqlite:id=q1", "sqlite:id=b0", "sqlite:id=i"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn values_stand_in_sqlites_order() {
        let conn_order = [
            Value::Real(f64::NEG_INFINITY),
            Value::Integer(i64::MIN),
            Value::Real(-2.5),
            Value::Integer(-2),
            Value::Integer(0),
            Value::Real(0.5),
            Value::Integer(1),
            Value::Integer(i64::MAX),
            Value::Real(9.3e18),
            Value::Text(String::new()),
            Value::Text("a".into()),
            Value::Blob(Vec::new()),
            Value::Blob(vec![1]),
            Value::Blob(vec![1, 0]),
        ];
        for (i, a) in conn_order.iter().enumerate() {
            for (j, b) in conn_order.iter().enumerate() {
                assert_eq!(a.compare(b), i.cmp(&j), "{a:?} {b:?}");
                let (a, b) = (std::slice::from_ref(a), std::slice::from_ref(b));
                assert_eq!(before(a, b), i < j);
            }
        }
    }
}
