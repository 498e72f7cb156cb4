//! The browser's copies of cookies that go with their session.

use crate::config::{CookieRule, Wanted};

use super::{
    CookieRules, Inventory, Occasion,
    rule::{Promise, promise},
};

/// So many lines for one cookie.
const MOST_IDENTITIES: usize = 8;

/// A cookie is known by name, domain and path (RFC 6265 section 5.3); the browser tells us its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity<'a> {
    domain: Option<&'a str>,
    path: &'a str,
}

impl CookieRules {
    /// Whether a cookie, by the name that the browser has for it, goes with the session.
    pub fn goes_with_session(&self, name: &[u8], occasion: &Occasion<'_>) -> bool {
        self.rule_of(name, occasion).is_some_and(|(rule, _)| rule.expires_on_logout || rule.bound)
    }

    /// The `Set-Cookie` lines that take it back: under the identity that the rule gives it, or that the app was seen to
    /// give it, else under those that the host and the path allow.
    pub fn expire(&self, name: &[u8], occasion: &Occasion<'_>, seen: &Inventory) -> Vec<Vec<u8>> {
        let Some((rule, original)) = self.rule_of(name, occasion) else { return Vec::new() };
        let seen = seen.identity(occasion.upstream, &original);
        let identities = if promise(name) == Some(Promise::Host) {
            vec![Identity { domain: None, path: "/" }]
        } else {
            identities(rule, occasion, seen.as_ref().map(|(domain, path)| (domain.as_str(), path.as_str())))
        };
        let line = |identity: Identity<'_>| {
            let mut line = [name, b"=; Path=", identity.path.as_bytes()].concat();
            if let Some(domain) = identity.domain {
                line.extend_from_slice(b"; Domain=");
                line.extend_from_slice(domain.as_bytes());
            }
            line.extend_from_slice(b"; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
            if occasion.https {
                line.extend_from_slice(b"; Secure");
            }
            line
        };
        identities.into_iter().map(line).collect()
    }

    fn rule_of<'n>(
        &self,
        name: &'n [u8],
        occasion: &Occasion<'_>,
    ) -> Option<(&CookieRule, std::borrow::Cow<'n, [u8]>)> {
        self.original(name, occasion)
            .or_else(|| Some((self.find(name, occasion)?, name.into())))
            .filter(|(rule, _)| !rule.report)
    }
}

fn identities<'a>(
    rule: &'a CookieRule,
    occasion: &Occasion<'a>,
    seen: Option<(&'a str, &'a str)>,
) -> Vec<Identity<'a>> {
    let path = match (&rule.path, seen) {
        (Some(Wanted::Always(path)), _) if !path.is_empty() => Some(path.as_str()),
        (_, Some((_, path))) if path.starts_with('/') => Some(path),
        _ => None,
    };
    let domain = match (&rule.domain, seen) {
        (Some(Wanted::Always(domain)), _) => Some(domain.as_str()),
        (_, Some((domain, _))) => Some(domain),
        _ => None,
    };
    let paths: Vec<&str> = if let Some(path) = path {
        vec![path]
    } else {
        let below = occasion.path.match_indices('/').skip(1).filter_map(|(at, _)| occasion.path.get(..at));
        std::iter::once("/").chain(below).filter(|path| fits_a_line(path)).collect()
    };
    let domains: Vec<Option<&str>> = match domain {
        Some("") => vec![None],
        Some(domain) => vec![Some(domain)],
        None => {
            let host = occasion.host;
            let is_name = !host.starts_with('[') && !host.ends_with(|c: char| c.is_ascii_digit());
            let parents =
                host.match_indices('.').filter_map(|(at, _)| host.get(at + 1..)).filter(|p| p.contains('.'));
            let all = is_name.then(|| std::iter::once(host).chain(parents)).into_iter().flatten();
            std::iter::once(None).chain(all.map(Some)).collect()
        }
    };
    let all = domains.into_iter().flat_map(|domain| paths.iter().map(move |path| Identity { domain, path }));
    all.take(MOST_IDENTITIES).collect()
}

fn fits_a_line(path: &str) -> bool {
    path.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b';')
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::{config::CookieAction, crypto::Secrets};

    #[test]
    fn every_copy_that_a_browser_may_hold_goes() {
        let rule = CookieRule {
            name: "a".into(),
            expires_on_logout: true,
            action: CookieAction::Pass,
            ..CookieRule::default()
        };
        let exact = CookieRule {
            path: Some(Wanted::Always("/x".into())),
            domain: Some(Wanted::Always("b.test".into())),
            action: CookieAction::Rewrite,
            ..rule.clone()
        };
        let occasion = Occasion {
            host: "a.b.test",
            path: "/shop/cart/1",
            upstream: "a",
            https: true,
            realm: (b'h', "a.b.test"),
            now: UNIX_EPOCH,
        };
        let paths = |rule: &CookieRule| -> Vec<String> {
            let rules = CookieRules::build(std::slice::from_ref(rule), &Secrets::ephemeral());
            assert!(rules.goes_with_session(b"a", &occasion) && !rules.goes_with_session(b"b", &occasion));
            let lines = rules.expire(b"a", &occasion, &Inventory::default());
            let cut = |line: Vec<u8>| {
                let line = String::from_utf8(line).unwrap();
                line.split_once("; Max-Age=0").unwrap().0.to_owned()
            };
            lines.into_iter().map(cut).collect()
        };
        assert_eq!(paths(&exact), ["a=; Path=/x; Domain=b.test"]);
        let all = paths(&rule);
        assert_eq!(all.len(), MOST_IDENTITIES);
        for line in ["a=; Path=/", "a=; Path=/shop", "a=; Path=/shop/cart", "a=; Path=/; Domain=b.test"] {
            assert!(all.iter().any(|l| l == line), "{line}: {all:?}");
        }
    }
}
