//! Sets of rules that have a name.

use std::time::Duration;

use super::{
    super::{SameSite, value::TableReader},
    AttributeRule, CookieAction, CookieRule, LONGEST, RuleSecure,
};
use crate::message::glob;

/// `preset`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CookiePreset {
    /// `"harden"`: the attributes that a cautious app would have set itself.
    Harden,
    /// `"vault"`: no cookie of the app reaches a browser but those that its scripts must read.
    Vault,
}

/// Names under which apps keep who is logged in.
const SESSION_LIKE: [&str; 16] = [
    "*sess*",
    "*SESS*",
    "*Sess*",
    "*sid",
    "*SID",
    "*Sid",
    "*.sid*",
    "*auth*",
    "*Auth*",
    "*AUTH*",
    "*remember*",
    "*login*",
    "token",
    "CFID",
    "CFTOKEN",
    ".AspNetCore.Identity.*",
];

/// Whether apps keep under such a name who is logged in.
pub fn is_session_like(name: &[u8]) -> bool {
    SESSION_LIKE.iter().any(|pattern| glob::fits(pattern.as_bytes(), name))
}

/// Names of what scripts read and send back: never `HttpOnly`, even where they look like a session's.
const READ_BY_SCRIPTS: [&str; 6] = ["*csrf*", "*CSRF*", "*Csrf*", "*xsrf*", "*XSRF*", "*Xsrf*"];

/// What may stand beside `preset`.
const BESIDE: [&str; 8] =
    ["preset", "host", "request_path", "upstream", "report", "adopt_until", "share", "lifetime"];

pub(super) fn read(reader: &TableReader<'_>) -> Option<CookiePreset> {
    reader.optional_choice("preset", &[("harden", CookiePreset::Harden), ("vault", CookiePreset::Vault)])
}

/// What a preset says itself is not said beside it.
pub(super) fn check(reader: &TableReader<'_>) {
    for key in reader.keys().filter(|key| !BESIDE.contains(key)) {
        let message = format!("`{key}` beside `preset`");
        let label = "a preset says this itself";
        let help =
            "`cloakroom check --expand` prints the rules of a preset: copy them and change what you like";
        reader.notes().push(reader.error(key, message, label).help(help));
    }
    let vault_only = ["adopt_until", "share", "lifetime"];
    for key in
        vault_only.into_iter().filter(|key| !reader.says("preset", "vault") && reader.span(key).is_some())
    {
        let message = format!("`{}` has no effect here", reader.dotted(key));
        reader.notes().push(reader.error(key, message, "only with preset = \"vault\""));
    }
}

impl CookiePreset {
    /// Its rules, under the conditions of the section.
    pub(super) fn expand(self, section: &CookieRule) -> Vec<CookieRule> {
        let rule = |name: &str| CookieRule { name: name.to_owned(), ..section.clone() };
        let plain = |name| CookieRule {
            secure: Some(AttributeRule::Always(RuleSecure::Auto)),
            same_site: Some(AttributeRule::Default(SameSite::Lax)),
            max_age_limit: Some(LONGEST),
            outlives_browser: self == Self::Vault && section.outlives_browser,
            ..rule(name)
        };
        let session = |name| CookieRule {
            http_only: Some(AttributeRule::Always(true)),
            max_age_limit: Some(Duration::from_hours(31 * 24)),
            ..plain(name)
        };
        // First: `*csrf*` may also look like a session's, and a script must go on reading it.
        let scripts = READ_BY_SCRIPTS.into_iter().map(plain);
        if self == Self::Vault {
            let keep = |rule| CookieRule { action: CookieAction::Keep, ..rule };
            let scripts = scripts.map(|rule| CookieRule { leaves_to_scripts: true, ..keep(rule) });
            return scripts.chain([keep(rule("*"))]).collect();
        }
        scripts.chain(SESSION_LIKE.into_iter().map(session)).chain([plain("*")]).collect()
    }
}
