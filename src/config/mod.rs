//! Configuration: from the text that an operator wrote to values that the program may rely on.

use std::{collections::BTreeSet, net::Ipv6Addr, path::Path};

use toml::de::DeTable;

mod admin;
mod client_side;
mod cookie_rule;
mod diagnostic;
mod errors;
mod field;
mod keys;
mod limits;
mod listen;
mod log;
mod problem;
mod process;
mod restart_only;
mod route;
mod scalar;
mod secret;
mod session;
mod source;
mod store;
mod tls;
mod unit;
mod upstream;
mod value;

use value::{DiagnosticSink, TableReader};

pub use admin::{AdminAddress, AdminConfig};
pub use cookie_rule::{
    AttributeRule, CookieAction, CookiePriority, CookieRule, KeepRenew, RenamePattern, RuleSecure,
    is_session_like,
};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use errors::ErrorPages;
pub use field::FieldGlobs;
pub use keys::{KeyError, KeysConfig};
pub use limits::RequestLimits;
pub use listen::{IN_THE_CLEAR, ListenAddress, ListenConfig};
pub use log::{AccessFormat, LogConfig, LogLevel};
pub use process::{ForwardedFamily, ProcessConfig, TrustedProxies};
pub use route::{
    CrossSite, HostPattern, OnStoreFailure, OnUnauthorized, PreflightRule, RequiredLogin, RouteConfig,
    SessionMode, WebOrigin,
};
pub use secret::{SecretError, SecretSource};
pub use session::{
    CacheRule, CookiePrefix, HeaderPreset, JarLimits, OnConflict, OnTooMany, SameSite, SecureRule,
    SessionConfig, SessionCookie, SessionLifetimes, SessionStart, ValueEncoding,
};
pub use source::SourceText;
pub use store::{Durability, FlaskSession, RevocationMemory, StoreConfig, StoreKind};
pub use tls::{CertificateFiles, ClientCertificates};
pub use upstream::{
    AliasValue, BalanceRule, CaSource, HeaderAlias, HealthConfig, ServerAddress, ServerConfig,
    UpstreamConfig, UpstreamHost,
};

/// Everything that the program was told, valid as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[process]`
    pub process: ProcessConfig,
    /// `[[listen]]`, at least one.
    pub listen: Vec<ListenConfig>,
    /// `[upstreams.NAME]`, in the order of the file, at least one.
    pub upstreams: Vec<UpstreamConfig>,
    /// `[[routes]]`, in the order of the file, at least one.
    pub routes: Vec<RouteConfig>,
    /// `[session]`
    pub session: SessionConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[keys]`
    pub keys: KeysConfig,
    /// `[[cookies]]`, first match wins.
    pub cookies: Vec<CookieRule>,
    /// `[errors]`
    pub errors: ErrorPages,
    /// `[limits]`
    pub limits: RequestLimits,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[log]`
    pub log: LogConfig,
}

impl Config {
    /// Reads a file. The diagnostics beside the configuration are warnings.
    pub fn load(path: &Path) -> Result<(Self, Diagnostics), Diagnostics> {
        Self::from_source(SourceText::read(path)?)
    }

    /// Reads a text, of which `name` is shown with mistakes.
    pub fn parse(name: &str, text: &str) -> Result<(Self, Diagnostics), Diagnostics> {
        Self::from_source(SourceText::new(name, text))
    }

    /// One listener, one app, one route, sessions in memory; all else by default.
    pub fn from_flags(listen: &str, upstream: &str) -> Result<Self, Diagnostics> {
        let text = format!(
            "[[listen]]\naddress = {} # --listen\n[upstreams.app]\nservers = [{}] # --upstream\n\
             [[routes]]\nupstream = \"app\"\n\
             [store]\nkind = \"memory\"\n",
            quoted(listen),
            quoted(upstream),
        );
        Self::parse("(flags)", &text).map(|(config, _)| config)
    }

    /// Every key there is, as `session.cookie.name` or `upstreams.NAME.servers`.
    pub fn known_keys() -> BTreeSet<String> {
        let text = "listen = [{ tls.certificates = [{}] }]\nroutes = [{}]\ncookies = [{}]\nupstreams.NAME.servers = [{}]\n";
        read(text, Path::new("")).1
    }

    fn from_source(source: SourceText) -> Result<(Self, Diagnostics), Diagnostics> {
        let folder = Path::new(&source.name).parent().unwrap_or(Path::new(""));
        let (config, _, list) = read(&source.text, folder);
        let diagnostics = Diagnostics::new(source, list);
        match config {
            Some(config) if !diagnostics.has_errors() => Ok((config, diagnostics)),
            _ => Err(diagnostics),
        }
    }
}

/// `folder`: where what is named without one is looked for.
fn read(text: &str, folder: &Path) -> (Option<Config>, BTreeSet<String>, Vec<Diagnostic>) {
    // Every syntax error at once, with its place, and not only the first.
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a broken text seems to say would only add mistakes that are none.
        let list = errors.iter().map(|error| Diagnostic::error(error.message(), error.span(), ""));
        return (None, BTreeSet::new(), list.collect());
    }
    let notes = DiagnosticSink::default();
    let root = TableReader::new(&notes, table.get_ref());
    let process = ProcessConfig::read(&root.section("process"));
    let listen = ListenConfig::read_all(&root, folder, &process.trusted_proxies);
    let session = SessionConfig::read(&root.section("session"));
    let upstreams = UpstreamConfig::read_all(&root, &session.headers, folder);
    let routes = RouteConfig::read_all(&root, &upstreams);
    let store = StoreConfig::read(&root.section("store"));
    let keys = KeysConfig::read(&root.section("keys"));
    let keyless = store.kind != StoreKind::Disk && keys.current.is_none();
    let cookies = CookieRule::read_all(&root, &upstreams, &routes, &session.cookie, keyless);
    let errors = ErrorPages::read(&root.section("errors"), folder);
    let limits = RequestLimits::read(&root.section("limits"));
    let admin = AdminConfig::read(&root.section("admin"));
    let log = LogConfig::read(&root.section("log"));
    client_side::check(&root, (&store, &keys), &session, &cookies, &limits);
    let around =
        session::VisitorScheme { listen: &listen, routes: &routes, trusted: &process.trusted_proxies };
    session::check_refused(&root.section("session").section("cookie"), &session.cookie, around);
    // After all sections were asked for: what nobody asked for is a mistake, and told with the
    // nearest name.
    root.finish();
    let config = Config {
        process,
        listen,
        upstreams,
        routes,
        session,
        store,
        keys,
        cookies,
        errors,
        limits,
        admin,
        log,
    };
    let (list, known) = notes.into_parts();
    (Some(config), known, list)
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char.is_control() => quoted.extend(format!("\\u{:04X}", u32::from(char)).chars()),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// A DNS name or an IPv4 address; `_` is not rare in the names of containers.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT`.
fn authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if !is_host_name(host) {
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

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
