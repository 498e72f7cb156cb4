//! Certificates of visitors (mTLS): whose are taken, and what they say (RFC 8446 section 4.4.2).

use std::{fmt::Write as _, sync::Arc};

use http::HeaderValue;
use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_cert::{Certificate, der::Decode};

use crate::config::{ClientCertificates, Diagnostic, SecretSource};

/// Whose certificates are taken.
#[derive(Debug)]
pub struct ClientVerifier(pub(super) Arc<dyn ClientCertVerifier>);

/// What a visitor has shown, and what was verified.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// Its subject as RFC 4514 writes it, in ASCII.
    pub subject: HeaderValue,
}

/// Why a CA cannot be used.
#[derive(Debug, thiserror::Error)]
enum ClientCaError {
    #[error(transparent)]
    Unreadable(#[from] crate::config::SecretError),
    #[error("{0} holds no certificate: PEM begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate(SecretSource),
    #[error("{0} holds a certificate that cannot be read")]
    BadCertificate(SecretSource),
    #[error(transparent)]
    Refused(#[from] VerifierBuilderError),
}

impl ClientVerifier {
    /// Reads the CA; where that fails, what is wrong with it is among `found`, with its place.
    pub fn load(config: &ClientCertificates, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let place = config.place.clone();
        read(config).map_err(|fault| found.push(Diagnostic::error(fault.to_string(), place, ""))).ok()
    }
}

fn read(config: &ClientCertificates) -> Result<ClientVerifier, ClientCaError> {
    let pem = config.ca.read()?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.expose()) {
        let bad = || ClientCaError::BadCertificate(config.ca.clone());
        roots.add(certificate.map_err(|_| bad())?).map_err(|_| bad())?;
    }
    if roots.is_empty() {
        return Err(ClientCaError::NoCertificate(config.ca.clone()));
    }
    // Named, so that what else is linked into the process cannot change the one that is used.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = if config.require { verifier } else { verifier.allow_unauthenticated() };
    Ok(ClientVerifier(verifier.build()?))
}

impl ClientCertificate {
    /// Reads one that was verified.
    pub(super) fn read(shown: &CertificateDer<'_>) -> Option<Self> {
        let subject = Certificate::from_der(shown).ok()?.tbs_certificate.subject.to_string();
        Some(Self { subject: HeaderValue::try_from(ascii(&subject)).ok()? })
    }
}

/// What is no visible ASCII is written as `\\XX`, byte by byte (RFC 4514 section 2.4): nothing of a name can break a
/// header.
fn ascii(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if matches!(byte, b' '..=b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, wanted) in [
            ("CN=zoe,O=Shop", "CN=zoe,O=Shop"),
            ("CN=zo\u{eb}", "CN=zo\\C3\\AB"),
            ("CN=a\r\nx: y", "CN=a\\0D\\0Ax: y"),
        ] {
            assert_eq!(ascii(name), wanted);
        }
    }
}
