//! Configuration: from the text that an operator wrote to values that the program may rely on.

use std::{collections::BTreeSet, path::Path};

use toml::de::DeTable;

mod cookie_rule;
mod diagnostic;
mod limits;
mod listen;
mod log;
mod process;
mod route;
mod scalar;
mod session;
mod source;
mod store;
mod upstream;
mod value;

use value::{Notes, Reader};

pub use cookie_rule::{CookieRule, RuleSecure};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use limits::Limits;
pub use listen::{Listen, ListenAddress};
pub use log::{AccessFormat, Level, Log};
pub use process::{ForwardedFamily, Process, TrustedProxies};
pub use route::{HostPattern, MintRule, OnStoreFailure, Route, SessionMode};
pub use session::{CookiePrefix, Headers, Lifetimes, SameSite, Secure, Session, SessionCookie};
pub use source::Source;
pub use store::{Store, StoreKind};
pub use upstream::{Server, ServerAddress, Upstream, UpstreamHost};

/// Everything that the program was told, valid as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[process]`
    pub process: Process,
    /// `[[listen]]`, at least one.
    pub listen: Vec<Listen>,
    /// `[upstreams.NAME]`, in the order of the file, at least one.
    pub upstreams: Vec<Upstream>,
    /// `[[routes]]`, in the order of the file, at least one.
    pub routes: Vec<Route>,
    /// `[session]`
    pub session: Session,
    /// `[store]`
    pub store: Store,
    /// `[[cookies]]`, first match wins.
    pub cookies: Vec<CookieRule>,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
}

impl Config {
    /// Reads a file. The diagnostics beside the configuration are warnings.
    pub fn load(path: &Path) -> Result<(Self, Diagnostics), Diagnostics> {
        Self::from_source(Source::read(path)?)
    }

    /// Reads a text, of which `name` is shown with mistakes.
    pub fn parse(name: &str, text: &str) -> Result<(Self, Diagnostics), Diagnostics> {
        Self::from_source(Source::new(name, text))
    }

    /// One listener, one app, one route; all else by default.
    pub fn from_flags(listen: &str, upstream: &str) -> Result<Self, Diagnostics> {
        let text = format!(
            "[[listen]]\naddress = {} # --listen\n[upstreams.app]\nservers = [{}] # --upstream\n\
             [[routes]]\nupstream = \"app\"\n",
            quoted(listen),
            quoted(upstream),
        );
        Self::parse("(flags)", &text).map(|(config, _)| config)
    }

    /// Every key there is, as `session.cookie.name` or `upstreams.NAME.servers`.
    pub fn known_keys() -> BTreeSet<String> {
        let text = "listen = [{}]\nroutes = [{}]\ncookies = [{}]\nupstreams.NAME.servers = [{}]\n";
        read(text).1
    }

    fn from_source(source: Source) -> Result<(Self, Diagnostics), Diagnostics> {
        let (config, _, list) = read(&source.text);
        let diagnostics = Diagnostics::new(source, list);
        match config {
            Some(config) if !diagnostics.has_errors() => Ok((config, diagnostics)),
            _ => Err(diagnostics),
        }
    }
}

fn read(text: &str) -> (Option<Config>, BTreeSet<String>, Vec<Diagnostic>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a broken text seems to say would only add mistakes that are none.
        let list = errors.iter().map(|error| Diagnostic::error(error.message(), error.span(), ""));
        return (None, BTreeSet::new(), list.collect());
    }
    let notes = Notes::default();
    let root = Reader::new(&notes, table.get_ref());
    let process = Process::read(&root.section("process"));
    let listen = Listen::read_all(&root);
    let upstreams = Upstream::read_all(&root);
    let routes = Route::read_all(&root, &upstreams);
    let session = Session::read(&root.section("session"));
    let store = Store::read(&root.section("store"));
    let cookies = CookieRule::read_all(&root);
    let limits = Limits::read(&root.section("limits"));
    let log = Log::read(&root.section("log"));
    root.finish();
    let config = Config { process, listen, upstreams, routes, session, store, cookies, limits, log };
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
