//! What would become of a request: the very stages of [`prepare`], without an app.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, Version, header};
use http_body_util::Full;

use super::{PreparedRequest, admit, exchange::Exchange, prepare, route};
use crate::{
    headers,
    listen::RequestArrival,
    message::{Fields, Request, cookie, framing::content_length},
    plan::Plan,
    session::{ResolvedSession, TicketState, UpstreamAccess},
};

/// The most fields that a request file may have.
const MOST_FIELDS: usize = 200;

/// What was found.
#[derive(Debug, serde::Serialize)]
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

/// Explains what would become of this request, were it to arrive so. Nothing is changed by it. `knows_sessions`: it is asked
/// in the process that has the sessions.
///
/// # Errors
/// It is no request.
pub async fn explain(
    plan: &Arc<Plan>,
    raw: &[u8],
    (arrival, knows_sessions): (RequestArrival, bool),
) -> Result<RouteExplanation, RequestFileError> {
    let mut request = parse(raw)?;
    let mut exchange = Exchange::rehearse(&request);
    let came = request.fields().clone();
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
            tell_session(&prepared, &came, knows_sessions, &mut findings).await;
            tell_taken(plan, &came, &request, &mut findings);
            Ok(RouteExplanation { findings, head: Some(head_for_app(plan, &came, &request, &prepared)) })
        }
    }
}

/// The head that the app would get, in HTTP/1.
fn head_for_app<B>(
    plan: &Plan,
    came: &Fields,
    request: &Request<B>,
    prepared: &PreparedRequest<'_>,
) -> String {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri());
    if came.contains(header::TRANSFER_ENCODING) {
        head.push_str("transfer-encoding: chunked\r\n");
    }
    for (name, value) in request.fields() {
        head.extend([name.as_str(), ": ", &String::from_utf8_lossy(value.as_bytes()), "\r\n"]);
    }
    head.push_str(&String::from_utf8_lossy(prepared.added.as_bytes()));
    mask(plan, &prepared.call.route.view, &head)
}

/// What the app does not get of what came, and why.
fn tell_taken<B>(
    plan: &Plan,
    came: &Fields,
    request: &Request<B>,
    findings: &mut Vec<(&'static str, String)>,
) {
    let (mut unspoofed, mut hopless) = (came.clone(), came.clone());
    plan.guard.strip_request(&mut unspoofed);
    let _ = headers::strip_hop_by_hop(&mut hopless);
    let mut told: Vec<&HeaderName> = Vec::new();
    for name in came.names() {
        if told.contains(&name) || request.fields().contains(name) {
            continue;
        }
        told.push(name);
        let why = if !unspoofed.contains(name) {
            "visitors may not say it: cloakroom writes it itself, or nobody does"
        } else if !hopless.contains(name) {
            "it is between the visitor and cloakroom (RFC 9110 section 7.6.1)"
        } else if *name == header::COOKIE {
            "no cookie in it is for the app"
        } else {
            "cloakroom answers it itself, or writes it anew"
        };
        findings.push(("taken out", format!("{name}: {why}")));
    }
}

/// What is explained is pasted into tickets: passwords, proofs and what sessions hold have no place there.
fn mask(plan: &Plan, view: &UpstreamAccess, head: &str) -> String {
    let secret = |name: &str| {
        matches!(name, "authorization" | "proxy-authorization") || plan.sessions.headers.is_secret(name, view)
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
    let PreparedRequest { call, .. } = prepared;
    let client = &call.client;
    let address = client.address.map_or_else(|| "unknown".to_owned(), |a| a.to_string());
    let scheme = if client.https { "https" } else { "http" };
    findings.push(("visitor", format!("{address} by {scheme}")));
    findings.push(("server", call.upstream_servers()));
}

/// Which session it comes under, or why none. `knows_sessions`: those are at hand, in the process that has them.
async fn tell_session(
    prepared: &PreparedRequest<'_>,
    came: &Fields,
    knows_sessions: bool,
    findings: &mut Vec<(&'static str, String)>,
) {
    let PreparedRequest { call, resolved, .. } = prepared;
    let Some(resolved) = resolved else {
        findings.push(("session", "off on this route".to_owned()));
        return;
    };
    if !knows_sessions {
        findings.push(("session", "not looked at: only a running cloakroom knows its sessions".to_owned()));
        return;
    }
    let verdict = resolved.verdict();
    let sessions = &call.plan.sessions;
    let words = match verdict.state {
        TicketState::Ok | TicketState::New | TicketState::None | TicketState::Ambiguous => {
            why(resolved).to_owned()
        }
        _ => {
            let line = came.get_all(header::COOKIE).filter_map(|line| line.to_str().ok()).collect::<Vec<_>>();
            let place = [(call.realm(), &call.route.cookie)];
            let report = sessions.inquire(&line.join("; "), (&place, false), call.now).await;
            report.map_or_else(|error| error.to_string(), |report| report.explanation(sessions.rules(), true))
        }
    };
    findings.push(("ticket", format!("{}: {words}", verdict.state.as_str())));
    findings.push(("session", format!("the app is told: {}", resolved.state().as_str())));
    if let Some(record) = resolved.record() {
        if let Some(principal) = &record.principal {
            findings.push(("principal", principal.to_string()));
        }
        findings.push(("lives", format!("until {} if nobody comes", record.ends(sessions.rules()))));
        let (shown, hidden): (Vec<_>, Vec<_>) = record
            .fields
            .iter()
            .map(|(name, _)| name.to_string())
            .partition(|name| call.route.view.shows(name));
        for (what, names) in [("shown", shown), ("not shown", hidden)] {
            if !names.is_empty() {
                findings.push((what, format!("fields {}", names.join(", "))));
            }
        }
    }
}

fn why(resolved: &ResolvedSession) -> &'static str {
    use crate::session::SessionState;
    match (resolved.verdict().state, resolved.state()) {
        (TicketState::Ok, _) => "it is good",
        (TicketState::Ambiguous, _) => TicketState::Ambiguous.in_words(),
        (_, SessionState::New) => "no session cookie came, so a new one is given",
        _ => {
            "no session cookie came, and none may be given: cross-site, a subresource, a prefetch, a preflight, or \
             [session] create = \"write\""
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
