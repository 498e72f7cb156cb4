//! Upstreams: the apps. Choosing a server, connecting, keeping connections, sending one request.
//!
//! Never here: sessions, routes, what the visitor sees of a fault. Called by `proxy`. RFC 9110 §9.2.2 (what may be
//! repeated) and RFC 9112 §9 (connections) bind it.

mod balance;
mod connections;
mod endpoint;
mod error;
mod health;
mod http1;
mod send;
mod tls;
mod upload;

pub use connections::{Connections, Lease};
pub use endpoint::{Endpoint, Endpoints};
pub use error::UpstreamError;
pub use health::watch;
pub use http1::{AnswerBody, Http1Error};
pub use send::{Answer, Interim, Terms, send};
pub use tls::{TlsError, look};
pub use upload::Upload;

/// What request bodies fail with.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
