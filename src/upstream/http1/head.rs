//! Heads: a request's to bytes, an answer's from bytes. Pure.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{
    HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::Http1Error;
use crate::message::{
    Fields, Request, Response,
    framing::{content_length, ends_with_head, is_chunked, lower_version, transfer_codings},
    head::FieldPlaces,
    lines::HeaderLines,
    outbound::{BodyEnding, write_fields, write_length},
};

/// An answer's head may be this long.
pub(super) const LARGEST: usize = 64 * 1024;
const MOST_FIELDS: usize = 256;
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// How the end of a message is told (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerFraming {
    /// With the head, by rule: whatever the fields say, there is no body.
    Nothing,
    /// The body is empty.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Whatever comes until the connection is closed.
    UntilClose,
    /// A 101: no answer follows, but another protocol.
    Switched,
}

/// An answer's head, read.
#[derive(Debug)]
pub(in super::super) struct AnswerHead {
    /// Status, version, fields.
    pub(in super::super) response: Response<()>,
    pub(super) framing: AnswerFraming,
    /// The connection can be used again after it.
    pub(super) keep_alive: bool,
    /// How long the app keeps it unused, in seconds, if it says so (`Keep-Alive: timeout=`).
    pub(super) idle: Option<u64>,
    /// The names of lines that were left out, since they hold control characters.
    pub(super) dropped: Vec<String>,
}

/// Writes a request's head. What the fields say of the body's length is left out: `ending` says it. `close`: the app is to
/// close the connection after its answer.
pub(super) fn write<R>(
    head: &Request<R>,
    added: &HeaderLines,
    ending: BodyEnding,
    close: bool,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(head.method().as_str().as_bytes());
    out.push(b' ');
    let target = head.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // SECURITY: before the session's lines, so that of two lines of one name the app that takes the
    // last takes ours.
    write_fields(head.fields(), out);
    out.extend_from_slice(added.as_bytes());
    match ending {
        BodyEnding::Length(length) => write_length(length, out),
        BodyEnding::Chunked { .. } => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // A method that is expected to have a body says that it has none (RFC 9110 section 8.6).
        _ if matches!(*head.method(), Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        _ => {}
    }
    if close {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Reads a head out of `inbound` and takes it away; `None` until it is whole.
///
/// # Errors
/// It is no HTTP, too long, or its framing is faulty.
pub(super) fn read(inbound: &mut BytesMut, asked: &Method) -> Result<Option<AnswerHead>, Http1Error> {
    match read_known(inbound, asked) {
        Err(Http1Error::Head(httparse::Error::Version)) if lower_version(inbound, 0) => {
            read_known(inbound, asked)
        }
        Err(Http1Error::Head(httparse::Error::HeaderValue)) => read_without_controls(inbound, asked),
        read => read,
    }
}

/// The same of a head with control characters in a value: those fields are left out, and the rest of the page is not lost for
/// them. CR and NUL stay refused, and so does the page where a field is spoilt without which it would be taken for another.
fn read_without_controls(inbound: &mut BytesMut, asked: &Method) -> Result<Option<AnswerHead>, Http1Error> {
    let refused = Http1Error::Head(httparse::Error::HeaderValue);
    let Some(end) = end_of_head(inbound) else {
        return if inbound.len() > LARGEST { Err(Http1Error::HeadTooLarge) } else { Ok(None) };
    };
    let is_control = |byte: &u8| matches!(byte, 1..=8 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f);
    let (mut dropped, mut left) = (Vec::new(), Vec::with_capacity(end));
    let mut lines = inbound.get(..end).unwrap_or_default().split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let mut field = line.to_vec();
        // A folded field is one (RFC 9112 section 5.2).
        while let Some(more) = lines.next_if(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            field.extend_from_slice(more);
        }
        if !field.iter().any(is_control) {
            left.extend_from_slice(&field);
            continue;
        }
        let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
        let name = HeaderName::from_bytes(name.trim_ascii_end()).map_err(|_| httparse::Error::HeaderName)?;
        // SECURITY: without this field the page would mean something else (a script that may not
        // run, a download that may not be shown).
        if is_needed(name.as_str()) {
            return Err(refused);
        }
        dropped.push(name.to_string());
    }
    if dropped.is_empty() {
        return Err(refused);
    }
    left.extend_from_slice(inbound.get(end..).unwrap_or_default());
    *inbound = BytesMut::from(&*left);
    Ok(read_known(inbound, asked)?.map(|head| AnswerHead { dropped, ..head }))
}

/// Behind the first empty line, which may end with a line feed alone.
fn end_of_head(inbound: &[u8]) -> Option<usize> {
    let mut at = 0;
    for line in inbound.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return Some(at);
        }
    }
    None
}

/// Whether a field says where the answer ends, what it is, or what it may not do: without it a page would be taken for what
/// it is not, and a download run.
fn is_needed(name: &str) -> bool {
    const NEEDED: [&str; 18] = [
        "cache-control",
        "cdn-cache-control",
        "clear-site-data",
        "connection",
        "expires",
        "location",
        "permissions-policy",
        "pragma",
        "referrer-policy",
        "refresh",
        "strict-transport-security",
        "surrogate-control",
        "transfer-encoding",
        "trailer",
        "upgrade",
        "vary",
        "www-authenticate",
        "x-robots-tag",
    ];
    const BEGINNINGS: [&str; 6] =
        ["access-control-", "content-", "cross-origin-", "origin-agent-", "x-content-", "x-frame-"];
    NEEDED.contains(&name) || BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

/// The same, of a version that is known.
fn read_known(inbound: &mut BytesMut, asked: &Method) -> Result<Option<AnswerHead>, Http1Error> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    // Blanks before the colon go, folded lines are unfolded (RFC 9112 sections 5.1 and 5.2).
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    let status = config.parse_response_with_uninit_headers(&mut parsed, inbound, &mut fields)?;
    let httparse::Status::Complete(length) = status else {
        return if inbound.len() > LARGEST { Err(Http1Error::HeadTooLarge) } else { Ok(None) };
    };
    if length > LARGEST {
        return Err(Http1Error::HeadTooLarge);
    }
    let code = parsed.code.unwrap_or_default();
    let status = StatusCode::from_u16(code).map_err(|_| httparse::Error::Status)?;
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let places = FieldPlaces::of(parsed.headers, inbound);
    let head = inbound.split_to(length).freeze();
    let mut headers = Fields::new();
    let mut fields = FramingFields::default();
    places.read(&head, &mut headers, |name, value| fields.scan(name, value))?;
    // SECURITY: of two readings neither is guessed. An answer whose end is in doubt is how one
    // visitor gets another's answer.
    let framing = fields.framing(version, status, asked)?;
    // After a 101 the connection speaks another protocol: it is never one for the next request.
    let keep_alive = status != StatusCode::SWITCHING_PROTOCOLS
        && framing != AnswerFraming::UntilClose
        && !fields.close
        && (version == Version::HTTP_11 || fields.keep);
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.fields_mut() = headers;
    Ok(Some(AnswerHead { response, framing, keep_alive, idle: fields.idle, dropped: Vec::new() }))
}

/// What the fields say of the connection and of the end of the answer.
#[derive(Default)]
struct FramingFields {
    length: Option<u64>,
    codings: u8,
    chunked: bool,
    close: bool,
    keep: bool,
    idle: Option<u64>,
}

impl FramingFields {
    /// False where the line repeats another: over HTTP/2 a visitor would take two for a malformed answer.
    fn scan(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Http1Error> {
        let text = value.as_bytes();
        if *name == CONTENT_LENGTH {
            let number =
                content_length(text).ok_or(Http1Error::Framing("a Content-Length that is no number"))?;
            return match self.length.replace(number) {
                None => Ok(true),
                Some(before) if before == number => Ok(false),
                Some(_) => Err(Http1Error::Framing("differing lines of Content-Length")),
            };
        } else if *name == TRANSFER_ENCODING {
            // A line that lists none is none that could be understood.
            self.codings = self.codings.saturating_add(1);
            for (at, coding) in transfer_codings(text).enumerate() {
                self.codings = self.codings.saturating_add(u8::from(at > 0));
                self.chunked = is_chunked(coding);
            }
        } else if *name == CONNECTION {
            for token in text.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if *name == KEEP_ALIVE {
            self.idle = std::str::from_utf8(text).ok().and_then(keep_alive_timeout);
        }
        Ok(true)
    }

    /// RFC 9112 section 6.3, without the mercy: what two readers could read in two ways is refused.
    fn framing(
        &self,
        version: Version,
        status: StatusCode,
        asked: &Method,
    ) -> Result<AnswerFraming, Http1Error> {
        if self.codings > 0 {
            if self.length.is_some() {
                return Err(Http1Error::Framing("Content-Length beside Transfer-Encoding"));
            }
            if version == Version::HTTP_10 {
                return Err(Http1Error::Framing("Transfer-Encoding in HTTP/1.0"));
            }
            if !self.chunked || self.codings > 1 {
                return Err(Http1Error::Framing("a Transfer-Encoding other than chunked"));
            }
        }
        let bodiless = ends_with_head(status, asked == Method::HEAD);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(AnswerFraming::Switched);
        }
        Ok(match (bodiless, self.chunked, self.length) {
            (true, ..) => AnswerFraming::Nothing,
            (false, false, Some(0)) => AnswerFraming::Empty,
            (false, true, _) => AnswerFraming::Chunked,
            (false, false, Some(length)) => AnswerFraming::Length(length),
            (false, false, None) => AnswerFraming::UntilClose,
        })
    }
}

/// `timeout=N` of `Keep-Alive`, in seconds.
fn keep_alive_timeout(text: &str) -> Option<u64> {
    text.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8], asked: &Method) -> Result<Option<AnswerHead>, Http1Error> {
        read(&mut BytesMut::from(text), asked)
    }

    #[test]
    fn the_end_of_an_answer_is_told_in_one_way() {
        for (fields, wanted) in [
            ("", Some(AnswerFraming::UntilClose)),
            ("Content-Length: 5\r\n", Some(AnswerFraming::Length(5))),
            ("Content-Length: 5\r\ncontent-length: 5\r\n", Some(AnswerFraming::Length(5))),
            ("Content-Length: 0\r\n", Some(AnswerFraming::Empty)),
            ("Transfer-Encoding: Chunked\r\n", Some(AnswerFraming::Chunked)),
            ("Transfer-Encoding: , chunked\r\n", Some(AnswerFraming::Chunked)),
            ("Transfer-Encoding: ,\r\n", None),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", None),
            ("Content-Length: 5, 5\r\n", None),
            ("Content-Length: +5\r\n", None),
            ("Content-Length: 0x5\r\n", None),
            ("Content-Length: 99999999999999999999\r\n", None),
            ("Content-Length:\r\n", None),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", None),
            ("Transfer-Encoding: gzip, chunked\r\n", None),
            ("Transfer-Encoding: chunked, gzip\r\n", None),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", None),
            ("Transfer-Encoding: gzip\r\n", None),
            ("Transfer-Encoding: \x0bchunked\r\n", None),
        ] {
            let found = parse(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), &Method::GET);
            assert_eq!(found.as_ref().ok().and_then(|h| Some(h.as_ref()?.framing)), wanted, "{fields}");
            let lengths = |head: AnswerHead| head.response.fields().get_all(CONTENT_LENGTH).count();
            assert!(found.is_ok_and(|head| head.is_none_or(|head| lengths(head) <= 1)) || wanted.is_none());
        }
        for (head, asked, wanted) in [
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", Method::GET, AnswerFraming::Nothing),
            ("HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", Method::GET, AnswerFraming::Nothing),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::HEAD, AnswerFraming::Nothing),
            ("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n", Method::GET, AnswerFraming::Nothing),
        ] {
            assert_eq!(parse(head.as_bytes(), &asked).unwrap().unwrap().framing, wanted, "{head}");
        }
        assert!(parse(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &Method::GET).is_err());
    }

    #[test]
    fn who_keeps_the_connection() {
        for (head, wanted) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive, Close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(parse(head.as_bytes(), &Method::GET).unwrap().unwrap().keep_alive, wanted, "{head}");
        }
    }

    #[test]
    fn odd_heads() {
        let head = parse(
            b"HTTP/1.1 299\r\nX-A : 1\r\nX-Fold: a\r\n  b\r\nX-L: \xe9\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nrest",
            &Method::GET,
        );
        let head = head.unwrap().unwrap().response;
        assert_eq!(head.status(), 299);
        let all: Vec<_> = head.fields().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(
            all,
            [
                ("x-a", b"1".as_slice()),
                ("x-fold", b"a    b"),
                ("x-l", b"\xe9"),
                ("set-cookie", b"a"),
                ("set-cookie", b"b")
            ]
        );
        assert!(parse(b"HTTP/1.1 200 OK\r\nX-A: 1", &Method::GET).unwrap().is_none());
        assert!(parse(b"HTTP/1.3 200 OK\r\n\r\n", &Method::GET).unwrap().is_some());
        for bad in [
            &b"HTTP/1.1 200 OK\r\nA B: 1\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 99 x\r\n\r\n",
        ] {
            assert!(parse(bad, &Method::GET).is_err(), "{}", bad.escape_ascii());
        }
        let mut long = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        long.resize(LARGEST + 1, b'a');
        assert!(matches!(parse(&long, &Method::GET), Err(Http1Error::HeadTooLarge)));
    }

    #[test]
    fn requests_are_written_with_one_framing() {
        let request = http::Request::post("/a?b=c").header("host", "h").header("content-length", "9");
        let head = request.header("transfer-encoding", "x").body(()).unwrap().into();
        let mut added = HeaderLines::default();
        added.push_text(&http::header::VIA, "1.1 x");
        for (ending, wanted) in [
            (BodyEnding::Length(3), "content-length: 3\r\n"),
            (BodyEnding::Chunked { trailers: true }, "transfer-encoding: chunked\r\n"),
            (BodyEnding::Empty, "content-length: 0\r\n"),
        ] {
            let mut out = Vec::new();
            write(&head, &added, ending, false, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, format!("POST /a?b=c HTTP/1.1\r\nhost: h\r\nvia: 1.1 x\r\n{wanted}\r\n"));
        }
        let head = http::Request::options("*").body(()).unwrap().into();
        let mut out = Vec::new();
        write(&head, &HeaderLines::default(), BodyEnding::Empty, false, &mut out);
        assert_eq!(out, b"OPTIONS * HTTP/1.1\r\n\r\n");
    }

    fn read_head(inbound: &mut BytesMut) -> Option<AnswerHead> {
        read(inbound, &Method::GET).ok().flatten()
    }

    #[test]
    fn a_control_character_costs_its_line_and_not_the_page() {
        let read = |lines: &str| {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\nX-B: b\r\n\r\nok");
            let mut inbound = BytesMut::from(text.as_bytes());
            let head = read_head(&mut inbound)?;
            let names: Vec<_> = head.response.fields().names().map(ToString::to_string).collect();
            Some((names.join(" "), head.dropped.join(" "), inbound))
        };
        for (lines, names, dropped) in [
            ("X-A: a\u{1}b\r\n", "content-length x-b", "x-a"),
            ("X-A: \u{7f}\r\nx-c: 1\r\nX-D:\u{1b}[0m\r\n", "x-c content-length x-b", "x-a x-d"),
            ("X-A: a\tb\r\n", "x-a content-length x-b", ""),
            ("X-Z: z\r\nX-A: \u{1}\r\n ; more\r\n", "x-z content-length x-b", "x-a"),
            ("X-A: a\r\n\u{20}\u{1}\r\n", "content-length x-b", "x-a"),
        ] {
            let wanted = (names.to_owned(), dropped.to_owned(), BytesMut::from(&b"ok"[..]));
            assert_eq!(read(lines), Some(wanted), "{lines:?}");
        }
        let bare = b"HTTP/1.1 200 OK\nX-A: \x01\nContent-Length: 3\n\na\n\x02\r\n\r\n";
        let mut inbound = BytesMut::from(&bare[..]);
        let head = read_head(&mut inbound).unwrap();
        assert_eq!((head.dropped, &inbound[..]), (vec!["x-a".to_owned()], &b"a\n\x02\r\n\r\n"[..]));
        for lines in [
            "X-A: a\0b\r\n",
            "X-A: a\rb\r\n",
            "X-A: \u{1}\r\nX-C: a\0\r\n",
            "Content-Length: 2\u{1}\r\n",
            "Transfer-Encoding: chunked\u{b}\r\n",
            "Content-Disposition: attachment; filename=\"a\u{1}.html\"\r\n",
            "Content-Security-Policy: default-src 'none'; report-uri /\u{1}\r\n",
            "Cache-Control: no-store, x=\u{1}\r\n",
            "X\u{1}: a\r\n",
        ] {
            assert_eq!(read(lines), None, "{lines:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            let _ = parse(&bytes, &Method::GET);
            let _ = parse(&[b"HTTP/1.1 200 OK\r\n", &bytes[..], b"\r\n\r\n"].concat(), &Method::GET);
        }
    }
}
