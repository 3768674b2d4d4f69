//! Holds the walls of `docs/ARCHITECTURE.md`: every path in the sources, macro bodies included,
//! names only layers that stand below its own; what belongs to one layer (tokio, SQLite, `unsafe`,
//! sockets, clocks) is found nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Lowest first. A layer may name itself and those before it.
const LAYERS: &[&str] =
    &["types", "wire", "archive", "store", "sync", "engine", "node", "runtime", "ffi"];
/// What stands beside the layers; everybody may name it.
const COMMONS: &[&str] = &["error", "Error", "ErrorKind", "Result", "sabotage"];
/// Pairs that are in order but must not meet all the same: (layer, what it must not name).
const APART: &[(&str, &str)] = &[("runtime", "node"), ("sync", "store"), ("sync", "archive")];

/// Crates and modules of std that only some layers may name.
const RESERVED: &[(&str, &[&str])] = &[
    ("tokio", &["archive::postgres", "node", "runtime", "ffi"]),
    ("libp2p", &["node"]),
    ("libp2p_stream", &["node"]),
    ("libp2p_mplex", &["node"]),
    ("yamux", &["node"]),
    ("rusqlite", &["archive::sqlite", "archive::nwaku::sqlite"]),
    ("postgres", &["archive::postgres", "archive::nwaku::pg"]),
    ("tokio_postgres_rustls", &["archive::postgres"]),
    ("rustls", &["archive::postgres", "node"]),
    ("hickory_resolver", &["node"]),
    ("enr", &["node"]),
    ("k256", &["node"]),
    ("sha3", &["node"]),
    ("webpki_roots", &["archive::postgres"]),
    ("prost", &["wire"]),
    ("tracing", &["node", "runtime", "ffi"]),
    ("tracing_subscriber", &["ffi"]),
    ("prometheus_client", &["node"]),
    ("uniffi", &["ffi"]),
    ("libc", &["ffi"]),
    ("std::net", &["node"]),
    ("std::thread", &["archive", "runtime", "ffi"]),
    ("std::fs", &["archive", "node"]),
    ("std::env", &[]),
    ("std::time::Instant", &["archive", "node", "runtime", "ffi"]),
    ("std::time::SystemTime", &["archive", "ffi"]),
    ("println", &[]),
    ("eprintln", &[]),
];

/// A path as it is written, made absolute: `crate::types::Query` or `std::fs`.
#[derive(Debug)]
struct Named {
    file: PathBuf,
    module: Vec<String>,
    path: Vec<String>,
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn module_of(file: &Path, src: &Path) -> Vec<String> {
    let relative = file.strip_prefix(src).unwrap().with_extension("");
    let mut parts: Vec<String> = relative.iter().map(|p| p.to_str().unwrap().to_string()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// Reads `a::b::{c, d::e}` from the tokens at `at` and adds each full path to `out`.
fn read_path(
    tokens: &[TokenTree],
    mut at: usize,
    mut path: Vec<String>,
    out: &mut Vec<Vec<String>>,
) {
    let colons = |i: usize| {
        matches!((tokens.get(i), tokens.get(i + 1)),
            (Some(TokenTree::Punct(a)), Some(TokenTree::Punct(b)))
                if a.as_char() == ':' && a.spacing() == Spacing::Joint && b.as_char() == ':')
    };
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(i)) => path.push(i.to_string()),
            Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Brace && !path.is_empty() => {
                let inner: Vec<TokenTree> = g.stream().into_iter().collect();
                let mut start = true;
                for i in 0..inner.len() {
                    if start {
                        read_path(&inner, i, path.clone(), out);
                    }
                    start = matches!(&inner[i], TokenTree::Punct(p) if p.as_char() == ',');
                }
                return;
            }
            _ => break,
        }
        at += 1;
        if !colons(at) {
            break;
        }
        at += 2;
    }
    out.push(path);
}

/// All paths of a token stream, with inline modules followed and `self`/`super` resolved.
fn walk(stream: TokenStream, module: &[String], file: &Path, out: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(g) => {
                let mut inside = module.to_vec();
                if let (true, Some(TokenTree::Ident(name)), Some(TokenTree::Ident(word))) = (
                    g.delimiter() == Delimiter::Brace && i >= 2,
                    tokens.get(i.wrapping_sub(1)),
                    tokens.get(i.wrapping_sub(2)),
                ) && word == "mod"
                {
                    inside.push(name.to_string());
                }
                walk(g.stream(), &inside, file, out);
            }
            TokenTree::Ident(_) => {
                // Only where a path begins: not after `::` or `.`.
                if let Some(TokenTree::Punct(p)) = i.checked_sub(1).and_then(|j| tokens.get(j))
                    && (p.as_char() == ':'
                        && matches!(i.checked_sub(2).and_then(|j| tokens.get(j)),
                            Some(TokenTree::Punct(q)) if q.as_char() == ':')
                        || p.as_char() == '.')
                {
                    continue;
                }
                // Nor where a module is declared, which may be called like a crate.
                if let Some(TokenTree::Ident(word)) = i.checked_sub(1).and_then(|j| tokens.get(j))
                    && word == "mod"
                {
                    continue;
                }
                let mut paths = Vec::new();
                read_path(&tokens, i, Vec::new(), &mut paths);
                for path in paths {
                    let path = resolve(path, module);
                    out.push(Named { file: file.to_path_buf(), module: module.to_vec(), path });
                }
            }
            _ => {}
        }
    }
}

fn resolve(path: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = path.as_slice();
    if !matches!(rest.first().map(String::as_str), Some("self" | "super")) {
        return path;
    }
    while let Some(first) = rest.first() {
        match first.as_str() {
            "self" => {}
            "super" => {
                base.pop();
            }
            _ => break,
        }
        rest = &rest[1..];
    }
    let mut full = vec!["crate".to_string()];
    full.extend(base);
    full.extend_from_slice(rest);
    full
}

fn all_paths() -> Vec<Named> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let mut out = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // syn first, so that what is walked is Rust and not something that only looks like it.
        syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        walk(text.parse().unwrap(), &module_of(&file, &src), &file, &mut out);
    }
    out
}

fn breaches(paths: &[Named]) -> Vec<String> {
    let rank = |name: &str| LAYERS.iter().position(|l| *l == name);
    let mut found = Vec::new();
    for named in paths {
        let Some(layer) = named.module.first() else { continue };
        let Some(own) = rank(layer) else { continue };
        if named.path.first().is_some_and(|p| p == "crate") {
            let Some(target) = named.path.get(1) else { continue };
            if COMMONS.contains(&target.as_str()) {
                continue;
            }
            let apart = APART.iter().any(|(l, t)| l == layer && t == target);
            if rank(target).is_some_and(|r| r > own) || apart {
                found.push(format!(
                    "{}: {layer} names {}",
                    named.file.display(),
                    named.path.join("::")
                ));
            }
            let c_and_uniffi = named.module.get(..2).map(|m| m.join("::"));
            let other = named.path.get(1..3).map(|p| p.join("::"));
            if let (Some(a), Some(b)) = (c_and_uniffi, other)
                && ((a == "ffi::c" && b == "ffi::uniffi") || (a == "ffi::uniffi" && b == "ffi::c"))
            {
                found.push(format!("{}: {a} names {b}", named.file.display()));
            }
        }
        let written = named.path.join("::");
        let here = named.module.join("::");
        for (what, homes) in RESERVED {
            let is = written == *what || written.starts_with(&format!("{what}::"));
            let home = homes.iter().any(|h| here == *h || here.starts_with(&format!("{h}::")));
            let test = named.module.iter().any(|m| m == "tests");
            if is && !home && !test {
                found.push(format!("{}: {here} names {written}", named.file.display()));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn each_layer_names_only_those_below() {
    let found = breaches(&all_paths());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn unsafe_lives_in_ffi_alone() {
    let found: Vec<_> = all_paths()
        .into_iter()
        .filter(|n| n.module.first().is_none_or(|m| m != "ffi"))
        .filter(|n| n.path.len() == 1 && (n.path[0] == "unsafe" || n.path[0] == "unsafe_code"))
        // `#![deny(unsafe_code)]` at the root is what it should be.
        .filter(|n| !(n.file.ends_with("src/lib.rs") && n.path[0] == "unsafe_code"))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// The test's own eyes: breaches of every form must be seen.
#[test]
fn breaches_are_seen() {
    let cases = [
        ("sync", "use crate::{types::Query, archive::Archive};"),
        ("sync", "use crate::{types::Query, engine::{Engine}};"),
        ("types", "fn f() { log!(a, crate::wire::x()) }"),
        ("types", "macro_rules! m { () => { $crate::node::Node } }"),
        ("wire::store", "use super::super::archive::Rules;"),
        ("engine", "mod inner { fn f() { super::super::node::go() } }"),
        ("engine", "fn f() { tokio::spawn(x) }"),
        ("archive::memory", "use rusqlite::Connection;"),
        ("archive::sqlite", "mod postgres; use postgres::Client;"),
        ("sync", "use std::{fs, sync::Arc};"),
        ("ffi::c::op", "use crate::ffi::uniffi::Page;"),
        ("store", "fn f() { println!(\"\") }"),
        ("archive::worker", "fn f() { tracing::warn!(\"\") }"),
        ("runtime", "use tracing_subscriber::Registry;"),
        ("engine", "use prometheus_client::registry::Registry;"),
        ("engine", "fn f() -> std::time::Instant { todo }"),
    ];
    for (module, text) in cases {
        let module: Vec<String> = module.split("::").map(str::to_string).collect();
        let mut paths = Vec::new();
        walk(text.parse().unwrap(), &module, Path::new("case.rs"), &mut paths);
        assert_eq!(breaches(&paths).len(), 1, "{text}: {:?}", breaches(&paths));
    }
    let mut fine = Vec::new();
    let module = ["engine".to_string()];
    let text =
        "use super::sync::index; use crate::{error::bail, types}; fn f() { std::mem::take(x) }";
    walk(text.parse().unwrap(), &module, Path::new("case.rs"), &mut fine);
    assert!(breaches(&fine).is_empty(), "{:?}", breaches(&fine));
}
