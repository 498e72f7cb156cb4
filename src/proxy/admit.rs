//! Admission: what is ambiguous, too large or not served at all is refused before any thought.

use http::{HeaderValue, Method, Request, StatusCode, Version, header, uri::PathAndQuery};

use super::ProxyError;
use crate::{config::Limits, message::authority::Authority};

/// A request that was admitted: what it asks for, read once.
#[derive(Debug)]
pub struct Admitted {
    /// The host it asks for (RFC 9112 §3.2.2: absolute-form wins over Host).
    pub authority: Authority,
    /// The Host as it is to go on.
    pub host: Option<HeaderValue>,
    /// It stands so among the headers.
    pub host_stands: bool,
    target: Option<PathAndQuery>,
}

impl Admitted {
    /// The path, raw.
    pub fn path(&self) -> &str {
        self.target.as_ref().map(PathAndQuery::path).filter(|path| path.starts_with('/')).unwrap_or("/")
    }
}

fn refuse<T>(status: StatusCode, why: &'static str) -> Result<T, ProxyError> {
    Err(ProxyError::Client(status, why))
}

/// Admits or refuses.
pub fn admit<B>(request: &Request<B>, limits: &Limits) -> Result<Admitted, ProxyError> {
    let headers = request.headers();
    // TRACE would echo what only the app may see; CONNECT is for forward proxies.
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "TRACE and CONNECT are not served");
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        if request.version() == Version::HTTP_10 {
            return refuse(StatusCode::BAD_REQUEST, "Transfer-Encoding in HTTP/1.0");
        }
        let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
        let chunked = lines.next().is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !chunked || lines.next().is_some() {
            return refuse(StatusCode::NOT_IMPLEMENTED, "a transfer coding other than chunked");
        }
    }
    if let Some(expect) = headers.get(header::EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return refuse(StatusCode::EXPECTATION_FAILED, "an expectation other than 100-continue");
    }
    // Authority-form is for CONNECT, asterisk-form for OPTIONS (RFC 9112 sections 3.2.3 and 3.2.4).
    let uri = request.uri();
    let asterisk = uri.path() == "*" && uri.authority().is_none();
    if (uri.scheme().is_none() && uri.authority().is_some())
        || (asterisk && request.method() != Method::OPTIONS)
    {
        return refuse(StatusCode::BAD_REQUEST, "a target that is neither a path nor a URL");
    }
    let target = request.uri().path_and_query().map_or(1, |p| p.as_str().len());
    if limits.target_bytes.is_some_and(|most| target > most) {
        return refuse(StatusCode::URI_TOO_LONG, "target_bytes");
    }
    sizes(request, limits)?;
    host(request)
}

fn sizes<B>(request: &Request<B>, limits: &Limits) -> Result<(), ProxyError> {
    let headers = request.headers();
    let large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    if limits.fields.is_some_and(|most| headers.len() > most) {
        return refuse(large, "fields");
    }
    if let Some(most) = limits.field_bytes
        && headers.iter().any(|(n, v)| n.as_str().len() + v.len() > most)
    {
        return refuse(large, "field_bytes");
    }
    let (mut bytes, mut count) = (0, 0);
    for line in headers.get_all(header::COOKIE) {
        bytes += line.len();
        count += 1 + memchr::memchr_iter(b';', line.as_bytes()).count();
    }
    if limits.cookie_bytes.is_some_and(|most| bytes > most) || limits.cookies.is_some_and(|most| count > most)
    {
        return refuse(large, "cookies or cookie_bytes");
    }
    Ok(())
}

fn host<B>(request: &Request<B>) -> Result<Admitted, ProxyError> {
    let mut lines = request.headers().get_all(header::HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return refuse(StatusCode::BAD_REQUEST, "more than one Host");
    }
    if line.is_none() && request.version() >= Version::HTTP_11 {
        return refuse(StatusCode::BAD_REQUEST, "no Host");
    }
    let absolute = request.uri().authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    let host_stands = absolute.is_none() && line.is_some();
    let host = absolute.or_else(|| line.cloned());
    let authority = match &host {
        Some(host) => match Authority::parse(host.as_bytes()) {
            Some(authority) => authority,
            None => return refuse(StatusCode::BAD_REQUEST, "a Host that is none"),
        },
        // HTTP/1.0 knows no Host.
        None => Authority { host: String::new(), port: None },
    };
    Ok(Admitted { authority, host, host_stands, target: request.uri().path_and_query().cloned() })
}

/// A body that says beforehand that it is too large.
pub fn body<B>(request: &Request<B>, most: Option<u64>) -> Result<(), ProxyError> {
    let Some(most) = most else { return Ok(()) };
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|l| l > most) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_bytes");
    }
    Ok(())
}
