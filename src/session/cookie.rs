//! The session's own cookie: its name, and the Set-Cookie lines that give and take it.

use std::{borrow::Cow, sync::Arc, time::Duration};

use cookie::{Cookie, Expiration, SameSite as Site, time::OffsetDateTime};
use http::HeaderValue;

use crate::{
    clock::Timestamp,
    config::{CookiePrefix, SameSite, SecureRule, SessionCookie},
    record::TEXT,
};

/// What browsers keep at most (RFC 6265bis §5.5).
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// So many other identities are expired in one answer, in no more bytes.
const MOST_OTHERS: usize = 12;
const MOST_OTHER_BYTES: usize = 4096;

/// `[session.cookie]`, with the names that follow from it.
#[derive(Debug, Clone)]
pub struct CookieForm {
    rules: SessionCookie,
    name: String,
    prefixed: String,
    /// Without prefix, of every realm.
    names: Arc<[String]>,
    /// In so many cookies a session may travel: NAME, NAME.1 and so on.
    most_parts: u8,
    /// It is the app's own on this route.
    passes: bool,
}

impl CookieForm {
    /// The form that the configuration asks for; in a realm of these that has to share hosts with others, and whose
    /// cookie therefore has a name of its own.
    pub fn new(rules: &SessionCookie, realm: Option<&str>, realms: &[&str]) -> Self {
        let named = |realm: &str| format!("{}-{realm}", rules.name);
        let name = realm.map_or_else(|| rules.name.clone(), named);
        let names = std::iter::once(rules.name.clone()).chain(realms.iter().map(|realm| named(realm)));
        let prefix = match rules.prefix {
            CookiePrefix::None => "",
            // Browsers refuse `__Host-` with a domain or another path (RFC 6265bis section
            // 4.1.3.2), and would drop the session without a word.
            CookiePrefix::Auto if rules.path == "/" && rules.domain.is_none() => "__Host-",
            CookiePrefix::Auto => "__Secure-",
        };
        Self {
            rules: rules.clone(),
            prefixed: format!("{prefix}{name}"),
            name,
            names: names.collect(),
            most_parts: 1,
            passes: false,
        }
    }

    /// The same, for sessions that may travel in so many cookies: `NAME`, `NAME.1` and so on.
    #[must_use]
    pub fn in_parts(self, most: u8) -> Self {
        Self { most_parts: most, ..self }
    }

    /// The same, where it is the app's own cookie, and passes.
    #[must_use]
    pub fn of_the_app(self) -> Self {
        Self { passes: true, ..self }
    }

    /// In so many cookies a session may travel.
    pub fn most_parts(&self) -> u8 {
        self.most_parts
    }

    fn secure(&self, https: bool) -> bool {
        match self.rules.secure {
            SecureRule::Auto => https,
            SecureRule::Always => true,
            SecureRule::Never => false,
        }
    }

    /// The one name that is read and set.
    pub fn name(&self, https: bool) -> &str {
        // SECURITY: one name, not both. Over https an unprefixed cookie may have been planted over
        // http, and is not read.
        if self.secure(https) { &self.prefixed } else { &self.name }
    }

    /// Which part of a session a cookie of this name holds, where it is ours: the one name is 0.
    pub(super) fn part(&self, name: &[u8], https: bool) -> Option<u8> {
        match name.strip_prefix(self.name(https).as_bytes())? {
            b"" => Some(0),
            [b'.', digit] => self.number(*digit),
            _ => None,
        }
    }

    /// Of a further part.
    fn number(&self, digit: u8) -> Option<u8> {
        digit.checked_sub(b'0').filter(|part| (1..self.most_parts).contains(part))
    }

    fn part_name(&self, part: u8, https: bool) -> Cow<'_, str> {
        match part {
            0 => self.name(https).into(),
            part => format!("{}.{part}", self.name(https)).into(),
        }
    }

    /// True for every spelling of our name, in every realm: none of them ever reaches an app, or comes from one.
    pub fn is_ours(&self, name: &[u8]) -> bool {
        !self.passes && self.has(name)
    }

    /// True for a pair that holds our cookie otherwise than by its name: after a comma, where lines were joined by one, in
    /// another case, within another's value. It leads nowhere, and its ticket is not to reach an app.
    pub fn is_within(&self, pair: &[u8]) -> bool {
        // Most pairs are shorter than a ticket.
        // Each `=` is looked at once: the work is linear in what the visitor sends.
        pair.len() > TEXT && !self.passes && memchr::memchr_iter(b'=', pair).any(|at| self.ends_at(pair, at))
    }

    /// Whether our name ends here, and what may be a ticket follows.
    fn ends_at(&self, pair: &[u8], at: usize) -> bool {
        let before = pair.get(..at).unwrap_or_default().trim_ascii_end();
        let part = match before {
            [whole @ .., b'.', digit] if digit.is_ascii_digit() => whole,
            whole => whole,
        };
        let named = |name: &String| {
            part.len().checked_sub(name.len()).is_some_and(|start| {
                let (begin, own) = part.split_at_checked(start).unwrap_or_default();
                let bare =
                    begin.strip_suffix(b"__Host-").or(begin.strip_suffix(b"__Secure-")).unwrap_or(begin);
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
                own.eq_ignore_ascii_case(name.as_bytes()) && !bare.last().is_some_and(is_name)
            })
        };
        let letters = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        self.names.iter().any(named)
            && pair.iter().skip(at + 1).skip_while(|byte| b" \t\"".contains(byte)).take_while(letters).count()
                >= TEXT
    }

    /// True for every spelling of it where the app that owns the session does its own: it passes both ways as it is, and
    /// no rule for the app's cookies counts, or the next route could not read what came of it.
    pub fn is_the_apps(&self, name: &[u8]) -> bool {
        self.passes && self.has(name)
    }

    fn has(&self, name: &[u8]) -> bool {
        let name = match name {
            [whole @ .., b'.', digit] if self.number(*digit).is_some() => whole,
            _ => name,
        };
        self.names
            .iter()
            .any(|ours| matches!(name.strip_suffix(ours.as_bytes()), Some(b"" | b"__Host-" | b"__Secure-")))
    }

    /// True if browsers send the cookie with a request for this path (RFC 6265 section 5.1.4).
    pub fn reaches(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.rules.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.rules.path.ends_with('/'))
    }

    /// The configured domain.
    pub fn domain(&self) -> Option<&str> {
        self.rules.domain.as_deref()
    }

    /// `same_site`
    pub fn same_site(&self) -> SameSite {
        self.rules.same_site
    }

    fn build<'a>(&'a self, part: u8, value: &'a str, https: bool) -> Cookie<'a> {
        let mut cookie = Cookie::build((self.part_name(part, https), value))
            .path(self.rules.path.as_str())
            .secure(self.secure(https))
            .http_only(self.rules.http_only)
            .same_site(match self.rules.same_site {
                SameSite::Strict => Site::Strict,
                SameSite::Lax => Site::Lax,
                SameSite::None => Site::None,
            })
            .partitioned(self.rules.partitioned)
            .build();
        if let Some(domain) = &self.rules.domain {
            cookie.set_domain(domain.as_str());
        }
        cookie
    }

    /// Gives a ticket; `lasts` for a permanent session, else it ends with the browser.
    pub fn give(
        &self,
        ticket: &str,
        https: bool,
        lasts: Option<Duration>,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        self.give_part(0, ticket, https, lasts, now)
    }

    /// Gives a part of what is larger than a cookie.
    pub(super) fn give_part(
        &self,
        part: u8,
        value: &str,
        https: bool,
        lasts: Option<Duration>,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let mut cookie = self.build(part, value, https);
        if let Some(lasts) = lasts {
            // Browsers cut it there anyway; saying so keeps `Expires` and `Max-Age` alike.
            let lasts = lasts.min(LONGEST);
            cookie.set_max_age(cookie::time::Duration::try_from(lasts).ok());
            cookie.set_expires(OffsetDateTime::from(now.plus(lasts).system()));
        }
        HeaderValue::try_from(cookie.to_string()).ok()
    }

    /// Expires what other identities of our name (RFC 6265 section 5.3: name, domain and path) a browser may hold for
    /// this host and path: those of parent domains, and of the path's prefixes. Never our own.
    pub fn expire_others(&self, https: bool, host: &str, path: &str) -> Vec<HeaderValue> {
        let name = self.name(https);
        if name.starts_with("__Host-") {
            // Browsers keep it under one identity only.
            return Vec::new();
        }
        // An address has no parent domains, and browsers refuse `Domain` for one.
        let is_name = !host.starts_with('[') && !host.ends_with(|c: char| c.is_ascii_digit());
        let parents =
            host.match_indices('.').filter_map(|(at, _)| host.get(at + 1..)).filter(|p| p.contains('.'));
        let domains = is_name.then(|| std::iter::once(host).chain(parents)).into_iter().flatten().map(Some);
        let paths = std::iter::once("/").chain(
            path.match_indices('/').skip(1).filter_map(|(at, _)| path.get(..at)).chain(std::iter::once(path)),
        );
        // The visitor wrote the path: what could end the attribute and begin another one is left
        // out.
        let paths: Vec<&str> =
            paths.filter(|p| p.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b';')).collect();
        // To some jars a cookie of this host alone and one with this host as its domain are one and the same (RFC 6265
        // section 5.3, step 11), so either may be ours.
        let own = |(domain, path): &(Option<&str>, &str)| {
            domain.unwrap_or(host) == self.domain().unwrap_or(host) && *path == self.rules.path
        };
        let mut left = MOST_OTHER_BYTES;
        std::iter::once(None)
            .chain(domains)
            .flat_map(|domain| paths.iter().map(move |path| (domain, *path)))
            .filter(|identity| !own(identity))
            .take(MOST_OTHERS)
            .filter_map(|(domain, path)| {
                let mut cookie = Cookie::build((name, "")).path(path).secure(self.secure(https)).build();
                if let Some(domain) = domain {
                    cookie.set_domain(domain);
                }
                cookie.set_max_age(cookie::time::Duration::ZERO);
                HeaderValue::try_from(cookie.to_string()).ok()
            })
            .take_while(|line| {
                let fits = line.len() <= left;
                left = left.saturating_sub(line.len());
                fits
            })
            .collect()
    }

    /// Takes a part back; the only one is 0.
    pub(super) fn expire_part(&self, part: u8, https: bool) -> Option<HeaderValue> {
        let mut cookie = self.build(part, "", https);
        cookie.set_max_age(cookie::time::Duration::ZERO);
        cookie.set_expires(Expiration::DateTime(OffsetDateTime::UNIX_EPOCH));
        HeaderValue::try_from(cookie.to_string()).ok()
    }
}
