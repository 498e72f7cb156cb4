//! `[[routes]]`: which request goes where, under which rules.

use std::{fmt, net::Ipv6Addr, ops::Range, time::Duration};

use super::{
    UpstreamConfig,
    diagnostic::Diagnostic,
    scalar,
    value::{TableReader, ValueProblem},
};

mod check;
mod gate;
mod origin;

pub use gate::{CrossSite, OnUnauthorized, PreflightRule, RequiredLogin};
pub use origin::WebOrigin;

/// `[[routes]]`
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// `host`; absent: any.
    pub host: Option<HostPattern>,
    /// `path`: a prefix, by segment; begins with `/`; in normal form.
    pub path: String,
    /// `ignore_case` of the path. Absent: the case counts, but a path that would take another route without it is refused,
    /// since many apps ignore it. `Some(false)`: the app is known to tell `/Admin` from `/admin`.
    pub ignore_case: Option<bool>,
    /// `strip_prefix`: the app gets the path without `path`, which is more than `/`.
    pub strip_prefix: bool,
    /// `upstream`: index into [`Config::upstreams`](super::Config::upstreams).
    pub upstream: usize,
    /// `session`
    pub session: SessionMode,
    /// `realm`: joins hosts or parts paths on purpose; empty in the file: none.
    pub realm: Option<String>,
    /// `require`
    pub require: RequiredLogin,
    /// `on_unauthorized`: the answer where `require` is not met.
    pub on_unauthorized: OnUnauthorized,
    /// `preflight`: whether CORS preflights must meet `require`.
    pub preflight: PreflightRule,
    /// `cross_site`
    pub cross_site: CrossSite,
    /// `trusted_origins`: pass where `cross_site` is `"block"`.
    pub trusted_origins: Vec<WebOrigin>,
    /// `on_store_failure`
    pub on_store_failure: OnStoreFailure,
    /// `cross_site_sessions`: a session may begin in answer to a cross-site post as well.
    pub cross_site_sessions: bool,
    /// `first_byte_timeout`; absent: the upstream's.
    pub first_byte_timeout: Option<Duration>,
    /// `body_bytes`; absent: that of `[limits]`. The inner `None` is `"off"`.
    #[expect(clippy::option_option, reason = "absent and off are two things")]
    pub body_bytes: Option<Option<u64>>,
    /// `response_idle_timeout`: how long the app may stall within an answer; `None` is `"off"`.
    pub response_idle_timeout: Option<Duration>,
}

/// `host` of a route, lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `"shop.example.com"`
    Exact(String),
    /// `"*.example.com"`, kept as `"example.com"`: every name below it, not the name itself.
    Below(String),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl HostPattern {
    /// Whether a host, lower case and without port, is meant.
    pub fn fits(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(name) => host
                .strip_suffix(name.as_str())
                .is_some_and(|before| before.len() > 1 && before.ends_with('.')),
        }
    }
}

/// `session` of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionMode {
    /// `"on"`
    #[default]
    On,
    /// `"read_only"`: used; no mint, no activity, no instructions.
    ReadOnly,
    /// `"off"`: no session header at all; the ticket is still taken out.
    Off,
}

/// `on_store_failure`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// `"refuse"`
    #[default]
    Refuse,
    /// `"anonymous"`
    Anonymous,
}

/// A route, and where it stands.
struct PlacedRoute<'a> {
    route: RouteConfig,
    reader: &'a TableReader<'a>,
}

impl PlacedRoute<'_> {
    /// Where the value of a key stands, or else the route.
    fn place(&self, key: &str) -> Option<Range<usize>> {
        self.reader.span(key).or_else(|| self.reader.place.clone())
    }
}

impl RouteConfig {
    pub(super) fn read_all(root: &TableReader<'_>, upstreams: &[UpstreamConfig]) -> Vec<Self> {
        let readers = root.sections("routes");
        if readers.is_empty() {
            let help = "say which app gets the requests:\n[[routes]]\nupstream = \"app\"";
            root.notes().push(Diagnostic::error("there is no `[[routes]]`", None, "").help(help));
        }
        let mut routes: Vec<PlacedRoute<'_>> = Vec::new();
        for reader in &readers {
            let route = Self::read(reader, upstreams);
            // What was refused reads as absent: that is no reason to call two routes the same.
            let sound = (reader.span("host").is_none() || route.host.is_some())
                && (reader.span("path").is_none() || reader.says("path", &route.path));
            let first = routes.iter().find(|other| sound && route.meets(&other.route));
            if let Some(first) = first {
                let twice = reader.error("path", "two routes for one host and path", "the same again");
                reader.notes().push(twice.also(first.place("path"), "first here"));
            }
            if !sound {
                continue;
            }
            routes.push(PlacedRoute { route, reader });
        }
        check::gates(&routes, upstreams);
        routes.into_iter().map(|placed| placed.route).collect()
    }

    fn read(reader: &TableReader<'_>, upstreams: &[UpstreamConfig]) -> Self {
        let named = |name: &str| upstream_named(upstreams, name);
        let modes =
            [("on", SessionMode::On), ("read_only", SessionMode::ReadOnly), ("off", SessionMode::Off)];
        let failures = [("refuse", OnStoreFailure::Refuse), ("anonymous", OnStoreFailure::Anonymous)];
        let route = Self {
            host: reader.parsed("host", "a name such as \"shop.example.com\" or \"*.example.com\"", host),
            path: reader.parsed("path", "a path such as \"/shop\"", path).unwrap_or_else(|| "/".to_owned()),
            ignore_case: reader.optional_bool("ignore_case"),
            strip_prefix: reader.bool("strip_prefix", false),
            upstream: reader.required("upstream", "the NAME of an `[upstreams.NAME]`", named).unwrap_or(0),
            session: reader.choice("session", &modes, SessionMode::On),
            realm: reader.parsed("realm", "a name", realm).flatten(),
            require: reader.choice("require", &RequiredLogin::WORDS, RequiredLogin::Nothing),
            on_unauthorized: OnUnauthorized::read(reader),
            preflight: reader.choice(
                "preflight",
                &[("require", PreflightRule::Require), ("pass", PreflightRule::Pass)],
                PreflightRule::Require,
            ),
            cross_site: reader.choice(
                "cross_site",
                &[("pass", CrossSite::Pass), ("block", CrossSite::Block)],
                CrossSite::Pass,
            ),
            trusted_origins: WebOrigin::read_all(reader),
            on_store_failure: reader.choice("on_store_failure", &failures, OnStoreFailure::Refuse),
            cross_site_sessions: reader.bool("cross_site_sessions", false),
            first_byte_timeout: reader.optional_duration("first_byte_timeout"),
            body_bytes: reader.optional_limit_size("body_bytes", &(0..=u64::MAX)),
            response_idle_timeout: reader
                .limit_duration("response_idle_timeout", Some(Duration::from_mins(10))),
        };
        reader.finish();
        route
    }

    /// Whether other spellings of its path in capitals are the same.
    pub fn ignores_case(&self) -> bool {
        self.ignore_case == Some(true)
    }

    /// Whether both would take the same requests.
    fn meets(&self, other: &Self) -> bool {
        // A slash at the end makes no other prefix.
        let (path, others) = (self.path.trim_end_matches('/'), other.path.trim_end_matches('/'));
        let same_path = if self.ignores_case() || other.ignores_case() {
            path.eq_ignore_ascii_case(others)
        } else {
            path == others
        };
        same_path && self.host == other.host
    }
}

/// The place of an upstream among all.
pub(super) fn upstream_named(upstreams: &[UpstreamConfig], name: &str) -> Result<usize, ValueProblem> {
    upstreams.iter().position(|upstream| upstream.name == name).ok_or_else(|| {
        let why = ValueProblem::why(format!("there is no `[upstreams.{name}]`"));
        match scalar::nearest(name, upstreams.iter().map(|upstream| upstream.name.as_str())) {
            Some(near) => why.help(format!("did you mean \"{near}\"?")),
            None => why,
        }
    })
}

pub(super) fn host(text: &str) -> Result<HostPattern, ValueProblem> {
    let lower = text.to_ascii_lowercase();
    let (name, below) = lower.strip_prefix("*.").map_or((lower.as_str(), false), |name| (name, true));
    if name == "*" {
        return Err(ValueProblem::VALUE.help("for any host, leave `host` out"));
    }
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = !below && address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    if !is_address && !super::is_host_name(name) {
        let without_port =
            name.rsplit_once(':').map(|(name, _)| name).filter(|name| super::is_host_name(name));
        return Err(match without_port {
            Some(name) => ValueProblem::VALUE.help(format!("without the port: \"{name}\"")),
            None => ValueProblem::VALUE,
        });
    }
    Ok(if below { HostPattern::Below(name.to_owned()) } else { HostPattern::Exact(lower) })
}

pub(super) fn path(text: &str) -> Result<String, ValueProblem> {
    if !text.starts_with('/') {
        return Err(ValueProblem::why("a path begins with /"));
    }
    if text.contains('%') {
        return Err(ValueProblem::why("a path is written decoded, without %"));
    }
    if text.split('/').any(|segment| segment == ".." || segment == ".") {
        return Err(ValueProblem::why("a path has no `.` or `..` segment"));
    }
    if text.contains("//") {
        return Err(ValueProblem::why("a path has no empty segment"));
    }
    if text.contains('*') {
        let why = ValueProblem::why("a path is a prefix already, and has no *");
        let below = text.split('*').next().unwrap_or_default().trim_end_matches('/');
        return Err(why.help(format!("for all below it: \"{}\"", if below.is_empty() { "/" } else { below })));
    }
    if text.contains(['?', '#', '\\']) || text.contains(char::is_control) {
        return Err(ValueProblem::why("a path has no ?, #, backslash or control character"));
    }
    Ok(text.to_owned())
}

/// The name becomes part of keys in the store.
fn realm(text: &str) -> Result<Option<String>, ValueProblem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.len() > 64 || !text.bytes().all(plain) {
        return Err(ValueProblem::why("at most 64 letters, digits, `-`, `_` and `.`"));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}
