//! Where a browser sends a cookie: when a domain and a path match (RFC 6265bis sections 5.1.3 and 5.1.4).

/// Whether a host, lower case, is the domain or below it.
pub fn domain_matches(host: &str, domain: &str) -> bool {
    host == domain
        || (host.strip_suffix(domain).is_some_and(|before| before.ends_with('.')) && !is_address(host))
}

/// An IPv4 address or an IPv6 address in brackets: nothing is below it.
fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// Whether a request's path is the cookie's or below it.
pub fn path_matches(path: &[u8], cookie: &[u8]) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with(b"/") || rest.starts_with(b"/"))
}

/// The path of a cookie that came without one: up to the last `/` of the request's.
pub fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) if at > 0 && path.starts_with('/') => path.get(..at).unwrap_or("/"),
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_paths_and_defaults() {
        for (host, domain, wanted) in [
            ("a.test", "a.test", true),
            ("b.a.test", "a.test", true),
            ("ba.test", "a.test", false),
            ("a.test", "b.a.test", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "0.0.1", false),
            ("[::1]", "[::1]", true),
        ] {
            assert_eq!(domain_matches(host, domain), wanted, "{host} {domain}");
        }
        for (path, cookie, wanted) in [
            ("/", "/", true),
            ("/a", "/a", true),
            ("/a/b", "/a", true),
            ("/a/b", "/a/", true),
            ("/ab", "/a", false),
            ("/a", "/a/", false),
        ] {
            assert_eq!(path_matches(path.as_bytes(), cookie.as_bytes()), wanted, "{path} {cookie}");
        }
        for (path, wanted) in [("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a"), ("", "/"), ("*", "/")]
        {
            assert_eq!(default_path(path), wanted, "{path}");
        }
    }
}
