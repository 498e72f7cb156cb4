//! Gates: who may pass a route at all. `require` asks for a session or a principal, `cross_site` for a request that
//! this site made itself. Pure: a request in, a verdict out.

use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    Call, ProxyError,
    admit::AdmittedRequest,
    own_answer::{OwnAnswer, StageEnd},
};
use crate::{
    config::{CrossSite, OnUnauthorized, PreflightRule, RequiredLogin},
    headers::{self, ClientInfo},
    listen::RequestArrival,
    message::{Fields, Request},
    session::{FetchContext, ResolvedSession},
};

/// A redirect to the login is no longer than this: past it, the login itself would be a 414 for ever.
const LONGEST_LOGIN: usize = 2000;

/// What would end a query's value, or what browsers read in their own way.
const IN_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'`');

/// Sends to https what came by http, where the listener says so; the port is that of https.
///
/// # Errors
/// The redirect.
pub fn https(
    arrival: RequestArrival,
    client: &ClientInfo,
    admitted: &AdmittedRequest,
) -> Result<(), StageEnd> {
    // Who came to a trusted proxy by https is there already.
    let Some(port) = arrival.redirect_to_https.filter(|_| !client.https && !is_acme(admitted.path())) else {
        return Ok(());
    };
    let host = &admitted.authority.host;
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let target = format!("https://{host}{port}{}", admitted.target());
    // HTTP/1.0 without a Host cannot be sent anywhere.
    let target = HeaderValue::try_from(target).ok().filter(|_| !host.is_empty());
    Err(match target {
        Some(target) => OwnAnswer::HttpsRedirect(target).into(),
        None => ProxyError::Client(StatusCode::BAD_REQUEST, "no Host, and https is to be asked for").into(),
    })
}

/// Somebody who gives out certificates asks for proof (RFC 8555 section 8.3), and that by http.
fn is_acme(path: &str) -> bool {
    path.strip_prefix("/.well-known/acme-challenge/")
        .is_some_and(|token| token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
}

/// Asks for what the route requires.
///
/// # Errors
/// 401, or a redirect to where it can be had.
pub fn require<B: Body>(
    call: &Call<'_>,
    request: &Request<B>,
    resolved: Option<&ResolvedSession>,
) -> Result<(), StageEnd> {
    let route = call.route;
    let has = match route.require {
        RequiredLogin::Nothing => true,
        RequiredLogin::Session => resolved.is_some_and(ResolvedSession::has_data),
        RequiredLogin::Principal => resolved.is_some_and(ResolvedSession::has_principal),
    };
    // A preflight never carries a cookie: refused, no page of a trusted origin could ever ask.
    if has || (route.preflight == PreflightRule::Pass && is_preflight(request)) {
        return Ok(());
    }
    match &route.on_unauthorized {
        OnUnauthorized::Redirect(path) if is_navigation(request) => {
            let asked = request.uri().path_and_query().map(http::uri::PathAndQuery::as_str);
            Err(OwnAnswer::LoginRedirect(target(path, asked)?).into())
        }
        _ => Err(OwnAnswer::Unauthorized.into()),
    }
}

/// A CORS preflight (Fetch, section 3.2.2): it never carries a cookie, nothing that a page added, and no body.
///
/// SECURITY: it passes where a login is asked for, so it is to be an OPTIONS to the app as well, and nothing besides.
fn is_preflight<B: Body>(request: &Request<B>) -> bool {
    let fields = request.fields();
    *request.method() == Method::OPTIONS
        && fields.contains(header::ORIGIN)
        && fields.contains(header::ACCESS_CONTROL_REQUEST_METHOD)
        && !fields.contains(header::UPGRADE)
        && request.body().is_end_stream()
        && !fields.names().any(headers::overrides_method)
}

/// Somebody is on their way to a page. Browsers that do not say so ask for HTML; a script that does so may say what it is.
fn is_navigation<B>(request: &Request<B>) -> bool {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return false;
    }
    let says = |name: &str| request.fields().get(name).map(HeaderValue::as_bytes);
    if FetchContext::is_scripted(request.fields()) {
        return false;
    }
    match says("sec-fetch-mode") {
        Some(mode) => mode == b"navigate",
        None => says("accept").is_some_and(|accept| memchr::memmem::find(accept, b"text/html").is_some()),
    }
}

/// `on_unauthorized`, with this request's own path as `next=`; left out where it could lead to another site, or is too long.
fn target(otherwise: &str, asked: Option<&str>) -> Result<HeaderValue, OwnAnswer> {
    let own = asked.filter(|path| {
        let mut bytes = path.bytes();
        // SECURITY: `//host` and `/\host` are URLs of another host to browsers; with `next=` they
        // would make the login an open redirect.
        bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'))
    });
    let text = match own {
        Some(path) => {
            let mark = if otherwise.contains('?') { '&' } else { '?' };
            let whole = format!("{otherwise}{mark}next={}", utf8_percent_encode(path, IN_QUERY));
            if whole.len() > LONGEST_LOGIN { otherwise.to_owned() } else { whole }
        }
        None => otherwise.to_owned(),
    };
    HeaderValue::try_from(text).map_err(|_| OwnAnswer::Unauthorized)
}

/// Refuses what another site makes a visitor's browser ask for.
///
/// # Errors
/// 403.
pub fn cross_site<B>(call: &Call<'_>, request: &Request<B>) -> Result<(), StageEnd> {
    let Call { route, admitted, client, .. } = call;
    if route.cross_site == CrossSite::Pass
        // SECURITY: a WebSocket begins with a GET, and no CORS protects it.
        || (request.method().is_safe() && !request.fields().contains(header::UPGRADE))
    {
        return Ok(());
    }
    let headers = request.fields();
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    if origin.is_some_and(|o| route.trusted_origins.iter().any(|t| t.as_str().as_bytes() == o)) {
        return Ok(());
    }
    let own = match (site(headers), origin) {
        // `same-site` is refused too: a sibling host may belong to somebody else. Those who trust
        // one list it in `trusted_origins`.
        (Some(site), _) => matches!(site, b"same-origin" | b"none"),
        (None, Some(origin)) => is_own(origin, admitted, client),
        // Neither: no browser of the last years.
        (None, None) => true,
    };
    if own {
        return Ok(());
    }
    let why = "another site made the browser ask for this (cross_site)";
    Err(ProxyError::Client(StatusCode::FORBIDDEN, why).into())
}

fn site(headers: &Fields) -> Option<&[u8]> {
    headers.get("sec-fetch-site").map(HeaderValue::as_bytes)
}

/// The origin is what the visitor sees in the address bar (RFC 6454 section 6.2).
fn is_own(origin: &[u8], admitted: &AdmittedRequest, client: &ClientInfo) -> bool {
    let Some(host) = client.host.as_ref().or(admitted.host.as_ref()) else { return false };
    let (scheme, port): (&[u8], &[u8]) =
        if client.https { (b"https://", b":443") } else { (b"http://", b":80") };
    let plain = |authority: &[u8]| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    origin.strip_prefix(scheme).is_some_and(|authority| plain(authority) == plain(host.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_never_leads_to_another_site() {
        for (asked, wanted) in [
            (Some("/a?b=c&d=e"), "/login?next=/a?b=c%26d=e"),
            (Some("/"), "/login?next=/"),
            (Some("//evil.test/"), "/login"),
            (Some("/\\evil.test/"), "/login"),
            (Some("*"), "/login"),
            (None, "/login"),
            (Some("/%2f/x#y"), "/login?next=/%252f/x%23y"),
        ] {
            assert_eq!(target("/login", asked).unwrap(), wanted, "{asked:?}");
        }
        assert_eq!(target("/login?a=1", Some("/x")).unwrap(), "/login?a=1&next=/x");
        let long = format!("/{}", "%".repeat(1000));
        assert_eq!(target("/login", Some(&long)).unwrap(), "/login");
        assert!(target("/login", Some(&"/x".repeat(900))).unwrap().len() > 1800);
    }
}
