//! The acceptor of a listener: what comes before the first request of a connection.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio::io::AsyncReadExt;

use super::{
    ClientCertificate, ClientVerifier, ConnectionRules, ListenerCertificates, ListenerTls, PeerName,
    ReceivedBody, ResumptionKeys, proxy_protocol,
};
use crate::{
    clock::{self, Timestamp},
    config::{Diagnostic, ListenConfig, Severity},
    message::{Request, Response},
    net::NetStream,
};

/// How the connections of one `[[listen]]` begin.
#[derive(Debug, Clone, Default)]
pub struct Acceptor {
    /// `tls`
    pub tls: Option<Arc<ListenerTls>>,
    /// `http2_prior_knowledge`
    pub http2_prior_knowledge: bool,
    /// `proxy_protocol`
    pub proxy_protocol: bool,
    /// `redirect_to_https`
    pub redirect_to_https: Option<u16>,
    /// Its listener's place in the configuration.
    pub number: u16,
}

/// How a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestArrival {
    /// Who sent it.
    pub peer: PeerName,
    /// By TLS.
    pub https: bool,
    /// The port where https is to be asked for instead.
    pub redirect_to_https: Option<u16>,
    /// Its listener's place in the configuration.
    pub listener: u16,
}

/// How the requests of one connection arrive, and what its visitor has shown.
#[derive(Debug, Clone)]
pub(super) struct ConnectionInfo {
    pub(super) arrival: RequestArrival,
    pub(super) certificate: Option<Rc<ClientCertificate>>,
}

impl ConnectionInfo {
    /// A request that says what its visitor has shown, as an extension: only few have anything to show.
    pub(super) fn tell<B>(&self, mut request: Request<B>) -> Request<B> {
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(ClientCertificate::clone(certificate));
        }
        request
    }
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireProtocol {
    Http1,
    Http2,
}

/// A connection that was let in, and what was read of it by then.
pub(super) struct AcceptedConnection {
    pub(super) stream: NetStream,
    pub(super) prefix: Bytes,
    pub(super) info: ConnectionInfo,
    pub(super) protocol: WireProtocol,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What answers requests: a function of a request and how it arrived.
pub trait RequestHandler: 'static {
    /// The answer in the making.
    type Answer: Future<Output = Response<Self::Body>> + Unpin + 'static;
    /// Its body.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static;

    /// Begins to answer.
    fn handle(&self, request: Request<ReceivedBody>, arrival: RequestArrival) -> Self::Answer;
}

impl<H, F, B> RequestHandler for H
where
    H: Fn(Request<ReceivedBody>, RequestArrival) -> F + 'static,
    F: Future<Output = Response<B>> + Unpin + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static,
{
    type Answer = F;
    type Body = B;

    fn handle(&self, request: Request<ReceivedBody>, arrival: RequestArrival) -> F {
        self(request, arrival)
    }
}

impl Acceptor {
    /// The entrances of all listeners, in their order, and what is to be said of their certificates; `None` if there
    /// is an error among that.
    pub fn all(
        listen: &[ListenConfig],
        tickets: &ResumptionKeys,
        now: Timestamp,
    ) -> (Option<Vec<Self>>, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let all = listen.iter().zip(0..).map(|(listen, number)| {
            let tls = match &listen.tls {
                None => None,
                Some(tls) => {
                    let (certificates, said) = ListenerCertificates::load(&tls.certificates, now);
                    found.extend(said);
                    let clients = match &listen.client_certificates {
                        None => None,
                        Some(asked) => Some(ClientVerifier::load(asked, &mut found)?),
                    };
                    let made = ListenerTls::new(certificates?, tickets, clients);
                    made.map_err(|error| found.push(Diagnostic::error(error.to_string(), None, "")))
                        .ok()
                        .map(Arc::new)
                }
            };
            Some(Self {
                tls,
                proxy_protocol: listen.proxy_protocol,
                http2_prior_knowledge: listen.http2_prior_knowledge,
                redirect_to_https: listen.redirect_to_https,
                number,
            })
        });
        // All are looked at, so that all is told at once.
        let all: Vec<_> = all.collect();
        let fine = found.iter().all(|said| said.severity != Severity::Error);
        (if fine { all.into_iter().collect() } else { None }, found)
    }

    /// The names of each certificate, and when it ends.
    pub fn certificates(&self) -> Vec<(String, Timestamp)> {
        self.tls.as_ref().map(|tls| tls.certificates()).unwrap_or_default()
    }

    /// Who the visitor is, if a load balancer tells. `None`: nobody to be believed, or nothing that can be read.
    pub(super) async fn visitor(
        &self,
        stream: &mut NetStream,
        peer: PeerName,
        rules: &ConnectionRules,
    ) -> Option<PeerName> {
        if !self.proxy_protocol {
            return Some(peer);
        }
        if !rules.believes(peer) {
            tracing::warn!(
                ?peer,
                "a connection is closed: proxy_protocol is taken from loopback, unix sockets and trusted_proxies alone"
            );
            return None;
        }
        // Boxed: only listeners behind a balancer need it, and a task is as large as its largest
        // part.
        let read = Box::pin(proxy_protocol::read(stream));
        match clock::timeout(rules.limits.request_head_timeout, read).await {
            Ok(Ok(told)) => Some(told.map_or(peer, PeerName::Ip)),
            Ok(Err(error)) => {
                tracing::info!(%error, ?peer, "a connection is closed: proxy_protocol is required here");
                None
            }
            Err(_) => None,
        }
    }

    /// Lets a connection in: in the task of the connection, since the other side may take its time. `None`: it was
    /// no visitor, or took too long.
    pub(super) async fn shake_hands(
        &self,
        mut stream: NetStream,
        peer: PeerName,
        rules: &ConnectionRules,
    ) -> Option<AcceptedConnection> {
        let arrival = RequestArrival {
            peer,
            https: self.tls.is_some(),
            redirect_to_https: self.redirect_to_https,
            listener: self.number,
        };
        let (mut protocol, mut prefix, mut certificate) = (WireProtocol::Http1, Bytes::new(), None);
        if let Some(tls) = &self.tls {
            // Boxed: a task is as large as the largest thing it ever holds.
            let handshake = Box::pin(tls.accept(stream));
            (stream, protocol, certificate) = within(rules.limits.tls_handshake_timeout, handshake)
                .await
                .inspect_err(|error| tracing::debug!(%error, ?peer, "the TLS handshake failed"))
                .ok()?;
        } else if self.http2_prior_knowledge {
            let begin = Box::pin(beginning(&mut stream));
            (protocol, prefix) = within(rules.limits.request_head_timeout, begin).await.ok()?;
        }
        Some(AcceptedConnection { stream, prefix, info: ConnectionInfo { arrival, certificate }, protocol })
    }
}

async fn within<T>(limit: Option<Duration>, begin: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    clock::timeout(limit, begin).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Reads until it is clear whether HTTP/2 begins (RFC 9113 section 3.4) or HTTP/1; what was read belongs to it.
async fn beginning(stream: &mut NetStream) -> io::Result<(WireProtocol, Bytes)> {
    let mut read = BytesMut::with_capacity(PREFACE.len());
    // One differing byte decides for HTTP/1, so that a short request line is not waited on for a
    // preface that never comes.
    while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let protocol = if read.starts_with(PREFACE) { WireProtocol::Http2 } else { WireProtocol::Http1 };
    Ok((protocol, read.freeze()))
}
