//! Which route a request takes: most specific host first, then longest path prefix, on the path as an app may read it.

mod host;
mod path;
mod strip;

use std::borrow::Cow;

use crate::config::HostPattern;

use host::Hosts;
use path::{Escapes, Reader};
pub use strip::below;

/// Routes by host and path.
#[derive(Debug)]
pub struct Router<T> {
    hosts: Hosts<T>,
}

/// Why no route was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// No route has this host and path.
    NotFound,
    /// Apps may read the path in ways that lead to routes that differ.
    Ambiguous,
    /// Raw characters that no path may hold (RFC 3986 section 3.3).
    BadPath,
}

impl<T> Router<T> {
    /// A router of these routes: host (none: any), path prefix, whether case is ignored, and what is found there.
    pub fn new(routes: impl IntoIterator<Item = (Option<HostPattern>, String, bool, T)>) -> Self {
        Self { hosts: Hosts::new(routes) }
    }

    /// The route of a request. `host` is lower case without port, `raw_path` comes without query.
    pub fn find(&self, host: &str, raw_path: &str, differ: impl Fn(&T, &T) -> bool) -> Result<&T, Miss> {
        let raw = raw_path.as_bytes();
        let Some(plain) = path::scan(raw) else { return Err(Miss::BadPath) };
        if plain {
            return self.hosts.pick(host, raw, true).ok_or(Miss::NotFound);
        }
        if let Some(only) = self.hosts.only(host) {
            return Ok(only);
        }
        let mut reader = Reader::new(raw);
        let chosen = self.hosts.pick(host, reader.main(), false);
        while let Some((reading, escapes)) = reader.next_reading() {
            match (chosen, self.hosts.pick(host, reading, escapes == Escapes::Stand)) {
                (Some(a), Some(b)) if std::ptr::eq(a, b) || !differ(a, b) => {}
                (None, None) => {}
                _ => return Err(Miss::Ambiguous),
            }
        }
        chosen.ok_or(Miss::NotFound)
    }
}

/// A path as an app reads it: unreserved %XX decoded, dot segments and empty ones resolved, what is no text replaced.
pub fn reading(raw_path: &str) -> Cow<'_, str> {
    match path::scan(raw_path.as_bytes()) {
        Some(true) => Cow::Borrowed(raw_path),
        _ => Cow::Owned(String::from_utf8_lossy(Reader::new(raw_path.as_bytes()).main()).into_owned()),
    }
}

/// All else that some app may read a path as, each once, and whether that is by decoding %2F, %5C or %00 in it; none
/// where all read it alike.
pub fn other_readings(raw_path: &str) -> Vec<(String, bool)> {
    let mut all: Vec<(String, bool)> = Vec::new();
    if path::scan(raw_path.as_bytes()) == Some(true) {
        return all;
    }
    let main = reading(raw_path);
    let mut reader = Reader::new(raw_path.as_bytes());
    while let Some((reading, escapes)) = reader.next_reading() {
        let reading = String::from_utf8_lossy(reading);
        if reading != main && !all.iter().any(|(known, _)| *known == reading) {
            all.push((reading.into_owned(), escapes == Escapes::AllDecoded));
        }
    }
    all
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
            (host, (*path).to_owned(), name.ends_with("-i"), *name)
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
            ("b.test", "/x", Miss::NotFound),
            ("a.test", "/z", Miss::NotFound),
            ("a.test", "/z/%20", Miss::NotFound),
            ("a.test", "/caf%C3%A9", Miss::NotFound),
            ("a.test", "//x", Miss::Ambiguous),
            ("a.test", "/x/../y", Miss::Ambiguous),
            ("a.test", "/x\u{e9}", Miss::BadPath),
            ("a.test", "/x\n", Miss::BadPath),
            ("a.test", "/x y", Miss::BadPath),
        ] {
            assert_eq!(router.find(host, path, differ), Err(wanted), "{host}{path}");
            let same = router.find(host, path, |_, _| false);
            assert!(wanted != Miss::BadPath || same == Err(wanted));
        }
    }

    #[test]
    fn no_spelling_of_a_guarded_path_slips_by() {
        let router = router(&[("", "/", "open"), ("", "/admin", "guarded"), ("", "/x", "open")]);
        for path in [
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
        ] {
            let found = router.find("h.test", path, differ);
            assert_ne!(found, Ok(&"open"), "{path}");
            assert_ne!(found, Err(Miss::NotFound), "{path}");
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
        ] {
            assert_eq!(router.find("h.test", path, differ), Ok(&"open"), "{path}");
        }
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
