//! Asks a store peer: one request and one response a stream.

use data_encoding::HEXLOWER;

use super::address::PeerName;
use super::shared::Shared;
use super::{frame, identity};
use crate::error::{Error, ErrorKind, Result};
use crate::store::client::{self, MAX_RESPONSE};
use crate::types::{Page, Query};
use crate::wire::store::PROTOCOL;

/// Responses beyond this are hashed on a thread for blocking work: at 15 MiB that takes long enough
/// for a runtime worker to be missed.
const LARGE: usize = 256 * 1024;

/// One page of a peer's history.
pub(super) async fn query(shared: &Shared, peer: PeerName, query: Query) -> Result<Page> {
    let request_id = HEXLOWER.encode(&identity::random::<16>()?);
    // Before the dial: a query that cannot be asked is told at once.
    let request = client::encode(&request_id, &query)?;
    shared
        .in_time("the store request", async {
            let peer = shared.reach(peer).await?;
            let mut stream = match shared.open(peer, PROTOCOL).await {
                // The connection ended under our hands: once more on a new one.
                Err(e) if e.kind() == ErrorKind::StreamClosed => {
                    let peer = shared.reach(PeerName::Id(peer)).await?;
                    shared.open(peer, PROTOCOL).await?
                }
                opened => opened?,
            };
            frame::write(&mut stream, &[request]).await?;
            let response =
                frame::read(&mut stream, MAX_RESPONSE, None).await?.ok_or_else(|| {
                    Error::new(ErrorKind::StreamClosed, "the peer closed without an answer")
                })?;
            // It closes in the background: the page need not wait for that.
            drop(stream);
            if response.len() < LARGE {
                return client::decode(&request_id, &query, &response);
            }
            tokio::task::spawn_blocking(move || client::decode(&request_id, &query, &response))
                .await
                .map_err(|e| Error::new(ErrorKind::Internal, format!("checking a page: {e}")))?
        })
        .await
}
