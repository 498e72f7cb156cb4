//! `[[cookies]]`: what happens to the app's own Set-Cookie.

use std::time::Duration;

use super::SameSite;

/// `[[cookies]]`: absent attributes stay as the app set them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CookieRule {
    /// `name`: a glob in which `*` stands for any run of characters and `?` for one.
    pub name: String,
    /// `domain`; `Some("")` removes it.
    pub domain: Option<String>,
    /// `path`; `Some("")` removes it.
    pub path: Option<String>,
    /// `secure`
    pub secure: Option<RuleSecure>,
    /// `http_only`
    pub http_only: Option<bool>,
    /// `same_site`
    pub same_site: Option<SameSite>,
    /// `max_age`: sets Max-Age and Expires.
    pub max_age: Option<Duration>,
    /// `max_age_limit`: clamps both.
    pub max_age_limit: Option<Duration>,
}

/// `secure` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleSecure {
    /// `"auto"`: added when the visitor came by https, never removed.
    Auto,
    /// `true`
    Always,
    /// `false`: removed.
    Never,
}
