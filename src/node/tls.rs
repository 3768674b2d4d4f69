//! TLS for `wss`: whom the node trusts when it dials, and with which certificate it listens.
//!
//! By default the authorities of the public web are trusted (Mozilla's list, as it was when the
//! library was built); an owner can add authorities, and nothing is ever taken unchecked. What is
//! inside is secured by Noise all the same: the certificate is what browsers ask for.

use std::fs;
use std::path::{Path, PathBuf};

use libp2p::websocket::tls::{Certificate, Config, PrivateKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, ErrorKind, Result, bail};

/// The most certificates in one list.
const MAX_CERTIFICATES: usize = 256;
/// The largest file that is read.
const MAX_FILE: u64 = 1024 * 1024;
const PEM: &[u8] = b"-----BEGIN";

/// The certificate with which a node listens at `wss` addresses, in two files as web servers have
/// them. They are read when the node starts: one that was renewed is taken up by the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those between it and its authority, in PEM, its own first.
    pub chain: PathBuf,
    /// Its private key in PEM: PKCS #8, PKCS #1 or SEC1.
    pub key: PathBuf,
}

/// Puts the configuration together. Reads files: not for a runtime's worker.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for a root that is no certificate; [`ErrorKind::Listen`] for
/// files that cannot be read or used.
pub(super) fn config(roots: &[Vec<u8>], files: Option<&TlsFiles>) -> Result<Config> {
    let mut builder = Config::builder();
    for (n, root) in roots.iter().enumerate() {
        let failed = |why: String| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("the extra root {n} is no certificate: {why}"),
            )
        };
        let certificates = certificates(root).map_err(failed)?;
        for certificate in certificates {
            builder.add_trust(&certificate).map_err(|e| failed(e.to_string()))?;
        }
    }
    if let Some(TlsFiles { chain, key }) = files {
        let unusable = |path: &Path, why: String| {
            Error::new(
                ErrorKind::Listen,
                format!("{} cannot be used for wss: {why}", path.display()),
            )
        };
        let found = certificates(&read(chain)?).map_err(|why| unusable(chain, why))?;
        let secret = private_key(&read(key)?).map_err(|why| unusable(key, why))?;
        builder.server(secret, found).map_err(|e| unusable(chain, e.to_string()))?;
    }
    Ok(builder.finish())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |why: String| {
        Error::new(ErrorKind::Listen, format!("{} cannot be read: {why}", path.display()))
    };
    let size = fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if size > MAX_FILE {
        bail!(Listen, "{} is no certificate or key: it has {size} bytes", path.display());
    }
    fs::read(path).map_err(|e| failed(e.to_string()))
}

/// The certificates of a text in PEM, or the one that the bytes are.
fn certificates(bytes: &[u8]) -> Result<Vec<Certificate>, String> {
    if !bytes.windows(PEM.len()).any(|part| part == PEM) {
        return Ok(vec![Certificate::new(bytes.to_vec())]);
    }
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        let certificate = certificate.map_err(|e| e.to_string())?;
        found.push(Certificate::new(certificate.to_vec()));
        if found.len() > MAX_CERTIFICATES {
            return Err(format!("it holds more than {MAX_CERTIFICATES} certificates"));
        }
    }
    match found.is_empty() {
        true => Err("it holds no certificate".to_owned()),
        false => Ok(found),
    }
}

fn private_key(bytes: &[u8]) -> Result<PrivateKey, String> {
    // The error's own text could quote what it could not read.
    let Ok(key) = PrivateKeyDer::from_pem_slice(bytes) else {
        return Err("it holds no private key in PEM".to_owned());
    };
    let bytes = key.secret_der().to_vec();
    // `PrivateKey::new` looks at the bytes again, and panics where it does not know them.
    match PrivateKeyDer::try_from(bytes.clone()) {
        Ok(_) => Ok(PrivateKey::new(bytes)),
        Err(_) => Err("the form of its private key is not known".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn made() -> rcgen::CertifiedKey {
        rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap()
    }

    fn kind(roots: &[&[u8]], files: Option<&TlsFiles>) -> Option<ErrorKind> {
        let roots: Vec<Vec<u8>> = roots.iter().map(|root| root.to_vec()).collect();
        config(&roots, files).err().map(|e| e.kind())
    }

    #[test]
    fn roots_come_in_pem_and_der() {
        let (one, two) = (made(), made());
        let both = one.cert.pem() + &two.cert.pem();
        assert_eq!(kind(&[one.cert.der(), both.as_bytes()], None), None);
        let torn = one.cert.pem().replace("-----END", "-----");
        for garbage in [&b""[..], b"not a certificate", torn.as_bytes(), b"-----BEGIN nothing"] {
            assert_eq!(kind(&[garbage], None), Some(ErrorKind::InvalidArgument), "{garbage:?}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_are_files() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, other) = (made(), made());
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let chain = put("chain.pem", &mine.cert.pem());
        let key = put("key.pem", &mine.key_pair.serialize_pem());
        let good = TlsFiles { chain: chain.clone(), key: key.clone() };
        assert_eq!(kind(&[], Some(&good)), None);
        let others = put("other.pem", &other.key_pair.serialize_pem());
        for bad in [
            TlsFiles { chain: chain.clone(), key: others },
            TlsFiles { chain: chain.clone(), key: chain.clone() },
            TlsFiles { chain: key.clone(), key: key.clone() },
            TlsFiles { chain, key: dir.path().join("nothing") },
        ] {
            let error = config(&[], Some(&bad)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Listen, "{bad:?}");
            assert!(error.message().contains(dir.path().to_str().unwrap()), "{error}");
        }
    }
}
