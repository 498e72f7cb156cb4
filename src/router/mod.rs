//! Which route a request takes: most specific host first, then longest path prefix, on the path as an app may read it.

mod host;
mod path;
mod strip;

use std::{borrow::Cow, collections::HashSet};

use crate::config::HostPattern;

use host::HostTable;
use path::{EscapeHandling, PathReader};
pub use strip::below;

/// Routes by host and path.
#[derive(Debug)]
pub struct Router<T> {
    hosts: HostTable<T>,
}

/// Why no route was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteMiss {
    /// No route has this host and path.
    NotFound,
    /// Apps may read the path in ways that lead to routes that differ.
    Ambiguous,
    /// Raw characters that no path may hold (RFC 3986 section 3.3).
    BadPath,
    /// More readings than are gone through for one request.
    TooManyReadings,
}

impl<T> Router<T> {
    /// A router of these routes: host (none: any), path prefix, whether case is ignored (none: nothing is known of it, and
    /// both are thought of), and what is found there.
    pub fn new(routes: impl IntoIterator<Item = (Option<HostPattern>, String, Option<bool>, T)>) -> Self {
        Self { hosts: HostTable::new(routes) }
    }

    /// Every route; with the host that it is for, where that is one by name.
    pub fn each(&self) -> impl Iterator<Item = (Option<&str>, &T)> {
        self.hosts.each()
    }

    /// All routes that a request to this host may take.
    pub fn of_host(&self, host: &str) -> impl Iterator<Item = &T> {
        self.hosts.all(host)
    }

    /// The route of a request. `host` is lower case without port, `raw_path` comes without query.
    pub fn find(&self, host: &str, raw_path: &str, differ: impl Fn(&T, &T) -> bool) -> Result<&T, RouteMiss> {
        let raw = raw_path.as_bytes();
        let Some(plain) = path::scan(raw) else { return Err(RouteMiss::BadPath) };
        // Nearly all paths: read alike by every app, and looked up without a copy.
        if plain {
            let chosen = self.hosts.pick(host, raw, true);
            return self.unless_folded(host, (raw, true), chosen, &differ)?.ok_or(RouteMiss::NotFound);
        }
        let mut reader = PathReader::new(raw);
        if !reader.is_within_budget() {
            return Err(RouteMiss::TooManyReadings);
        }
        // One route takes all paths: however this one is read, it leads there.
        if let Some(only) = self.hosts.only(host) {
            return Ok(only);
        }
        let chosen = self.hosts.pick(host, reader.main(), false);
        let differs =
            |found: &T| self.hosts.all(host).any(|other| !std::ptr::eq(found, other) && differ(found, other));
        if reader.has_readings_beyond_these() && chosen.is_some_and(differs) {
            return Err(RouteMiss::Ambiguous);
        }
        while let Some((reading, escapes)) = reader.next_reading() {
            let literal = escapes == EscapeHandling::Stand;
            match (chosen, self.hosts.pick(host, reading, literal)) {
                (Some(a), Some(b)) if std::ptr::eq(a, b) || !differ(a, b) => {}
                (None, None) => {}
                // SECURITY: refused rather than guessed. The route that was chosen has its own
                // gates, and an app that reads the path in another way would serve what those of
                // another route protect.
                _ => return Err(RouteMiss::Ambiguous),
            }
            self.unless_folded(host, (reading, literal), chosen, &differ)?;
        }
        chosen.ok_or(RouteMiss::NotFound)
    }

    /// The chosen route, unless an app that ignores case would read the path as one of another. Where none was chosen, no
    /// app is asked, and there is nothing to tell apart.
    fn unless_folded<'t>(
        &'t self,
        host: &str,
        (reading, literal): (&[u8], bool),
        chosen: Option<&'t T>,
        differ: &impl Fn(&T, &T) -> bool,
    ) -> Result<Option<&'t T>, RouteMiss> {
        let Some(found) = chosen.filter(|_| self.hosts.folds()) else { return Ok(chosen) };
        match self.hosts.pick_folded(host, reading, literal) {
            Some(other) if !std::ptr::eq(found, other) && differ(found, other) => Err(RouteMiss::Ambiguous),
            _ => Ok(chosen),
        }
    }
}

/// A path as an app reads it: unreserved %XX decoded, dot segments and empty ones resolved, what is no text replaced.
pub fn reading(raw_path: &str) -> Cow<'_, str> {
    match path::scan(raw_path.as_bytes()) {
        Some(true) => Cow::Borrowed(raw_path),
        _ => Cow::Owned(String::from_utf8_lossy(PathReader::new(raw_path.as_bytes()).main()).into_owned()),
    }
}

/// All else that some app may read a path as, each once, and whether that is by decoding what parts a path in it; none
/// where all read it alike. Of a path for which [`Router::find`] found a route these are few. The second: some app may read
/// it in yet another way, which is not known.
pub fn other_readings(raw_path: &str) -> (Vec<(String, bool)>, bool) {
    let mut all: Vec<(String, bool)> = Vec::new();
    if path::scan(raw_path.as_bytes()) == Some(true) {
        return (all, false);
    }
    let mut known = HashSet::from([reading(raw_path).into_owned()]);
    let mut reader = PathReader::new(raw_path.as_bytes());
    while let Some((reading, escapes)) = reader.next_reading() {
        let reading = String::from_utf8_lossy(reading).into_owned();
        if known.insert(reading.clone()) {
            all.push((reading, escapes >= EscapeHandling::SeparatorsDecoded));
        }
    }
    (all, reader.has_readings_beyond_these())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(a: &&str, b: &&str) -> bool {
        a != b
    }

    fn router(routes: &[(&str, &str, &'static str)]) -> Router<&'static str> {
        Router::new(routes.iter().map(|(host, path, name)| {
            let host = match host.strip_prefix("*.") {
                Some(below) => Some(HostPattern::Below(below.to_owned())),
                None if host.is_empty() => None,
                None => Some(HostPattern::Exact((*host).to_owned())),
            };
            let ignore_case = match name.get(name.len().saturating_sub(2)..) {
                Some("-i") => Some(true),
                Some("-c") => Some(false),
                _ => None,
            };
            (host, (*path).to_owned(), ignore_case, *name)
        }))
    }

    #[test]
    fn hosts_and_prefixes() {
        let router = router(&[
            ("", "/", "any"),
            ("", "/deep/er", "any-deep"),
            ("*.example.com", "/", "below"),
            ("*.shop.example.com", "/x", "below-shop"),
            ("shop.example.com", "/x", "exact"),
            ("shop.example.com", "/Y", "exact-i"),
            ("shop.example.com", "/caf%C3%A9", "cafe"),
            ("shop.example.com", "/Thé à la menthe", "tea"),
        ]);
        for (host, path, wanted) in [
            ("other.test", "/", "any"),
            ("other.test", "/deep/er/x", "any-deep"),
            ("other.test", "/deep/err", "any"),
            ("example.com", "/", "any"),
            ("a.example.com", "/deep/er", "below"),
            ("a.b.example.com", "/", "below"),
            ("a.shop.example.com", "/x/", "below-shop"),
            ("a.shop.example.com", "/xy", "below"),
            ("shop.example.com", "/x", "exact"),
            ("shop.example.com", "/xy", "below"),
            ("shop.example.com", "/y/Z", "exact-i"),
            ("shop.example.com", "/yy", "below"),
            ("shop.example.com", "/caf%C3%A9/x", "cafe"),
            ("shop.example.com", "/Th%C3%A9%20%C3%A0%20la%20menthe", "tea"),
            ("shop.example.com", "/Th%c3%a9%20%c3%a0%20la%20menthe/x", "tea"),
            ("shop.example.com", "/x/a%20b//c/./d;v=1/%zz", "exact"),
            ("notexample.com", "*", "any"),
            ("other.test", "/a%2Fb", "any"),
        ] {
            assert_eq!(router.find(host, path, differ), Ok(&wanted), "{host}{path}");
        }
    }

    #[test]
    fn misses() {
        let router = router(&[("a.test", "/x", "x"), ("a.test", "/y", "y")]);
        for (host, path, wanted) in [
            ("b.test", "/x", RouteMiss::NotFound),
            ("a.test", "/z", RouteMiss::NotFound),
            ("a.test", "/z/%20", RouteMiss::NotFound),
            ("a.test", "/caf%C3%A9", RouteMiss::NotFound),
            ("a.test", "//x", RouteMiss::Ambiguous),
            ("a.test", "/X", RouteMiss::NotFound),
            ("a.test", "/x/../y", RouteMiss::Ambiguous),
            ("a.test", "/x\u{e9}", RouteMiss::BadPath),
            ("a.test", "/x\n", RouteMiss::BadPath),
            ("a.test", "/x y", RouteMiss::BadPath),
        ] {
            assert_eq!(router.find(host, path, differ), Err(wanted), "{host}{path}");
            let same = router.find(host, path, |_, _| false);
            assert!(wanted != RouteMiss::BadPath || same == Err(wanted));
        }
    }

    /// What some app reads as `/admin` or below, or nobody as any path.
    const GUARDED: &[&str] = &[
        "/admin",
        "/admin/",
        "/admin/x",
        "//admin",
        "///admin",
        "/%61dmin",
        "/%61%64%6d%69%6E",
        "/./admin",
        "/././admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/.%2e/admin",
        "/x/%2E./admin",
        "/../admin",
        "/../../admin",
        "\\admin",
        "/\\admin",
        "\\\\admin",
        "/x\\..\\admin",
        "/admin\\x",
        "/admin;x",
        "/;/admin",
        "/;x/admin",
        "/.;/admin",
        "/x/..;/admin",
        "/x/..;a=b/admin",
        "/admin;/x",
        "/%2e/admin",
        "/%2e;/admin",
        "/admin%2f..",
        "/admin%2Fx",
        "/admin%5cx",
        "/%2fadmin",
        "/%5Cadmin",
        "/x%2f..%2fadmin",
        "/x%5c..%5cadmin",
        "/x/..%2fadmin",
        "/admin%00",
        "/admin%00.jpg",
        "/admin/..",
        "/admin/../",
        "/admin/../x",
        "/admin/%2e%2e",
        "/admin/..;/",
        "/admin/..;/x",
        "/%61dmin/..;/x",
        "/x;/../admin",
        "/x/;/../../admin",
        "/admin/.",
        "/admin//",
        "/admin/;a",
        "//x/..//admin",
        "/.//admin",
        "/admin\u{e9}",
        "/admin\t",
        "/x/.;/../admin",
        "/%61dmin%2f..",
        "/x/y/../../admin",
        "admin",
        "/admin?x",
        "/admin#x",
        "/%61dmin%00/../..",
        "/x%2f%2e%2e%2fadmin",
        "/ADMIN",
        "/Admin/x",
        "/%41dmin",
        "//ADMIN",
        "//x/admin",
        "///x/admin",
        "////x//admin",
        "/\\x/admin",
        "\\\\x\\ADMIN",
        "//x:80/admin",
        "//u@x/admin",
        "//u:p@x:80/admin/y",
        "//x\\admin",
        "//%78/%61dmin",
        "/%5cx/admin",
        "/%2f%2fx/admin",
        "/y/..//x/admin",
        "/.//x/admin",
        "//x/y/../admin",
        "/x/..%3b/admin",
        "/x/..%3Ba=b/admin",
        "/admin%3bx",
        "/admin%3Fx",
        "/admin%23x",
        "/%3b/admin",
    ];

    #[test]
    fn no_spelling_of_a_guarded_path_slips_by() {
        let router = router(&[("", "/", "open"), ("", "/admin", "guarded"), ("", "/x", "open")]);
        for path in GUARDED {
            let found = router.find("h.test", path, differ);
            assert_ne!(found, Ok(&"open"), "{path}");
            assert_ne!(found, Err(RouteMiss::NotFound), "{path}");
        }
        for path in [
            "/./admin%2f..",
            "/y/../admin%2fsecret%2f..%2f..",
            "/y/../admin%5c..",
            "//;/h/admin",
            "/%2f%00h/admin",
            "/x%00/..%2fadmin",
            "/x%3f/..%5cadmin",
            "/y/.%09./admin",
            "/%09/h/admin",
            "/%0A/h/admin",
            "/%0d/h/admin",
        ] {
            assert_eq!(router.find("h.test", path, differ), Err(RouteMiss::Ambiguous), "{path}");
        }
        for path in [
            "/administrator",
            "/xadmin",
            "/x/admin",
            "/a%20dmin",
            "/x/file.css",
            "/x//y",
            "/%zz",
            "/%",
            "/x;v=1",
            "/.well-known/x",
            "/x/y%3Bz",
            "/x/Admin",
            "//y",
            "//x/y",
            "/x/https%3A%2F%2Fx/admin",
        ] {
            assert_eq!(router.find("h.test", path, differ), Ok(&"open"), "{path}");
        }
    }

    #[test]
    fn case_folded_paths_are_a_reading() {
        let router = router(&[
            ("", "/", "open"),
            ("", "/admin", "guarded"),
            ("", "/Wiki", "wiki-c"),
            ("", "/shop", "shop-i"),
            ("", "/été", "summer"),
        ]);
        for (path, wanted) in [
            ("/admin", Ok(&"guarded")),
            ("/ADMIN", Err(RouteMiss::Ambiguous)),
            ("/administrator", Ok(&"open")),
            ("/Wiki/x", Ok(&"wiki-c")),
            ("/wiki/x", Ok(&"open")),
            ("/SHOP/x", Ok(&"shop-i")),
            ("/%C3%89T%C3%89", Err(RouteMiss::Ambiguous)),
            ("/%C3%A9t%C3%A9", Ok(&"summer")),
            ("/x/ADMIN", Ok(&"open")),
        ] {
            assert_eq!(router.find("h.test", path, differ), wanted, "{path}");
        }
    }

    #[test]
    fn a_path_costs_no_more_than_its_budget() {
        let router = router(&[("", "/", "open"), ("", "/admin", "guarded"), ("one.test", "/", "one")]);
        for unit in ["a/./;%2f\\", "a/./;", "//", "/../", "%2f", "%3b/", "\\", "/;/"] {
            let path = format!("/{}", unit.repeat(8000 / unit.len()));
            let mut reader = PathReader::new(path.as_bytes());
            let mut read = 0;
            if reader.is_within_budget() {
                while reader.next_reading().is_some() {
                    read += path.len();
                }
            } else {
                assert_eq!(router.find("h.test", &path, differ), Err(RouteMiss::TooManyReadings), "{unit}");
                assert_eq!(router.find("one.test", &path, differ), Err(RouteMiss::TooManyReadings), "{unit}");
            }
            assert!(read <= 96 * 1024, "{unit}: {read} bytes");
        }
        // What is long for a reason passes.
        let long = format!("/x/{}", "https%3A%2F%2Fx%20y".repeat(420));
        assert_eq!(router.find("h.test", &long, differ), Ok(&"open"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(host in ".*", path in "(/|\\\\|%|%2[fFeE]|%5c|%00|\\.|;|[a-x]|.)*") {
            let router = router(&[("", "/a", "a"), ("*.b", "/", "b"), ("c", "/c/d", "c")]);
            let _ = router.find(&host, &path, differ);
            let _ = router.find("c", &path, differ);
        }
    }
}
