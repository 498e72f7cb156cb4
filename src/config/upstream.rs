//! `[upstreams.NAME]`: the apps.

use std::{net::Ipv6Addr, path::PathBuf, time::Duration};

use super::{
    diagnostic::Diagnostic,
    value::{Mistake, Reader},
};

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

const SERVER: &str = "\"http://HOST[:PORT]\", \"unix:/PATH\", or a table { address = \"…\", weight = 2 }";

impl Upstream {
    pub(super) fn read_all(root: &Reader<'_>) -> Vec<Self> {
        let sections = root.named_sections("upstreams");
        if sections.is_empty() {
            let help = "say where the app is:\n[upstreams.app]\nservers = [\"http://127.0.0.1:3000\"]";
            root.notes().push(Diagnostic::error("there is no `[upstreams.NAME]`", None, "").help(help));
        }
        sections.into_iter().map(|(name, reader)| Self::read(name, &reader)).collect()
    }

    fn read(name: String, reader: &Reader<'_>) -> Self {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            let label = "letters, digits, `-`, `_` and `.` only";
            let message = "an upstream cannot have this name";
            reader.notes().push(Diagnostic::error(message, reader.place.clone(), label));
        }
        let upstream = Self {
            name,
            servers: Server::read_all(reader),
            host: reader.parsed("host", "\"visitor\", \"server\" or a name", host).unwrap_or_default(),
            rewrite_redirects: reader.bool("rewrite_redirects", true),
            connect_timeout: reader.duration("connect_timeout", Duration::from_secs(5)),
            first_byte_timeout: reader.duration("first_byte_timeout", Duration::from_mins(1)),
            idle_timeout: reader.duration("idle_timeout", Duration::from_secs(4)),
            retries: reader.number("retries", 0..=10, 1) as u32,
        };
        reader.finish();
        upstream
    }
}

impl Server {
    fn read_all(reader: &Reader<'_>) -> Vec<Self> {
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
                    Ok(address) => servers.push(Self { address, weight: 1 }),
                    Err(mistake) => reader.refuse(KEY, item, SERVER, mistake),
                }
            } else if item.get_ref().is_table() {
                let Some(table) = reader.item(KEY, item) else { continue };
                let address = table.required("address", "\"http://HOST[:PORT]\" or \"unix:/PATH\"", address);
                let weight = table.number("weight", 1..=1000, 1) as u32;
                table.finish();
                servers.extend(address.map(|address| Self { address, weight }));
            } else {
                reader.refuse(KEY, item, SERVER, Mistake::TYPE);
            }
        }
        servers
    }
}

fn host(text: &str) -> Result<UpstreamHost, Mistake> {
    match text {
        "visitor" => Ok(UpstreamHost::Visitor),
        "server" => Ok(UpstreamHost::Server),
        name => authority(name).map(|_| UpstreamHost::Name(name.to_owned())).ok_or(Mistake::VALUE),
    }
}

fn address(text: &str) -> Result<ServerAddress, Mistake> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') && !path.contains('\0') {
            Ok(ServerAddress::Unix(path.into()))
        } else {
            Err(Mistake::why("expected an absolute path after `unix:`"))
        };
    }
    if text.starts_with("https://") {
        return Err(Mistake::why("https:// to an app is not supported yet"));
    }
    let Some(rest) = text.strip_prefix("http://") else {
        return Err(match authority(text) {
            Some(_) => Mistake::VALUE.help(format!("with the scheme: \"http://{text}\"")),
            None => Mistake::VALUE,
        });
    };
    if let Some((before, _)) = rest.split_once(['/', '?', '#']) {
        let help = format!("\"http://{before}\"");
        return Err(Mistake::why("a server has no path").help(format!("leave it out: {help}")));
    }
    let (host, port) = authority(rest).ok_or(Mistake::VALUE)?;
    Ok(ServerAddress::Tcp { host: host.to_ascii_lowercase(), port: port.unwrap_or(80) })
}

/// `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT`.
fn authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if !super::is_host_name(host) {
            return None;
        }
        (host, port)
    };
    match port {
        None => Some((host, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0).map(|port| (host, Some(port)))
        }
        Some(_) => None,
    }
}
