//! TLS towards visitors: 1.2 and 1.3 by rustls, certificates that can be replaced while connections go on.
//!
//! Here live certificates, the choice among them, the handshake. Never: what is said after it. `app` builds a
//! [`ListenerTls`] for each listener that has one. RFC 8446 and RFC 6066 section 3 (names) bind it.

mod certificates;
mod clients;
mod resolver;

use std::{io, rc::Rc, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::{self, Ticketer},
    server::ProducesTickets,
};
use tokio_rustls::TlsAcceptor;

use super::acceptor::WireProtocol;
use crate::{clock::Timestamp, net::NetStream};
use resolver::CertificateResolver;

pub use certificates::ListenerCertificates;
pub use clients::{ClientCertificate, ClientVerifier};

/// RFC 9113 section 3.2.
const HTTP2: &[u8] = b"h2";

/// The keys that resumption tickets are sealed under: one set for the whole process, so that a visitor is known by
/// every worker and after every reload. They change by themselves.
#[derive(Debug, Clone)]
pub struct ResumptionKeys(Arc<dyn ProducesTickets>);

impl ResumptionKeys {
    /// New keys.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn new() -> Result<Self, rustls::Error> {
        Ticketer::new().map(Self)
    }
}

/// One listener's TLS.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    server: Arc<ServerConfig>,
    resolver: Arc<CertificateResolver>,
}

impl ListenerTls {
    /// Speaks TLS with these certificates, and asks visitors for theirs if `clients` says so.
    ///
    /// # Errors
    /// The provider lacks what TLS 1.2 or 1.3 needs; never with the one that is built in.
    pub fn new(
        certificates: ListenerCertificates,
        tickets: &ResumptionKeys,
        clients: Option<ClientVerifier>,
    ) -> Result<Self, rustls::Error> {
        let resolver = Arc::new(CertificateResolver::new(certificates));
        // SECURITY: a ticket says who its visitor was shown to be. One of a listener that asks for nothing, or trusts
        // another CA, must not be taken here, and so the keys are this listener's own.
        let tickets = if clients.is_some() { &ResumptionKeys::new()? } else { tickets };
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        let server = match clients {
            Some(ClientVerifier(verifier)) => server.with_client_cert_verifier(verifier),
            None => server.with_no_client_auth(),
        };
        let mut server = server.with_cert_resolver(Arc::clone(&resolver) as _);
        // Shared by all workers: a visitor resumes on whichever of them the next connection lands.
        server.ticketer = Arc::clone(&tickets.0);
        server.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self { server: Arc::new(server), resolver })
    }

    /// The names of each certificate, and when it ends.
    pub fn certificates(&self) -> Vec<(String, Timestamp)> {
        self.resolver.ends()
    }

    /// Other certificates from now on; connections that are there go on.
    pub fn replace(&self, certificates: ListenerCertificates) {
        self.resolver.replace(certificates);
    }

    /// The handshake.
    ///
    /// # Errors
    /// The connection broke, or the visitor speaks no TLS, or none that is spoken here.
    pub(super) async fn accept(
        &self,
        stream: NetStream,
    ) -> io::Result<(NetStream, WireProtocol, Option<Rc<ClientCertificate>>)> {
        let stream = TlsAcceptor::from(Arc::clone(&self.server)).accept(stream).await?;
        let chosen = stream.get_ref().1.alpn_protocol();
        let protocol = if chosen == Some(HTTP2) { WireProtocol::Http2 } else { WireProtocol::Http1 };
        let shown = match stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()) {
            None => None,
            // Verified it is, and the app would take who shows it for somebody without one.
            Some(first) => Some(ClientCertificate::read(first).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a client certificate whose subject cannot be read",
                )
            })?),
        };
        Ok((NetStream::Tls(Box::new(stream.into())), protocol, shown.map(Rc::new)))
    }
}
