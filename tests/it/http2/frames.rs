//! HTTP/2 as RFC 9113 sections 3, 4 and 6 have it: frames, settings, header blocks.

use crate::support::conformance::{
    ACK, COMPRESSION, END_HEADERS, END_STREAM, FLOW_CONTROL, FRAME_SIZE, PADDED, PRIORITISED, PROTOCOL,
    PUSH_PROMISE, STREAM_CLOSED,
    Step::{Acknowledged, Send},
    WHOLE,
    Want::{Answer, Connection, End, GoesOn, Stream},
    ask, case, check, join, post, reset, setting, steps,
};
use crate::support::http2::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, block, frame, get,
};
use crate::support::{App, Cloakroom, Reply};

#[test]
fn frames_and_header_blocks() {
    let open = || frame(HEADERS, END_STREAM, 1, &get("/", &[]));
    check(&[
        case("4.1 an unknown kind of frame", GoesOn, frame(0xff, 0, 0, b"12345678")),
        case("4.1 flags without a meaning", GoesOn, frame(PING, 0xfe, 0, b"ignored!")),
        case("4.1 the reserved bit", GoesOn, frame(PING, 0, 1 << 31, b"ignored!")),
        case("4.2 a frame of 2^14", Answer, join(&[post(1, &[]), frame(DATA, END_STREAM, 1, &[7; 16_384])])),
        case(
            "4.2 one byte more of DATA",
            Stream(&[FRAME_SIZE]),
            join(&[post(1, &[]), frame(DATA, END_STREAM, 1, &vec![7; 16_385])]),
        ),
        case(
            "4.2 one byte more of HEADERS",
            Connection(&[FRAME_SIZE]),
            frame(HEADERS, WHOLE, 1, &vec![0; 16_385]),
        ),
        case("4.3 a block that is none", Connection(&[COMPRESSION]), frame(HEADERS, WHOLE, 1, &[0x40])),
        case(
            "4.3 PRIORITY within a block",
            Connection(&[PROTOCOL]),
            join(&[open(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15])]),
        ),
        case(
            "4.3 HEADERS of another stream within a block",
            Connection(&[PROTOCOL]),
            join(&[open(), ask(3)]),
        ),
        case(
            "5.5 an unknown frame within a block",
            Connection(&[PROTOCOL]),
            join(&[open(), frame(0xff, 0, 1, b"12345678")]),
        ),
        case("6.1 DATA of stream 0", Connection(&[PROTOCOL]), frame(DATA, END_STREAM, 0, b"test")),
        case(
            "6.1 more padding than DATA",
            Connection(&[PROTOCOL]),
            join(&[post(1, &[]), frame(DATA, END_STREAM | PADDED, 1, b"\x58test")]),
        ),
        case(
            "6.1 padding",
            Answer,
            join(&[post(1, &[]), frame(DATA, END_STREAM | PADDED, 1, b"\x02test\0\0")]),
        ),
        case("6.2 HEADERS of stream 0", Connection(&[PROTOCOL]), frame(HEADERS, WHOLE, 0, &get("/", &[]))),
        case(
            "6.2 more padding than HEADERS",
            Connection(&[PROTOCOL]),
            frame(HEADERS, WHOLE | PADDED, 1, &[b"\xff".as_slice(), &get("/", &[])].concat()),
        ),
        case(
            "6.2 padding",
            Answer,
            frame(HEADERS, WHOLE | PADDED, 1, &[b"\x01".as_slice(), &get("/", &[]), b"\0"].concat()),
        ),
        case(
            "6.2 priority",
            Answer,
            frame(HEADERS, WHOLE | PRIORITISED, 1, &[[0, 0, 0, 0, 9].as_slice(), &get("/", &[])].concat()),
        ),
    ]);
}

#[test]
fn priorities_and_resets() {
    check(&[
        case("6.3 PRIORITY of stream 0", Connection(&[PROTOCOL]), frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 9])),
        case(
            "6.3 PRIORITY of another length",
            Stream(&[FRAME_SIZE]),
            join(&[post(1, &[]), frame(PRIORITY, 0, 1, &[0, 0, 0, 9])]),
        ),
        case(
            "6.3 every weight",
            Answer,
            join(&[
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 0]),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]),
                frame(PRIORITY, 0, 3, &[0x80, 0, 0, 1, 9]),
                ask(1),
            ]),
        ),
        case(
            "6.3 of an idle stream, and then an older one",
            Answer,
            join(&[frame(PRIORITY, 0, 5, &[0, 0, 0, 0, 9]), ask(3)]),
        ),
        case("6.4 RST_STREAM of stream 0", Connection(&[PROTOCOL]), reset(0)),
        case("6.4 RST_STREAM of an idle stream", Connection(&[PROTOCOL]), reset(1)),
        case(
            "6.4 RST_STREAM of another length",
            Connection(&[FRAME_SIZE]),
            join(&[post(1, &[]), frame(RST_STREAM, 0, 1, &[0, 0, 8])]),
        ),
    ]);
}

#[test]
fn settings_pings_and_farewells() {
    check(&[
        case(
            "6.5 an acknowledgement with a payload",
            Connection(&[FRAME_SIZE]),
            frame(SETTINGS, ACK, 0, &[0]),
        ),
        case("6.5 SETTINGS of a stream", Connection(&[PROTOCOL]), frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 1])),
        case("6.5 half a setting", Connection(&[FRAME_SIZE]), frame(SETTINGS, 0, 0, &[0, 3, 0])),
        case("6.5.2 ENABLE_PUSH of 2", Connection(&[PROTOCOL]), setting(2, 2)),
        case("6.5.2 a window that is too large", Connection(&[FLOW_CONTROL]), setting(4, 1 << 31)),
        case("6.5.2 frames that are too small", Connection(&[PROTOCOL]), setting(5, 16_383)),
        case("6.5.2 frames that are too large", Connection(&[PROTOCOL]), setting(5, 1 << 24)),
        case("6.5.2 a setting that nobody knows", GoesOn, setting(0xff, 1)),
        steps("6.5.3 SETTINGS are acknowledged", GoesOn, vec![Send(setting(2, 0)), Acknowledged]),
        case(
            "6.6 PUSH_PROMISE",
            Connection(&[PROTOCOL]),
            frame(PUSH_PROMISE, END_HEADERS, 1, &[[0, 0, 0, 3].as_slice(), &get("/", &[])].concat()),
        ),
        case("6.7 PING", GoesOn, Vec::new()),
        case("6.7 an acknowledgement nobody asked for", GoesOn, frame(PING, ACK, 0, b"invalid!")),
        case("6.7 PING of a stream", Connection(&[PROTOCOL]), frame(PING, 0, 1, b"12345678")),
        case("6.7 PING of another length", Connection(&[FRAME_SIZE]), frame(PING, 0, 0, b"123456")),
        case("6.8 GOAWAY of a stream", Connection(&[PROTOCOL]), frame(GOAWAY, 0, 1, &[0; 8])),
        case("6.8 GOAWAY", End, frame(GOAWAY, 0, 0, &[0; 8])),
        case("7 a code of GOAWAY that nobody knows", End, frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])),
        case(
            "7 a code of RST_STREAM that nobody knows",
            GoesOn,
            join(&[post(1, &[]), frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])]),
        ),
    ]);
}

#[test]
fn header_blocks_in_pieces() {
    let open = || frame(HEADERS, END_STREAM, 1, &get("/", &[]));
    let more = block(&[("x-more", "1")]);
    check(&[
        case("6.10 CONTINUATION", Answer, join(&[open(), frame(CONTINUATION, END_HEADERS, 1, &more)])),
        case(
            "6.10 more of it",
            Answer,
            join(&[open(), frame(CONTINUATION, 0, 1, &more), frame(CONTINUATION, END_HEADERS, 1, &more)]),
        ),
        case(
            "6.10 CONTINUATION and then another kind",
            Connection(&[PROTOCOL]),
            join(&[open(), frame(CONTINUATION, 0, 1, &more), frame(DATA, END_STREAM, 1, b"test")]),
        ),
        case(
            "6.10 CONTINUATION of stream 0",
            Connection(&[PROTOCOL]),
            join(&[open(), frame(CONTINUATION, END_HEADERS, 0, &more)]),
        ),
        case(
            "6.10 CONTINUATION after the end",
            Connection(&[PROTOCOL, STREAM_CLOSED]),
            join(&[post(1, &[]), frame(CONTINUATION, END_HEADERS, 1, &more)]),
        ),
        case(
            "6.10 CONTINUATION after its end",
            Connection(&[PROTOCOL, STREAM_CLOSED]),
            join(&[
                open(),
                frame(CONTINUATION, END_HEADERS, 1, &more),
                frame(CONTINUATION, END_HEADERS, 1, &more),
            ]),
        ),
        case(
            "6.10 CONTINUATION after DATA",
            Connection(&[PROTOCOL]),
            join(&[post(1, &[]), frame(DATA, 0, 1, b"test"), frame(CONTINUATION, END_HEADERS, 1, &more)]),
        ),
    ]);
}

#[test]
fn what_begins_in_another_way_is_no_http2() {
    let app = App::start(|_| Reply::text("ok"));
    let proxy = Cloakroom::before(app.address).listen("http2_prior_knowledge = true").start();
    for begin in ["INVALID CONNECTION PREFACE\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n"] {
        let mut wire = proxy.dial();
        wire.send(begin);
        // A word of HTTP/1 may come first.
        while let Ok(Some(_)) = wire.head() {}
        assert_eq!(wire.ending(), crate::support::Ending::Over, "{begin}");
    }
    assert_eq!(app.received().len(), 0);
}
