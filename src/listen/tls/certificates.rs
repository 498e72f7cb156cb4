//! Certificates and their keys: read from PEM, and looked at before anyone relies on them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use rustls::{InconsistentKeys, crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::{
    clock::Timestamp,
    config::{CertificateFiles, Diagnostic, SecretSource},
};

/// How long before its end a certificate is spoken of: automatic renewal comes a month before.
const SOON: Duration = Duration::from_hours(14 * 24);
/// What others than the owner and the group may do with a file.
const OTHERS: u32 = 0o007;

/// The certificates of one listener; at least one.
#[derive(Debug)]
pub struct ListenerCertificates {
    pub(super) first: NamedCertificate,
    pub(super) others: Vec<NamedCertificate>,
}

/// A certificate, and the names that it is for.
#[derive(Debug)]
pub(super) struct NamedCertificate {
    pub(super) names: Vec<String>,
    pub(super) key: Arc<CertifiedKey>,
    /// When it ends.
    pub(super) until: Timestamp,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
enum CertificateError {
    #[error(transparent)]
    Unreadable(#[from] crate::config::SecretError),
    #[error("{0} holds no certificate: PEM begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate(SecretSource),
    #[error("{0} holds a certificate that cannot be read")]
    BadCertificate(SecretSource),
    #[error(
        "{0} holds no private key: PEM begins with -----BEGIN PRIVATE KEY-----; an encrypted one cannot be used"
    )]
    NoKey(SecretSource),
    #[error("{0} holds a private key of a kind that is not known here (RSA, ECDSA and Ed25519 are)")]
    BadKey(SecretSource),
    #[error("the key in {key} is not that of the certificate in {certificate}")]
    Mismatch { key: SecretSource, certificate: SecretSource },
}

impl ListenerCertificates {
    /// Reads them all, and says what is wrong with them; `None` if there is an error among that.
    pub fn load(files: &[CertificateFiles], now: Timestamp) -> (Option<Self>, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let mut list = Vec::new();
        for files in files {
            match read(files, now, &mut found) {
                Ok(named) => list.push(named),
                Err(fault) => found.push(Diagnostic::error(fault.to_string(), files.place.clone(), "")),
            }
        }
        let whole = list.len() == files.len();
        let mut list = list.into_iter();
        let first = list.next().filter(|_| whole);
        (first.map(|first| Self { first, others: list.collect() }), found)
    }
}

fn read(
    files: &CertificateFiles,
    now: Timestamp,
    found: &mut Vec<Diagnostic>,
) -> Result<NamedCertificate, CertificateError> {
    let pem = files.certificate.read()?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem.expose()).collect::<Result<_, _>>().unwrap_or_default();
    let Some(own) = chain.first() else {
        return Err(CertificateError::NoCertificate(files.certificate.clone()));
    };
    let bad = || CertificateError::BadCertificate(files.certificate.clone());
    let parsed = Certificate::from_der(own).map_err(|_| bad())?;
    let names = names(&parsed);
    let until = parsed.tbs_certificate.validity.not_after.to_system_time();
    let until = until.duration_since(UNIX_EPOCH).map_err(|_| bad())?;

    let pem = files.key.read()?;
    let key = PrivateKeyDer::from_pem_slice(pem.expose())
        .map_err(|_| CertificateError::NoKey(files.key.clone()))?;
    let key =
        aws_lc_rs::sign::any_supported_type(&key).map_err(|_| CertificateError::BadKey(files.key.clone()))?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        // Some kinds of keys do not tell their public half; the handshake would show.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(CertificateError::Mismatch {
                key: files.key.clone(),
                certificate: files.certificate.clone(),
            });
        }
    }
    let mut warn = |text: String, help: &str| {
        found.push(Diagnostic::warning(text, files.place.clone(), "").help(help));
    };
    if let Some(text) = ends(Duration::from_millis(now.0), until) {
        warn(format!("the certificate in {} {text}", files.certificate), "renew it");
    }
    if let SecretSource::File(path) = &files.key
        && fs::metadata(path).is_ok_and(|about| about.permissions().mode() & OTHERS != 0)
    {
        let help = format!("chmod o= {}", path.display());
        warn(format!("the key in {} can be read by everyone on this machine", files.key), &help);
    }
    Ok(NamedCertificate { names, key: Arc::new(key), until: Timestamp(until.as_millis() as u64) })
}

/// What is to be said of the end of a certificate, both since 1970.
fn ends(now: Duration, until: Duration) -> Option<String> {
    let day = 24 * 3600;
    let Some(left) = until.checked_sub(now).filter(|left| !left.is_zero()) else {
        return Some(match now.saturating_sub(until).as_secs() / day {
            0 => "has expired today: browsers refuse it".to_owned(),
            1 => "has expired a day ago: browsers refuse it".to_owned(),
            days => format!("has expired {days} days ago: browsers refuse it"),
        });
    };
    (left < SOON).then(|| match left.as_secs() / day {
        0 => "expires within a day".to_owned(),
        1 => "expires in a day".to_owned(),
        days => format!("expires in {days} days"),
    })
}

/// The DNS names and addresses that it is for (RFC 6125 section 6.4: the subject's own name no longer counts).
fn names(certificate: &Certificate) -> Vec<String> {
    let Ok(Some((_, SubjectAltName(names)))) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return Vec::new();
    };
    let dns = |name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    };
    names.into_iter().filter_map(dns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_in_time() {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        for (until, wanted) in [
            (days(90), "has expired 10 days ago"),
            (days(99), "has expired a day ago"),
            (days(100), "has expired today"),
            (days(100) + Duration::from_secs(5), "expires within a day"),
            (days(103), "expires in 3 days"),
        ] {
            assert!(ends(days(100), until).unwrap().starts_with(wanted), "{until:?}");
        }
        assert_eq!(ends(days(100), days(114)), None);
    }
}
