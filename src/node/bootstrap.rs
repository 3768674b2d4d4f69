//! The peers that a node's owner names: dialled when it starts, and again until each was reached.

use std::sync::Arc;
use std::time::Duration;

use super::address::{self, Address};
use super::shared::Shared;
use crate::error::{ErrorKind, Result, bail};

/// The most peers that can be named.
const MAX_PEERS: usize = 256;
/// How long after a dial that failed the next one begins, the first time; it doubles.
const RETRY: Duration = Duration::from_secs(2);
const MAX_RETRY: Duration = Duration::from_secs(300);

/// Reads the addresses.
///
/// # Errors
/// [`ErrorKind::Address`], [`ErrorKind::InvalidArgument`] for too many.
pub(super) fn parse(peers: &[String]) -> Result<Vec<Address>> {
    if peers.len() > MAX_PEERS {
        bail!(InvalidArgument, "{} bootstrap peers; {MAX_PEERS} can be named", peers.len());
    }
    peers.iter().map(|text| address::parse(text)).collect()
}

/// Dials each until it was reached, or has turned out to be none of ours.
pub(super) fn begin(shared: &Arc<Shared>, peers: Vec<Address>) {
    for peer in peers {
        let shared = shared.clone();
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let mut pause = RETRY;
            loop {
                match shared.in_time("the dial", shared.dial(peer.clone())).await {
                    Ok(_) => return,
                    Err(e) if e.kind() == ErrorKind::OtherCluster => {
                        return tracing::warn!(at = %peer.at, "a bootstrap peer: {e}");
                    }
                    Err(e) => tracing::info!(at = %peer.at, "a bootstrap peer: {e}"),
                }
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(MAX_RETRY);
            }
        });
    }
}
