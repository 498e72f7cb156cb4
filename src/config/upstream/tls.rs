//! `tls` of an upstream: whose certificates are believed, and for which name.

use std::{ops::Range, path::Path, path::PathBuf};

use super::super::{
    diagnostic::Diagnostic,
    is_host_name,
    value::{TableReader, ValueProblem},
};
use super::{ServerAddress, ServerConfig};

/// `tls` of an upstream: holds for its `https://` servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTlsConfig {
    /// `ca`: who may have signed their certificates.
    pub ca: CaSource,
    /// `name`: what their certificates must be for, and what they are asked for (SNI); absent: what stands in `servers`.
    pub name: Option<String>,
    /// Where `ca` stands in the configuration, if it does and is a file.
    pub place: Option<Range<usize>>,
}

/// `ca`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CaSource {
    /// `"system"`: whom this machine believes (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
    #[default]
    System,
    /// A PEM file: these alone.
    File(PathBuf),
}

impl UpstreamTlsConfig {
    /// Reads it; a file is looked for beside the configuration, in `folder`.
    pub(super) fn read(upstream: &TableReader<'_>, servers: &[ServerConfig], folder: &Path) -> Self {
        let reader = upstream.section("tls");
        let expected = "\"system\" or a PEM file such as \"ca.pem\"";
        let ca = reader.parsed("ca", expected, |text| match text {
            "system" => Ok(CaSource::System),
            file if file.is_empty() || file.contains(['\0', '\n']) => Err(ValueProblem::VALUE),
            file => Ok(CaSource::File(folder.join(file))),
        });
        let name = reader.parsed("name", "the name in their certificates", |text| {
            if text.is_empty() || is_host_name(text) {
                Ok(text.to_ascii_lowercase())
            } else {
                Err(ValueProblem::VALUE)
            }
        });
        reader.finish();
        let ca = ca.unwrap_or_default();
        let place = if ca == CaSource::System { None } else { reader.span("ca") };
        let tls = Self { ca, name: name.filter(|name| !name.is_empty()), place };
        let speaks = |server: &ServerConfig| matches!(server.address, ServerAddress::Tcp { tls: true, .. });
        if tls != Self::default() && !servers.is_empty() && !servers.iter().any(speaks) {
            let message = format!("`{}` has no effect: no server speaks https", upstream.dotted("tls"));
            let warning = Diagnostic::warning(message, upstream.span("tls"), "for servers that do");
            reader.notes().push(warning.help("servers = [\"https://…\"]"));
        }
        tls
    }
}
