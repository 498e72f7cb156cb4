//! Admission: what is ambiguous, too large or not served at all is refused before any thought.

use http::{HeaderValue, Method, StatusCode, Version, header, uri::PathAndQuery};

use super::{
    ProxyError,
    own_answer::{OwnAnswer, StageEnd},
    request::{VIA_NAME, join_cookies},
};
use crate::{
    config::RequestLimits,
    message::{
        Fields, Request,
        authority::HostPort,
        framing::{content_length, is_chunked, transfer_codings},
    },
};

/// A request that passed here so often goes round in a circle (RFC 9110 section 7.6.3).
const MOST_PASSES: usize = 8;

/// A request that was admitted: what it asks for, read once.
#[derive(Debug)]
pub struct AdmittedRequest {
    /// The host it asks for (RFC 9112 §3.2.2: absolute-form wins over Host).
    pub authority: HostPort,
    /// The Host as it is to go on.
    pub host: Option<HeaderValue>,
    /// It stands so among the headers.
    pub host_stands: bool,
    /// It has credentials (`Authorization`).
    pub has_credentials: bool,
    /// `Max-Forwards` of an OPTIONS as it goes on (RFC 9110 section 7.6.2).
    pub forwards_left: Option<u32>,
    target: Option<PathAndQuery>,
}

impl AdmittedRequest {
    /// Path and query, raw.
    pub fn target(&self) -> &str {
        self.target.as_ref().map(PathAndQuery::as_str).filter(|target| target.starts_with('/')).unwrap_or("/")
    }

    /// The path, raw.
    pub fn path(&self) -> &str {
        self.target.as_ref().map(PathAndQuery::path).filter(|path| path.starts_with('/')).unwrap_or("/")
    }
}

fn refuse<T>(status: StatusCode, why: &'static str) -> Result<T, StageEnd> {
    Err(ProxyError::Client(status, why).into())
}

/// What the fields say that admission depends on; read in one pass, since each look-up costs as much.
#[derive(Default)]
struct AdmissionFields<'a> {
    host: Option<&'a HeaderValue>,
    hosts: u8,
    codings: u8,
    chunked: bool,
    expects_other: bool,
    cookie_lines: usize,
    cookie_bytes: usize,
    too_long: bool,
    passes: usize,
    has_credentials: bool,
    forwards: Option<u32>,
}

impl<'a> AdmissionFields<'a> {
    fn read(headers: &'a Fields, limits: &RequestLimits) -> Self {
        let mut fields = Self::default();
        let most = limits.field_bytes.unwrap_or(usize::MAX);
        for (name, value) in headers {
            fields.too_long |= name.as_str().len() + value.len() > most;
            if *name == header::HOST {
                fields.hosts = fields.hosts.saturating_add(1);
                fields.host = Some(value);
            } else if *name == header::COOKIE {
                fields.cookie_bytes += value.len();
                fields.cookie_lines += 1;
            } else if *name == header::TRANSFER_ENCODING {
                fields.codings = fields.codings.saturating_add(1);
                for (at, coding) in transfer_codings(value.as_bytes()).enumerate() {
                    fields.codings = fields.codings.saturating_add(u8::from(at > 0));
                    fields.chunked = is_chunked(coding);
                }
            } else if *name == header::AUTHORIZATION {
                fields.has_credentials = true;
            } else if *name == header::VIA {
                fields.passes += memchr::memmem::find_iter(value.as_bytes(), VIA_NAME.as_bytes()).count();
            } else if *name == header::MAX_FORWARDS {
                fields.forwards = value.to_str().ok().and_then(|text| text.trim().parse().ok());
            } else if *name == header::EXPECT {
                fields.expects_other |= !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
            }
        }
        fields
    }

    /// Whether there are more pairs in `Cookie` than that; counted only where there can be, with a `;` to each byte.
    fn has_more_cookies(&self, most: usize, headers: &Fields) -> bool {
        // Each pair takes two bytes at least, so that short lines need not be counted.
        let pairs = |line: &HeaderValue| 1 + memchr::memchr_iter(b';', line.as_bytes()).count();
        self.cookie_bytes + self.cookie_lines > most
            && headers.get_all(header::COOKIE).map(pairs).sum::<usize>() > most
    }
}

/// Admits or refuses; the cookies of one that is admitted stand in one line.
pub fn admit<B>(request: &mut Request<B>, limits: &RequestLimits) -> Result<AdmittedRequest, StageEnd> {
    // Nearly all requests have one line of Cookie at most, and are read in this one pass.
    if let Some(admitted) = admit_one_line(request, limits)? {
        return Ok(admitted);
    }
    join_cookies(request);
    match admit_one_line(request, limits)? {
        Some(admitted) => Ok(admitted),
        None => refuse(StatusCode::BAD_REQUEST, "lines of Cookie that cannot be one"),
    }
}

/// `None`: the cookies stand in several lines, and are to be joined before lines are counted.
fn admit_one_line<B>(
    request: &Request<B>,
    limits: &RequestLimits,
) -> Result<Option<AdmittedRequest>, StageEnd> {
    let headers = request.fields();
    let fields = AdmissionFields::read(headers, limits);
    if fields.cookie_lines > 1 {
        return Ok(None);
    }
    // TRACE would echo what only the app may see; CONNECT is for forward proxies.
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "TRACE and CONNECT are not served");
    }
    // Over HTTP/1 the reader of heads has refused the like; `explain` reads a request by itself.
    if fields.codings > 0 {
        if request.version() == Version::HTTP_10 {
            return refuse(StatusCode::BAD_REQUEST, "Transfer-Encoding in HTTP/1.0");
        }
        if !fields.chunked || fields.codings > 1 {
            return refuse(StatusCode::NOT_IMPLEMENTED, "a transfer coding other than chunked");
        }
    }
    if fields.expects_other {
        return refuse(StatusCode::EXPECTATION_FAILED, "an expectation other than 100-continue");
    }
    if fields.passes >= MOST_PASSES {
        return refuse(
            StatusCode::LOOP_DETECTED,
            "it came through here before: a server of the upstream leads back here",
        );
    }
    let target = request.uri().path_and_query().map_or(1, |p| p.as_str().len());
    if limits.target_bytes.is_some_and(|most| target > most) {
        return refuse(StatusCode::URI_TOO_LONG, "target_bytes");
    }
    let large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    if limits.fields.is_some_and(|most| headers.len() > most) {
        return refuse(large, "fields");
    }
    if fields.too_long {
        return refuse(large, "field_bytes");
    }
    if limits.cookie_bytes.is_some_and(|most| fields.cookie_bytes > most)
        || limits.cookies.is_some_and(|most| fields.has_more_cookies(most, headers))
    {
        return refuse(large, "cookies or cookie_bytes");
    }
    host(request, &fields).map(Some)
}

fn host<B>(request: &Request<B>, fields: &AdmissionFields<'_>) -> Result<AdmittedRequest, StageEnd> {
    // SECURITY: of two Host lines, caches and apps do not agree on which counts (RFC 9112 section
    // 3.2).
    if fields.hosts > 1 {
        return refuse(StatusCode::BAD_REQUEST, "more than one Host");
    }
    // HTTP/2 says it by `:authority`, Host or both (RFC 9113 section 8.3.1).
    let uri = request.uri();
    let is_http2 = request.version() == Version::HTTP_2;
    if fields.hosts == 0 && request.version() >= Version::HTTP_11 && !(is_http2 && uri.authority().is_some())
    {
        return refuse(StatusCode::BAD_REQUEST, "no Host");
    }
    // Authority-form is for CONNECT, asterisk-form for OPTIONS (RFC 9112 sections 3.2.3 and 3.2.4).
    let asterisk = uri.path() == "*" && (is_http2 || uri.authority().is_none());
    if (uri.scheme().is_none() && uri.authority().is_some())
        || (asterisk && request.method() != Method::OPTIONS)
    {
        return refuse(StatusCode::BAD_REQUEST, "a target that is neither a path nor a URL");
    }
    let absolute = uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    let host_stands = absolute.is_none() && fields.host.is_some();
    let host = absolute.or_else(|| fields.host.cloned());
    let authority = match &host {
        Some(host) => match HostPort::parse(host.as_bytes()) {
            Some(authority) => authority,
            None => return refuse(StatusCode::BAD_REQUEST, "a Host that is none"),
        },
        // HTTP/1.0 knows no Host.
        None => HostPort { host: String::new(), port: None },
    };
    if is_http2
        && let Some(line) = fields.host
        && HostPort::parse(line.as_bytes()).as_ref() != Some(&authority)
    {
        return refuse(StatusCode::BAD_REQUEST, "a Host that is not the :authority");
    }
    let forwards_left = match fields.forwards {
        Some(0) if *request.method() == Method::OPTIONS => return Err(OwnAnswer::LastHop.into()),
        Some(left) if *request.method() == Method::OPTIONS => Some(left - 1),
        _ => None,
    };
    let has_credentials = fields.has_credentials;
    let target = uri.path_and_query().cloned();
    Ok(AdmittedRequest { authority, host, host_stands, has_credentials, forwards_left, target })
}

/// A body that says beforehand that it is too large.
pub fn body<B>(request: &Request<B>, most: Option<u64>) -> Result<(), StageEnd> {
    let Some(most) = most else { return Ok(()) };
    let length = request.fields().get(header::CONTENT_LENGTH).and_then(|v| content_length(v.as_bytes()));
    if length.is_some_and(|l| l > most) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_bytes");
    }
    Ok(())
}
