//! `[[listen]]`: where requests arrive.

use std::{net::SocketAddr, path::PathBuf};

/// `[[listen]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// `address`
    pub address: ListenAddress,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `"127.0.0.1:8080"`, `"[::]:80"`
    Tcp(SocketAddr),
    /// `"unix:/run/cloakroom.sock"`
    Unix(PathBuf),
    /// `"systemd:public"`: a socket that systemd passed on under that name (`FileDescriptorName=`).
    Systemd(String),
}
