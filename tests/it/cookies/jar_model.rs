//! Any sequence of cookies set, of requests and of time passing leaves in the jar what RFC 6265bis section 5.7 says, written
//! down here as plainly as it reads there: in its order, with `Secure`, `SameSite`, lifetimes and the jar's own limit.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::cell::Cell;
use std::cmp::Reverse;
use std::time::Duration;

use cloakroom::testing::{
    clock::Timestamp,
    config::JarLimits,
    record::jar::{Jar, JarChange, JarCookie, JarRequest, RequestSite, SettingScope},
};
use proptest::prelude::*;

// What stands there more than once is rolled as often: stories are about one cookie more often than not.
const HOSTS: [&str; 6] = ["shop.test", "shop.test", "shop.test", "shop.test", "a.shop.test", "127.0.0.1"];
const PATHS: [&str; 7] = ["/", "/", "/x", "/x", "/x/y", "/xy", "/x/"];
const LIMITS: JarLimits = JarLimits { max_cookies: 5, max_bytes: 10_000 };

/// One line of an answer, and where the answer came from.
#[derive(Clone, Debug)]
struct Set {
    host: &'static str,
    at: &'static str,
    https: bool,
    from: RequestSite,
    owner: Option<&'static str>,
    name: &'static str,
    value: u8,
    domain: Option<&'static str>,
    path: Option<&'static str>,
    secure: bool,
    same_site: Option<&'static str>,
    max_age: Option<i64>,
}

/// A request.
#[derive(Clone, Debug)]
struct Ask {
    host: &'static str,
    at: &'static str,
    https: bool,
    from: RequestSite,
    upstream: &'static str,
}

#[derive(Clone, Debug)]
enum Step {
    Set(Set),
    Ask(Ask),
    Wait(u64),
}

fn of<T: Clone + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn from() -> impl Strategy<Value = RequestSite> {
    prop_oneof![4 => Just(RequestSite::SameSite), 1 => Just(RequestSite::Link), 1 => Just(RequestSite::Form), 1 => Just(RequestSite::CrossSite)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || (of(&HOSTS), of(&PATHS), any::<bool>(), from());
    let text = (of(&["a", "b"]), any::<u8>(), of(&[None, None, None, Some("one"), Some("two")]));
    let scope = (of(&[None, None, None, None, Some("shop.test"), Some("a.shop.test"), Some("127.0.0.1")]), {
        of(&[None, Some("/"), Some("/"), Some("/x"), Some("/x/"), Some("/x/y")])
    });
    let rest = (
        prop::bool::weighted(0.3),
        of(&[None, Some("Lax"), Some("Strict"), Some("None")]),
        of(&[None, None, Some(0), Some(-1), Some(5), Some(20)]),
    );
    let set = (place(), text, scope, rest).prop_map(|(place, text, scope, rest)| {
        let ((host, at, https, from), (name, value, owner), (domain, path)) = (place, text, scope);
        let (secure, same_site, max_age) = rest;
        Step::Set(Set { host, at, https, from, owner, name, value, domain, path, secure, same_site, max_age })
    });
    let ask = (place(), of(&["one", "two"]))
        .prop_map(|((host, at, https, from), upstream)| Step::Ask(Ask { host, at, https, from, upstream }));
    prop::collection::vec(prop_oneof![6 => set, 4 => ask, 2 => (1_u64..12).prop_map(Step::Wait)], 1..60)
}

/// One cookie of the model, in the order of creation.
#[derive(Clone, Debug)]
struct Stored {
    /// When it was last set or sent.
    used: Cell<u64>,
    set: Set,
    domain: &'static str,
    path: &'static str,
    end: Option<u64>,
}

/// Section 5.1.3.
fn domain_match(host: &str, domain: &str) -> bool {
    host == domain || (host.ends_with(&format!(".{domain}")) && host != "127.0.0.1")
}

/// Section 5.1.4.
fn path_match(at: &str, path: &str) -> bool {
    let below = |rest: &str| rest.is_empty() || path.ends_with('/') || rest.starts_with('/');
    at.strip_prefix(path).is_some_and(below)
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    stored: Vec<Stored>,
}

impl Model {
    fn set(&mut self, set: &Set) {
        let strict = set.same_site != Some("None");
        let foreign = set.domain.is_some_and(|domain| !domain_match(set.host, domain));
        if foreign || (set.secure && !set.https) || (strict && set.from == RequestSite::CrossSite) {
            return;
        }
        let folder = match set.at {
            "/x/y" | "/x/" => "/x",
            _ => "/",
        };
        let new = Stored {
            set: set.clone(),
            domain: set.domain.unwrap_or(set.host),
            path: set.path.unwrap_or(folder),
            used: self.now.into(),
            end: set.max_age.map(|age| self.now + age.max(0).unsigned_abs()),
        };
        let named = |old: &Stored| old.set.name == set.name && old.set.owner == set.owner;
        // Step 16: "Leave Secure Cookies Alone".
        let overlaid = self.stored.iter().any(|old| {
            let near = domain_match(new.domain, old.domain) || domain_match(old.domain, new.domain);
            named(old) && old.set.secure && near && path_match(new.path, old.path)
        });
        if overlaid && !set.https {
            return;
        }
        let place = self.stored.iter().position(|old| {
            let same = old.domain == new.domain && old.path == new.path;
            named(old) && same && old.set.domain.is_some() == set.domain.is_some()
        });
        let gone = new.end.is_some_and(|end| end <= self.now);
        match place {
            Some(at) if gone => drop(self.stored.remove(at)),
            // "Update the creation-time of the newly-created cookie to match the creation-time of the old-cookie."
            Some(at) => *self.stored.get_mut(at).unwrap() = new,
            None if !gone => self.stored.push(new),
            None => {}
        }
        // "Evict [...] the cookie with the earliest last-access-time first", of the app that has the most: to a browser
        // each would be a domain with room of its own.
        if self.stored.len() > LIMITS.max_cookies {
            // By plain http none that is Secure goes; the new one stays out then.
            let others = self.stored.iter().enumerate().take(LIMITS.max_cookies);
            let others = others.filter(|(_, old)| set.https || !old.set.secure);
            let share = |owner| self.stored.iter().filter(|other| other.set.owner == owner).count();
            let rank = |old: &Stored| {
                let owner = old.set.owner;
                (Reverse((share(owner), owner == set.owner)), old.used.get())
            };
            let oldest = others.min_by_key(|(_, old)| rank(old)).map_or(LIMITS.max_cookies, |(at, _)| at);
            self.stored.remove(oldest);
        }
    }

    /// Section 5.8.3.
    fn sent(&self, ask: &Ask) -> Vec<(String, String)> {
        let mut sent: Vec<&Stored> = self
            .stored
            .iter()
            .filter(|cookie| {
                let host = match cookie.set.domain {
                    None => cookie.domain == ask.host,
                    Some(_) => domain_match(ask.host, cookie.domain),
                };
                let site = match (cookie.set.same_site, ask.from) {
                    (Some("None"), _) | (_, RequestSite::SameSite) => true,
                    (Some("Strict"), _) | (_, RequestSite::Form | RequestSite::CrossSite) => false,
                    (_, RequestSite::Link) => true,
                };
                let owner = cookie.set.owner.is_none_or(|owner| owner == ask.upstream);
                host && site && owner && (ask.https || !cookie.set.secure) && path_match(ask.at, cookie.path)
            })
            .collect();
        sent.sort_by_key(|cookie| Reverse(cookie.path.len()));
        for cookie in &sent {
            cookie.used.set(self.now);
        }
        sent.into_iter().map(|cookie| (cookie.set.name.to_owned(), cookie.set.value.to_string())).collect()
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        // "The user agent MUST evict all expired cookies."
        self.stored.retain(|cookie| cookie.end.is_none_or(|end| end > self.now));
    }
}

fn line(set: &Set) -> String {
    let mut line = format!("{}={}", set.name, set.value);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.extend(["; ", name, "=", &value]);
        }
    };
    add("Domain", set.domain.map(str::to_owned));
    add("Path", set.path.map(str::to_owned));
    add("SameSite", set.same_site.map(str::to_owned));
    add("Max-Age", set.max_age.map(|age| age.to_string()));
    if set.secure {
        line += "; Secure";
    }
    line
}

fn keep(jar: &mut Jar, set: &Set, now: Timestamp) {
    let Set { host, at: path, https, from, owner, .. } = *set;
    let setting = SettingScope { host, path, https, from, owner };
    if let Ok(cookie) = JarCookie::read(line(set).as_bytes(), &setting, now) {
        // What does not fit is refused, and the jar is as it was.
        let before = jar.clone();
        if jar
            .apply(&JarChange { cookie, https, renews: false, begins: false, ends: false }, &LIMITS, now)
            .is_err()
        {
            assert_eq!(*jar, before);
        }
    }
}

fn sent(jar: &Jar, ask: &Ask, now: Timestamp) -> Vec<(String, String)> {
    let Ask { host, at: path, https, from, upstream } = *ask;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let sent = jar.sent(&JarRequest { host, path, https, upstream, from }, now);
    sent.into_iter().map(|cookie| (text(&cookie.name), text(&cookie.value))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_set_the_jar_sends_what_a_browser_would(steps in steps()) {
        let (mut jar, mut model) = (Jar::default(), Model::default());
        let mut now = Timestamp::from_seconds(1_700_000_000);
        for step in &steps {
            match step {
                Step::Set(set) => {
                    keep(&mut jar, set, now);
                    model.set(set);
                }
                Step::Ask(ask) => prop_assert_eq!(sent(&jar, ask, now), model.sent(ask)),
                Step::Wait(seconds) => {
                    now = now.plus(Duration::from_secs(*seconds));
                    model.wait(*seconds);
                }
            }
        }
    }
}
