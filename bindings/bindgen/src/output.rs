//! Files that are generated and committed: written, or checked for drift.

use std::path::{Path, PathBuf};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What every command here can be told.
pub(crate) struct Options {
    /// Compare with the committed file instead of writing it.
    pub(crate) check: bool,
    /// The shared library to look at.
    pub(crate) library: PathBuf,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
        let mut options = Options { check: false, library: target.join("debug/libwakustore.so") };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match (arg.as_str(), args.as_slice().first()) {
                ("--check", _) => options.check = true,
                ("--library", Some(path)) => {
                    options.library = PathBuf::from(path);
                    args.next();
                }
                _ => return Err(format!("{arg:?}: there are --check and --library FILE").into()),
            }
        }
        Ok(options)
    }
}

/// Writes `content` to a file of the workspace, or tells where the file differs from it.
pub(crate) fn put(file: &str, content: &str, check: bool) -> Result<()> {
    let path = root().join(file);
    if !check {
        std::fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
        std::fs::write(&path, content)?;
        return Ok(());
    }
    let committed =
        std::fs::read_to_string(&path).map_err(|e| format!("{file} cannot be read: {e}"))?;
    if committed == content {
        return Ok(());
    }
    let mut lines = committed.lines().zip(content.lines()).enumerate();
    let at = lines.find(|(_, (old, new))| old != new);
    let what = match at {
        Some((i, (old, new))) => format!("line {}: it has {old:?}, now it is {new:?}", i + 1),
        None => {
            format!("it has {} lines, now {}", committed.lines().count(), content.lines().count())
        }
    };
    Err(format!("{file} has drifted from the sources; generate it again. {what}").into())
}
