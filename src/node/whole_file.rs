//! Small files that come into being whole or not at all, with mode 0600.
//!
//! What must hold: whoever opens the name sees all of the old bytes or all of the new ones, also
//! after a loss of power; and nothing is left beside it but by a process that was killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::identity::random;

/// A name of our own in the same directory. `None` where the path names no file.
pub(super) fn beside(path: &Path) -> crate::error::Result<Option<PathBuf>> {
    let Some(name) = path.file_name() else { return Ok(None) };
    let mut name = name.to_os_string();
    name.push(format!(".{}.new", data_encoding::HEXLOWER.encode(&random::<8>()?)));
    Ok(Some(path.with_file_name(name)))
}

/// Writes a file that was not there, for its owner alone, down to the disk.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a new name last. Its failure is no reason to fail: the file is there.
pub(super) fn sync_directory(path: &Path) {
    if let Ok(directory) = File::open(directory(path)) {
        let _ = directory.sync_all();
    }
}

/// The directory that a file of this path is in.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts these bytes in the place of whatever the file held.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unnamed = || io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
    let beside = beside(path).map_err(io::Error::other)?.ok_or_else(unnamed)?;
    let written = write_new(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    sync_directory(path);
    written
}
