//! Listening: where connections come from, and how long each may take.
//!
//! Here live sockets, the connection's life, its limits of time. Never: what a request means. Any service can be
//! served; `app` calls [`serve`] with the one of `proxy`. RFC 9112 §9 binds connections.

mod bind;
mod connection;
mod counts;
mod entrance;
mod http1;
mod http2;
mod interim;
mod proxy_protocol;
mod received;
mod stall;
mod switch;
mod tls;

pub use bind::{BindError, BoundListener, bind};
pub use connection::{ConnectionRules, serve};
pub use counts::ConnectionLimits;
pub use entrance::{Acceptor, RequestHandler, RequestOrigin};
pub use interim::InterimSender;
pub use received::ReceivedBody;
pub use switch::{DuplexStream, PendingUpgrade, UpgradedTunnel};
pub use tls::{ClientCertificate, ClientVerifier, ListenerCertificates, ListenerTls, ResumptionKeys};

use std::net::IpAddr;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerName {
    /// By TCP.
    Ip(IpAddr),
    /// By a unix socket.
    Unix,
}
