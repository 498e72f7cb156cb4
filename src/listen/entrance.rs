//! The entrance of a listener: what comes before the first request of a connection.

use std::{io, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::{Certificates, Peer, Received, Rules, Tickets, Tls};
use crate::{
    clock::{self, Timestamp},
    config::{Diagnostic, Listen, Severity},
    net::Stream,
};

/// How the connections of one `[[listen]]` begin.
#[derive(Debug, Clone, Default)]
pub struct Entrance {
    /// `tls`
    pub tls: Option<Arc<Tls>>,
    /// `redirect_to_https`
    pub redirect_to_https: bool,
}

/// How a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub peer: Peer,
    /// By TLS.
    pub https: bool,
    /// Where https is to be asked for instead.
    pub redirect_to_https: bool,
}

impl Arrival {
    /// In clear text.
    pub fn from(peer: Peer) -> Self {
        Self { peer, https: false, redirect_to_https: false }
    }
}

/// What answers requests: a function of a request and how it arrived.
pub trait Handler: 'static {
    /// The answer in the making.
    type Answer: Future<Output = Response<Self::Body>> + Unpin + 'static;
    /// Its body.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static;

    /// Begins to answer.
    fn handle(&self, request: Request<Received>, arrival: Arrival) -> Self::Answer;
}

impl<H, F, B> Handler for H
where
    H: Fn(Request<Received>, Arrival) -> F + 'static,
    F: Future<Output = Response<B>> + Unpin + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static,
{
    type Answer = F;
    type Body = B;

    fn handle(&self, request: Request<Received>, arrival: Arrival) -> F {
        self(request, arrival)
    }
}

impl Entrance {
    /// The entrances of all listeners, in their order, and what is to be said of their certificates; `None` if there
    /// is an error among that.
    pub fn all(listen: &[Listen], tickets: &Tickets, now: Timestamp) -> (Option<Vec<Self>>, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let all = listen.iter().map(|listen| {
            let tls = match &listen.tls {
                None => None,
                Some(tls) => {
                    let (certificates, said) = Certificates::load(&tls.certificates, now);
                    found.extend(said);
                    let made = Tls::new(certificates?, tickets);
                    made.map_err(|error| found.push(Diagnostic::error(error.to_string(), None, "")))
                        .ok()
                        .map(Arc::new)
                }
            };
            Some(Self { tls, redirect_to_https: listen.redirect_to_https })
        });
        // All are looked at, so that all is told at once.
        let all: Vec<_> = all.collect();
        let fine = found.iter().all(|said| said.severity != Severity::Error);
        (if fine { all.into_iter().collect() } else { None }, found)
    }

    /// Lets a connection in: in the task of the connection, since the other side may take its time. `None`: it was
    /// no visitor, or took too long.
    pub(super) async fn admit(
        &self,
        stream: Stream,
        peer: Peer,
        rules: &Rc<Rules>,
    ) -> Option<(Stream, Arrival)> {
        let arrival = Arrival { peer, https: self.tls.is_some(), redirect_to_https: self.redirect_to_https };
        let Some(tls) = &self.tls else { return Some((stream, arrival)) };
        // Boxed: a task is as large as the largest thing it ever holds.
        let handshake = Box::pin(tls.accept(stream));
        let shaken: Result<io::Result<Stream>, _> =
            clock::timeout(rules.limits.tls_handshake_timeout, handshake).await;
        match shaken {
            Ok(Ok(stream)) => Some((stream, arrival)),
            Ok(Err(error)) => {
                tracing::debug!(%error, ?peer, "the TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!(?peer, "the TLS handshake took too long: tls_handshake_timeout");
                None
            }
        }
    }
}
