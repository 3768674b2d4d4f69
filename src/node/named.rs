//! Dialling by name: a transport that looks up what an address names and dials what it finds.
//!
//! `/dns`, `/dns4` and `/dns6` are looked up below TLS, which must see the name; `/dnsaddr`, whose
//! records are whole addresses of any transport, above all of them. Several addresses of one name
//! are tried with a small lead each, and the first that answers is taken, so that a dead one costs
//! little. What must hold: the lookups and the dials of one address are bounded.
//!
//! libp2p's own layer for names is not used: it panics where an answer holds its records beside it,
//! and what a `/dnsaddr` stands for it can dial only with the transport that it wraps.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, TryFutureExt};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::dials::innermost;
use super::names::{Family, Names};

/// Lookups for one address.
const MAX_LOOKUPS: usize = 16;
/// Addresses that are dialled for one.
const MAX_DIALS: usize = 16;
/// The lead of one address before the next is tried (RFC 8305).
const LEAD: Duration = Duration::from_millis(250);

/// Which part of an address a layer looks up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// `/dns`, `/dns4`, `/dns6`.
    Host,
    /// `/dnsaddr`.
    Whole,
}

impl Part {
    fn is(self, protocol: &Protocol<'_>) -> bool {
        match self {
            Part::Host => {
                matches!(protocol, Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))
            }
            Part::Whole => matches!(protocol, Protocol::Dnsaddr(_)),
        }
    }
}

/// Looks names up for the transport inside.
pub(super) struct Named<T: Transport> {
    inner: Arc<Mutex<T>>,
    names: Names,
    part: Part,
    /// Whether a connection leads to whom an address that was looked up names.
    is_meant: fn(&Multiaddr, &T::Output) -> bool,
}

impl<T: Transport> Named<T> {
    /// `/dns`, `/dns4` and `/dns6`.
    pub(super) fn hosts(inner: T, names: Names) -> Self {
        let inner = Arc::new(Mutex::new(inner));
        Named { inner, names, part: Part::Host, is_meant: |_, _| true }
    }
}

impl<T: Transport<Output = (PeerId, StreamMuxerBox)>> Named<T> {
    /// `/dnsaddr`. The swarm knows only whom its caller asked for, not whom a record names.
    pub(super) fn whole(inner: T, names: Names) -> Self {
        let is_meant = |address: &Multiaddr, (peer, _): &(PeerId, _)| match address.iter().last() {
            Some(Protocol::P2p(meant)) => meant == *peer,
            _ => true,
        };
        Named { inner: Arc::new(Mutex::new(inner)), names, part: Part::Whole, is_meant }
    }
}

impl<T> Transport for Named<T>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: Send + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = futures::future::MapErr<T::ListenerUpgrade, fn(T::Error) -> io::Error>;
    type Dial = BoxFuture<'static, io::Result<T::Output>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.listen_on(id, address).map_err(|e| e.map(io::Error::other))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        if !address.iter().any(|protocol| self.part.is(&protocol)) {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let dial = inner.dial(address, options).map_err(|e| e.map(io::Error::other))?;
            return Ok(dial.map_err(io::Error::other).boxed());
        }
        let (inner, names, part) = (self.inner.clone(), self.names.clone(), self.part);
        let is_meant = self.is_meant;
        Ok(async move {
            let found = look_up(&names, part, address).await?;
            let dials = found.into_iter().map(|address| {
                let text = address.to_string();
                let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
                let dial = inner.dial(address.clone(), options);
                drop(inner);
                async move {
                    let failed = |e: io::Error| {
                        io::Error::new(e.kind(), format!("{text}: {}", innermost(&e)))
                    };
                    match dial {
                        Ok(dial) => match dial.await {
                            Ok(connection) if is_meant(&address, &connection) => Ok(connection),
                            Ok(_) => Err(failed(io::Error::other("another peer is there"))),
                            Err(e) => Err(failed(io::Error::other(e))),
                        },
                        Err(TransportError::MultiaddrNotSupported(_)) => {
                            Err(failed(io::Error::other("this node does not dial such addresses")))
                        }
                        Err(TransportError::Other(e)) => Err(failed(io::Error::other(e))),
                    }
                }
                .boxed()
            });
            first(dials.collect()).await
        }
        .boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *inner).poll(cx).map(|event| {
            let upgrade: fn(T::Error) -> io::Error = io::Error::other;
            event.map_upgrade(|u| u.map_err(upgrade)).map_err(io::Error::other)
        })
    }
}

/// The first of these to answer. They begin one after the other, the next where one has failed or
/// had its lead.
async fn first<T>(dials: Vec<BoxFuture<'static, io::Result<T>>>) -> io::Result<T> {
    let mut waiting = VecDeque::from(dials);
    let mut running = FuturesUnordered::new();
    let mut failed: Vec<io::Error> = Vec::new();
    loop {
        if let Some(next) = waiting.pop_front() {
            running.push(next);
        } else if running.is_empty() {
            break;
        }
        let ended = match waiting.is_empty() {
            true => running.next().await,
            false => tokio::time::timeout(LEAD, running.next()).await.ok().flatten(),
        };
        match ended {
            Some(Ok(connection)) => return Ok(connection),
            Some(Err(e)) => failed.push(e),
            None => {}
        }
    }
    let late = failed.iter().all(|e| e.kind() == io::ErrorKind::TimedOut);
    let kind = if late { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
    let texts: Vec<String> = failed.iter().map(ToString::to_string).collect();
    Err(io::Error::new(kind, texts.join("; ")))
}

/// The addresses that are meant, with no part of this kind left in them; at least one.
async fn look_up(names: &Names, part: Part, address: Multiaddr) -> io::Result<Vec<Multiaddr>> {
    let mut open = VecDeque::from([address.clone()]);
    let mut found: Vec<Multiaddr> = Vec::new();
    let mut failed = None;
    let mut lookups = 0;
    while let Some(address) = open.pop_front() {
        let at = address.iter().position(|protocol| part.is(&protocol));
        let Some((at, name)) = at.and_then(|at| Some((at, address.iter().nth(at)?))) else {
            if found.len() < MAX_DIALS && !found.contains(&address) {
                found.push(address);
            }
            continue;
        };
        lookups += 1;
        if lookups > MAX_LOOKUPS {
            failed = Some(io::Error::other(format!("{address}: more than {MAX_LOOKUPS} lookups")));
            break;
        }
        match meant(names, &name, &address, at).await {
            Ok(next) => open.extend(next.into_iter().take(MAX_DIALS)),
            Err(e) => failed = Some(e),
        }
    }
    match (found.is_empty(), failed) {
        (false, _) => Ok(found),
        (true, Some(e)) => Err(e),
        (true, None) => Err(io::Error::other(format!("{address}: the name has no such address"))),
    }
}

/// What the `at`th part of an address stands for, with the rest of it around.
async fn meant(
    names: &Names,
    name: &Protocol<'_>,
    address: &Multiaddr,
    at: usize,
) -> io::Result<Vec<Multiaddr>> {
    let (name, family) = match name {
        Protocol::Dns(name) => (name, Family::Any),
        Protocol::Dns4(name) => (name, Family::V4),
        Protocol::Dns6(name) => (name, Family::V6),
        Protocol::Dnsaddr(name) => {
            let texts = names.texts(&format!("_dnsaddr.{name}")).await?;
            let rest: Multiaddr = address.iter().skip(at + 1).collect();
            let before: Multiaddr = address.iter().take(at).collect();
            let told = texts.iter().filter_map(|text| {
                let told: Multiaddr = text.strip_prefix("dnsaddr=")?.parse().ok()?;
                // What follows the name must be there in the record: it says which one is wanted.
                told.ends_with(&rest).then(|| before.iter().chain(told.iter()).collect())
            });
            return Ok(told.collect());
        }
        _ => return Ok(Vec::new()),
    };
    let ips = names.ips(name, family).await?;
    let with = |ip: IpAddr| address.replace(at, |_| Some(Protocol::from(ip)));
    Ok(ips.into_iter().filter_map(with).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn dial(after: u64, what: Result<u32, io::ErrorKind>) -> BoxFuture<'static, io::Result<u32>> {
        async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            what.map_err(io::Error::from)
        }
        .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_is_taken() {
        let refused = io::ErrorKind::ConnectionRefused;
        let late = io::ErrorKind::TimedOut;
        // A dead one does not hold the others up.
        let began = tokio::time::Instant::now();
        let took = first(vec![dial(60_000, Ok(1)), dial(0, Err(refused)), dial(10, Ok(3))]).await;
        assert_eq!(took.unwrap(), 3);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        // A quick first has its lead.
        assert_eq!(first(vec![dial(100, Ok(1)), dial(0, Ok(2))]).await.unwrap(), 1);
        let error = first(vec![dial(0, Err(refused)), dial(1, Err(late))]).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert!(error.to_string().contains("; "), "{error}");
        let error = first(vec![dial(1, Err(late))]).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
