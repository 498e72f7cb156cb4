//! Which certificate a visitor is shown: by the name that they ask for, and by what they can verify.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificates::{ListenerCertificates, NamedCertificate};
use crate::clock::Timestamp;

/// The certificates as they are now.
#[derive(Debug)]
pub(super) struct CertificateResolver(ArcSwap<ListenerCertificates>);

impl CertificateResolver {
    pub(super) fn new(certificates: ListenerCertificates) -> Self {
        Self(ArcSwap::from_pointee(certificates))
    }

    /// The names of each certificate, and when it ends.
    pub(super) fn ends(&self) -> Vec<(String, Timestamp)> {
        let all = self.0.load();
        std::iter::once(&all.first).chain(&all.others).map(|one| (one.names.join(" "), one.until)).collect()
    }

    pub(super) fn replace(&self, certificates: ListenerCertificates) {
        self.0.store(Arc::new(certificates));
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        Some(Arc::clone(&self.0.load().choose(hello.server_name().unwrap_or_default(), schemes).key))
    }
}

impl ListenerCertificates {
    /// The one whose name fits best; of several such (RSA beside ECDSA) the first that the visitor can verify. Where
    /// none fits, the first of all: the visitor then learns what is wrong, and who sent no name is served.
    fn choose(&self, name: &str, schemes: &[SignatureScheme]) -> &NamedCertificate {
        let name = name.to_ascii_lowercase();
        let rank = |named: &NamedCertificate| {
            let fits = named.names.iter().map(|own| fit(own, &name)).max().unwrap_or(0);
            (fits, named.key.key.choose_scheme(schemes).is_some())
        };
        let mut best = (&self.first, rank(&self.first));
        for other in &self.others {
            let rank = rank(other);
            // A certificate for other names is no better for being verifiable.
            if rank.0 > 0 && rank > best.1 {
                best = (other, rank);
            }
        }
        best.0
    }
}

/// How well a name of a certificate fits: not, by a wildcard for one label (RFC 6125 section 6.4.3), or exactly.
fn fit(own: &str, asked: &str) -> u8 {
    let below =
        || own.strip_prefix("*.").is_some_and(|own| asked.split_once('.').is_some_and(|(_, a)| a == own));
    match () {
        () if own == asked => 2,
        () if below() => 1,
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls_pki_types::PrivateKeyDer;

    use super::*;

    fn named(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> NamedCertificate {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = CertifiedKey::new(Vec::new(), any_supported_type(&der).unwrap());
        NamedCertificate {
            names: names.iter().map(ToString::to_string).collect(),
            key: Arc::new(key),
            until: Timestamp(0),
        }
    }

    #[test]
    fn by_name_and_by_what_can_be_verified() {
        let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
        let all = ListenerCertificates {
            first: named(&["a.example", "*.a.example"], ecdsa),
            others: vec![
                named(&["b.example"], &rcgen::PKCS_ED25519),
                named(&["b.example"], ecdsa),
                named(&["x.a.example"], ecdsa),
            ],
        };
        let (p256, ed) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519);
        for (name, schemes, wanted) in [
            ("a.example", vec![p256, ed], 0),
            ("A.Example", vec![p256, ed], 0),
            ("y.a.example", vec![p256], 0),
            ("y.y.a.example", vec![p256], 0),
            ("x.a.example", vec![p256], 3),
            ("b.example", vec![p256, ed], 1),
            ("b.example", vec![p256], 2),
            ("b.example", vec![], 1),
            ("c.example", vec![ed], 0),
            ("", vec![p256], 0),
        ] {
            let found = all.choose(name, &schemes);
            let place = std::iter::once(&all.first).chain(&all.others).position(|n| std::ptr::eq(n, found));
            assert_eq!(place, Some(wanted), "{name} {schemes:?}");
        }
    }
}
