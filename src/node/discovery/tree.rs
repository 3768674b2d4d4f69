//! The texts of a discovery tree (EIP-1459): its URL, its signed root, and its entries.
//!
//! What must hold: a root counts only with the signature of the key in the URL, and an entry only
//! where its text has the hash that it is filed under. Both come from whoever answers for a name, so
//! whatever else they are is an error in words.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{Signature, VerifyingKey};
use sha3::{Digest, Keccak256};

use crate::error::{Error, ErrorKind, Result};

const SCHEME: &str = "enrtree://";
const ROOT: &str = "enrtree-root:v1 ";
const BRANCH: &str = "enrtree-branch:";
const RECORD: &str = "enr:";
/// The longest domain of a tree, so that there is room for a hash before it.
const MAX_DOMAIN: usize = 190;
/// Bytes of a hash: it may be cut short, but not below what still binds.
const HASH: std::ops::RangeInclusive<usize> = 12..=32;

/// Which tree: whose signature it carries, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) struct TreeUrl {
    key: VerifyingKey,
    /// In lower case, without a dot at its end.
    domain: String,
}

impl TreeUrl {
    /// Reads `enrtree://KEY@DOMAIN`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for anything else.
    pub(in crate::node) fn parse(text: &str) -> Result<Self> {
        Self::read(text).map_err(|why| {
            let shown: String = text.chars().take(256).collect();
            Error::new(
                ErrorKind::InvalidArgument,
                format!("{shown:?} is not the URL of a discovery tree: {why}"),
            )
        })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(SCHEME).ok_or("it does not begin with enrtree://")?;
        let (key, domain) = rest.split_once('@').ok_or("it has no @ between key and domain")?;
        let key = BASE32_NOPAD
            .decode(key.to_ascii_uppercase().as_bytes())
            .map_err(|_| "its key is not base32")?;
        let key = VerifyingKey::from_sec1_bytes(&key)
            .ok()
            .filter(|_| key.len() == 33)
            .ok_or("its key is not a compressed one of secp256k1")?;
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if domain.len() > MAX_DOMAIN || !domain.split('.').all(is_label) {
            return Err("what follows the @ is not a domain");
        }
        Ok(TreeUrl { key, domain })
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }
}

impl fmt::Display for TreeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE32_NOPAD.encode(&self.key.to_sec1_point(true).to_bytes());
        write!(f, "{SCHEME}{key}@{}", self.domain)
    }
}

/// The name of an entry in its tree: the beginning of its text's hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label {
    text: String,
    hash: Vec<u8>,
}

impl Label {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_uppercase();
        match BASE32_NOPAD.decode(text.as_bytes()) {
            Ok(hash) if HASH.contains(&hash.len()) => Ok(Label { text, hash }),
            Ok(hash) => Err(format!("a hash of {} bytes", hash.len())),
            Err(_) => Err("a hash that is not base32".to_owned()),
        }
    }

    /// Whether a text may be filed under it.
    pub(super) fn is_of(&self, text: &str) -> bool {
        Keccak256::digest(text.as_bytes()).starts_with(&self.hash)
    }

    /// Where the entry is.
    pub(super) fn at(&self, domain: &str) -> String {
        format!("{}.{domain}", self.text)
    }
}

/// The root of a tree, its signature checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// The entry from which all records are reached.
    pub(super) records: Label,
    /// The entry from which all links to other trees are reached.
    pub(super) links: Label,
    /// Which version of the tree it is.
    pub(super) seq: u64,
}

impl Root {
    pub(super) fn is(text: &str) -> bool {
        text.starts_with(ROOT)
    }

    pub(super) fn parse(text: &str, of: &TreeUrl) -> Result<Self, String> {
        let (signed, signature) = text.rsplit_once(" sig=").ok_or("it has no signature")?;
        let mut fields = signed.strip_prefix(ROOT).ok_or("it is no root")?.split(' ');
        let mut field = |name: &str| {
            let value = fields.next().and_then(|field| field.strip_prefix(name));
            value.ok_or_else(|| format!("it has no {name} where it should be"))
        };
        let (records, links, seq) = (field("e=")?, field("l=")?, field("seq=")?);
        if fields.next().is_some() {
            return Err("it has fields of which nothing is known".to_owned());
        }
        // r, s, and a byte to recover the key with, which is known here.
        let signature = (BASE64URL_NOPAD.decode(signature.as_bytes()).ok())
            .filter(|bytes| bytes.len() == 65)
            .and_then(|bytes| Signature::from_slice(&bytes[..64]).ok())
            .ok_or("its signature is not one of secp256k1")?;
        of.key
            .verify_prehash(&Keccak256::digest(signed.as_bytes()), &signature)
            .map_err(|_| "its signature is not by the key of the tree")?;
        Ok(Root {
            records: Label::parse(records)?,
            links: Label::parse(links)?,
            seq: seq.parse().map_err(|_| "its number is none")?,
        })
    }
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// More entries.
    Branch(Vec<Label>),
    /// Another tree.
    Link(TreeUrl),
    /// A node's record (ENR), as text.
    Record(String),
}

impl Entry {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(children) = text.strip_prefix(BRANCH) {
            // An empty branch is how an empty tree looks.
            let children = children.split(',').filter(|child| !child.is_empty());
            return Ok(Entry::Branch(children.map(Label::parse).collect::<Result<_, _>>()?));
        }
        if text.starts_with(SCHEME) {
            return Ok(Entry::Link(TreeUrl::read(text)?));
        }
        if text.starts_with(RECORD) {
            return Ok(Entry::Record(text.to_owned()));
        }
        Err("an entry of no known kind".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// The example of EIP-1459.
    const ROOT_TEXT: &str = "enrtree-root:v1 e=JWXYDBPXYWG6FX3GMDIBFA6CJ4 \
                             l=C7HRFPF3BLGF3YR4DY5KX3SMBE seq=1 \
                             sig=o908WmNp7LibOfPsr4btQwatZJ5URBr2ZAuxvK4UWHlsB9sUOTJQaGAlLPVAhM__\
                             XJesCHxLISo94z5Z2a463gA";
    const KEY: &str = "AKPYQIUQIL7PSIACI32J7FGZW56E5FKHEFCCOFHILBIMW3M6LWXS2";
    const LINK: &str =
        "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@morenodes.example.org";
    const BRANCH_TEXT: &str = "enrtree-branch:2XS2367YHAXJFGLZHVAWLQD4ZY,\
                               H4FHT4B454P6UXFD7JCYQ5PWDY,MHTDO6TMUBRIA2XWG5LUDACK24";

    fn url() -> TreeUrl {
        TreeUrl::parse(&format!("enrtree://{KEY}@nodes.example.org")).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        let root = Root::parse(ROOT_TEXT, &url()).unwrap();
        assert_eq!(root.seq, 1);
        assert!(root.records.is_of(BRANCH_TEXT) && root.links.is_of(LINK));
        assert!(!root.records.is_of(LINK) && !root.links.is_of(BRANCH_TEXT));
        assert_eq!(root.links.at("x.org"), "C7HRFPF3BLGF3YR4DY5KX3SMBE.x.org");
        let Entry::Branch(children) = Entry::parse(BRANCH_TEXT).unwrap() else { panic!() };
        assert_eq!(children.len(), 3);
        let Entry::Link(link) = Entry::parse(LINK).unwrap() else { panic!() };
        assert_eq!(link.to_string(), LINK);
        assert_eq!(Entry::parse("enrtree-branch:").unwrap(), Entry::Branch(Vec::new()));
    }

    #[test]
    fn a_root_that_anyone_has_touched_is_refused() {
        let other = TreeUrl::parse(LINK).unwrap();
        assert!(Root::parse(ROOT_TEXT, &other).unwrap_err().contains("not by the key"));
        for (of, with) in [
            ("seq=1", "seq=2"),
            ("e=J", "e=K"),
            ("sig=o9", "sig=o8"),
            (" sig=", " sig= "),
            ("seq=1", "seq=1 x=1"),
            ("l=C7", "L=C7"),
            ("3gA", "3g"),
        ] {
            assert!(Root::parse(&ROOT_TEXT.replace(of, with), &url()).is_err(), "{of} to {with}");
        }
        assert!(Root::parse("enrtree-root:v1 ", &url()).is_err());
    }

    #[test]
    fn urls_and_entries_that_are_none_are_refused() {
        let long = "x".repeat(64);
        for text in [
            "".to_owned(),
            "enrtree://".to_owned(),
            format!("enrtree://{KEY}"),
            format!("enrtree://{KEY}@"),
            format!("enrtree://{KEY}@a..b"),
            format!("enrtree://{KEY}@a b"),
            format!("enrtree://{KEY}@{long}.org"),
            format!("enrtree://{}@x.org", &KEY[1..]),
            format!("enrtree://A{}@x.org", &KEY[..52]),
            format!("https://{KEY}@x.org"),
        ] {
            assert_eq!(TreeUrl::parse(&text).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        for text in ["", "enrtree-branch:A", "enrtree-branch:!!", "enrtree://x@y", "hello"] {
            assert!(Entry::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            TreeUrl::parse(&format!("enrtree://{}@Nodes.Example.ORG.", KEY.to_lowercase()))
                .unwrap(),
            url()
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]
        #[test]
        fn nothing_that_is_read_panics(text in ".{0,300}") {
            let _ = Entry::parse(&text);
            let _ = Entry::parse(&format!("{BRANCH}{text}"));
            let _ = Root::parse(&format!("{ROOT}{text} sig={text}"), &url());
            let _ = TreeUrl::parse(&format!("{SCHEME}{text}@{text}"));
        }
    }
}
