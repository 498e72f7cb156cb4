//! What would become of a request: the very stages of [`prepare`], without an app.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, Version, header};
use http_body_util::Full;

use super::{PreparedRequest, admit, exchange::Exchange, prepare, route};
use crate::{
    listen::RequestArrival,
    message::{Fields, Request, cookie, framing::content_length},
    plan::Plan,
    session::ResolvedSession,
};

/// The most fields that a request file may have.
const MOST_FIELDS: usize = 200;

/// What was found.
#[derive(Debug)]
pub struct RouteExplanation {
    /// One line a finding: what, and why.
    pub findings: Vec<(&'static str, String)>,
    /// The head that the app would get; `None` if it would not be asked.
    pub head: Option<String>,
}

/// A request file that is none.
#[derive(Debug, thiserror::Error)]
pub enum RequestFileError {
    /// Not HTTP/1.
    #[error("this is not an HTTP/1 request: {0}")]
    Http(#[from] httparse::Error),
    /// A target, method or field that is none.
    #[error("this is not an HTTP/1 request: {0}")]
    Parts(#[from] http::Error),
    /// No blank line.
    #[error("the request's head has no end: a blank line is missing")]
    Incomplete,
    /// On the wire nobody could tell where it ends.
    #[error("Content-Length is no number, or two of them differ: answered 400, and the connection is closed")]
    Length,
}

/// Explains what would become of this request, were it to arrive so.
///
/// # Errors
/// It is no request.
pub async fn explain(
    plan: &Arc<Plan>,
    raw: &[u8],
    arrival: RequestArrival,
) -> Result<RouteExplanation, RequestFileError> {
    let mut request = parse(raw)?;
    let mut exchange = Exchange::begin(&request, None, crate::clock::instant());
    let chunked = request.fields().contains(header::TRANSFER_ENCODING);
    let mut findings = vec![("asked", format!("{} {}", request.method(), request.uri()))];
    // Before anything can refuse it: which route it was that did.
    if let Ok(admitted) = admit::admit(&mut request, &plan.limits)
        && let Ok(route) = route(plan, &admitted)
    {
        let chosen =
            format!("{} (for host {:?}, path {})", route.name, admitted.authority.host, admitted.path());
        findings.push(("route", chosen));
        findings.push(("upstream", route.upstream.rules.name.clone()));
    }
    // The very function that requests go through, so that the explanation cannot differ from what
    // happens.
    match prepare(plan, &mut exchange, &mut request, arrival, true).await {
        Err(error) => {
            findings.push(("answer", format!("{} without asking an app: {error}", error.status())));
            Ok(RouteExplanation { findings, head: None })
        }
        Ok(prepared) => {
            tell(&prepared, &mut findings);
            let mut head = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri());
            if chunked {
                head.push_str("transfer-encoding: chunked\r\n");
            }
            for (name, value) in request.fields() {
                head.extend([name.as_str(), ": ", &String::from_utf8_lossy(value.as_bytes()), "\r\n"]);
            }
            head.push_str(&String::from_utf8_lossy(prepared.added.as_bytes()));
            Ok(RouteExplanation { findings, head: Some(mask(plan, &head)) })
        }
    }
}

/// What is explained is pasted into tickets: passwords and proofs have no place there.
fn mask(plan: &Plan, head: &str) -> String {
    let secret = |name: &str| {
        matches!(name, "authorization" | "proxy-authorization") || plan.sessions.headers.is_secret(name)
    };
    let line = |line: &str| match line.split_once(':') {
        Some((name, _)) if secret(name) => format!("{name}: MASKED\r\n"),
        Some(("cookie", cookies)) => format!("cookie: {}\r\n", masked(cookies)),
        _ => line.to_owned(),
    };
    head.split_inclusive("\r\n").map(line).collect()
}

/// The cookies' names, which tell what became of them.
fn masked(cookies: &str) -> String {
    let name = |(name, _): (&[u8], &[u8])| format!("{}=MASKED", String::from_utf8_lossy(name));
    cookie::pairs(cookies.trim().as_bytes()).map(name).collect::<Vec<_>>().join("; ")
}

fn tell(prepared: &PreparedRequest<'_>, findings: &mut Vec<(&'static str, String)>) {
    let PreparedRequest { call, resolved, .. } = prepared;
    let client = &call.client;
    let address = client.address.map_or_else(|| "unknown".to_owned(), |a| a.to_string());
    let scheme = if client.https { "https" } else { "http" };
    findings.push(("visitor", format!("{address} by {scheme}")));
    let session = match resolved {
        None => "off on this route".to_owned(),
        Some(resolved) => format!("{}: {}", resolved.state().as_str(), why(resolved)),
    };
    findings.push(("session", session));
}

fn why(resolved: &ResolvedSession) -> &'static str {
    use crate::session::SessionState;
    match (resolved.state(), resolved.id()) {
        (SessionState::Active, _) => "the ticket is good",
        (SessionState::New, _) => "no ticket that is good here, so a new one is given",
        (SessionState::Unavailable, _) => "the store does not answer",
        (SessionState::None, _) => {
            "no ticket that is good here, and none may be given: cross-site, a subresource, a prefetch, a preflight, \
             or [session] create = \"write\""
        }
    }
}

/// A raw request; bare line feeds do.
fn parse(raw: &[u8]) -> Result<Request<Full<Bytes>>, RequestFileError> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(head) = parsed.parse(raw)? else {
        return Err(RequestFileError::Incomplete);
    };
    // What follows is a body, or it is not: no more is asked of it here.
    let body = Bytes::copy_from_slice(raw.get(head..).unwrap_or_default());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() =
        Method::from_bytes(parsed.method.unwrap_or_default().as_bytes()).map_err(http::Error::from)?;
    *request.uri_mut() = parsed.path.unwrap_or_default().parse::<Uri>().map_err(http::Error::from)?;
    *request.version_mut() = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(http::Error::from)?;
        request.fields_mut().append(name, HeaderValue::from_bytes(field.value).map_err(http::Error::from)?);
    }
    framing(request.fields_mut())?;
    Ok(request)
}

/// What is done with it on the wire before a request is one (RFC 9112 section 6.3).
fn framing(headers: &mut Fields) -> Result<(), RequestFileError> {
    if headers.contains(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
        return Ok(());
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).map(|value| content_length(value.as_bytes()));
    let Some(first) = lengths.next() else { return Ok(()) };
    if first.is_none() || lengths.any(|other| other != first) {
        return Err(RequestFileError::Length);
    }
    Ok(())
}
