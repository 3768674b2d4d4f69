//! TLS towards the database, by rustls.
//!
//! `prefer` and `require` keep eavesdroppers out but talk with whoever answers; only `verify-ca`
//! and `verify-full` know with whom. That is what PostgreSQL's own client does with these words.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{Target, Trust};
use crate::error::{Error, ErrorKind, Result, bail};

/// The largest file of authorities that is read, in bytes.
const MAX_AUTHORITIES: u64 = 4 * 1024 * 1024;

/// The TLS that the URL asks for.
///
/// # Errors
/// [`ErrorKind::ArchiveOpen`] where the file of authorities cannot be read or holds none.
pub(in crate::archive) fn connector(target: &Target) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let fail = |e: rustls::Error| Error::new(ErrorKind::ArchiveOpen, format!("TLS: {e}"));
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(fail)?;
    let roots = match (target.trust, &target.authorities) {
        (Trust::Authority | Trust::Full, Some(path)) => authorities(path)?,
        _ => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let config = match target.trust {
        Trust::Full => builder.with_root_certificates(roots).with_no_client_auth(),
        trust => {
            let roots = (trust == Trust::Authority).then_some(roots);
            let verifier = Arc::new(Verifier { roots, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn authorities(path: &Path) -> Result<RootCertStore> {
    let name = path.display();
    let size = std::fs::metadata(path).map(|file| file.len());
    let pem = match size {
        Ok(size) if size > MAX_AUTHORITIES => {
            bail!(ArchiveOpen, "sslrootcert {name} is larger than {MAX_AUTHORITIES} bytes")
        }
        Ok(_) => std::fs::read(path),
        Err(e) => Err(e),
    };
    let pem =
        pem.map_err(|e| Error::new(ErrorKind::ArchiveOpen, format!("sslrootcert {name}: {e}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let Ok(certificate) = certificate else {
            bail!(ArchiveOpen, "sslrootcert {name} is not a file of PEM certificates");
        };
        if let Err(e) = roots.add(certificate) {
            bail!(ArchiveOpen, "sslrootcert {name} holds a certificate that is none: {e}");
        }
    }
    if roots.is_empty() {
        bail!(ArchiveOpen, "sslrootcert {name} holds no certificate");
    }
    Ok(roots)
}

/// Checks the chain, where there are roots, and no name. The handshake's signatures are checked
/// in any case.
#[derive(Debug)]
struct Verifier {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
