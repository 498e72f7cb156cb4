//! A request's head, from bytes (RFC 9112 sections 3, 5 and 6). Pure.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{
    HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING, UPGRADE},
};

use crate::message::{
    Fields, Request,
    chunked::ChunkReader,
    framing::{content_length, is_chunked, lower_version, transfer_codings},
    head::{FieldPlaces, place_in},
};

/// More lines are no request of anybody, whatever `fields` allows.
const MOST_FIELDS: usize = 256;
/// What a URI of the `http` crate can hold, in bytes.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// Why a request is refused before anybody sees it.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadError {
    #[error("it is not HTTP/1: {0}")]
    Malformed(#[from] httparse::Error),
    #[error("its target is not valid")]
    Target,
    #[error("its framing is ambiguous: {0}")]
    Framing(&'static str),
    #[error("its head is larger than head_bytes, or has more than {MOST_FIELDS} lines")]
    TooLarge,
    #[error("its target is longer than {LONGEST_TARGET} bytes")]
    TargetTooLong,
    #[error("it is HTTP/2 without TLS, which needs http2_prior_knowledge")]
    Http2,
}

impl HeadError {
    /// The answer to it; none where nothing that could be said would be understood.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Malformed(_) | Self::Target | Self::Framing(_) => Some(StatusCode::BAD_REQUEST),
            Self::TooLarge => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Self::TargetTooLong => Some(StatusCode::URI_TOO_LONG),
            Self::Http2 => None,
        }
    }
}

/// What is left of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyRemaining {
    Over,
    Length(u64),
    Chunks(ChunkReader),
}

impl BodyRemaining {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }
}

/// A request's head, and what it says of its connection.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) request: Request<()>,
    pub(super) body: BodyRemaining,
    pub(super) terms: AnswerTerms,
}

/// What a request says of the answer that it gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerTerms {
    /// HTTP/1.0.
    pub(super) old: bool,
    /// HEAD: the answer ends with its head.
    pub(super) head_only: bool,
    /// The connection may be used again.
    pub(super) keep: bool,
    /// Its body comes once it is asked for (RFC 9110 section 10.1.1).
    pub(super) waits: bool,
    /// It asks for another protocol.
    pub(super) upgrade: bool,
    /// Trailers are taken (RFC 9110 section 10.1.4).
    pub(super) trailers: bool,
}

impl AnswerTerms {
    /// Of a request that cannot be read.
    pub(super) fn of_refusal() -> Self {
        Self { old: false, head_only: false, keep: false, waits: false, upgrade: false, trailers: false }
    }
}

/// Reads a head out of `inbound` and takes it away; `None` until it is whole. `most` is what it may have of bytes;
/// `spare` is an empty map whose room is used.
pub(super) fn read(
    inbound: &mut BytesMut,
    most: usize,
    spare: &mut Fields,
) -> Result<Option<RequestHead>, HeadError> {
    match read_known(inbound, most, spare) {
        // A later minor version is answered as 1.1 (RFC 9110 section 6.2); httparse knows only 1.0
        // and 1.1.
        Err(HeadError::Malformed(httparse::Error::Version)) if is_later(inbound) => {
            read_known(inbound, most, spare)
        }
        read => read,
    }
}

/// The same, of a version that is known.
fn read_known(
    inbound: &mut BytesMut,
    most: usize,
    spare: &mut Fields,
) -> Result<Option<RequestHead>, HeadError> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    // Left uninitialised: to clear room for 256 fields would cost more than to parse ten.
    let status = parsed.parse_with_uninit_headers(inbound, &mut fields).map_err(|error| match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        httparse::Error::Version if inbound.starts_with(b"PRI * HTTP/2.0\r\n") => HeadError::Http2,
        other => other.into(),
    })?;
    let httparse::Status::Complete(length) = status else {
        return if inbound.len() > most { Err(HeadError::TooLarge) } else { Ok(None) };
    };
    if length > most {
        return Err(HeadError::TooLarge);
    }
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())
        .map_err(|_| httparse::Error::Token)?;
    let old = parsed.version == Some(0);
    // Target and values become slices of one shared piece: where they lie in it is noted before it is cut off.
    let target = place_in(inbound, parsed.path.unwrap_or_default().as_bytes());
    let places = FieldPlaces::of(parsed.headers, inbound);
    if target.len() > LONGEST_TARGET {
        return Err(HeadError::TargetTooLong);
    }
    let head = inbound.split_to(length).freeze();
    let uri = Uri::from_maybe_shared(head.slice(target)).map_err(|_| HeadError::Target)?;

    let mut headers = std::mem::take(spare);
    let mut framing = RequestFraming { keep: !old, ..RequestFraming::default() };
    places.read(&head, &mut headers, |name, value| framing.scan(name, value))?;
    // SECURITY: decided once, here. Everything behind this reads the body by this decision, and no
    // header says otherwise any more.
    let body = framing.body(old, &mut headers)?;
    let terms = framing.terms(old, &method, &body);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = if old { Version::HTTP_10 } else { Version::HTTP_11 };
    *request.fields_mut() = headers;
    Ok(Some(RequestHead { request, body, terms }))
}

/// A request line of HTTP/1.2 or later, which is made one of HTTP/1.1.
fn is_later(inbound: &mut BytesMut) -> bool {
    let end = memchr::memchr(b'\n', inbound).unwrap_or(inbound.len());
    let end = if inbound.get(end.wrapping_sub(1)) == Some(&b'\r') { end - 1 } else { end };
    end > 8 && lower_version(inbound, end - 8)
}

/// What the fields say of the connection and of the end of the request.
#[derive(Default)]
struct RequestFraming {
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    close: bool,
    keep: bool,
    expects: bool,
    upgrade: bool,
    trailers: bool,
}

impl RequestFraming {
    /// What they say of the answer.
    fn terms(&self, old: bool, method: &Method, body: &BodyRemaining) -> AnswerTerms {
        AnswerTerms {
            old,
            head_only: *method == Method::HEAD,
            // A length beside a coding is how requests are smuggled: nothing follows on such a connection.
            keep: self.keep && !self.close && !(self.coded && self.length.is_some()),
            waits: self.expects && !old && !body.is_over(),
            upgrade: self.upgrade,
            trailers: self.trailers && !old,
        }
    }

    /// False where the line repeats another.
    fn scan(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, HeadError> {
        let text = value.as_bytes();
        if *name == CONTENT_LENGTH {
            let length = content_length(text).ok_or(HeadError::Framing("a Content-Length that is none"))?;
            return match self.length.replace(length) {
                None => Ok(true),
                Some(before) if before == length => Ok(false),
                Some(_) => Err(HeadError::Framing("differing lines of Content-Length")),
            };
        } else if *name == TRANSFER_ENCODING {
            self.coded = true;
            // Over several lines the last coding of all counts (RFC 9110 section 5.3).
            if let Some(last) = transfer_codings(text).last() {
                self.chunked = is_chunked(last);
            }
        } else if *name == CONNECTION {
            for token in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if *name == EXPECT {
            self.expects = text.eq_ignore_ascii_case(b"100-continue");
        } else if *name == UPGRADE {
            self.upgrade = true;
        } else if *name == TE {
            let takes = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"trailers");
            self.trailers |= text.split(|byte| *byte == b',').any(takes);
        }
        Ok(true)
    }

    /// RFC 9112 section 6.3. Of both, Transfer-Encoding wins, and nobody sees the length.
    fn body(&self, old: bool, headers: &mut Fields) -> Result<BodyRemaining, HeadError> {
        if !self.coded {
            return Ok(self
                .length
                .filter(|length| *length > 0)
                .map_or(BodyRemaining::Over, BodyRemaining::Length));
        }
        // SECURITY: a 1.0 proxy before us may have passed it on without understanding it, and read
        // the body by another rule (RFC 9112 section 6.1).
        if old {
            return Err(HeadError::Framing("Transfer-Encoding in HTTP/1.0"));
        }
        if !self.chunked {
            return Err(HeadError::Framing("Transfer-Encoding that does not end with chunked"));
        }
        headers.remove(CONTENT_LENGTH);
        Ok(BodyRemaining::Chunks(ChunkReader::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Option<RequestHead>, HeadError> {
        read(&mut BytesMut::from(text), 32 * 1024, &mut Fields::new())
    }

    #[test]
    fn a_later_version_is_read_as_the_one_that_is_known() {
        for (line, wanted) in [
            ("HTTP/1.1", Some(Version::HTTP_11)),
            ("HTTP/1.2", Some(Version::HTTP_11)),
            ("HTTP/1.9", Some(Version::HTTP_11)),
            ("HTTP/1.0", Some(Version::HTTP_10)),
            ("HTTP/2.0", None),
            ("HTTP/1.10", None),
            ("HTTP/1.a", None),
        ] {
            let head = parse(format!("GET / {line}\r\nHost: a\r\n\r\n").as_bytes());
            assert_eq!(head.ok().flatten().map(|head| head.request.version()), wanted, "{line}");
        }
    }

    #[test]
    fn the_end_of_a_request_is_told_in_one_way() {
        let chunks = BodyRemaining::Chunks(ChunkReader::default());
        for (fields, wanted, keep) in [
            ("", Some(BodyRemaining::Over), true),
            ("Content-Length: 0\r\n", Some(BodyRemaining::Over), true),
            ("Content-Length: 5\r\n", Some(BodyRemaining::Length(5)), true),
            ("Content-Length: 5\r\ncontent-length: 5\r\n", Some(BodyRemaining::Length(5)), true),
            ("Transfer-Encoding: Chunked\r\n", Some(chunks), true),
            ("Transfer-Encoding: , chunked\r\n", Some(chunks), true),
            ("Transfer-Encoding: chunked,\t,\r\n", Some(chunks), true),
            ("Transfer-Encoding: ,\r\n", None, false),
            ("Transfer-Encoding: \x0bchunked\r\n", None, false),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Some(chunks), false),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Some(chunks), false),
            // Admission refuses it by its name, with a status of its own.
            ("Transfer-Encoding: gzip, chunked\r\n", Some(chunks), true),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", None, false),
            ("Content-Length: 5, 5\r\n", None, false),
            ("Content-Length: +5\r\n", None, false),
            ("Content-Length: 0x5\r\n", None, false),
            ("Content-Length: 99999999999999999999\r\n", None, false),
            ("Content-Length:\r\n", None, false),
            ("Transfer-Encoding: chunked, gzip\r\n", None, false),
            ("Transfer-Encoding: gzip\r\n", None, false),
            ("Transfer-Encoding: \x0bchunked\r\n", None, false),
            ("Transfer-Encoding: chunked\r\nContent-Length: x\r\n", None, false),
        ] {
            let found = parse(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()).ok().flatten();
            assert_eq!(found.as_ref().map(|head| head.body), wanted, "{fields}");
            assert_eq!(found.as_ref().is_some_and(|head| head.terms.keep), keep, "{fields}");
            let both = fields.contains("Transfer") && fields.contains("Length");
            assert!(!found.is_some_and(|head| both && head.request.fields().contains(CONTENT_LENGTH)));
        }
        assert!(parse(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn what_a_request_says_of_its_connection() {
        for (head, keep) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: Keep-Alive, Close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(parse(head.as_bytes()).unwrap().unwrap().terms.keep, keep, "{head}");
        }
        let terms = |text: &str| parse(text.as_bytes()).unwrap().unwrap().terms;
        assert!(terms("PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n").waits);
        assert!(!terms("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n").waits);
        assert!(!terms("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").waits);
        assert!(terms("GET / HTTP/1.1\r\nTE: gzip, Trailers\r\n\r\n").trailers);
    }

    #[test]
    fn what_is_refused_and_how() {
        let long = |bytes: usize| "a".repeat(bytes);
        for (text, status) in [
            ("GET / HTTP/1.1\r\nA B: 1\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nA : 1\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nA: \x00\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nA: 1\rB: 2\r\n\r\n".to_owned(), 400),
            ("GET /<x> HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET /?\" HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/2.0\r\n\r\n".to_owned(), 400),
            ("GET  / HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("G\u{e9}T / HTTP/1.1\r\n\r\n".to_owned(), 400),
            (format!("GET /{} HTTP/1.1\r\n\r\n", long(20_000)), 0),
            (format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", long(33_000)), 431),
            (format!("GET / HTTP/1.1\r\nA: {}", long(33_000)), 431),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_FIELDS + 1)), 431),
        ] {
            let found = parse(text.as_bytes()).err().and_then(|error| error.status());
            let found = found.map_or(0, |status| status.as_u16());
            assert_eq!(found, status, "{text:.60}");
        }
        let huge = format!("GET /{} HTTP/1.1\r\n\r\n", long(LONGEST_TARGET));
        let error = read(&mut BytesMut::from(huge.as_bytes()), usize::MAX, &mut Fields::new()).unwrap_err();
        assert_eq!(error.status(), Some(StatusCode::URI_TOO_LONG));
        assert!(matches!(parse(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Err(HeadError::Http2)));
        assert!(parse(b"GET / HTTP/1.1\r\nA: 1\r\n").unwrap().is_none());
        assert!(parse(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n").unwrap().is_some(), "RFC 9112 section 2.2");
    }

    #[test]
    fn what_follows_a_head_is_left() {
        let mut inbound = BytesMut::from(&b"PUT /a?b HTTP/1.1\r\nX: \xe9\r\nx: 2\r\n\r\nbody"[..]);
        let head = read(&mut inbound, 1024, &mut Fields::new()).unwrap().unwrap().request;
        assert_eq!((head.uri().to_string(), &inbound[..]), ("/a?b".to_owned(), &b"body"[..]));
        let values: Vec<_> = head.fields().get_all("x").map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [&b"\xe9"[..], b"2"]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat());
        }
    }
}
