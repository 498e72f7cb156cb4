//! The browser's copies of cookies that go with their session.

use crate::{
    config::{AttributeRule, CookieRule, RenamePattern, SameSite},
    message::{
        cookie_scope::{default_path, domain_matches, path_matches},
        set_cookie::SetCookieEditor,
    },
};

use super::{
    CookieInventory, CookieRules, CookieScope,
    inventory::SeenScope,
    rule::{NamePrefix, promise, renaming},
};

/// So many lines for one cookie.
const MOST_IDENTITIES: usize = 20;

/// A cookie is known by name, domain and path (RFC 6265 section 5.3); the browser tells us its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CookieIdentity<'a> {
    domain: Option<&'a str>,
    path: &'a str,
}

/// What a line must say beside, or browsers do not take it.
#[derive(Debug, Clone, Copy, Default)]
struct RequiredMarks {
    secure: bool,
    /// A browser keeps what is partitioned apart: only a line that says so takes it back.
    partitioned: bool,
    /// Within a page of another site, browsers take no line without it.
    from_any_site: bool,
}

impl RequiredMarks {
    /// For a cookie that the browser has under this name: a promise that it makes holds for its end too, whether or not
    /// we know that the visitor came by https.
    fn of(name: &[u8], https: bool, partitioned: bool, from_any_site: bool) -> Self {
        let secure = https || promise(name).is_some();
        // Both are worth something with Secure alone.
        Self { secure, partitioned: secure && partitioned, from_any_site: secure && from_any_site }
    }
}

impl CookieRules {
    /// Whether a cookie, by the name that the browser has for it, goes with the session.
    pub fn goes_with_session(&self, name: &[u8], scope: &CookieScope<'_>) -> bool {
        self.is_adopted(name, scope)
            || self.rule_of(name, scope).is_some_and(|(rule, _)| rule.expires_on_logout || rule.bound)
    }

    /// The lines that take back the browser's copy of a cookie from before its rule, which this line of the app sets or
    /// takes back itself: under the identity that the line names, and if the browser `sent` such a cookie with this
    /// request, under all that its host and path allow.
    pub fn expire_adopted(&self, line: &[u8], scope: &CookieScope<'_>, sent: bool) -> Vec<Vec<u8>> {
        let editor = SetCookieEditor::new(line);
        let said = |attribute| editor.get(attribute).and_then(|value| std::str::from_utf8(value).ok());
        let domain = said("Domain").unwrap_or_default();
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        let path = said("Path").filter(|path| path.starts_with('/'));
        let path = path.unwrap_or(default_path(scope.path));
        let own = CookieIdentity::read(domain, path, scope.host);
        let all = if sent { identities(None, scope, own) } else { own.into_iter().collect() };
        let name = editor.name_value().0;
        let from_any_site = editor.get("SameSite").is_some_and(|site| site.eq_ignore_ascii_case(b"None"));
        let marks = RequiredMarks::of(name, scope.https, editor.has("Partitioned"), from_any_site);
        all.into_iter().map(|identity| identity.expire(name, marks)).collect()
    }

    /// The `Set-Cookie` lines that take it back: under the identity that the rule gives it, else under that which the app
    /// was seen to give it, where such a cookie could have come with this request, and all that its host and path allow.
    pub fn expire(&self, name: &[u8], scope: &CookieScope<'_>, seen: &CookieInventory) -> Vec<Vec<u8>> {
        let Some((rule, original)) = self.rule_of(name, scope) else { return Vec::new() };
        let seen = seen.seen(scope.upstream, &original);
        let marks = marks(rule, name, scope.https, seen.as_ref());
        let seen = seen.as_ref().and_then(|seen| CookieIdentity::read(&seen.domain, &seen.path, scope.host));
        // A browser has a `__Host-` cookie under one identity only: one line takes it back for
        // certain.
        let identities = if promise(name) == Some(NamePrefix::Host) {
            vec![CookieIdentity { domain: None, path: "/" }]
        } else {
            let seen = seen.filter(|seen| path_matches(scope.path.as_bytes(), seen.path.as_bytes()));
            // What came under the app's own name is from before the rule.
            let rule = Some(rule).filter(|_| !self.is_adopted(name, scope));
            identities(rule, scope, seen)
        };
        identities.into_iter().map(|identity| identity.expire(name, marks)).collect()
    }

    /// The same for cookies that did not come with this request, since their path is elsewhere, as far as it is known: by
    /// the rule, or because the app was seen to say it. Each with the browser's name for it.
    pub fn expire_elsewhere(
        &self,
        scope: &CookieScope<'_>,
        inventory: &CookieInventory,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let goes = |rule: &&CookieRule| (rule.expires_on_logout || rule.bound) && !rule.report;
        let mut all = inventory.seen_of(scope.upstream);
        // What a rule says of one cookie is known before it was ever seen.
        for rule in self.rules.iter().filter(goes).filter(|rule| !rule.name.contains(['*', '?'])) {
            if !all.iter().any(|(name, _)| *name == rule.name) {
                all.push((rule.name.clone(), SeenScope::default()));
            }
        }
        let lines = all.iter().filter_map(|(name, seen)| {
            // Rules that ask for the request's path asked for one where the cookie was set.
            let path = path_of(None, seen);
            let request_paths = &self.request_paths(path, &[], false);
            let there = CookieScope { path, request_paths, ..*scope };
            let rule = self.find(name.as_bytes(), &there).filter(goes)?;
            let path = path_of(Some(rule), seen);
            // What could have come with this request is dealt with by `expire`, with all its
            // identities.
            let came = path_matches(scope.path.as_bytes(), path.as_bytes());
            let domain = match &rule.domain {
                Some(AttributeRule::Always(domain)) => domain,
                _ => &seen.domain,
            };
            let name = match renaming(rule, scope.https) {
                Some(RenamePattern { before, after: Some(after) }) => [before, name, after.as_str()].concat(),
                Some(RenamePattern { before, after: None }) => before.clone(),
                None => name.clone(),
            };
            let identity = CookieIdentity::read(domain, path, scope.host).filter(|_| !came)?;
            let marks = marks(rule, name.as_bytes(), scope.https, Some(seen));
            let line = identity.expire(name.as_bytes(), marks);
            (promise(name.as_bytes()) != Some(NamePrefix::Host)).then(|| (name.into_bytes(), line))
        });
        lines.collect()
    }

    fn rule_of<'n>(
        &self,
        name: &'n [u8],
        scope: &CookieScope<'_>,
    ) -> Option<(&CookieRule, std::borrow::Cow<'n, [u8]>)> {
        self.original(name, scope)
            .or_else(|| Some((self.find(name, scope)?, name.into())))
            .filter(|(rule, _)| !rule.report)
    }
}

impl<'a> CookieIdentity<'a> {
    /// What a line of the app said; none if that is not known, or no cookie of this host.
    fn read(domain: &'a str, path: &'a str, host: &str) -> Option<Self> {
        let domain = (!domain.is_empty()).then_some(domain);
        let here = domain.is_none_or(|domain| domain_matches(host, &domain.to_ascii_lowercase()));
        (here && path.starts_with('/') && fits_a_line(path)).then_some(Self { domain, path })
    }

    fn expire(&self, name: &[u8], marks: RequiredMarks) -> Vec<u8> {
        let mut line = [name, b"=; Path=", self.path.as_bytes()].concat();
        if let Some(domain) = self.domain {
            line.extend_from_slice(b"; Domain=");
            line.extend_from_slice(domain.as_bytes());
        }
        // Without an Expires, which would take half as much again: there is little room for all such lines together.
        line.extend_from_slice(b"; Max-Age=0");
        for (says, attribute) in [
            (marks.secure, "; Secure"),
            (marks.from_any_site, "; SameSite=None"),
            (marks.partitioned, "; Partitioned"),
        ] {
            line.extend_from_slice(if says { attribute.as_bytes() } else { b"" });
        }
        line
    }
}

/// What the rule makes of what the app was seen to say.
fn marks(rule: &CookieRule, name: &[u8], https: bool, seen: Option<&SeenScope>) -> RequiredMarks {
    let has = seen.is_some_and(|seen| seen.partitioned);
    let partitioned = rule.partitioned.and_then(|wanted| wanted.when(has).copied()).unwrap_or(has);
    let said = seen.and_then(|seen| seen.same_site.as_deref());
    let from_any_site = match rule.same_site.and_then(|wanted| wanted.when(said.is_some()).copied()) {
        Some(site) => site == SameSite::None,
        None => said.is_some_and(|site| site.eq_ignore_ascii_case("None")),
    };
    RequiredMarks::of(name, https, partitioned, from_any_site)
}

/// Where a cookie is, if that is known; else empty.
fn path_of<'a>(rule: Option<&'a CookieRule>, seen: &'a SeenScope) -> &'a str {
    match rule.and_then(|rule| rule.path.as_ref()) {
        Some(AttributeRule::Always(path)) => path,
        _ => &seen.path,
    }
}

/// What is known before what may be: another visitor's cookie says nothing of this one's.
fn identities<'a>(
    rule: Option<&'a CookieRule>,
    scope: &CookieScope<'a>,
    seen: Option<CookieIdentity<'a>>,
) -> Vec<CookieIdentity<'a>> {
    let domain = rule.and_then(|rule| match &rule.domain {
        Some(AttributeRule::Always(domain)) => {
            Some(Some(domain.as_str()).filter(|domain| !domain.is_empty()))
        }
        _ => None,
    });
    let path = rule.and_then(|rule| match &rule.path {
        Some(AttributeRule::Always(path)) => Some(path.as_str()).filter(|path| !path.is_empty()),
        _ => None,
    });
    let known = seen.map(|seen| CookieIdentity {
        domain: domain.unwrap_or(seen.domain),
        path: path.unwrap_or(seen.path),
    });
    let domains = domain.map_or_else(|| domains(scope.host), |domain| vec![domain]);
    let paths = path.map_or_else(|| paths(scope.path), |path| vec![path]);
    let all = paths
        .iter()
        .flat_map(|path| domains.iter().map(move |domain| CookieIdentity { domain: *domain, path }));
    let all = all.filter(|identity| Some(identity) != known.as_ref());
    known.clone().into_iter().chain(all).take(MOST_IDENTITIES).collect()
}

/// Those that a cookie of this host may have; `None`: the host alone.
fn domains(host: &str) -> Vec<Option<&str>> {
    let is_name = !host.starts_with('[') && !host.ends_with(|c: char| c.is_ascii_digit());
    let parents = host.match_indices('.').filter_map(|(at, _)| host.get(at + 1..));
    let here = Some(host).filter(|host| !host.starts_with('['));
    let all = here.into_iter().chain(parents.filter(|parent| is_name && parent.contains('.')));
    std::iter::once(None).chain(all.map(Some)).collect()
}

/// Those of which a cookie comes with a request for this one: each folder, with and without its `/`.
fn paths(path: &str) -> Vec<&str> {
    let slashes = path.match_indices('/').skip(1).map(|(at, _)| at);
    let below = slashes.flat_map(|at| [path.get(..at), path.get(..=at)]).flatten();
    let whole = std::iter::once(path).filter(|path| path.starts_with('/') && !path.ends_with('/'));
    std::iter::once("/").chain(below).chain(whole).filter(|path| fits_a_line(path)).collect()
}

fn fits_a_line(path: &str) -> bool {
    path.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b';')
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::{config::CookieAction, crypto::KeySecrets};

    #[test]
    fn every_copy_that_a_browser_may_hold_goes() {
        let rule = CookieRule {
            name: "a".into(),
            expires_on_logout: true,
            action: CookieAction::Pass,
            ..CookieRule::default()
        };
        let exact = CookieRule {
            path: Some(AttributeRule::Always("/x".into())),
            domain: Some(AttributeRule::Always("b.test".into())),
            action: CookieAction::Rewrite,
            ..rule.clone()
        };
        let scope = CookieScope {
            host: "a.b.test",
            path: "/shop/cart/1",
            request_paths: &[],
            upstream: "a",
            https: true,
            realm: (b'h', "a.b.test"),
            now: UNIX_EPOCH,
        };
        let taken_back = |rule: &CookieRule, path: &str, seen: &str| -> Vec<String> {
            let rules = CookieRules::build(std::slice::from_ref(rule), &KeySecrets::ephemeral());
            let scope = CookieScope { path, ..scope };
            assert!(rules.goes_with_session(b"a", &scope) && !rules.goes_with_session(b"b", &scope));
            let inventory = CookieInventory::default();
            inventory.note(seen.as_bytes(), &scope, &rules);
            let cut = |line: Vec<u8>| {
                let line = String::from_utf8(line).unwrap();
                line.split_once("; Max-Age=0").unwrap().0.to_owned()
            };
            rules.expire(b"a", &scope, &inventory).into_iter().map(cut).collect()
        };
        assert_eq!(taken_back(&exact, "/shop/cart/1", "a=1; Path=/shop"), ["a=; Path=/x; Domain=b.test"]);
        let all = taken_back(&rule, "/shop/cart/1", "");
        assert_eq!(all.len(), 6 * 3);
        for path in ["/", "/shop", "/shop/", "/shop/cart", "/shop/cart/", "/shop/cart/1"] {
            for domain in ["", "; Domain=a.b.test", "; Domain=b.test"] {
                let line = format!("a=; Path={path}{domain}");
                assert!(all.contains(&line), "{line}: {all:?}");
            }
        }
        let partitioned = |rule: &CookieRule, seen: &str| {
            let rules = CookieRules::build(std::slice::from_ref(rule), &KeySecrets::ephemeral());
            let inventory = CookieInventory::default();
            inventory.note(seen.as_bytes(), &scope, &rules);
            let lines = rules.expire(b"a", &scope, &inventory);
            lines.iter().all(|line| line.ends_with(b"; Secure; Partitioned"))
        };
        let wanted = CookieRule { partitioned: Some(AttributeRule::Always(true)), ..exact.clone() };
        assert!(partitioned(&wanted, "a=1") && partitioned(&rule, "a=1; Secure; PARTITIONED"));
        assert!(!partitioned(&rule, "a=1; Secure"));
        let deep = "/1/2/3/4/5/6/7/8";
        assert_eq!(taken_back(&rule, deep, "").len(), MOST_IDENTITIES);
        let first = |seen: &str| taken_back(&rule, deep, seen).swap_remove(0);
        for (seen, wanted) in [
            ("a=1; Path=/1/2/3/4/5/6/7; Domain=.B.test", "a=; Path=/1/2/3/4/5/6/7; Domain=B.test"),
            ("a=1; Path=/1/2/3/4/5/6/7", "a=; Path=/1/2/3/4/5/6/7"),
            ("a=1; Path=/other", "a=; Path=/"),
            ("a=1; Path=/1/2; Domain=c.test", "a=; Path=/"),
            ("a=1", "a=; Path=/"),
        ] {
            assert_eq!(first(seen), wanted, "{seen}");
        }
    }
}
