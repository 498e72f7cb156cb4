//! Undressing an answer for the visitor: hop-by-hop out, instructions read and taken out, redirects to the server's own
//! address turned to the visitor's.

use http::{HeaderMap, HeaderName, HeaderValue, Response, Version, header};

use super::admit::Admitted;
use crate::{
    config::{SessionMode, UpstreamHost},
    headers::{self, Client, Nominations},
    plan::{Plan, RoutePlan},
    session::Changes,
};

/// Undresses it, and returns what the app wants changed, if anything, and what ended here.
pub fn undress<B>(
    plan: &Plan,
    route: &RoutePlan,
    admitted: &Admitted,
    client: &Client,
    endpoint: usize,
    response: &mut Response<B>,
) -> (Option<Box<Changes>>, Nominations) {
    // The version is a matter of each connection (RFC 9110 section 2.5).
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    // Before anything is removed, which would change the order of the lines; and an app's own `Connection` cannot
    // nominate its instructions away.
    let changes = plan.sessions.wire.take(headers);
    let nominations = headers::strip_hop_by_hop(headers);
    // The same names in a spelling that is no instruction.
    plan.guard.strip_response(headers);
    let changes = changes.filter(|_| route.session != SessionMode::Off);
    if route.upstream.rules.rewrite_redirects
        && let Some(endpoint) = route.upstream.all.get(endpoint)
    {
        const NAMES: [HeaderName; 3] = [header::LOCATION, header::CONTENT_LOCATION, header::REFRESH];
        if headers.keys().any(|name| NAMES.contains(name)) {
            for name in NAMES {
                redirect(headers, &name, &endpoint.name, route, admitted, client);
            }
        }
    }
    (changes, nominations)
}

/// `http://server/…` becomes what the visitor sees; `Refresh` has it after `url=`.
fn redirect(
    headers: &mut HeaderMap,
    name: &HeaderName,
    server: &str,
    route: &RoutePlan,
    admitted: &Admitted,
    client: &Client,
) {
    let Some(value) = headers.get(name) else { return };
    let Some(host) = client.host.as_ref().or(admitted.host.as_ref()) else { return };
    let value = value.as_bytes();
    let named = match &route.upstream.rules.host {
        UpstreamHost::Name(name) => name.as_str(),
        _ => server,
    };
    for server in [server, named] {
        let Some((at, length)) = find_own(value, server) else { continue };
        if at > 0 && *name != header::REFRESH {
            continue;
        }
        let before = value.get(..at).unwrap_or_default();
        let rest = value.get(at + length..).unwrap_or_default();
        let scheme: &[u8] = if client.https { b"https://" } else { b"http://" };
        if let Ok(new) = HeaderValue::from_bytes(&[before, scheme, host.as_bytes(), rest].concat()) {
            headers.insert(name.clone(), new);
        }
        return;
    }
}

/// Where `http://SERVER` stands in a value, and how long it is, in any case and with the default port written out.
fn find_own(value: &[u8], server: &str) -> Option<(usize, usize)> {
    let lower = value.to_ascii_lowercase();
    let own = format!("http://{}", server.to_ascii_lowercase());
    let at = memchr::memmem::find(&lower, own.as_bytes())?;
    let rest = lower.get(at + own.len()..)?;
    let port = if server.ends_with(']') || !server.contains(':') { &b":80"[..] } else { b"" };
    let length = own.len() + if !port.is_empty() && rest.starts_with(port) { port.len() } else { 0 };
    let whole = matches!(lower.get(at + length), None | Some(b'/' | b'?' | b'#'));
    whole.then_some((at, length))
}
