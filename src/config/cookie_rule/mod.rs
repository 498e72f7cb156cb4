//! `[[cookies]]`: what happens to the app's own Set-Cookie.

use std::time::Duration;

use jiff::civil::Date;
use toml::de::DeValue;

use super::{
    HostPattern, RouteConfig, SameSite, UpstreamConfig, is_token,
    route::{host, path, upstream_named},
    scalar,
    session::{SessionCookie, cookie_domain, cookie_path},
    value::{TableReader, ValueProblem},
};

mod attribute;
mod check;
mod expand;
mod lints;
mod preset;

pub use attribute::{AttributeRule, CookiePriority, RuleSecure};
pub(super) use expand::shown_duration;
pub use preset::is_session_like;

/// `[[cookies]]`: absent attributes stay as the app set them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CookieRule {
    /// `name`: a glob in which `*` stands for any run of characters and `?` for one.
    pub name: String,
    /// `host`: only where the visitor asks for this one, as in `[[routes]]`.
    pub host: Option<HostPattern>,
    /// `request_path`: only below this path, by segments. The attribute is [`path`](Self::path).
    pub request_path: Option<String>,
    /// `upstream`: only this one's cookies.
    pub upstream: Option<String>,
    /// `action`
    pub action: CookieAction,
    /// `domain`; an empty one removes it.
    pub domain: Option<AttributeRule<String>>,
    /// `path`; an empty one removes it.
    pub path: Option<AttributeRule<String>>,
    /// `secure`
    pub secure: Option<AttributeRule<RuleSecure>>,
    /// `http_only`
    pub http_only: Option<AttributeRule<bool>>,
    /// `same_site`
    pub same_site: Option<AttributeRule<SameSite>>,
    /// `partitioned`
    pub partitioned: Option<AttributeRule<bool>>,
    /// `priority`
    pub priority: Option<AttributeRule<CookiePriority>>,
    /// `max_age`: sets Max-Age and Expires; at most 400 days.
    pub max_age: Option<AttributeRule<Duration>>,
    /// `max_age_limit`: clamps both; at most 400 days.
    pub max_age_limit: Option<Duration>,
    /// `rename`: what stands before and after the app's name.
    pub rename: Option<RenamePattern>,
    /// `renew`: when a kept cookie that changes renews the ticket.
    pub renew: KeepRenew,
    /// `share`: a kept cookie is sent to every upstream, not only to the one that set it.
    pub share: bool,
    /// `lifetime = "follow"`: a kept cookie that a browser would have after it was closed makes the session outlive the
    /// browser too.
    pub outlives_browser: bool,
    /// `scripts = "pass"`: what the app sets without `HttpOnly` is for its scripts; it is not kept, and passes with the
    /// attributes of the rule.
    pub leaves_to_scripts: bool,
    /// `adopt_until`: to the end of that day (UTC) what a browser sends under a name that was taken from it still
    /// reaches the app.
    pub adopt_until: Option<Date>,
    /// `logout = "expire"`: the browser's copy goes when the session ends.
    pub expires_on_logout: bool,
    /// `bind = "session"`: a sealed cookie is worth nothing outside the session that it was set in.
    pub bound: bool,
    /// `report`: nothing is changed; what would have been is told in the log.
    pub report: bool,
}

/// `action`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CookieAction {
    /// `"rewrite"`: attributes are set in place.
    #[default]
    Rewrite,
    /// `"pass"`: untouched.
    Pass,
    /// `"drop"`: never reaches the browser.
    Drop,
    /// `"seal"`: encrypted on its way out, opened on its way back.
    Seal,
    /// `"keep"`: stays here, in the session's jar.
    Keep,
}

/// `renew` of a kept cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeepRenew {
    /// `"unsafe"`: when it changes in answer to an unsafe method (RFC 9110 section 9.2.1).
    #[default]
    Unsafe,
    /// `"always"`: whenever it changes.
    Always,
    /// `"off"`
    Off,
}

/// `rename`: `*` stands for the app's name; without one all of it is in `before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamePattern {
    /// What comes before the app's name.
    pub before: String,
    /// What comes after it; `None` if the app's name is no part of the new one.
    pub after: Option<String>,
}

const NAME: &str = "a cookie's name, in which * and ? stand for others";
const DURATION: &str = "a duration such as \"30s\", \"1h 30m\" or \"31d\"";
/// Browsers cut what is longer (draft-ietf-httpbis-rfc6265bis, section 5.5).
const LONGEST: Duration = Duration::from_hours(400 * 24);

impl CookieAction {
    const WORDS: [(&'static str, Self); 5] = [
        ("rewrite", Self::Rewrite),
        ("pass", Self::Pass),
        ("drop", Self::Drop),
        ("seal", Self::Seal),
        ("keep", Self::Keep),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, action)| *action == self).map_or("", |(word, _)| *word)
    }
}

impl KeepRenew {
    const WORDS: [(&'static str, Self); 3] =
        [("unsafe", Self::Unsafe), ("always", Self::Always), ("off", Self::Off)];
}

impl CookieRule {
    pub(super) fn read_all(
        root: &TableReader<'_>,
        upstreams: &[UpstreamConfig],
        routes: &[RouteConfig],
        own: &SessionCookie,
        keyless: bool,
    ) -> Vec<Self> {
        let readers = root.sections("cookies");
        let mut rules = Vec::new();
        let mut written = Vec::new();
        for reader in &readers {
            let preset = preset::read(reader);
            let rule = Self::read(reader, upstreams, reader.span("preset").is_some());
            if let Some(preset) = preset {
                preset::check(reader);
                rules.extend(rule.map(|rule| preset.expand(&rule)).into_iter().flatten());
            } else if let Some(rule) = rule.filter(|_| reader.span("preset").is_none()) {
                rule.check(reader, upstreams, routes, own);
                written.push((reader, rule.clone()));
                rules.push(rule);
            }
            reader.finish();
        }
        check::order(&readers);
        lints::tell(&written, own, keyless);
        rules
    }

    fn read(reader: &TableReader<'_>, upstreams: &[UpstreamConfig], preset: bool) -> Option<Self> {
        let name =
            if preset { reader.parsed("name", NAME, glob) } else { reader.required("name", NAME, glob) };
        let upstream = |text: &str| upstream_named(upstreams, text).map(|_| text.to_owned());
        let host_expected = "a name such as \"shop.example.com\" or \"*.example.com\"";
        let mut rule = Self {
            name: name.clone().unwrap_or_default(),
            host: reader.parsed("host", host_expected, host),
            request_path: reader.parsed("request_path", "a path such as \"/shop\"", path),
            upstream: reader.parsed("upstream", "the NAME of an `[upstreams.NAME]`", upstream),
            action: reader.choice("action", &CookieAction::WORDS, CookieAction::Rewrite),
            max_age_limit: reader.optional("max_age_limit", DURATION, age),
            rename: reader.parsed("rename", "a name such as \"__Host-*\"", rename),
            renew: reader.choice("renew", &KeepRenew::WORDS, KeepRenew::Unsafe),
            share: reader.bool("share", false),
            outlives_browser: reader.choice("lifetime", &[("session", false), ("follow", true)], preset),
            leaves_to_scripts: reader.choice("scripts", &[("keep", false), ("pass", true)], false),
            adopt_until: reader.parsed("adopt_until", "a day such as \"2027-01-31\"", day),
            expires_on_logout: reader.choice("logout", &[("leave", false), ("expire", true)], false),
            bound: reader.choice("bind", &[("host", false), ("session", true)], false),
            report: reader.bool("report", false),
            ..Self::default()
        };
        rule.read_attributes(reader);
        (preset || name.is_some()).then_some(rule)
    }

    fn read_attributes(&mut self, reader: &TableReader<'_>) {
        let text = |value: &DeValue<'_>| value.as_str().map(str::to_owned).ok_or(ValueProblem::TYPE);
        let domain = "a name such as \"example.com\", or \"\" to remove it";
        self.domain = attribute::read(reader, "domain", domain, |value| {
            cookie_domain(&text(value)?).map(Option::unwrap_or_default)
        });
        self.path =
            attribute::read(
                reader,
                "path",
                "a path such as \"/\", or \"\" to remove it",
                |value| match text(value)? {
                    path if path.is_empty() => Ok(path),
                    path => cookie_path(&path),
                },
            );
        self.secure = attribute::read(reader, "secure", "\"auto\", true or false", RuleSecure::read);
        self.http_only = attribute::read(reader, "http_only", "true or false", scalar::bool);
        let sites = scalar::words(&SameSite::WORDS);
        self.same_site =
            attribute::read(reader, "same_site", &sites, |value| scalar::choice(value, &SameSite::WORDS));
        self.partitioned = attribute::read(reader, "partitioned", "true or false", scalar::bool);
        let priorities = scalar::words(&CookiePriority::WORDS);
        self.priority =
            attribute::read(reader, "priority", &priorities, |v| scalar::choice(v, &CookiePriority::WORDS));
        self.max_age = attribute::read(reader, "max_age", DURATION, age);
    }
}

/// A day, and nothing of a time within it.
fn day(text: &str) -> Result<Date, ValueProblem> {
    text.parse().ok().filter(|day: &Date| day.to_string() == text).ok_or(ValueProblem::VALUE)
}

fn age(value: &DeValue<'_>) -> Result<Duration, ValueProblem> {
    match scalar::duration(value)? {
        age if age > LONGEST => Err(ValueProblem::why("browsers keep no cookie for more than 400 days")),
        age => Ok(age),
    }
}

fn glob(text: &str) -> Result<String, ValueProblem> {
    if is_token(&text.replace('?', "*")) {
        Ok(text.to_owned())
    } else {
        Err(ValueProblem::why("letters, digits and !#$%&'+-.^_`|~ only, * for any run of them and ? for one"))
    }
}

fn rename(text: &str) -> Result<RenamePattern, ValueProblem> {
    let (before, after) = text.split_once('*').map_or((text, None), |(before, after)| (before, Some(after)));
    if !is_token(text) || after.is_some_and(|after| after.contains('*')) {
        return Err(ValueProblem::why("a cookie's name, with one * at most: the app's own name"));
    }
    if before.is_empty() && after == Some("") {
        return Err(ValueProblem::why("the same name"));
    }
    Ok(RenamePattern { before: before.to_owned(), after: after.map(str::to_owned) })
}
