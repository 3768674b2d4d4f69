//! Dials on their way, and what their failures mean in words.

use std::collections::HashMap;
use std::error::Error as _;

use libp2p::core::transport::TransportError;
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};

use super::address::Address;
use super::peers::Waiter;
use crate::error::{Error, ErrorKind};

/// Dials on their way.
#[derive(Default)]
pub(super) struct Dials(HashMap<ConnectionId, Dial>);

struct Dial {
    address: Address,
    waiters: Vec<Waiter>,
}

impl Dials {
    /// Joins a dial of the same address, if one is on its way; gives the waiter back otherwise.
    pub(super) fn join(&mut self, address: &Address, waiter: Waiter) -> Option<Waiter> {
        match self.0.values_mut().find(|dial| dial.address == *address) {
            Some(dial) => {
                dial.waiters.push(waiter);
                None
            }
            None => Some(waiter),
        }
    }

    pub(super) fn begin(&mut self, id: ConnectionId, address: Address, waiter: Waiter) {
        self.0.insert(id, Dial { address, waiters: vec![waiter] });
    }

    /// None is on its way any more; who waited.
    pub(super) fn give_up(&mut self) -> Vec<Waiter> {
        self.0.drain().flat_map(|(_, dial)| dial.waiters).collect()
    }

    /// The dial has ended, well or not: where it went and who waits.
    pub(super) fn end(&mut self, id: ConnectionId) -> Option<(Multiaddr, Vec<Waiter>)> {
        self.0.remove(&id).map(|dial| (dial.address.at, dial.waiters))
    }
}

/// What came of a dial, for its caller.
pub(super) fn explain(error: &DialError, wanted: Option<PeerId>) -> Error {
    let (kind, message) = match error {
        DialError::Transport(tries) => return explain_tries(tries),
        DialError::WrongPeerId { obtained, address } => {
            let wanted = wanted.map(|p| p.to_string()).unwrap_or_default();
            let at = without_peer(address);
            (ErrorKind::Dial, format!("the peer at {at} is {obtained}, not {wanted}"))
        }
        DialError::LocalPeerId { .. } => {
            (ErrorKind::Dial, "the address is this node's own".to_owned())
        }
        DialError::Denied { cause } => {
            let cause = cause.source().map_or_else(|| cause.to_string(), |s| s.to_string());
            (ErrorKind::Dial, format!("this node takes no further connection: {cause}"))
        }
        other => (ErrorKind::Dial, format!("the dial failed: {other}")),
    };
    Error::new(kind, message)
}

fn explain_tries(tries: &[(Multiaddr, TransportError<std::io::Error>)]) -> Error {
    let unusable =
        |(_, e): &(_, TransportError<_>)| matches!(e, TransportError::MultiaddrNotSupported(_));
    let mut timed_out = false;
    let mut texts = Vec::new();
    for (address, error) in tries {
        let at = without_peer(address);
        let reason = match error {
            TransportError::MultiaddrNotSupported(_) => {
                "this node dials /ip4, /ip6 and /dns addresses with /tcp (and /ws or /tls/ws on top), or \
                 /udp and /quic-v1"
                    .to_owned()
            }
            TransportError::Other(e) => {
                let reason = innermost(e);
                // The transport's timeout has no type that could be asked for.
                timed_out |= e.kind() == std::io::ErrorKind::TimedOut
                    || reason.contains("Timeout has been reached");
                reason
            }
        };
        texts.push(format!("{at}: {reason}"));
    }
    let kind = match () {
        () if !tries.is_empty() && tries.iter().all(unusable) => ErrorKind::Address,
        () if timed_out => ErrorKind::TimedOut,
        () => ErrorKind::Dial,
    };
    let what = if kind == ErrorKind::Address { "not usable" } else { "could not be reached" };
    Error::new(kind, format!("{what}: {}", texts.join("; ")))
}

pub(super) fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if matches!(address.iter().last(), Some(libp2p::multiaddr::Protocol::P2p(_))) {
        address.pop();
    }
    address
}

/// The text of the error at the bottom: the layers above say only which of them failed.
pub(super) fn innermost(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    let mut at: Option<&(dyn std::error::Error + 'static)> = match error.get_ref() {
        Some(inner) => Some(inner),
        None => None,
    };
    while let Some(error) = at {
        let inner = error.to_string();
        if !inner.is_empty() {
            text = inner;
        }
        // An I/O error hides the one it wraps from `source`.
        at = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    text
}
