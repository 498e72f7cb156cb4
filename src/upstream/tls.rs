//! TLS towards the apps: their certificates are always verified (RFC 8446, RFC 9110 section 4.3.4).

use std::{fs, io, path::PathBuf, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore, crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::TlsConnector;

use crate::{
    config::{CaSource, Diagnostic, ServerAddress, UpstreamConfig},
    net::NetStream,
};

/// HTTP/2's name in ALPN (RFC 9113 section 3.2).
pub(super) const ALPN_HTTP2: &[u8] = b"h2";

/// How one server is spoken to by TLS.
#[derive(Debug)]
pub(super) struct UpstreamTls {
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// Why TLS to the servers of an upstream cannot be had at all.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `ca` cannot be read.
    #[error("the file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `ca` holds none.
    #[error("{} holds no certificate: PEM begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate that is none.
    #[error("{} holds a certificate that cannot be read", .0.display())]
    BadCertificate(PathBuf),
    /// `ca = "system"`, and the system has none.
    #[error(
        "this machine trusts no CA: `apt-get install ca-certificates`, or name one by tls = {{ ca = \"ca.pem\" }}"
    )]
    NoSystem,
    /// What stands in `servers` can be in no certificate.
    #[error("{0} cannot be the name of a certificate: set tls = {{ name = \"…\" }}")]
    Name(String),
    /// Never with the provider that is built in.
    #[error(transparent)]
    Provider(#[from] rustls::Error),
}

/// What is to be said of the `tls` of these upstreams, with its place.
pub fn look(upstreams: &[UpstreamConfig]) -> Vec<Diagnostic> {
    let speaks = |upstream: &&UpstreamConfig| {
        let mut servers = upstream.servers.iter();
        servers.any(|server| matches!(server.address, ServerAddress::Tcp { tls: true, .. }))
    };
    let told = |upstream: &UpstreamConfig| {
        let error = client(upstream).err()?;
        let message = format!("[upstreams.{}] tls: {error}", upstream.name);
        Some(Diagnostic::error(message, upstream.tls.place.clone(), ""))
    };
    upstreams.iter().filter(speaks).filter_map(told).collect()
}

/// Believes whom the rules say.
pub(super) fn client(upstream: &UpstreamConfig) -> Result<Arc<ClientConfig>, TlsError> {
    let mut client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots(&upstream.tls.ca)?)
        .with_no_client_auth();
    // One protocol is offered, and not a choice: the pool must know beforehand which kind of
    // connection this will be.
    client.alpn_protocols = vec![if upstream.http2 { ALPN_HTTP2 } else { b"http/1.1" }.to_vec()];
    Ok(Arc::new(client))
}

fn roots(ca: &CaSource) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        CaSource::System => {
            // One that cannot be read is no reason not to believe the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoSystem);
            }
        }
        CaSource::File(path) => {
            let pem = fs::read(path).map_err(|source| TlsError::Unreadable { path: path.clone(), source })?;
            let bad = || TlsError::BadCertificate(path.clone());
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|_| bad())?).map_err(|_| bad())?;
            }
            if roots.is_empty() {
                return Err(TlsError::NoCertificate(path.clone()));
            }
        }
    }
    Ok(roots)
}

impl UpstreamTls {
    /// To this host, whose certificate is for `name`, or else for the host.
    pub(super) fn new(client: &Arc<ClientConfig>, name: Option<&str>, host: &str) -> Result<Self, TlsError> {
        let name = name.unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        Ok(Self { client: Arc::clone(client), name })
    }

    /// The handshake.
    ///
    /// # Errors
    /// See [`told`].
    pub(super) async fn connect(&self, stream: NetStream) -> io::Result<NetStream> {
        let stream = TlsConnector::from(Arc::clone(&self.client)).connect(self.name.clone(), stream).await?;
        Ok(NetStream::Tls(Box::new(stream.into())))
    }
}

/// Why a handshake failed, and what an operator can do about it.
pub(super) fn told(error: &io::Error) -> String {
    use CertificateError as C;
    // Not an error of TLS but of the connection under it.
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return format!("{error}; does it speak TLS on this port?");
    };
    let advice = match tls {
        // A CA that was made anew has the old one's name, and another key.
        rustls::Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            "it was signed by no trusted CA: name its CA by tls = { ca = \"ca.pem\" }"
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "if that is the server that is meant, name what its certificate is for by tls = { name = \"…\" }"
        }
        rustls::Error::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => "renew it, or set this machine's clock",
        rustls::Error::InvalidCertificate(C::Other(other))
            if other.to_string().contains("CaUsedAsEndEntity") =>
        {
            "it is a CA's own: make one for the server (openssl req -x509 -addext basicConstraints=critical,CA:FALSE)"
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "that is no TLS: is the server meant to be http://?"
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it asks for a client's certificate, and there is none to show"
        }
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion,
        ) => "it must speak TLS 1.2 or 1.3",
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "it speaks another version of HTTP: `http2` of its upstream says which one it is spoken to in"
        }
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "it knows no such name: name one that it does by tls = { name = \"…\" }"
        }
        _ => return error.to_string(),
    };
    format!("{error}; {advice}")
}
