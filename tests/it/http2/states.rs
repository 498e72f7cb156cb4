//! HTTP/2 as RFC 9113 sections 5 and 6.9 have it: the life of a stream, and its window.

use crate::support::conformance::{
    END_HEADERS, END_STREAM, FLOW_CONTROL, FRAME_SIZE, PRIORITISED, PROTOCOL, REFUSED, STREAM_CLOSED,
    Step::{Acknowledged, Answered, DataCame, Send},
    WHOLE,
    Want::{Connection, Data, End, GoesOn, Stream},
    ask, case, check, join, post, reset, setting, steps, window,
};
use crate::support::http2::{
    CONTINUATION, DATA, HEADERS, PING, PRIORITY, SETTINGS, WINDOW_UPDATE, block, frame, get,
};

#[test]
fn the_states_of_a_stream() {
    let dummy = || frame(CONTINUATION, END_HEADERS, 1, &block(&[("x-dummy", "1")]));
    let data = || frame(DATA, END_STREAM, 1, b"test");
    check(&[
        case("5.1 idle: DATA", Connection(&[PROTOCOL]), data()),
        case("5.1 idle: RST_STREAM", Connection(&[PROTOCOL]), reset(1)),
        case("5.1 idle: WINDOW_UPDATE", Connection(&[PROTOCOL]), window(1, 100)),
        case("5.1 idle: CONTINUATION", Connection(&[PROTOCOL]), dummy()),
        case("5.1 idle: PRIORITY", GoesOn, frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255])),
        case("5.1 half-closed: DATA", Stream(&[STREAM_CLOSED]), join(&[ask(1), data()])),
        case("5.1 half-closed: HEADERS", Stream(&[STREAM_CLOSED]), join(&[ask(1), ask(1)])),
        case("5.1 half-closed: CONTINUATION", Stream(&[STREAM_CLOSED, PROTOCOL]), join(&[ask(1), dummy()])),
        case("5.1 half-closed: WINDOW_UPDATE", Data(1), join(&[setting(4, 0), ask(1), window(1, 1)])),
        case(
            "5.1 half-closed: PRIORITY",
            Data(1),
            join(&[setting(4, 0), ask(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), window(1, 1)]),
        ),
        case("5.1 half-closed: RST_STREAM", GoesOn, join(&[ask(1), reset(1)])),
        case("5.1 after RST_STREAM: DATA", Stream(&[STREAM_CLOSED]), join(&[post(1, &[]), reset(1), data()])),
        case(
            "5.1 after RST_STREAM: HEADERS",
            Stream(&[STREAM_CLOSED]),
            join(&[post(1, &[]), reset(1), ask(1)]),
        ),
        case(
            "5.1 after RST_STREAM: CONTINUATION",
            Stream(&[STREAM_CLOSED, PROTOCOL]),
            join(&[post(1, &[]), reset(1), dummy()]),
        ),
        steps("5.1 closed: DATA", Stream(&[STREAM_CLOSED]), vec![Send(ask(1)), Answered, Send(data())]),
        steps(
            "5.1 closed: HEADERS",
            Connection(&[STREAM_CLOSED]),
            vec![Send(ask(1)), Answered, Send(ask(1))],
        ),
        steps(
            "5.1 closed: CONTINUATION",
            Connection(&[STREAM_CLOSED, PROTOCOL]),
            vec![Send(ask(1)), Answered, Send(dummy())],
        ),
        steps(
            "5.1 closed: PRIORITY",
            GoesOn,
            vec![Send(ask(1)), Answered, Send(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]))],
        ),
    ]);
}

#[test]
fn numbers_of_streams_and_windows() {
    let many = (0..=100).flat_map(|n| ask(2 * n + 1)).collect::<Vec<_>>();
    check(&[
        case("5.1.1 an even number", Connection(&[PROTOCOL]), ask(2)),
        case("5.1.1 a number from before", Connection(&[PROTOCOL]), join(&[ask(5), ask(3)])),
        case("5.1.1 the same again", Stream(&[STREAM_CLOSED]), join(&[ask(5), ask(5)])),
        case("5.1.2 more streams than allowed", Stream(&[PROTOCOL, REFUSED]), join(&[setting(4, 0), many])),
        case(
            "5.3.1 HEADERS that depend on themselves",
            Stream(&[PROTOCOL]),
            frame(HEADERS, WHOLE | PRIORITISED, 1, &[[0, 0, 0, 1, 255].as_slice(), &get("/", &[])].concat()),
        ),
        case(
            "5.3.1 PRIORITY that depends on itself",
            Stream(&[PROTOCOL]),
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 255]),
        ),
        case("5.4.1 after an error the connection is closed", End, frame(PING, 0, 0, b"12")),
        case("6.9 a window of nothing more", Connection(&[PROTOCOL]), window(0, 0)),
        case(
            "6.9 a window of nothing more, of a stream",
            Stream(&[PROTOCOL]),
            join(&[post(1, &[]), window(1, 0)]),
        ),
        case(
            "6.9 WINDOW_UPDATE of another length",
            Connection(&[FRAME_SIZE]),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
        ),
        case("6.9 more of a window", GoesOn, window(0, 1)),
        steps("6.9.1 a window of one byte", Data(1), vec![Send(setting(4, 1)), Acknowledged, Send(ask(1))]),
        case(
            "6.9.1 a window beyond all",
            Connection(&[FLOW_CONTROL]),
            join(&[window(0, (1 << 31) - 1), window(0, (1 << 31) - 1)]),
        ),
        case(
            "6.9.1 the same of a stream",
            Stream(&[FLOW_CONTROL]),
            join(&[setting(4, 0), post(1, &[]), window(1, (1 << 31) - 1), window(1, (1 << 31) - 1)]),
        ),
        steps(
            "6.9.2 a window that grows later",
            Data(1),
            vec![Send(setting(4, 0)), Acknowledged, Send(ask(1)), Send(setting(4, 1)), Acknowledged],
        ),
        steps(
            "6.9.2 a window below nothing",
            Data(1),
            vec![
                Send(setting(4, 3)),
                Acknowledged,
                Send(ask(1)),
                DataCame,
                Send(setting(4, 2)),
                Acknowledged,
                Send(window(1, 2)),
            ],
        ),
        steps(
            "6.5.3 settings count in their order",
            Data(1),
            vec![
                Send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 100, 0, 4, 0, 0, 0, 1])),
                Acknowledged,
                Send(ask(1)),
            ],
        ),
    ]);
}
