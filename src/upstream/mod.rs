//! Upstreams: the apps. Choosing a server, connecting, keeping connections, sending one request.
//!
//! Never here: sessions, routes, what the visitor sees of a fault. Called by `proxy`. RFC 9110 §9.2.2 (what may be
//! repeated) and RFC 9112 §9 (connections) bind it. The wire is that of `http1` or, where an upstream says so, `http2`.

mod answer;
mod balance;
mod connect;
mod connections;
mod endpoint;
mod error;
mod habits;
mod health;
mod http1;
mod http2;
mod pool;
mod replay;
mod send;
mod slots;
mod tls;
mod upload;

pub use answer::{AnswerBody, InterimHandler, UpstreamAnswer};
pub use connections::{ConnectionLease, UpstreamConnections};
pub use endpoint::{Endpoint, Endpoints};
pub use error::{ExchangeError, UpstreamError};
pub use health::watch;
pub use send::{SendOptions, send};
pub use tls::{TlsError, look};
pub use upload::UploadProgress;

/// What request bodies fail with.
pub type RequestBodyError = Box<dyn std::error::Error + Send + Sync>;
