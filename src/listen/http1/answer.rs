//! An answer's head, to bytes, and how its end is told (RFC 9112 sections 4 and 6). Pure.

use http::{
    StatusCode,
    header::{CONTENT_LENGTH, DATE},
};

use super::head::AnswerTerms;
use crate::{
    clock,
    message::{
        Fields, Response,
        framing::{content_length, ends_with_head},
        outbound::{BodyEnding, write_fields, write_length},
    },
};

/// How an answer ends, whose body is so long: with its head, or as `terms` allow (RFC 9112 section 6.3).
pub(super) fn ending(status: StatusCode, body: Option<u64>, terms: AnswerTerms) -> BodyEnding {
    match body {
        _ if ends_with_head(status, terms.head_only) => BodyEnding::Empty,
        Some(length) => BodyEnding::Length(length),
        None if terms.old => BodyEnding::Close,
        None => BodyEnding::Chunked { trailers: terms.trailers },
    }
}

/// Writes an answer's head; `body` is how long its body would be, where that is known. Date is added where it is
/// missing (RFC 9110 section 6.6.1), and so is what the visitor is to know of the connection.
pub(super) fn write<B>(
    response: &Response<B>,
    ending: BodyEnding,
    body: Option<u64>,
    terms: AnswerTerms,
    out: &mut Vec<u8>,
) {
    let (status, fields) = (response.status(), response.fields());
    write_status(if terms.old { b"HTTP/1.0 " } else { b"HTTP/1.1 " }, status, out);
    // Fields that frame the message are never among these (`rewrite_response` takes them out): the
    // ending below is the only word on its length.
    write_fields(fields, out);
    match ending {
        BodyEnding::Length(length) => write_length(length, out),
        BodyEnding::Chunked { .. } => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        BodyEnding::Close => {}
        BodyEnding::Empty => said_length(status, fields, body, terms, out),
    }
    // A pass over the few names costs less than to look one up.
    if !fields.names().any(|name| *name == DATE) {
        out.extend_from_slice(b"date: ");
        clock::with_http_date(|date| out.extend_from_slice(date.as_bytes()));
        out.extend_from_slice(b"\r\n");
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        match (terms.keep, terms.old) {
            (false, false) => out.extend_from_slice(b"connection: close\r\n"),
            (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, false) | (false, true) => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The length that a body would have, of an answer that ends with its head (RFC 9110 section 8.6).
fn said_length(
    status: StatusCode,
    fields: &Fields,
    body: Option<u64>,
    terms: AnswerTerms,
    out: &mut Vec<u8>,
) {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return;
    }
    let said = fields.get(CONTENT_LENGTH).and_then(|length| content_length(length.as_bytes()));
    if let Some(length) = said.or(body.filter(|length| terms.head_only && *length > 0)) {
        write_length(length, out);
    }
}

/// Writes an interim answer (RFC 9110 section 15.2).
pub(super) fn write_interim(status: StatusCode, fields: &Fields, out: &mut Vec<u8>) {
    write_status(b"HTTP/1.1 ", status, out);
    write_fields(fields, out);
    out.extend_from_slice(b"\r\n");
}

fn write_status(version: &[u8], status: StatusCode, out: &mut Vec<u8>) {
    out.extend_from_slice(version);
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_as_the_visitor_can_tell() {
        let terms = AnswerTerms { keep: true, ..AnswerTerms::of_refusal() };
        let old = AnswerTerms { old: true, ..terms };
        let head_only = AnswerTerms { head_only: true, ..terms };
        for (status, body, terms, wanted, line) in [
            (200, Some(3), terms, BodyEnding::Length(3), "content-length: 3\r\n"),
            (200, Some(0), terms, BodyEnding::Length(0), "content-length: 0\r\n"),
            (200, None, terms, BodyEnding::Chunked { trailers: false }, "transfer-encoding: chunked\r\n"),
            (200, None, AnswerTerms { keep: false, ..old }, BodyEnding::Close, "HTTP/1.0 200 OK\r\n"),
            (200, Some(3), old, BodyEnding::Length(3), "connection: keep-alive\r\n"),
            (204, Some(0), terms, BodyEnding::Empty, ""),
            (304, Some(0), terms, BodyEnding::Empty, "content-length: 9\r\n"),
            (200, Some(0), head_only, BodyEnding::Empty, "content-length: 9\r\n"),
            (
                200,
                Some(7),
                AnswerTerms { keep: false, ..terms },
                BodyEnding::Length(7),
                "connection: close\r\n",
            ),
        ] {
            let said = ending(StatusCode::from_u16(status).unwrap(), body, terms);
            let response = http::Response::builder().status(status).header("content-length", "9");
            let mut out = Vec::new();
            write(&response.body(()).unwrap().into(), said, body, terms, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(said, wanted, "{text}");
            assert!(text.contains(line) && text.contains("\r\ndate: "), "{text}");
            assert!(text.matches("-length").count() <= 1, "{text}");
            assert!(status != 204 || !text.contains("length"), "{text}");
        }
    }
}
