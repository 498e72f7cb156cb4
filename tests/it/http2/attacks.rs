//! Attacks on HTTP/2: who floods is cut soon, memory stays where it was, and a visitor beside it sees no fault.

use std::io::Write;
use std::time::Duration;

use cloakroom::testing::clock;

use crate::support::http2::{
    CONTINUATION, DATA, GOAWAY, HEADERS, Http2, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, frame, get,
};
use crate::support::{App, Cloakroom, Ending, PATIENCE, Reply, eventually};

/// What an attack may cost in memory.
const MOST_MEMORY: u64 = 32 << 20;

/// Many of one frame in a piece.
fn many(frame: &[u8]) -> Vec<u8> {
    frame.repeat(16_384 / frame.len())
}

/// The fields of a POST.
fn posted() -> Vec<u8> {
    block(&[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/x")])
}

/// What an attack may cost in time, by the clock of the process: others use this machine as well.
const MOST_TIME: Duration = Duration::from_secs(1);

/// What is sent in each round.
type Next = Box<dyn FnMut(u32) -> Vec<u8>>;

/// A name, what is sent first, and what then.
type Attack = (&'static str, Vec<u8>, Next);

/// Frames without end.
fn floods() -> Vec<Attack> {
    let stream = |round: u32| 2 * round + 1;
    vec![
        (
            "rapid reset",
            Vec::new(),
            Box::new(move |round| {
                let id = stream(round);
                [frame(HEADERS, 5, id, &get("/x", &[])), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
            }),
        ),
        (
            "CONTINUATION without end",
            frame(HEADERS, 1, 1, &get("/x", &[])),
            Box::new(|_| many(&frame(CONTINUATION, 0, 1, &block(&[("x", "yyyyyyyyyyyyyyyyyyyy")])))),
        ),
        (
            "empty CONTINUATION",
            frame(HEADERS, 1, 1, &get("/x", &[])),
            Box::new(|_| many(&frame(CONTINUATION, 0, 1, b""))),
        ),
        ("empty DATA", frame(HEADERS, 4, 1, &posted()), Box::new(|_| many(&frame(DATA, 0, 1, b"")))),
        ("SETTINGS", Vec::new(), Box::new(|_| many(&frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])))),
        ("PING", Vec::new(), Box::new(|_| many(&frame(PING, 0, 0, b"12345678")))),
        ("PRIORITY", Vec::new(), Box::new(|_| many(&frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 9])))),
        ("unknown frames", Vec::new(), Box::new(|_| many(&frame(0x42, 0, 0, &[7; 64])))),
        ("WINDOW_UPDATE", Vec::new(), Box::new(|_| many(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])))),
        ("GOAWAY", Vec::new(), Box::new(|_| many(&frame(GOAWAY, 0, 0, &[0; 8])))),
        (
            "DATA of padding alone",
            frame(HEADERS, 4, 1, &posted()),
            Box::new(|_| many(&frame(DATA, 8, 1, &[&[200][..], &[0; 200]].concat()))),
        ),
        (
            "trailers without end",
            frame(HEADERS, 4, 1, &posted()),
            Box::new(|_| many(&frame(HEADERS, 4, 1, &block(&[("x", "y")])))),
        ),
        (
            "resets of what is over",
            frame(HEADERS, 5, 1, &get("/x", &[])),
            Box::new(|_| many(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]))),
        ),
    ]
}

/// Streams without end.
fn of_streams() -> Vec<Attack> {
    let stream = |round: u32| 2 * round + 1;
    vec![
        (
            // Published as MadeYouReset (CVE-2025-8671): it is the server that takes back.
            "streams that are made to be reset by a window of nothing",
            Vec::new(),
            Box::new(move |round| {
                let id = stream(round);
                [frame(HEADERS, 5, id, &get("/x", &[])), frame(WINDOW_UPDATE, 0, id, &[0; 4])].concat()
            }),
        ),
        (
            "and by one that is too large",
            Vec::new(),
            Box::new(move |round| {
                let id = stream(round);
                let most = frame(WINDOW_UPDATE, 0, id, &[0x7f, 0xff, 0xff, 0xff]);
                [frame(HEADERS, 5, id, &get("/x", &[])), most.clone(), most].concat()
            }),
        ),
        (
            "and by DATA of more than its length",
            Vec::new(),
            Box::new(move |round| {
                let id = stream(round);
                let own = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/x")];
                let head = block(&[own.as_slice(), &[("content-length", "1")]].concat());
                [frame(HEADERS, 4, id, &head), frame(DATA, 1, id, b"test")].concat()
            }),
        ),
        (
            "names of nothing",
            Vec::new(),
            Box::new(move |round| {
                let names = [get("/x", &[]), [0, 0, 0].repeat(4000)].concat();
                frame(HEADERS, 5, stream(round), &names)
            }),
        ),
        (
            "tables that are emptied and filled",
            Vec::new(),
            Box::new(move |round| {
                let fields =
                    [vec![0x20, 0x3f, 0xe1, 0x1f], get("/x", &[]), b"\x40\x01x\x01y".repeat(3000)].concat();
                frame(HEADERS, 5, stream(round), &fields)
            }),
        ),
        (
            "streams that are refused",
            Vec::new(),
            Box::new(move |round| frame(HEADERS, 5, stream(round), &get("/x", &[("connection", "close")]))),
        ),
    ]
}

#[test]
fn floods_are_cut_and_hurt_nobody_else() {
    let app = App::start(|request| Reply::text(request.path()));
    let proxy = Cloakroom::before(app.address)
        .listen("http2_prior_knowledge = true")
        .config("[process]\nworkers = 1")
        .start();
    let mut victim = Http2::dial(proxy.address);
    for _ in 0..50 {
        assert_eq!(victim.get("http://a/").status, 200);
    }
    for (what, begin, mut next) in floods().into_iter().chain(of_streams()) {
        let before = proxy.memory();
        let mut attacker = proxy.dial();
        attacker.preface();
        attacker.send(begin);
        let (worked, began) = (proxy.worked(), clock::instant());
        let sent = attacker.flood(&mut next);
        let took = proxy.worked().saturating_sub(worked);
        assert!(sent.is_some(), "{what}: it was not cut");
        assert!(took < MOST_TIME, "{what}: {took:?}");
        // Nor is it left waiting until some other limit.
        assert!(began.elapsed() < PATIENCE / 2, "{what}: {:?}", began.elapsed());
        let grown = proxy.memory().saturating_sub(before);
        assert!(grown < MOST_MEMORY, "{what}: {grown} bytes after {sent:?}");
        for _ in 0..20 {
            assert_eq!(victim.get("http://a/").status, 200, "{what}: the victim");
        }
    }
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

#[test]
fn rapid_resets_are_counted() {
    let door = crate::support::Gate::closed();
    let held = std::sync::Arc::clone(&door);
    let app = App::start(move |request| {
        if request.path() == "/x" {
            held.pass();
        }
        Reply::text("ok")
    });
    let proxy = Cloakroom::before(app.address)
        .listen("http2_prior_knowledge = true")
        .config("[limits]\nhttp2_resets_per_10s = 10\nfinish_after_abort = \"200ms\"")
        .start();
    let mut wire = proxy.dial();
    wire.preface();
    let mut streams = (0..).map(|n| 2 * n + 1);
    // Each is under way at the app before it is taken back, so that only we can count it.
    for (number, stream) in (1..=10).zip(streams.by_ref()) {
        wire.send(frame(HEADERS, 5, stream, &get("/x", &[])));
        door.reached(number);
        wire.send(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let next = streams.next().unwrap();
    wire.send(frame(HEADERS, 5, next, &get("/", &[])));
    assert!(wire.frame_of(HEADERS).is_some(), "as many as allowed");
    let last = streams.next().unwrap();
    wire.send(frame(HEADERS, 5, last, &get("/x", &[])));
    door.reached(11);
    wire.send(frame(RST_STREAM, 0, last, &[0, 0, 0, 8]));
    assert!(wire.frame_of(GOAWAY).is_some());
    while wire.frame().is_some() {}
    assert_eq!(wire.ending(), Ending::Over);
    door.open();
}

#[test]
fn a_header_bomb_is_refused() {
    let app = App::start(|_| Reply::text("ok"));
    let proxy = Cloakroom::before(app.address).listen("http2_prior_knowledge = true").start();
    let before = proxy.memory();
    let mut wire = proxy.dial();
    wire.preface();
    // One large field in the table, and then a byte for each time that it is to come again.
    let mut bomb = get("/", &[]);
    bomb.extend([0x40, 1, b'x', 127, 0xb1, 0x1e]);
    bomb.extend([b'v'; 4016]);
    bomb.extend([0xbe; 12_000]);
    for piece in 0..50_u32 {
        let stream = 2 * piece + 1;
        if wire.stream().write_all(&frame(HEADERS, 5, stream, &bomb)).is_err() {
            break;
        }
    }
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < MOST_MEMORY, "{grown}");
    assert_eq!(app.received().len(), 0);
    assert_eq!(Http2::dial(proxy.address).get("http://a/").status, 200);
}

#[test]
fn windows_that_stay_shut_hold_no_more_than_their_buffers() {
    let app = App::start(|_| Reply::text("x".repeat(4 << 20)));
    let proxy = Cloakroom::before(app.address)
        .listen("http2_prior_knowledge = true")
        .config("[limits]\nwrite_stall_timeout = \"1s\"")
        .start();
    let before = proxy.memory();
    let mut wire = proxy.dial();
    // No window at all (SETTINGS_INITIAL_WINDOW_SIZE of zero).
    wire.send([PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat());
    for stream in 0..100_u32 {
        wire.send(frame(HEADERS, 5, 2 * stream + 1, &get("/", &[])));
    }
    let mut heads = 0;
    while heads < 100 {
        match wire.frame() {
            Some((HEADERS, ..)) => heads += 1,
            Some(_) => {}
            None => break,
        }
    }
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < MOST_MEMORY, "{grown}");
    while wire.frame().is_some() {}
    assert_eq!(wire.ending(), Ending::Over, "write_stall_timeout");
}

#[test]
fn http2_reader_of_nothing_is_cut_at_little_cost() {
    let app = App::start(|request| Reply::text("x".repeat(if request.path() == "/" { 4 << 20 } else { 1 })));
    let proxy = Cloakroom::before(app.address)
        .listen("http2_prior_knowledge = true")
        .config("[limits]\nwrite_stall_timeout = \"1s\"")
        .start();
    let before = proxy.memory();
    // All that HTTP/2 would hold back is let through, and TCP holds it back (CVE-2019-9517).
    let mut wire = proxy.dial();
    let most = [0x7f, 0xff, 0, 0];
    let settings = frame(SETTINGS, 0, 0, &[&[0, 4], most.as_slice()].concat());
    wire.send([PREFACE, &settings, &frame(WINDOW_UPDATE, 0, 0, &most)].concat());
    for stream in 0..100_u32 {
        wire.send(frame(HEADERS, 5, 2 * stream + 1, &get("/", &[])));
    }
    let mut victim = Http2::dial(proxy.address);
    let mut most = 0;
    // It is alive for as long as it takes what is written to it.
    eventually("it is cut: write_stall_timeout", || {
        assert_eq!(victim.get("http://a/small").status, 200);
        most = most.max(proxy.memory().saturating_sub(before));
        let ping = wire.stream().write_all(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
        ping.is_err()
    });
    assert!(most < MOST_MEMORY, "{most}");
}

#[test]
fn windows_that_open_by_a_byte_hold_no_more_than_their_buffers() {
    let app = App::start(|request| Reply::text("x".repeat(if request.path() == "/" { 4 << 20 } else { 1 })));
    let proxy = Cloakroom::before(app.address).listen("http2_prior_knowledge = true").start();
    let before = proxy.memory();
    // A byte for each stream, again and again (CVE-2019-9511).
    let mut wire = proxy.dial();
    wire.send([PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])].concat());
    for stream in 0..100_u32 {
        wire.send(frame(HEADERS, 5, 2 * stream + 1, &get("/", &[])));
    }
    let mut victim = Http2::dial(proxy.address);
    let (mut came, mut most) = (0, 0);
    while came < 2_000 {
        let Some((kind, _, stream, payload)) = wire.frame() else { panic!("cut after {came} bytes") };
        if kind == DATA {
            came += payload.len();
            wire.send(frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]));
        }
        if came % 100 == 0 {
            most = most.max(proxy.memory().saturating_sub(before));
        }
    }
    assert!(most < MOST_MEMORY, "{most}");
    assert_eq!(victim.get("http://a/small").status, 200);
}
