//! Listening: where connections come from, and how long each may take.
//!
//! Here live sockets, the connection's life, its limits of time. Never: what a request means. Any service can be
//! served; `app` calls [`serve`] with the one of `proxy`. RFC 9112 §9 binds connections.

mod acceptor;
mod bind;
mod connection;
mod http1;
mod http2;
mod interim;
mod limits;
mod proxy_protocol;
mod received;
mod rules;
mod tls;
mod upgrade;
mod write_stall;

pub use acceptor::{Acceptor, RequestArrival, RequestHandler};
pub use bind::{BindError, BoundListener, bind};
pub use connection::serve;
pub use interim::InterimSender;
pub use limits::ConnectionLimits;
pub use received::ReceivedBody;
pub use rules::ConnectionRules;
pub use tls::{ClientCertificate, ClientVerifier, ListenerCertificates, ListenerTls, ResumptionKeys};
pub use upgrade::{DuplexStream, PendingUpgrade, UpgradedTunnel};

use std::net::IpAddr;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerName {
    /// By TCP.
    Ip(IpAddr),
    /// By a unix socket.
    Unix,
}
