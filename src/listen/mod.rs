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

pub use bind::{BindError, Listener, bind};
pub use connection::{Rules, serve};
pub use counts::Counts;
pub use entrance::{Arrival, Entrance, Handler};
pub use interim::Interim;
pub use received::Received;
pub use switch::{Duplex, Switch, Tunnel};
pub use tls::{Certificates, ClientCertificate, Clients, Tickets, Tls};

use std::net::IpAddr;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// By TCP.
    Ip(IpAddr),
    /// By a unix socket.
    Unix,
}
