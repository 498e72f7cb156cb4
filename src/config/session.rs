//! `[session]`: lifetimes, limits, the cookie, the headers.

use std::time::Duration;

/// `[session]`
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// `idle_timeout`, `absolute_timeout` of a plain session.
    pub plain: Lifetimes,
    /// `permanent = { idle_timeout, absolute_timeout }`
    pub permanent: Lifetimes,
    /// `unconfirmed_timeout`: for a session whose ticket never came back.
    pub unconfirmed_timeout: Duration,
    /// `touch_interval`: last-seen is saved at most this often, and at least four times per idle time.
    pub touch_interval: Duration,
    /// `max_fields`
    pub max_fields: usize,
    /// `max_bytes`: names and values of all fields.
    pub max_bytes: usize,
    /// `max_value_bytes`: of one value, as it stands on the wire.
    pub max_value_bytes: usize,
    /// `max_header_bytes`: of all fields that one upstream is shown, as they stand on the wire.
    pub max_header_bytes: usize,
    /// `[session.cookie]`
    pub cookie: SessionCookie,
    /// `[session.headers]`
    pub headers: Headers,
}

/// How long a session lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Since it was last seen.
    pub idle_timeout: Duration,
    /// Since it was created, and anew from each login.
    pub absolute_timeout: Duration,
}

/// `[session.cookie]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCookie {
    /// `name`, an RFC 6265 token without a `__Host-` or `__Secure-` prefix.
    pub name: String,
    /// `path`
    pub path: String,
    /// `domain`, lower case, without a leading dot; `None` is `""`: this host only.
    pub domain: Option<String>,
    /// `secure`
    pub secure: Secure,
    /// `prefix`
    pub prefix: CookiePrefix,
    /// `http_only`
    pub http_only: bool,
    /// `same_site`
    pub same_site: SameSite,
    /// `partitioned`
    pub partitioned: bool,
}

/// `secure`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Secure {
    /// `"auto"`: when the visitor came by https.
    #[default]
    Auto,
    /// `true`
    Always,
    /// `false`
    Never,
}

/// `prefix`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CookiePrefix {
    /// `"auto"`: `__Host-` or `__Secure-` where the cookie is Secure.
    #[default]
    Auto,
    /// `"none"`
    None,
}

/// `same_site`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    /// `"Strict"`
    Strict,
    /// `"Lax"`
    #[default]
    Lax,
    /// `"None"`
    None,
}

/// `[session.headers]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// `prefix`, lower case, ends with `-`.
    pub prefix: String,
}
