//! Without features the crate is pure: no runtime, no network stack, no database in its tree.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

fn tree(features: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "wakustore", "--edges", "normal"])
        .args(["--prefix", "none", "--no-default-features"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_string)
        .collect()
}

fn impure(name: &str) -> bool {
    [
        "tokio",
        "mio",
        "rusqlite",
        "libsqlite3-sys",
        "postgres",
        "rustls",
        "uniffi",
        "libc",
        "rustix",
        "socket2",
    ]
    .contains(&name)
        || name.starts_with("libp2p")
        || name.starts_with("tokio-")
}

#[test]
fn no_features_no_runtime() {
    let found: Vec<_> = tree(&[]).into_iter().filter(|n| impure(n)).collect();
    assert!(found.is_empty(), "the pure crate depends on {found:?}");
}

#[test]
fn a_local_archive_needs_no_network() {
    let crates = tree(&["--features", "sqlite"]);
    assert!(crates.iter().any(|n| n == "rusqlite"));
    let found: Vec<_> =
        crates.iter().filter(|n| n.starts_with("libp2p") || *n == "tokio").collect();
    assert!(found.is_empty(), "{found:?}");
}
