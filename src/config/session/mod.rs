//! `[session]`: lifetimes, limits, the cookie, the headers.

use std::{fmt, time::Duration};

use toml::de::DeValue;

use super::{
    cookie_rule::shown_duration,
    diagnostic::Diagnostic,
    field, scalar,
    value::{TableReader, ValueProblem},
};

mod cookie;
mod headers;
mod refused;

pub use cookie::{CookiePrefix, SameSite, SecureRule, SessionCookie};
pub use headers::{HeaderConfig, HeaderPreset, ValueEncoding};

pub(super) use cookie::{cookie_domain, cookie_path, prefixed};
pub(super) use refused::{VisitorScheme, check as check_refused};

/// `[session]`
#[derive(Debug, Clone, PartialEq)]
pub struct SessionConfig {
    /// `create`
    pub create: SessionStart,
    /// `idle_timeout`, `absolute_timeout` of a plain session.
    pub plain: SessionLifetimes,
    /// `permanent = { idle_timeout, absolute_timeout }`
    pub permanent: SessionLifetimes,
    /// `unconfirmed_timeout`: for a session whose ticket never came back.
    pub unconfirmed_timeout: Duration,
    /// `touch_interval`: last-seen is saved at most this often, and at least four times per idle time.
    pub touch_interval: Duration,
    /// `renew_interval`, at least a minute: the ticket is rotated that often; `None` is `"off"`.
    pub renew_interval: Option<Duration>,
    /// `privilege_fields`, in normal form: a change of one of them renews, as a change of principal does.
    pub privilege_fields: Vec<String>,
    /// `max_sessions_per_principal`, 1 to 10,000; `None` is `"off"`.
    pub max_sessions_per_principal: Option<u32>,
    /// `on_too_many`: what a login past `max_sessions_per_principal` meets.
    pub on_too_many: OnTooMany,
    /// `on_conflict`: what follows when `X-Session-If-Version` does not hold.
    pub on_conflict: OnConflict,
    /// `close_tunnels`: websockets and event streams end with the session that they began under.
    pub close_tunnels: bool,
    /// `stream_activity`: what an app pushes, and the visitor reads, keeps a session alive as a request does.
    pub stream_activity: bool,
    /// `cache`: the Cache-Control of answers that were shown a principal or a field and carry none.
    pub cache: CacheRule,
    /// `max_fields`
    pub max_fields: usize,
    /// `max_bytes`: names and values of all fields.
    pub max_bytes: usize,
    /// `max_value_bytes`: of one value, as it stands on the wire.
    pub max_value_bytes: usize,
    /// `max_header_bytes`: of all fields that one upstream is shown, as they stand on the wire.
    pub max_header_bytes: usize,
    /// `jar = { max_cookies, max_bytes }`: of the app's cookies that are kept here.
    pub jar: JarLimits,
    /// `[session.cookie]`
    pub cookie: SessionCookie,
    /// `[session.headers]`
    pub headers: HeaderConfig,
}

/// `jar`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JarLimits {
    /// `max_cookies`
    pub max_cookies: usize,
    /// `max_bytes`: names, values, domains and paths of all.
    pub max_bytes: usize,
}

/// How long a session lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLifetimes {
    /// Since it was last seen.
    pub idle_timeout: Duration,
    /// Since it was created, and anew from each login.
    pub absolute_timeout: Duration,
}

/// As it is written.
impl fmt::Display for SessionLifetimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [idle, absolute] = [self.idle_timeout, self.absolute_timeout].map(shown_duration);
        write!(f, "idle_timeout = {idle}, absolute_timeout = {absolute}")
    }
}

/// `create`: when a session begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionStart {
    /// `"visit"`: with the first visit.
    #[default]
    Visit,
    /// `"write"`: only when an app stores something.
    Write,
}

/// `on_too_many`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnTooMany {
    /// `"evict_oldest"`: the principal's oldest session ends.
    #[default]
    EvictOldest,
    /// `"refuse"`: the login does.
    Refuse,
}

/// `on_conflict`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// `"drop"`: the changes are dropped, the app's answer goes out.
    #[default]
    Drop,
    /// `409`: the visitor gets this status instead of the app's answer.
    Refuse,
}

/// `cache`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheRule {
    /// `"private"`: no shared cache keeps it.
    #[default]
    Private,
    /// `"no-store"`: nothing keeps it.
    NoStore,
    /// `"off"`: as the app said, or did not.
    Off,
}

const KIB: u64 = 1024;

impl SessionConfig {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let hours = Duration::from_hours;
        let permanent = reader.section("permanent");
        let too_many = [("evict_oldest", OnTooMany::EvictOldest), ("refuse", OnTooMany::Refuse)];
        let caches =
            [("private", CacheRule::Private), ("no-store", CacheRule::NoStore), ("off", CacheRule::Off)];
        let session = Self {
            create: reader.choice(
                "create",
                &[("visit", SessionStart::Visit), ("write", SessionStart::Write)],
                SessionStart::Visit,
            ),
            plain: SessionLifetimes::read(reader, Duration::from_mins(30), hours(12)),
            permanent: SessionLifetimes::read(&permanent, hours(31 * 24), hours(180 * 24)),
            unconfirmed_timeout: reader.duration("unconfirmed_timeout", Duration::from_mins(5)),
            touch_interval: reader.duration_or_zero("touch_interval", Duration::from_mins(1)),
            renew_interval: reader.limit_duration_from("renew_interval", Duration::from_mins(1), None),
            privilege_fields: field::names(reader, "privilege_fields"),
            max_sessions_per_principal: reader
                .limit_number("max_sessions_per_principal", &(1..=10_000), Some(1000))
                .map(|number| number as u32),
            on_too_many: reader.choice("on_too_many", &too_many, OnTooMany::EvictOldest),
            on_conflict: reader.optional("on_conflict", "\"drop\" or 409", on_conflict).unwrap_or_default(),
            close_tunnels: reader.bool("close_tunnels", true),
            stream_activity: reader.bool("stream_activity", false),
            cache: reader.choice("cache", &caches, CacheRule::Private),
            max_fields: reader.number("max_fields", 1..=1024, 64) as usize,
            max_bytes: reader.size("max_bytes", &(1..=1 << 30), 16 * KIB) as usize,
            max_value_bytes: reader.size("max_value_bytes", &(1..=1 << 20), KIB) as usize,
            max_header_bytes: reader.size("max_header_bytes", &(1..=1 << 20), 3 * KIB) as usize,
            jar: JarLimits::read(&reader.section("jar")),
            cookie: SessionCookie::read(&reader.section("cookie")),
            headers: HeaderConfig::read(&reader.section("headers")),
        };
        permanent.finish();
        reader.finish();
        session
    }
}

impl JarLimits {
    fn read(reader: &TableReader<'_>) -> Self {
        let limits = Self {
            max_cookies: reader.number("max_cookies", 1..=1000, 50) as usize,
            max_bytes: reader.size("max_bytes", &(1..=1 << 20), 16 * KIB) as usize,
        };
        reader.finish();
        limits
    }
}

impl SessionLifetimes {
    fn read(reader: &TableReader<'_>, idle: Duration, absolute: Duration) -> Self {
        let lifetimes = Self {
            idle_timeout: reader.duration("idle_timeout", idle),
            absolute_timeout: reader.duration("absolute_timeout", absolute),
        };
        if lifetimes.idle_timeout > lifetimes.absolute_timeout {
            let key = if reader.span("idle_timeout").is_some() { "idle_timeout" } else { "absolute_timeout" };
            let message = format!("`{}` is longer than the absolute timeout", reader.dotted("idle_timeout"));
            let label = "sessions end by the absolute timeout before this can matter";
            reader.notes().push(Diagnostic::warning(message, reader.span(key), label));
        }
        lifetimes
    }
}

fn on_conflict(value: &DeValue<'_>) -> Result<OnConflict, ValueProblem> {
    match value.as_str() {
        Some("drop") => Ok(OnConflict::Drop),
        Some("409") => Err(ValueProblem::TYPE.help("leave the quotes out")),
        Some(_) => Err(ValueProblem::VALUE),
        None => scalar::number(value, &(409..=409)).map(|_| OnConflict::Refuse),
    }
}
