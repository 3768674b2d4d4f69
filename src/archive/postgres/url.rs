//! The database's URL: what the client is told, and what TLS has to hold.
//!
//! What must hold: no message of an error carries any part of the URL, where the password is.

use std::path::PathBuf;
use std::time::Duration;

use postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::error::{Result, bail};

/// What a connection is kept alive by, and after how long it is given up, in seconds: an idle one
/// is looked at after a while, one that answers nothing is gone soon.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// How far the server's identity is checked, as `sslmode` says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::archive) enum Trust {
    /// No TLS.
    Disable,
    /// TLS where the server has it, with whoever answers.
    Prefer,
    /// TLS, with whoever answers.
    Require,
    /// TLS, with a certificate of an authority that we trust.
    Authority,
    /// And one that bears the name of the host.
    Full,
}

/// A URL that was understood.
#[derive(Clone)]
pub(in crate::archive) struct Target {
    pub(in crate::archive) client: postgres::Config,
    pub(in crate::archive) trust: Trust,
    /// A PEM file of the authorities that are trusted; without one those that browsers trust.
    pub(in crate::archive) authorities: Option<PathBuf>,
}

/// Reads a URL. `writes` asks for a server that can be written to, where the URL names several.
///
/// # Errors
/// [`crate::ErrorKind::ArchiveOpen`], naming what is wrong with it.
pub(in crate::archive) fn parse(
    url: &str,
    connect_timeout: Duration,
    writes: bool,
) -> Result<Target> {
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        bail!(ArchiveOpen, "the URL of an archive on PostgreSQL begins with postgres://");
    }
    let (rest, trust, authorities) = take_tls(url)?;
    let Ok(mut client) = rest.parse::<postgres::Config>() else {
        bail!(
            ArchiveOpen,
            "the URL of the database is not of the form \
             postgres://user:password@host:port/database?option=value: reserved characters in its \
             parts must be percent-encoded, and each option must be known and have a valid value"
        );
    };
    let no_host = client.get_hosts().is_empty() && client.get_hostaddrs().is_empty();
    if no_host {
        bail!(ArchiveOpen, "the URL of the database names no host and no directory of a socket");
    }
    if client.get_user().is_none_or(str::is_empty) {
        bail!(ArchiveOpen, "the URL of the database names no user");
    }
    if client.get_application_name().is_none() {
        client.application_name("wakustore");
    }
    if client.get_connect_timeout().is_none() {
        client.connect_timeout(connect_timeout);
    }
    client.keepalives(true).keepalives_idle(KEEPALIVE_IDLE);
    client.keepalives_interval(KEEPALIVE_INTERVAL).keepalives_retries(KEEPALIVE_RETRIES);
    if client.get_tcp_user_timeout().is_none() {
        client.tcp_user_timeout(KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES);
    }
    if writes {
        client.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    // A socket of the same machine has no TLS, whatever the mode: as with PostgreSQL's own client.
    let local = client.get_hosts().iter().all(is_socket) && client.get_hostaddrs().is_empty();
    let trust = if local { Trust::Disable } else { trust };
    client.ssl_mode(match trust {
        Trust::Disable => SslMode::Disable,
        Trust::Prefer => SslMode::Prefer,
        Trust::Require | Trust::Authority | Trust::Full => SslMode::Require,
    });
    Ok(Target { client, trust, authorities })
}

fn is_socket(host: &Host) -> bool {
    !matches!(host, Host::Tcp(_))
}

/// Takes `sslmode` and `sslrootcert` out of the URL's options: the client knows only some modes.
fn take_tls(url: &str) -> Result<(String, Trust, Option<PathBuf>)> {
    // A question mark before the host is of the password.
    let host = url.rfind('@').unwrap_or(0);
    let Some(at) = url[host..].find('?').map(|at| host + at) else {
        return Ok((url.to_owned(), Trust::Prefer, None));
    };
    let (front, options) = (&url[..at], &url[at + 1..]);
    let (mut trust, mut authorities) = (None, None);
    let mut others = Vec::new();
    for option in options.split('&') {
        match option.split_once('=') {
            Some(("sslmode", mode)) => trust = Some(trust_of(mode)?),
            Some(("sslrootcert", path)) => authorities = Some(PathBuf::from(decode(path)?)),
            _ => others.push(option),
        }
    }
    // Whoever names an authority means it to be checked: as with PostgreSQL's own client.
    let trust = match (trust.unwrap_or(Trust::Prefer), &authorities) {
        (Trust::Require, Some(_)) => Trust::Authority,
        (trust, _) => trust,
    };
    let rest = match others.as_slice() {
        [] => front.to_owned(),
        others => format!("{front}?{}", others.join("&")),
    };
    Ok((rest, trust, authorities))
}

fn trust_of(mode: &str) -> Result<Trust> {
    Ok(match mode {
        "disable" => Trust::Disable,
        "prefer" => Trust::Prefer,
        "require" => Trust::Require,
        "verify-ca" => Trust::Authority,
        "verify-full" => Trust::Full,
        _ => bail!(
            ArchiveOpen,
            "sslmode in the URL of the database is one of disable, prefer, require, verify-ca and \
             verify-full"
        ),
    })
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            bail!(ArchiveOpen, "sslrootcert in the URL of the database is not percent-encoded");
        };
        bytes.push((high * 16 + low) as u8);
    }
    let Ok(text) = String::from_utf8(bytes) else {
        bail!(ArchiveOpen, "sslrootcert in the URL of the database is not UTF-8");
    };
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::error::ErrorKind;

    fn read(url: &str) -> Result<Target> {
        parse(url, Duration::from_secs(5), true)
    }

    #[test]
    fn the_modes_of_tls_are_understood() {
        let trust = |url: &str| read(url).unwrap().trust;
        assert_eq!(trust("postgres://u@h/d"), Trust::Prefer);
        assert_eq!(trust("postgres://u@h/d?sslmode=verify-full"), Trust::Full);
        assert_eq!(
            trust("postgresql://u@h/d?connect_timeout=3&sslmode=verify-ca"),
            Trust::Authority
        );
        assert_eq!(trust("postgres://u@h/d?sslmode=require&sslrootcert=/ca"), Trust::Authority);
        assert_eq!(
            trust("postgres://u@/d?host=/run/postgresql&sslmode=verify-full"),
            Trust::Disable
        );
        let target = read("postgres://u@h/d?sslrootcert=/my%20ca.pem&connect_timeout=3").unwrap();
        assert_eq!(target.authorities.unwrap(), PathBuf::from("/my ca.pem"));
        assert_eq!(target.client.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }

    #[test]
    fn a_question_mark_in_the_password_begins_no_options() {
        let target = read("postgres://u:s3cret?sslmode=disable@h/d?sslmode=verify-ca").unwrap();
        assert_eq!(target.client.get_password(), Some(&b"s3cret?sslmode=disable"[..]));
        assert_eq!(target.trust, Trust::Authority);
    }

    #[test]
    fn no_error_tells_the_password() {
        for url in [
            "mysql://u:s3cret@h/d",
            "postgres://u:s3cret/x@h:port/d",
            "postgres://u:s3cret@h:99999/d",
            "postgres://u:s3cret@h/d?sslmode=s3cret",
            "postgres://u:s3cret@h/d?sslrootcert=%zz",
            "postgres://u:s3cret@h/d?unknown=s3cret",
            "postgres://:s3cret@h/d",
            "postgres://u:s3cret@/d",
        ] {
            let Err(e) = read(url) else { panic!("{url} was taken") };
            assert_eq!(e.kind(), ErrorKind::ArchiveOpen, "{url}");
            assert!(!format!("{e} {e:?}").contains("s3cret"), "{e}");
        }
    }
}
