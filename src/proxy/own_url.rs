//! URLs that name the app's own address, and what the visitor knows it by; either way.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{Call, ProxyError};
use crate::{
    config::{ServerAddress, UpstreamHost},
    headers::{self, ClientInfo, StrippedPrefix},
    message::{Request, authority::HostPort},
    plan::RoutePlan,
    router::{self, RouteMiss},
    upstream::Endpoint,
};

/// Where a copy or a move goes (`WebDAV`, RFC 4918 section 10.3).
const DESTINATION: HeaderName = HeaderName::from_static("destination");

/// A URL at the start of a text, or within it.
struct EmbeddedUrl<'a> {
    /// What stands before it.
    before: &'a [u8],
    /// With the colon; empty where it is `//host/…`.
    scheme: &'a [u8],
    authority: &'a [u8],
    /// Path, query, fragment.
    rest: &'a [u8],
}

/// The URL in a value that begins with one; `Refresh` has it after the seconds (HTML, section 4.2.4.3).
fn find<'a>(name: &HeaderName, value: &'a [u8]) -> Option<EmbeddedUrl<'a>> {
    let at = if *name == header::REFRESH { in_refresh(value) } else { 0 };
    let (before, url) = value.split_at_checked(at)?;
    let begins = |start: &[u8]| url.get(..start.len()).is_some_and(|u| u.eq_ignore_ascii_case(start));
    let scheme = [&b"http:"[..], b"https:"].into_iter().find(|scheme| begins(scheme)).map_or(0, <[u8]>::len);
    let (scheme, rest) = url.split_at_checked(scheme)?;
    let rest = rest.strip_prefix(b"//")?;
    let end = rest.iter().position(|byte| b"/?#\\\"'".contains(byte)).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    Some(EmbeddedUrl { before, scheme, authority, rest })
}

/// Where the URL of a `Refresh` begins.
fn in_refresh(value: &[u8]) -> usize {
    let blanks = |at: usize| at + value.iter().skip(at).take_while(|byte| byte.is_ascii_whitespace()).count();
    let Some(end) = value.iter().position(|byte| b";,".contains(byte)) else { return value.len() };
    let mut at = blanks(end + 1);
    if value.get(at..at + 3).is_some_and(|word| word.eq_ignore_ascii_case(b"url")) {
        let sign = blanks(at + 3);
        if value.get(sign) == Some(&b'=') {
            at = blanks(sign + 1);
        }
    }
    at + usize::from(matches!(value.get(at), Some(b'"' | b'\'')))
}

/// A field of an answer whose URL names the server's own address: what the visitor sees instead. `None` if it stays.
pub fn for_visitor(
    (name, value): (&HeaderName, &HeaderValue),
    route: &RoutePlan,
    endpoint: &Endpoint,
    (host, client): (&HeaderValue, &ClientInfo),
) -> Option<HeaderValue> {
    let found = find(name, value.as_bytes())?;
    let authority = HostPort::parse(found.authority)?;
    let named = match &route.upstream.rules.host {
        UpstreamHost::Name(name) => is_name(&authority, name),
        // What an app behind a unix socket is asked for.
        UpstreamHost::Server => {
            matches!(endpoint.address, ServerAddress::Unix(_)) && is_name(&authority, "localhost")
        }
        UpstreamHost::Visitor => false,
    };
    if !named && !is_server(&authority, &endpoint.address) {
        return None;
    }
    // The visitor's scheme, not the app's: what came by https must not be sent back to http.
    let scheme: &[u8] = match (found.scheme, client.https) {
        (b"", _) => b"",
        (_, true) => b"https:",
        (_, false) => b"http:",
    };
    HeaderValue::from_bytes(&[found.before, scheme, b"//", host.as_bytes(), found.rest].concat()).ok()
}

fn is_name(authority: &HostPort, name: &str) -> bool {
    let Some(name) = HostPort::parse(name.as_bytes()) else { return false };
    let is_default = |port: Option<u16>| matches!(port, None | Some(80 | 443));
    authority.host == name.host
        && (authority.port == name.port || (is_default(authority.port) && is_default(name.port)))
}

/// Whether an authority is that of a server, whatever the scheme before it: apps take theirs from X-Forwarded-Proto.
fn is_server(authority: &HostPort, server: &ServerAddress) -> bool {
    let ServerAddress::Tcp { host, port, tls } = server else { return false };
    let default = if *tls { 443 } else { 80 };
    let same_port = authority.port.map_or(*port == default, |said| said == *port);
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let (said, own) = (bare(&authority.host), bare(host));
    same_port && (said == own || (is_loopback(&said) && is_loopback(&own)))
}

/// All names of this machine lead to the same server.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(crate::net::is_loopback)
}

/// `Destination`, as the app is to see it: below what it is asked for, and under the Host that it gets.
///
/// # Errors
/// It leads to another route.
pub fn for_app<B>(call: &Call<'_>, request: &mut Request<B>) -> Result<(), ProxyError> {
    let Call { plan, route, .. } = call;
    // To other methods it means something to an app that takes the method from elsewhere (X-HTTP-Method-Override, or in
    // small letters), and only a gate is to know. Where there is one route, looking for it would cost as much as a field.
    let copies = ["COPY", "MOVE"].iter().any(|name| request.method().as_str().eq_ignore_ascii_case(name));
    if !copies && plan.routes == 1 {
        return Ok(());
    }
    let headers = request.fields_mut();
    let Some(value) = headers.get(&DESTINATION) else { return Ok(()) };
    let copies = copies || headers.names().any(headers::overrides_method);
    // To yet other apps it is a field of their own, and names no path.
    let has_path = |value: &HeaderValue| value.as_bytes().iter().any(|byte| b"/\\%".contains(byte));
    if copies || headers.get_all(&DESTINATION).any(has_path) {
        // Of two, apps do not agree on which counts.
        if headers.get_all(&DESTINATION).nth(1).is_some() {
            return Err(ProxyError::Client(StatusCode::FORBIDDEN, "more than one Destination"));
        }
        stays_on_route(call, value)?;
    }
    if copies
        && route.upstream.rules.rewrite_redirects
        && let Some(new) = destination(call, value)
    {
        headers.insert(DESTINATION, new);
    }
    Ok(())
}

/// SECURITY: what is written there passes no gate but that of the request's own path, so that it may lead to no route that
/// differs from it: neither by the host that it names, nor whatever that is, since an app may look at its path alone.
fn stays_on_route(call: &Call<'_>, value: &HeaderValue) -> Result<(), ProxyError> {
    let Call { plan, route, admitted, .. } = call;
    let refuse = |why| Err(ProxyError::Client(StatusCode::FORBIDDEN, why));
    let parsed = std::str::from_utf8(value.as_bytes()).ok().and_then(host_and_path);
    let Some((named, path)) = parsed else {
        return refuse("a Destination that is neither a path nor an http URL");
    };
    let leads_away = |host: &str| match plan.router.find(host, path, RoutePlan::differs) {
        Ok(other) => route.differs(other),
        Err(miss) => miss != RouteMiss::NotFound || host == admitted.authority.host,
    };
    if leads_away(&admitted.authority.host) || named.is_some_and(|named| leads_away(&named.host)) {
        return refuse("a Destination on another route");
    }
    Ok(())
}

/// Of a `Destination` that is a path, or an http URL with a host (RFC 4918 section 10.3). Whatever else it may be, apps do not
/// agree on where its path begins: `http:/x`, `x:/x`, `http:\\h\x`; nor on where it ends, if there is more: some take a
/// query or a fragment for a part of the name.
fn host_and_path(value: &str) -> Option<(Option<HostPort>, &str)> {
    let without_scheme = |scheme: &str| {
        let (begin, rest) = value.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let (host, path) = match without_scheme("http://").or_else(|| without_scheme("https://")) {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(HostPort::parse(authority.as_bytes())?), path)
        }
        None if value.starts_with('/') && !value.starts_with("//") => (None, value),
        None => return None,
    };
    let path = if path.is_empty() { "/" } else { path };
    (!path.contains(['?', '#'])).then_some((host, path))
}

fn destination(call: &Call<'_>, value: &HeaderValue) -> Option<HeaderValue> {
    let Call { route, admitted, client, .. } = call;
    let value = value.as_bytes();
    let (begin, rest) = match find(&DESTINATION, value) {
        Some(found) => {
            let authority = HostPort::parse(found.authority)?;
            let seen = [client.host.as_ref(), admitted.host.as_ref()];
            let is_own = |host: &HeaderValue| {
                std::str::from_utf8(host.as_bytes()).is_ok_and(|host| is_name(&authority, host))
            };
            if !seen.into_iter().flatten().any(is_own) {
                return None;
            }
            (begin_of(route, &found), found.rest)
        }
        None if value.first() == Some(&b'/') => (Vec::new(), value),
        None => return None,
    };
    let rest = match &route.prefix {
        None => rest.to_vec(),
        Some(prefix) => below(prefix, rest)?,
    };
    HeaderValue::from_bytes(&[begin, rest].concat()).ok()
}

/// Scheme and authority by which the app knows itself.
fn begin_of(route: &RoutePlan, found: &EmbeddedUrl<'_>) -> Vec<u8> {
    let server = route.upstream.all.first();
    let scheme = server.map_or("http", |server| server.scheme());
    match (&route.upstream.rules.host, server) {
        (UpstreamHost::Visitor, _) | (_, None) => [found.scheme, b"//", found.authority].concat(),
        (UpstreamHost::Name(name), _) => format!("{scheme}://{name}").into_bytes(),
        (UpstreamHost::Server, Some(server)) => {
            let name = if server.name.starts_with("unix:") { "localhost" } else { &server.name };
            format!("{scheme}://{name}").into_bytes()
        }
    }
}

/// What is left of a path without the prefix; `None` if it is not below.
fn below(prefix: &StrippedPrefix, rest: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(rest).ok()?;
    let (path, query) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
    let path = router::below(path, prefix.path(), prefix.ignore_case())?;
    let path = if path.is_empty() { "/" } else { path };
    Some([path, query].concat().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_all_of_its_names() {
        let server = |text: &str, port, tls| ServerAddress::Tcp { host: text.to_owned(), port, tls };
        let local = server("127.0.0.1", 3000, false);
        for (authority, server, wanted) in [
            ("127.0.0.1:3000", &local, true),
            ("localhost:3000", &local, true),
            ("LOCALHOST:3000", &local, true),
            ("[::1]:3000", &local, true),
            ("127.0.0.1", &local, false),
            ("127.0.0.1:3001", &local, false),
            ("localhost.evil.test:3000", &local, false),
            ("10.0.0.1", &server("10.0.0.1", 80, false), true),
            ("10.0.0.1:80", &server("10.0.0.1", 80, false), true),
            ("localhost", &server("10.0.0.1", 80, false), false),
            ("app.test", &server("App.test", 443, true), true),
            ("app.test:443", &server("app.test", 443, true), true),
            ("[::1]:8080", &server("::1", 8080, false), true),
        ] {
            let authority = HostPort::parse(authority.as_bytes()).unwrap();
            assert_eq!(is_server(&authority, server), wanted, "{authority:?} {server:?}");
        }
    }

    #[test]
    fn a_url_is_found_where_it_may_stand() {
        for (name, value, wanted) in [
            (&header::LOCATION, "http://a:1/x?y", Some(("", "http:", "a:1", "/x?y"))),
            (&header::LOCATION, "//a", Some(("", "", "a", ""))),
            (&header::LOCATION, "HTTPS://a#b", Some(("", "HTTPS:", "a", "#b"))),
            (&header::LOCATION, "/x?u=http://a/", None),
            (&header::LOCATION, "ftp://a/", None),
            (&header::LOCATION, "0; url=http://a/", None),
            (&header::REFRESH, "0; URL = 'http://a/'", Some(("0; URL = '", "http:", "a", "/'"))),
            (&header::REFRESH, "5;//a", Some(("5;", "", "a", ""))),
            (&header::REFRESH, "5", None),
        ] {
            let found = find(name, value.as_bytes());
            let texts = found.map(|found| {
                [found.before, found.scheme, found.authority, found.rest].map(String::from_utf8_lossy)
            });
            let wanted = wanted.map(|(a, b, c, d)| [a, b, c, d].map(std::borrow::Cow::from));
            assert_eq!(texts, wanted, "{value}");
        }
    }
}
