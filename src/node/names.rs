//! Names to addresses: the node's one resolver, with the system's name servers or its owner's own.
//!
//! What must hold: an answer is bounded in records and in bytes whatever a name server says, and
//! nothing that it says is more than an error. What has come is kept for as long as it says (an hour
//! at most), in a small cache, so that a tree of thousands of records cannot fill the memory.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::error::{Error, ErrorKind, Result, bail};

/// The most name servers that an owner may name.
const MAX_SERVERS: usize = 16;
/// Addresses that are taken of one name.
const MAX_IPS: usize = 16;
/// Text records that are taken of one name.
const MAX_TEXTS: usize = 64;
/// Bytes of one text record; longer ones are left out. The longest of a discovery tree is 370.
const MAX_TEXT: usize = 2048;
/// Answers that are kept.
const CACHE: u64 = 256;
/// How long a name server may take for one answer; it is asked once more.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest that an answer is kept.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// The longest that it is kept that there is no such name.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(60);
const PORT: u16 = 53;

/// Which addresses of a name are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

/// The resolver; clones are the same one.
#[derive(Clone)]
pub(super) struct Names(Option<TokioResolver>);

impl Names {
    /// With these name servers, or the system's where there are none. A machine may have no
    /// resolver configuration at all: then each question is answered by an error.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for what is no address of a name server.
    pub(super) fn new(servers: &[String]) -> Result<Self> {
        if servers.len() > MAX_SERVERS {
            bail!(InvalidArgument, "{} name servers; {MAX_SERVERS} can be named", servers.len());
        }
        let found = match servers {
            [] => system(),
            _ => {
                let servers = servers.iter().map(|text| server(text)).collect::<Result<_>>()?;
                Some((ResolverConfig::from_name_servers(servers), ResolverOpts::default()))
            }
        };
        let Some((config, mut options)) = found else {
            tracing::info!("no resolver configuration: names cannot be looked up");
            return Ok(Names(None));
        };
        options.cache_size = CACHE;
        options.positive_max_ttl = Some(MAX_TTL);
        options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
        if !servers.is_empty() {
            options.timeout = TIMEOUT;
            options.attempts = 1;
        }
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().map_err(|e| {
            Error::new(ErrorKind::InvalidArgument, format!("the name servers cannot be used: {e}"))
        })?;
        Ok(Names(Some(resolver)))
    }

    fn resolver(&self) -> io::Result<&TokioResolver> {
        self.0.as_ref().ok_or_else(|| {
            io::Error::other(
                "this machine has no resolver configuration: name servers can be named",
            )
        })
    }

    /// The addresses of a name, at most 16, at least one.
    pub(super) async fn ips(&self, name: &str, family: Family) -> io::Result<Vec<IpAddr>> {
        let resolver = self.resolver()?;
        let failed = |e: NetError| explain(name, &e);
        let ips: Vec<IpAddr> = match family {
            Family::Any => resolver.lookup_ip(name).await.map_err(failed)?.iter().collect(),
            Family::V4 | Family::V6 => {
                let kind = if family == Family::V4 { RecordType::A } else { RecordType::AAAA };
                let found = resolver.lookup(name, kind).await.map_err(failed)?;
                found.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
            }
        };
        // An answer may hold something else than what was asked for.
        match ips.is_empty() {
            true => Err(io::Error::other(format!("{name} has no address"))),
            false => Ok(ips.into_iter().take(MAX_IPS).collect()),
        }
    }

    /// The text records of a name, as it is written (no search domains are tried), at most 64 of at
    /// most 2 KiB each; what is not UTF-8 is left out.
    pub(super) async fn texts(&self, name: &str) -> io::Result<Vec<String>> {
        let resolver = self.resolver()?;
        let whole = format!("{}.", name.trim_end_matches('.'));
        let found = resolver.txt_lookup(whole).await.map_err(|e| explain(name, &e))?;
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => {
                let size: usize = text.txt_data.iter().map(|part| part.len()).sum();
                let whole = (size <= MAX_TEXT).then(|| text.txt_data.concat())?;
                String::from_utf8(whole).ok()
            }
            _ => None,
        });
        Ok(texts.take(MAX_TEXTS).collect())
    }
}

/// What the system says. On Android there is nobody to ask without the app's help.
#[cfg(not(target_os = "android"))]
fn system() -> Option<(ResolverConfig, ResolverOpts)> {
    hickory_resolver::system_conf::read_system_conf().ok()
}
#[cfg(target_os = "android")]
fn system() -> Option<(ResolverConfig, ResolverOpts)> {
    None
}

fn server(text: &str) -> Result<NameServerConfig> {
    let ip = |text: &str| text.parse().ok().map(|ip| SocketAddr::new(ip, PORT));
    let Some(at) = text.parse().ok().or_else(|| ip(text)) else {
        bail!(
            InvalidArgument,
            "{text:?} is not the address of a name server: 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53"
        );
    };
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = at.port();
    }
    Ok(NameServerConfig::new(at.ip(), true, connections))
}

/// What went wrong, in few words: the resolver's own hold the whole answer.
fn explain(name: &str, error: &NetError) -> io::Error {
    match error {
        NetError::Timeout => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{name}: no name server answered in time"),
        ),
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            io::Error::other(match none.response_code {
                ResponseCode::NXDomain => format!("there is no such name: {name}"),
                _ => format!("{name} has no such records"),
            })
        }
        other => io::Error::other(format!("{name} could not be looked up: {other}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn name_servers_are_addresses() {
        for (text, port) in [("127.0.0.1", 53), ("9.9.9.9:5353", 5353), ("::1", 53), ("[::1]:7", 7)]
        {
            let server = server(text).unwrap();
            assert!(server.connections.iter().all(|c| c.port == port), "{text}");
        }
        for text in ["", "localhost", "1.2.3", "1.2.3.4:99999", "udp://1.2.3.4"] {
            assert_eq!(server(text).unwrap_err().kind(), ErrorKind::InvalidArgument, "{text}");
        }
        let many = vec!["127.0.0.1".to_owned(); MAX_SERVERS + 1];
        assert!(Names::new(&many).is_err());
    }
}
