//! The node's own state in a file: when it was last online, with whom it agrees over what.
//!
//! The engine makes the bytes and reads them; here they are kept. A magic number and a SHA-256
//! stand before them, so that half a file or a foreign one is known for what it is.
//!
//! What must hold: the file is replaced whole; nobody waits for it but a node that stops; and
//! whatever is wrong with it, the node runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::NodeEvent;
use super::event::Hub;
use super::whole_file;
use crate::error::bail;

const MAGIC: &[u8; 16] = b"wakustore state\x01";
const HEAD: usize = MAGIC.len() + 32;
/// The engine promises a few hundred KiB; a file beyond this is none of ours.
const MAX_FILE: usize = 8 * 1024 * 1024;
/// The wait after a failure to write; it doubles up to [`MAX_RETRY`].
const RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(300);

/// What is to be in the file; nothing until the engine has said.
pub(super) type States = watch::Sender<Option<Vec<u8>>>;

/// Refuses a path at which there can never be a file.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`].
pub(super) fn check(path: &Path) -> crate::Result<()> {
    if path.file_name().is_none() || path.is_dir() {
        bail!(InvalidArgument, "{} does not name a file for the state", path.display());
    }
    let directory = whole_file::directory(path);
    if !directory.is_dir() {
        bail!(InvalidArgument, "the directory of the state, {}, is not there", directory.display());
    }
    Ok(())
}

/// The state in the file. `None` where there is none, or none that can be used: that is logged,
/// and a file with something else in it is moved aside, and told of to the first that reads the
/// events.
pub(super) async fn load(path: PathBuf, hub: Arc<Hub>) -> Option<Vec<u8>> {
    let loading = tokio::task::spawn_blocking(move || {
        load_blocking(&path).unwrap_or_else(|why| {
            hub.send_early(set_aside(&path, why));
            None
        })
    });
    // It fails only where the runtime ends.
    loading.await.ok().flatten()
}

fn set_aside(path: &Path, why: &str) -> NodeEvent {
    NodeEvent::StateSetAside { path: path.display().to_string(), why: why.to_owned() }
}

/// Moves a file that is of no use out of the way, where it can be looked at.
pub(super) async fn move_aside(path: PathBuf, why: String, hub: &Hub) {
    hub.send_early(set_aside(&path, &why));
    let _ = tokio::task::spawn_blocking(move || move_aside_blocking(&path, &why)).await;
}

const DAMAGED: &str = "it is damaged, or not a state of this library";

/// # Errors
/// Why the file was moved aside.
fn load_blocking(path: &Path) -> Result<Option<Vec<u8>>, &'static str> {
    let file = match read(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        Err(e) => {
            tracing::error!("the state {} cannot be read: {e}", path.display());
            return Ok(None);
        }
    };
    match unseal(&file) {
        Some(state) => Ok(Some(state.to_vec())),
        None => {
            move_aside_blocking(path, DAMAGED);
            Err(DAMAGED)
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn move_aside_blocking(path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_os_string();
    aside.push(".bad");
    let aside = PathBuf::from(aside);
    tracing::error!("the state {} is moved to {}: {why}", path.display(), aside.display());
    if let Err(e) = std::fs::rename(path, &aside) {
        tracing::error!("moving the state {} aside: {e}", path.display());
    }
}

fn seal(state: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEAD + state.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&Sha256::digest(state));
    file.extend_from_slice(state);
    file
}

fn unseal(file: &[u8]) -> Option<&[u8]> {
    if file.len() > MAX_FILE {
        return None;
    }
    let (digest, state) = file.strip_prefix(MAGIC)?.split_at_checked(HEAD - MAGIC.len())?;
    (*Sha256::digest(state) == *digest).then_some(state)
}

/// Keeps the file as it is told, until nobody tells any more and the last is written. A failure is
/// logged and tried again, with the newest state; at the end, where it would hold up the stop, it is
/// only logged.
pub(super) async fn keep(path: PathBuf, mut states: watch::Receiver<Option<Vec<u8>>>) {
    let mut kept = None;
    while states.changed().await.is_ok() {
        let mut wait = RETRY;
        while !write_newest(&path, &mut states, &mut kept).await {
            // Until it is time, or nobody is there any more who could tell something newer.
            let ended = async { while states.changed().await.is_ok() {} };
            if tokio::time::timeout(wait, ended).await.is_ok() {
                write_newest(&path, &mut states, &mut kept).await;
                return;
            }
            wait = (wait * 2).min(MAX_RETRY);
        }
    }
}

/// Whether the file holds the newest state now.
async fn write_newest(
    path: &Path,
    states: &mut watch::Receiver<Option<Vec<u8>>>,
    kept: &mut Option<Vec<u8>>,
) -> bool {
    let newest = states.borrow_and_update().clone();
    let Some(state) = newest.filter(|newest| Some(newest) != kept.as_ref()) else { return true };
    match write(path.to_owned(), state.clone()).await {
        Ok(()) => {
            *kept = Some(state);
            true
        }
        Err(e) => {
            tracing::error!("the state {} was not kept: {e}", path.display());
            false
        }
    }
}

async fn write(path: PathBuf, state: Vec<u8>) -> io::Result<()> {
    tokio::task::spawn_blocking(move || whole_file::replace(&path, &seal(&state)))
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_is_kept_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        assert_eq!(load_blocking(&path), Ok(None));
        whole_file::replace(&path, &seal(b"first")).unwrap();
        whole_file::replace(&path, &seal(b"second")).unwrap();
        assert_eq!(load_blocking(&path), Ok(Some(b"second".to_vec())));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        }
    }

    #[test]
    fn every_damage_is_seen_and_the_file_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let whole = seal(b"some state");
        let cut = (0..whole.len()).map(|n| whole[..n].to_vec());
        let flipped = (0..whole.len()).map(|n| {
            let mut bytes = whole.clone();
            bytes[n] ^= 1;
            bytes
        });
        for bytes in cut.chain(flipped).chain([vec![0; MAX_FILE + 1]]) {
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(load_blocking(&path), Err(DAMAGED));
            assert!(!path.exists());
            assert_eq!(std::fs::read(dir.path().join("state.bad")).unwrap(), bytes);
        }
    }

    #[test]
    fn a_path_of_no_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        check(&dir.path().join("state")).unwrap();
        check(Path::new("state")).unwrap();
        for path in [dir.path().to_path_buf(), dir.path().join("no/state"), "/".into()] {
            let error = check(&path).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{path:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_tried_again_with_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let (path, inside) = (dir.path().join("later/state"), dir.path().join("later"));
        let (states, told) = watch::channel(None);
        let keeping = tokio::spawn(keep(path.clone(), told));
        states.send(Some(b"first".to_vec())).unwrap();
        tokio::time::sleep(RETRY * 20).await;
        std::fs::create_dir(inside).unwrap();
        states.send(Some(b"second".to_vec())).unwrap();
        tokio::time::timeout(MAX_RETRY, async {
            while load_blocking(&path) == Ok(None) {
                tokio::time::sleep(RETRY).await;
            }
        })
        .await
        .unwrap();
        assert_eq!(load_blocking(&path), Ok(Some(b"second".to_vec())));
        states.send(Some(b"last".to_vec())).unwrap();
        drop(states);
        keeping.await.unwrap();
        assert_eq!(load_blocking(&path), Ok(Some(b"last".to_vec())));
    }
}
