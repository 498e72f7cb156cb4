//! `[upstreams.NAME]`: the apps.

use std::{path::Path, time::Duration};

use toml::de::DeTable;

use super::{
    authority,
    diagnostic::Diagnostic,
    field::FieldGlobs,
    secret::SecretSource,
    session::HeaderConfig,
    value::{TableReader, ValueProblem},
};

mod header_alias;
mod health;
mod server;
mod tls;

pub use header_alias::{AliasValue, HeaderAlias};
pub use health::HealthConfig;
pub use server::{ServerAddress, ServerConfig};
pub use tls::{CaSource, UpstreamTlsConfig};

/// `[upstreams.NAME]`
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    /// The NAME.
    pub name: String,
    /// `servers`, at least one.
    pub servers: Vec<ServerConfig>,
    /// `http2`: its servers are spoken to in HTTP/2, by ALPN or by prior knowledge (RFC 9113 section 3).
    pub http2: bool,
    /// `host`: the Host that the app gets.
    pub host: UpstreamHost,
    /// `rewrite_redirects`
    pub rewrite_redirects: bool,
    /// `balance`: which server is next.
    pub balance: BalanceRule,
    /// `health`: absent, only what requests find counts.
    pub health: Option<HealthConfig>,
    /// `connect_timeout`: until a connection is there, the TLS handshake included.
    pub connect_timeout: Duration,
    /// `first_byte_timeout`: from the request's end to the first byte of the answer's head.
    pub first_byte_timeout: Duration,
    /// `idle_timeout` of pooled connections.
    pub idle_timeout: Duration,
    /// `idle_connections`: so many unused ones are kept, by worker and server.
    pub idle_connections: usize,
    /// `max_connections`: to each server, of the whole process, used or not, but for tunnels; `None` is `"off"`.
    pub max_connections: Option<usize>,
    /// `queue_timeout`: how long a request waits for one of these; then 503.
    pub queue_timeout: Duration,
    /// `request_buffer`: a body up to this is held until it is whole, so that slow senders hold no worker of the app; in
    /// bytes; `None` is `"off"`.
    pub request_buffer: Option<usize>,
    /// `retries`
    pub retries: u32,
    /// `tls`: of its `https://` servers.
    pub tls: UpstreamTlsConfig,
    /// `session_fields`: which fields it is shown.
    pub session_fields: FieldGlobs,
    /// `session_write`: whether it may write fields.
    pub session_write: bool,
    /// `session_login`: whether it may set the principal.
    pub session_login: bool,
    /// `header_aliases`: what it is told under further names, in the order of the file; stripped from clients.
    pub header_aliases: Vec<HeaderAlias>,
    /// `proof`: X-Session-Meta-Proof, so that an app can refuse what did not come through cloakroom.
    pub proof: Option<SecretSource>,
}

/// `balance`: which server is next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BalanceRule {
    /// `"round_robin"`: by turns.
    #[default]
    RoundRobin,
    /// `"least_requests"`: the one with the fewest requests under way.
    LeastRequests,
    /// `"session"`: a session stays on its server while that lives; who has none, by address.
    Session,
}

const BALANCES: [(&str, BalanceRule); 3] = [
    ("round_robin", BalanceRule::RoundRobin),
    ("least_requests", BalanceRule::LeastRequests),
    ("session", BalanceRule::Session),
];

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

impl UpstreamConfig {
    pub(super) fn read_all(root: &TableReader<'_>, headers: &HeaderConfig, folder: &Path) -> Vec<Self> {
        let sections = root.named_sections("upstreams");
        if sections.is_empty() {
            let help = "say where the app is:\n[upstreams.app]\nservers = [\"http://127.0.0.1:3000\"]";
            root.notes().push(Diagnostic::error("there is no `[upstreams.NAME]`", None, "").help(help));
        }
        let sharing: Vec<_> = sections.iter().filter(|(name, _)| shares(root, name)).collect();
        if sharing.len() > 1 {
            for (name, reader) in sharing {
                ask_for_rights(name, reader);
            }
        }
        sections.into_iter().map(|(name, reader)| Self::read(name, &reader, headers, folder)).collect()
    }

    fn read(name: String, reader: &TableReader<'_>, headers: &HeaderConfig, folder: &Path) -> Self {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            let label = "letters, digits, `-`, `_` and `.` only";
            let message = "an upstream cannot have this name";
            reader.notes().push(Diagnostic::error(message, reader.place.clone(), label));
        }
        let placed = ServerConfig::read_all(reader);
        let proof = SecretSource::parse(reader, "proof");
        if proof.is_none()
            && let Some((_, place)) = placed.iter().find(|(server, _)| server.address.is_in_the_clear())
        {
            let message = format!("`upstreams.{name}` can be asked past cloakroom, and would not know it");
            let warning = Diagnostic::warning(message, Some(place.clone()), "http over a network");
            let help = "send it what it can insist on (X-Session-Meta-Proof), or speak https to it:\n\
                        proof = { credential = \"app-proof\" }";
            reader.notes().push(warning.help(help));
        }
        let servers: Vec<_> = placed.into_iter().map(|(server, _)| server).collect();
        let tls = UpstreamTlsConfig::read(reader, &servers, folder);
        let upstream = Self {
            name,
            servers,
            host: reader.parsed("host", "\"visitor\", \"server\" or a name", host).unwrap_or_default(),
            rewrite_redirects: reader.bool("rewrite_redirects", true),
            balance: reader.choice("balance", &BALANCES, BalanceRule::RoundRobin),
            health: HealthConfig::read(reader),
            connect_timeout: reader.duration("connect_timeout", Duration::from_secs(5)),
            first_byte_timeout: reader.duration("first_byte_timeout", Duration::from_mins(1)),
            idle_timeout: reader.duration("idle_timeout", Duration::from_secs(4)),
            idle_connections: reader.number("idle_connections", 0..=1 << 20, 1024) as usize,
            max_connections: reader
                .limit_number("max_connections", &(1..=1 << 20), Some(1024))
                .map(|most| most as usize),
            queue_timeout: reader.duration("queue_timeout", Duration::from_secs(5)),
            request_buffer: reader
                .optional_limit_size("request_buffer", &(1..=1 << 24))
                .unwrap_or(Some(64 * 1024))
                .map(|most| most as usize),
            retries: reader.number("retries", 0..=10, 1) as u32,
            tls,
            http2: reader.bool("http2", false),
            session_fields: FieldGlobs::read(reader, "session_fields"),
            session_write: reader.bool("session_write", true),
            session_login: reader.bool("session_login", true),
            header_aliases: HeaderAlias::read_all(reader, headers),
            proof,
        };
        reader.finish();
        upstream
    }
}

/// Whether an upstream is shown sessions: not where all of its routes are `session = "off"`.
fn shares(root: &TableReader<'_>, name: &str) -> bool {
    let routes = root.value("routes").and_then(|routes| routes.get_ref().as_array());
    let of = |key: &str, table: &DeTable<'_>| {
        table.get(key).and_then(|value| value.get_ref().as_str()).map(str::to_owned)
    };
    let own = |route: &&&DeTable<'_>| of("upstream", route).as_deref() == Some(name);
    let tables: Vec<_> = routes
        .into_iter()
        .flat_map(|all| all.iter())
        .filter_map(|route| route.get_ref().as_table())
        .collect();
    let mut own = tables.iter().filter(own).peekable();
    own.peek().is_none() || own.any(|route| of("session", route).as_deref() != Some("off"))
}

/// With several apps, each shares its visitors' sessions with the others: that is to be meant.
fn ask_for_rights(name: &str, reader: &TableReader<'_>) {
    let keys = [("session_fields", "[\"*\"]"), ("session_write", "true"), ("session_login", "true")];
    let missing: Vec<_> = keys.into_iter().filter(|(key, _)| reader.span(key).is_none()).collect();
    if missing.is_empty() {
        return;
    }
    let names: Vec<_> = missing.iter().map(|(key, _)| format!("`{key}`")).collect();
    let lines: Vec<_> = missing.iter().map(|(key, default)| format!("{key} = {default}")).collect();
    let message =
        format!("one of several upstreams, and `upstreams.{name}` does not say {}", names.join(", "));
    let label = "by default it sees and changes what the others keep";
    let help = format!("if it is meant to, write it out, or less than that:\n{}", lines.join("\n"));
    reader.notes().push(Diagnostic::warning(message, reader.place.clone(), label).help(help));
}

fn host(text: &str) -> Result<UpstreamHost, ValueProblem> {
    match text {
        "visitor" => Ok(UpstreamHost::Visitor),
        "server" => Ok(UpstreamHost::Server),
        name => authority(name).map(|_| UpstreamHost::Name(name.to_owned())).ok_or(ValueProblem::VALUE),
    }
}
