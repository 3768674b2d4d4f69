//! `wakustore-bindgen symbols`: include/wakustore.symbols, what the shared library exports.
//!
//! The C ABI's names and UniFFI's are listed apart. Any other exported name is an error: it could
//! clash with one of the host's.

use std::collections::BTreeSet;
use std::process::Command;

use crate::header;
use crate::output::{Options, Result, put};

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let library = &options.library;
    let nm = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(library)
        .output()
        .map_err(|e| format!("nm cannot be run: {e}"))?;
    if !nm.status.success() {
        return Err(
            format!("{}: {}", library.display(), String::from_utf8_lossy(&nm.stderr)).into()
        );
    }
    let names: BTreeSet<String> = String::from_utf8(nm.stdout)?
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();

    let of = |prefixes: &[&str]| -> Vec<&String> {
        names.iter().filter(|n| prefixes.iter().any(|p| n.starts_with(p))).collect()
    };
    let c = of(&["wks_"]);
    let uniffi = of(&["uniffi_", "ffi_wakustore_", "UNIFFI_META_"]);
    if c.len() + uniffi.len() != names.len() {
        let known: BTreeSet<&String> = c.iter().chain(&uniffi).copied().collect();
        let strange: Vec<&String> = names.iter().filter(|n| !known.contains(n)).collect();
        return Err(format!("{} exports names of others: {strange:?}", library.display()).into());
    }
    let header = header::generate()?;
    for name in &c {
        if !header.contains(&format!("{name}(")) {
            return Err(format!("{name} is exported but not in the header").into());
        }
    }

    let mut text = String::from("# The C ABI.\n");
    c.iter().for_each(|n| text += &format!("{n}\n"));
    text += "\n# The UniFFI scaffolding, for the generated bindings of the same version alone.\n";
    // What UniFFI reads from the library's file when it generates, and no binding calls.
    let called = uniffi.iter().filter(|n| !n.starts_with("UNIFFI_META_"));
    called.for_each(|n| text += &format!("{n}\n"));
    put("include/wakustore.symbols", &text, options.check)
}
