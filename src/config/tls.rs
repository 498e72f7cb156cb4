//! `tls` of a listener: its certificates, and those that its visitors are to show.

use std::{ops::Range, path::Path};

use super::{
    secret::SecretSource,
    value::{TableReader, ValueProblem},
};

/// `tls`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTlsConfig {
    /// `certificates`: chosen by the name that the visitor asks for; the first where none fits. At least one.
    pub certificates: Vec<CertificateFiles>,
}

/// A certificate and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// `certificate`: the certificate itself, then those between it and its CA.
    pub certificate: SecretSource,
    /// `key`: its private key.
    pub key: SecretSource,
    /// Where it stands in the configuration.
    pub place: Option<Range<usize>>,
}

/// `client_certificates`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// `ca`: who has issued them, as PEM; one or several.
    pub ca: SecretSource,
    /// `require`: who shows none is not served.
    pub require: bool,
    /// Where it stands in the configuration.
    pub place: Option<Range<usize>>,
}

impl ClientCertificates {
    /// Reads it; files are looked for beside the configuration, in `folder`.
    pub(super) fn read(listen: &TableReader<'_>, folder: &Path) -> Option<Self> {
        const KEY: &str = "client_certificates";
        const EXPECTED: &str = "\"off\" or a table such as { ca = \"ca.pem\", require = true }";
        if let Some(value) = listen.value(KEY)
            && !value.get_ref().is_table()
        {
            if !listen.says(KEY, "off") {
                listen.refuse(KEY, value, EXPECTED, ValueProblem::VALUE);
            }
            return None;
        }
        let reader = listen.section(KEY);
        let require = reader.bool("require", true);
        if reader.place.is_none() {
            // Said, so that the keys are known.
            reader.value("ca");
            reader.finish();
            return None;
        }
        let ca = file(&reader, "ca", folder);
        reader.finish();
        Some(Self { ca: ca?, require, place: reader.place.clone() })
    }
}

const EXPECTED: &str = "an array such as [{ certificate = \"cert.pem\", key = \"key.pem\" }]";

impl ListenerTlsConfig {
    /// Reads it; files are looked for beside the configuration, in `folder`.
    pub(super) fn read(listen: &TableReader<'_>, folder: &Path) -> Option<Self> {
        let reader = listen.section("tls");
        let items = reader.array("certificates", EXPECTED);
        let certificates: Vec<_> =
            items.iter().filter_map(|item| files(&reader.item("certificates", item)?, folder)).collect();
        reader.finish();
        reader.place.as_ref()?;
        if items.is_empty() && !reader.is_not_array("certificates") {
            let message = format!("`{}` names no certificate", reader.dotted("certificates"));
            let help = "tls = { certificates = [{ certificate = \"cert.pem\", key = \"key.pem\" }] }";
            reader.notes().push(reader.error("certificates", message, "needs at least one").help(help));
        }
        Some(Self { certificates })
    }
}

fn files(reader: &TableReader<'_>, folder: &Path) -> Option<CertificateFiles> {
    let certificate = file(reader, "certificate", folder);
    let key = file(reader, "key", folder);
    reader.finish();
    Some(CertificateFiles { certificate: certificate?, key: key?, place: reader.place.clone() })
}

/// `"cert.pem"`, or where it lies as for any secret.
fn file(reader: &TableReader<'_>, key: &'static str, folder: &Path) -> Option<SecretSource> {
    const EXPECTED: &str = "a PEM file such as \"cert.pem\", or { credential = \"NAME\" }";
    let Some(value) = reader.value(key) else {
        let message = format!("`{}` is missing", reader.dotted(key));
        reader.notes().push(reader.error(key, message, format!("needs `{key}`: {EXPECTED}")));
        return None;
    };
    match value.get_ref().as_str() {
        None => SecretSource::parse(reader, key),
        Some(text) if text.is_empty() || text.contains(['\0', '\n']) => {
            reader.refuse(key, value, EXPECTED, ValueProblem::why("expected the name of a PEM file"));
            None
        }
        Some(text) => Some(SecretSource::File(folder.join(text))),
    }
}
