//! HTTP/2 as RFC 9113 section 8 and RFC 7541 have it: requests in streams, and how their fields are written.

use crate::support::conformance::{
    COMPRESSION, END_HEADERS, END_STREAM, PROTOCOL, WHOLE,
    Want::{Answer, Connection, Stream},
    ask, case, check, fields, hpack, join, post,
};
use crate::support::http2::{DATA, HEADERS, block, frame, get};

#[test]
fn requests_in_streams() {
    let own = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let with = |more: &[(&str, &str)]| fields(&[own.as_slice(), more].concat());
    let without = |gone: usize| {
        let left: Vec<_> =
            own.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, field)| *field).collect();
        fields(&left)
    };
    let trailers = |more: &[(&str, &str)], flags| {
        join(&[
            post(1, &[("trailer", "x-test")]),
            frame(DATA, 0, 1, b"test"),
            frame(HEADERS, flags, 1, &block(more)),
        ])
    };
    check(&[
        case("8.1 GET", Answer, ask(1)),
        case("8.1 HEAD", Answer, fields(&[(":method", "HEAD"), own[1], own[2], own[3]])),
        case("8.1 POST", Answer, join(&[post(1, &[]), frame(DATA, END_STREAM, 1, b"test")])),
        case(
            "8.1 POST in pieces",
            Answer,
            join(&[post(1, &[]), frame(DATA, 0, 1, b"te"), frame(DATA, END_STREAM, 1, b"st")]),
        ),
        case("8.1 POST with trailers", Answer, trailers(&[("x-test", "ok")], WHOLE)),
        case(
            "8.1 trailers that do not end it",
            Stream(&[PROTOCOL]),
            trailers(&[("x-test", "ok")], END_HEADERS),
        ),
        case("8.2.1 an upper-case name", Stream(&[PROTOCOL]), with(&[("X-TEST", "ok")])),
        case("8.2.1 a blank before a value", Stream(&[PROTOCOL]), with(&[("x-test", " ok")])),
        case("8.2.1 a tab after a value", Stream(&[PROTOCOL]), with(&[("x-test", "ok\t")])),
        case("8.2.2 Connection", Stream(&[PROTOCOL]), with(&[("connection", "keep-alive")])),
        case("8.2.2 TE other than trailers", Stream(&[PROTOCOL]), with(&[("te", "trailers, deflate")])),
        case("8.3 an unknown pseudo field", Stream(&[PROTOCOL]), with(&[(":test", "ok")])),
        case("8.3 one of answers", Stream(&[PROTOCOL]), with(&[(":status", "200")])),
        case("8.3 one in trailers", Stream(&[PROTOCOL]), trailers(&[(":method", "200")], END_HEADERS)),
        case(
            "8.3 one after others",
            Stream(&[PROTOCOL]),
            fields(&[own[0], own[1], ("x-test", "ok"), own[2], own[3]]),
        ),
        case("8.3.1 an empty :path", Stream(&[PROTOCOL]), fields(&[own[0], own[1], own[2], (":path", "")])),
        case("8.3.1 no :method", Stream(&[PROTOCOL]), without(0)),
        case("8.3.1 no :scheme", Stream(&[PROTOCOL]), without(1)),
        case("8.3.1 no :path", Stream(&[PROTOCOL]), without(3)),
        case("8.3.1 :method twice", Stream(&[PROTOCOL]), fields(&[own[0], own[0], own[1], own[2], own[3]])),
        case("8.3.1 :scheme twice", Stream(&[PROTOCOL]), fields(&[own[0], own[1], own[1], own[2], own[3]])),
        case("8.3.1 :path twice", Stream(&[PROTOCOL]), fields(&[own[0], own[1], own[2], own[3], own[3]])),
        case(
            "8.1.1 a length that is not that of DATA",
            Stream(&[PROTOCOL]),
            join(&[post(1, &[("content-length", "1")]), frame(DATA, END_STREAM, 1, b"test")]),
        ),
        case(
            "8.1.1 nor that of all DATA",
            Stream(&[PROTOCOL]),
            join(&[
                post(1, &[("content-length", "1")]),
                frame(DATA, 0, 1, b"test"),
                frame(DATA, END_STREAM, 1, b"test"),
            ]),
        ),
        case(
            "8.1.1 a length without DATA",
            Stream(&[PROTOCOL]),
            join(&[post(1, &[("content-length", "4")]), frame(DATA, END_STREAM, 1, b"")]),
        ),
    ]);
}

#[test]
fn how_fields_are_written() {
    check(&[
        case("HPACK 6.1 indexed", Answer, hpack(&[0xba])),
        case("HPACK 6.2.1 literal, indexed, under a known name", Answer, hpack(&[0x7a, 2, b'm', b'e'])),
        case(
            "HPACK 6.2.1 literal, indexed, under a new name",
            Answer,
            hpack(b"\x40\x0acustom-key\x0dcustom-header"),
        ),
        case(
            "HPACK 6.2.1 the same by Huffman",
            Answer,
            hpack(b"\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"),
        ),
        case("HPACK 6.2.2 literal, not indexed", Answer, hpack(b"\x00\x0acustom-key\x0dcustom-header")),
        case(
            "HPACK 6.2.2 the same by Huffman",
            Answer,
            hpack(b"\x00\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"),
        ),
        case("HPACK 6.2.3 literal, never indexed", Answer, hpack(b"\x10\x0acustom-key\x0dcustom-header")),
        case(
            "HPACK 6.2.3 the same by Huffman",
            Answer,
            hpack(b"\x10\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"),
        ),
        case(
            "HPACK 6.3 a table of nothing",
            Answer,
            frame(HEADERS, WHOLE, 1, &[b"\x20".as_slice(), &get("/", &[])].concat()),
        ),
        case(
            "HPACK 4.2 its size told twice",
            Answer,
            frame(HEADERS, WHOLE, 1, &[b"\x20\x3f\xe1\x1f".as_slice(), &get("/", &[])].concat()),
        ),
        case("HPACK 2.3.3 an index beyond the tables", Connection(&[COMPRESSION]), hpack(&[0xc6])),
        case("HPACK 2.3.3 a name beyond the tables", Connection(&[COMPRESSION]), hpack(b"\x7f\x09\x01x")),
        case("HPACK 4.2 a size at the end", Connection(&[COMPRESSION]), hpack(&[0x21])),
        case(
            "HPACK 5.2 padding of a byte",
            Connection(&[COMPRESSION]),
            hpack(b"\x00\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x8a\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf\xff"),
        ),
        case(
            "HPACK 5.2 padding with zeros",
            Connection(&[COMPRESSION]),
            hpack(b"\x00\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x00"),
        ),
        case(
            "HPACK 5.2 the end of strings",
            Connection(&[COMPRESSION]),
            hpack(b"\x00\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x84\xff\xff\xff\xff"),
        ),
        case("HPACK 6.1 index 0", Connection(&[COMPRESSION]), hpack(&[0x80])),
        case(
            "HPACK 6.3 a table larger than allowed",
            Connection(&[COMPRESSION]),
            frame(HEADERS, WHOLE, 1, &[b"\x3f\xe1\xff\x03".as_slice(), &get("/", &[])].concat()),
        ),
    ]);
}
