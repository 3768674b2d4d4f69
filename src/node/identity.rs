//! The node's identity key, and the file it may be kept in.
//!
//! The file holds libp2p's protobuf encoding of a key: an ed25519 one where it is made here; one that
//! is there may be secp256k1, as deployed nodes have. It comes into being whole or not at all, with
//! mode 0600. An existing file that others than its owner may read or write is refused: a key that
//! others know is no identity.

use std::fs::File;
use std::io::{ErrorKind as IoKind, Read};
use std::path::Path;

use libp2p::identity::Keypair;

use super::{Identity, whole_file};
use crate::error::{Error, ErrorKind, Result, bail};

/// An encoded ed25519 key is 68 bytes long; nothing near this size is one.
const MAX_KEY_FILE: u64 = 1024;

/// The key, read or made. Blocks on the file.
pub(super) fn load(identity: &Identity) -> Result<Keypair> {
    match identity {
        Identity::Ephemeral => generate(),
        Identity::Secret(secret) => from_secret(*secret),
        Identity::File(path) => match read(path)? {
            Some(key) => Ok(key),
            None => create(path),
        },
    }
}

fn generate() -> Result<Keypair> {
    from_secret(random()?)
}

fn from_secret(mut secret: [u8; 32]) -> Result<Keypair> {
    // The constructor wipes the array that it is given.
    Keypair::ed25519_from_bytes(&mut secret)
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, "the secret is not an ed25519 key"))
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("no randomness to be had: {e}")))?;
    Ok(bytes)
}

fn failed(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::KeyFile, format!("{doing} the key file {}: {error}", path.display()))
}

/// The key in the file; `None` where there is no file.
fn read(path: &Path) -> Result<Option<Keypair>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(path, "opening", &e)),
    };
    let about = file.metadata().map_err(|e| failed(path, "reading", &e))?;
    if !about.is_file() {
        bail!(KeyFile, "{} is not a file", path.display());
    }
    check_mode(path, &about)?;
    let mut bytes = Vec::new();
    file.take(MAX_KEY_FILE + 1).read_to_end(&mut bytes).map_err(|e| failed(path, "reading", &e))?;
    // The decoder's own error is left out: it may quote what it read.
    match Keypair::from_protobuf_encoding(&bytes) {
        Ok(key) => Ok(Some(key)),
        Err(_) => bail!(
            KeyFile,
            "{} does not hold an ed25519 or secp256k1 key in libp2p's protobuf encoding",
            path.display()
        ),
    }
}

#[cfg(unix)]
fn check_mode(path: &Path, about: &std::fs::Metadata) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        bail!(
            KeyFile,
            "the key file {} has mode {mode:04o}: only its owner may read and write it (chmod 600)",
            path.display()
        );
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _about: &std::fs::Metadata) -> Result<()> {
    Ok(())
}

/// Makes a key and its file. Where another process was faster, its key is taken.
fn create(path: &Path) -> Result<Keypair> {
    let key = generate()?;
    let encoded = key
        .to_protobuf_encoding()
        .map_err(|_| Error::new(ErrorKind::Internal, "the new key cannot be encoded"))?;
    let Some(beside) = whole_file::beside(path)? else {
        bail!(KeyFile, "{} does not name a file", path.display());
    };
    let made = whole_file::write_new(&beside, &encoded).and_then(|()| put_in_place(&beside, path));
    let _ = std::fs::remove_file(&beside);
    match made {
        Ok(()) => {
            whole_file::sync_directory(path);
            Ok(key)
        }
        Err(e) if e.kind() == IoKind::AlreadyExists => match read(path)? {
            Some(key) => Ok(key),
            None => bail!(KeyFile, "the key file {} comes and goes", path.display()),
        },
        Err(e) => Err(failed(path, "creating", &e)),
    }
}

/// A link, unlike a rename, never replaces what is there; but some systems have none (Android
/// denies them to apps, FAT does not know them).
fn put_in_place(beside: &Path, path: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(beside, path) {
        Err(e) if e.kind() != IoKind::AlreadyExists && !path.exists() => {
            std::fs::rename(beside, path)
        }
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn id(path: &Path) -> Result<String> {
        Ok(load(&Identity::File(path.into()))?.public().to_peer_id().to_string())
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let first = id(&path).unwrap();
        assert_eq!(id(&path).unwrap(), first);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        id(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = id(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyFile);
        assert!(error.message().contains("0644"), "{error}");
    }

    #[test]
    fn many_starters_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let ids: Vec<String> = std::thread::scope(|s| {
            let all: Vec<_> = (0..8).map(|_| s.spawn(|| id(&path).unwrap())).collect();
            all.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|i| *i == ids[0]));
    }

    #[test]
    fn garbage_and_missing_directories_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("empty", vec![]), ("text", b"secret".to_vec()), ("big", vec![0; 9999])]
        {
            let path = dir.path().join(name);
            whole_file::write_new(&path, &bytes).unwrap();
            let error = id(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KeyFile);
            assert!(!error.message().contains("secret"));
        }
        assert_eq!(id(&dir.path().join("no/key")).unwrap_err().kind(), ErrorKind::KeyFile);
        assert_eq!(id(dir.path()).unwrap_err().kind(), ErrorKind::KeyFile);
    }
}
