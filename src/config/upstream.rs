//! `[upstreams.NAME]`: the apps.

use std::{path::PathBuf, time::Duration};

/// `[upstreams.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The NAME.
    pub name: String,
    /// `servers`, at least one.
    pub servers: Vec<Server>,
    /// `host`: the Host that the app gets.
    pub host: UpstreamHost,
    /// `rewrite_redirects`
    pub rewrite_redirects: bool,
    /// `connect_timeout`
    pub connect_timeout: Duration,
    /// `first_byte_timeout`: from the request's end to the first byte of the answer's head.
    pub first_byte_timeout: Duration,
    /// `idle_timeout` of pooled connections.
    pub idle_timeout: Duration,
    /// `retries`
    pub retries: u32,
}

/// One server of an upstream: `"http://127.0.0.1:3000"`, `"unix:/run/app.sock"`, or `{ address = …, weight = 2 }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub address: ServerAddress,
    /// Its share of the requests, at least 1, at most 1000.
    pub weight: u32,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// `"http://HOST[:PORT]"`: a name or an address (IPv6 without brackets here), port 80 unless given.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// `"unix:/run/app.sock"`
    Unix(PathBuf),
}

/// `host`: the Host that the app gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UpstreamHost {
    /// `"visitor"`: what the visitor asked for.
    #[default]
    Visitor,
    /// `"server"`: the server's own address.
    Server,
    /// A name (with a port if need be).
    Name(String),
}
