//! `servers` of an upstream.

use std::{net::IpAddr, ops::Range, path::PathBuf};

use super::super::{
    authority,
    value::{TableReader, ValueProblem},
};
use crate::net::is_loopback;

/// One server of an upstream: `"http://127.0.0.1:3000"`, `"unix:/run/app.sock"`, or `{ address = …, weight = 2 }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it listens.
    pub address: ServerAddress,
    /// Its share of the requests, at least 1, at most 1000.
    pub weight: u32,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// `"http://HOST[:PORT]"` or `"https://…"`: a name or an address (IPv6 without brackets here), port 80 or 443 unless
    /// given.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// By TLS.
        tls: bool,
    },
    /// `"unix:/run/app.sock"`
    Unix(PathBuf),
}

const SERVER: &str =
    "\"http://HOST[:PORT]\", \"https://…\", \"unix:/PATH\", or a table { address = \"…\", weight = 2 }";

impl ServerConfig {
    /// All of them, and where each stands.
    pub(super) fn read_all(reader: &TableReader<'_>) -> Vec<(Self, Range<usize>)> {
        const KEY: &str = "servers";
        let items = reader.array(KEY, "an array of servers");
        if items.is_empty() && !reader.is_not_array(KEY) {
            let message = format!("`{}` names no server", reader.dotted(KEY));
            let help = "servers = [\"http://127.0.0.1:3000\"]";
            reader.notes().push(reader.error(KEY, message, "needs at least one").help(help));
        }
        let mut servers = Vec::new();
        for item in items {
            if let Some(text) = item.get_ref().as_str() {
                match address(text) {
                    Ok(address) => servers.push((Self { address, weight: 1 }, item.span())),
                    Err(mistake) => reader.refuse(KEY, item, SERVER, mistake),
                }
            } else if item.get_ref().is_table() {
                let Some(table) = reader.item(KEY, item) else { continue };
                let address = table.required(
                    "address",
                    "\"http://HOST[:PORT]\", \"https://…\" or \"unix:/PATH\"",
                    address,
                );
                let weight = table.number("weight", 1..=1000, 1) as u32;
                table.finish();
                servers.extend(address.map(|address| (Self { address, weight }, item.span())));
            } else {
                reader.refuse(KEY, item, SERVER, ValueProblem::TYPE);
            }
        }
        servers
    }
}

impl ServerAddress {
    /// Whether what is said to it can be read on the way, and it may be reached past us.
    pub(super) fn is_in_the_clear(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tcp { tls: true, .. } => false,
            Self::Tcp { host, .. } => match host.parse::<IpAddr>() {
                // To connect to no address in particular is to connect to oneself.
                Ok(ip) => !is_loopback(ip) && !ip.is_unspecified(),
                Err(_) => host != "localhost" && !host.ends_with(".localhost"),
            },
        }
    }
}

fn address(text: &str) -> Result<ServerAddress, ValueProblem> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') && !path.contains('\0') {
            Ok(ServerAddress::Unix(path.into()))
        } else {
            Err(ValueProblem::why("expected an absolute path after `unix:`"))
        };
    }
    let by = |scheme: &'static str| text.strip_prefix(scheme).map(|rest| (scheme, rest));
    let Some((scheme, rest)) = by("http://").or_else(|| by("https://")) else {
        return Err(match authority(text) {
            Some(_) => ValueProblem::VALUE.help(format!("with the scheme: \"http://{text}\"")),
            None => ValueProblem::VALUE,
        });
    };
    if let Some((before, _)) = rest.split_once(['/', '?', '#']) {
        let help = format!("\"{scheme}{before}\"");
        return Err(ValueProblem::why("a server has no path").help(format!("leave it out: {help}")));
    }
    let (host, port) = authority(rest).ok_or(ValueProblem::VALUE)?;
    let tls = scheme == "https://";
    let port = port.unwrap_or(if tls { 443 } else { 80 });
    Ok(ServerAddress::Tcp { host: host.to_ascii_lowercase(), port, tls })
}
