//! `[[cookies]]`: what happens to the app's own Set-Cookie.

use std::time::Duration;

use super::{
    SameSite, is_token, scalar,
    session::{cookie_domain, cookie_path, prefixed},
    value::{Mistake, Reader},
};

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

/// Browsers cut what is longer (draft-ietf-httpbis-rfc6265bis, section 5.5).
const LONGEST: Duration = Duration::from_hours(400 * 24);
const DURATION: &str = "a duration such as \"30s\", \"1h 30m\" or \"31d\"";

impl CookieRule {
    pub(super) fn read_all(root: &Reader<'_>) -> Vec<Self> {
        root.sections("cookies").iter().filter_map(Self::read).collect()
    }

    fn read(reader: &Reader<'_>) -> Option<Self> {
        let name = reader.required("name", "a cookie's name, in which * and ? stand for others", glob);
        let age = |value: &_| match scalar::duration(value)? {
            age if age > LONGEST => Err(Mistake::why("browsers keep no cookie for more than 400 days")),
            age => Ok(age),
        };
        let empty = |text: &str| text.is_empty().then(String::new);
        let rule = Self {
            name: name.clone().unwrap_or_default(),
            domain: reader.parsed("domain", "a name such as \"example.com\", or \"\" to remove it", |text| {
                cookie_domain(text).map(Option::unwrap_or_default)
            }),
            path: reader.parsed("path", "a path such as \"/\", or \"\" to remove it", |text| {
                empty(text).map_or_else(|| cookie_path(text), Ok)
            }),
            secure: reader.optional_auto("secure", RuleSecure::Auto, RuleSecure::Always, RuleSecure::Never),
            http_only: reader.optional_bool("http_only"),
            same_site: reader.optional_choice("same_site", &SameSite::WORDS),
            max_age: reader.optional("max_age", DURATION, age),
            max_age_limit: reader.optional("max_age_limit", DURATION, age),
        };
        rule.check(reader);
        reader.finish();
        name.map(|_| rule)
    }

    /// What browsers would refuse.
    fn check(&self, reader: &Reader<'_>) {
        let not_secure = self.secure == Some(RuleSecure::Never);
        if self.same_site == Some(SameSite::None) && not_secure {
            let message = "browsers refuse a cookie that is SameSite=None and not Secure";
            let error = reader.error("same_site", message, "needs secure = true or \"auto\"");
            reader.notes().push(error.also(reader.span("secure"), "not Secure by this"));
        }
        let Some((prefix, _)) = prefixed(&self.name) else { return };
        let refuse = |key: &str, what: &str| {
            let message = format!("browsers refuse a `{prefix}` cookie {what}");
            let error = reader.error(key, message, "not with that name");
            reader.notes().push(error.also(reader.span("name"), "this one"));
        };
        if not_secure {
            refuse("secure", "that is not Secure");
        }
        if prefix == "__Host-" && self.domain.as_deref().is_some_and(|domain| !domain.is_empty()) {
            refuse("domain", "with a domain");
        }
        if prefix == "__Host-" && self.path.as_deref().is_some_and(|path| path != "/") {
            refuse("path", "with a path other than \"/\"");
        }
    }
}

fn glob(text: &str) -> Result<String, Mistake> {
    if is_token(&text.replace('?', "*")) {
        Ok(text.to_owned())
    } else {
        Err(Mistake::why("letters, digits and !#$%&'+-.^_`|~ only, * for any run of them and ? for one"))
    }
}
