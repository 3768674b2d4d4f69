//! Every export of the C ABI is what the rules ask for: literal, named `wks_…`, documented with its
//! threads, blocking, ownership and errors, and its whole body one call of the guard.
#![cfg(feature = "ffi-c")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use syn::{Attribute, Expr, Item, ItemFn, Lit, Meta, Stmt, Visibility};

/// The source files of the C ABI, by name.
fn sources() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ffi/c");
    let mut out: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    out.sort();
    out
}

fn is_no_mangle(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("unsafe") => list.tokens.to_string() == "no_mangle",
        meta => meta.path().is_ident("no_mangle"),
    }
}

fn docs(attributes: &[Attribute]) -> String {
    let mut out = String::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(text) = &literal.lit
        {
            out += text.value().trim();
            out.push('\n');
        }
    }
    out
}

/// All that is wrong with an export.
fn faults(function: &ItemFn) -> Vec<String> {
    let mut out = Vec::new();
    let signature = &function.sig;
    let name = signature.ident.to_string();
    if !name.starts_with("wks_") {
        out.push("its name does not begin with wks_".into());
    }
    if !matches!(function.vis, Visibility::Public(_)) {
        out.push("it is not pub".into());
    }
    let abi = signature.abi.as_ref().and_then(|abi| abi.name.as_ref());
    if abi.map(syn::LitStr::value).as_deref() != Some("C") {
        out.push("it is not extern \"C\"".into());
    }
    if !signature.generics.params.is_empty() {
        out.push("it is generic".into());
    }
    let guarded = match function.block.stmts.as_slice() {
        [Stmt::Expr(Expr::Call(call), None)] => match &*call.func {
            Expr::Path(path) => path.path.segments.first().is_some_and(|s| s.ident == "guard"),
            _ => false,
        },
        _ => false,
    };
    if !guarded {
        out.push("its body is not one call of the guard".into());
    }
    let docs = docs(&function.attrs);
    for what in ["Threads:", "Blocks:", "Owns:", "Errors:"] {
        if !docs.contains(what) {
            out.push(format!("its documentation does not say {what}"));
        }
    }
    if docs.lines().next().is_none_or(|l| l.starts_with("Threads:")) {
        out.push("its documentation does not say what it does".into());
    }
    out
}

/// The exports of a file.
fn exports(source: &str) -> Vec<ItemFn> {
    let is_export = |item: Item| match item {
        Item::Fn(f) if f.attrs.iter().any(is_no_mangle) => Some(f),
        _ => None,
    };
    syn::parse_file(source).unwrap().items.into_iter().filter_map(is_export).collect()
}

#[test]
fn every_export_is_guarded_and_documented() {
    let header =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/wakustore.h"))
            .unwrap();
    let mut count = 0;
    let mut wrong = Vec::new();
    for (file, source) in sources() {
        let exports = exports(&source);
        // One in a macro, a module or an impl would be found by the linker and not by us.
        let attributes = source.matches("no_mangle").count();
        if attributes != exports.len() {
            wrong.push(format!("{file}: {attributes} no_mangle, {} exports", exports.len()));
        }
        for export in exports {
            count += 1;
            let name = export.sig.ident.to_string();
            if !header.contains(&format!(" {name}(")) && !header.contains(&format!("*{name}(")) {
                wrong.push(format!("{file}: {name} is not in the header"));
            }
            wrong.extend(faults(&export).into_iter().map(|f| format!("{file}: {name}: {f}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "only {count} exports were found");
}

#[test]
fn what_is_wrong_is_found() {
    let faults_of = |source: &str| faults(&exports(source)[0]).len();
    let docs =
        "/// Does it.\n/// Threads: a. Blocks: b. Owns: c. Errors: d.\n#[unsafe(no_mangle)]\n";
    assert_eq!(faults_of(&format!("{docs} pub extern \"C\" fn wks_a() {{ guard::run() }}")), 0);
    for (bad, count) in [
        ("pub extern \"C\" fn wks_a() { guard::run(); }", 1),
        ("pub extern \"C\" fn wks_a() { let x = 1; guard::run(x) }", 1),
        ("pub extern \"C\" fn wks_a() { run() }", 1),
        ("pub extern \"C\" fn a() { guard::run() }", 1),
        ("extern \"C\" fn wks_a() { guard::run() }", 1),
        ("pub extern \"C\" fn wks_a<T>() { guard::run() }", 1),
        ("pub fn wks_a() { guard::run() }", 1),
        ("pub extern \"system\" fn wks_a() {}", 2),
    ] {
        assert_eq!(faults_of(&format!("{docs}{bad}")), count, "{bad}");
    }
    let bare = "#[no_mangle] pub extern \"C\" fn wks_a() { guard::run() }";
    assert_eq!(faults_of(bare), 5);
}
