//! Cases of conformance: what is sent on a connection of HTTP/2, and what must come of it.

use std::time::Duration;

use super::http2::{
    DATA, GOAWAY, HEADERS, Http2, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get,
};
use super::{App, Cloakroom, Ending, Reply, Wire};
use Step::{Acknowledged, Answered, DataCame, Send};
use Want::{Answer, Connection, Data, End, GoesOn, Stream};

/// A kind of frame that clients never send.
pub(crate) const PUSH_PROMISE: u8 = 5;

/// Error codes (RFC 9113 section 7).
pub(crate) const PROTOCOL: u8 = 1;
pub(crate) const FLOW_CONTROL: u8 = 3;
pub(crate) const STREAM_CLOSED: u8 = 5;
pub(crate) const FRAME_SIZE: u8 = 6;
pub(crate) const REFUSED: u8 = 7;
pub(crate) const COMPRESSION: u8 = 9;

/// How soon an error is to be told.
const SOON: Duration = Duration::from_secs(2);

/// Flags.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITISED: u8 = 0x20;
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

/// What must come of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    /// The connection ends, with GOAWAY and one of these codes, or with the general one: h2 knows no other for frames
    /// that it cannot read.
    Connection(&'static [u8]),
    /// `RST_STREAM` with one of these codes, or the same for the whole connection.
    Stream(&'static [u8]),
    /// The connection ends, however.
    End,
    /// An answer's head, and the connection goes on.
    Answer,
    /// The connection goes on: a PING that follows is answered.
    GoesOn,
    /// A DATA frame of this length.
    Data(usize),
}

/// A case.
pub(crate) struct Case {
    section: &'static str,
    steps: Vec<Step>,
    want: Want,
}

/// Something that happens in it.
pub(crate) enum Step {
    Send(Vec<u8>),
    /// The stream's answer is over.
    Answered,
    /// SETTINGS were acknowledged.
    Acknowledged,
    /// A DATA frame came.
    DataCame,
}

/// Bytes, and what comes of them.
pub(crate) fn case(section: &'static str, want: Want, bytes: impl Into<Vec<u8>>) -> Case {
    Case { section, steps: vec![Send(bytes.into())], want }
}

/// The same with something to wait for between them.
pub(crate) fn steps(section: &'static str, want: Want, steps: Vec<Step>) -> Case {
    Case { section, steps, want }
}

/// SETTINGS with one value.
pub(crate) fn setting(id: u8, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, id], value.to_be_bytes().as_slice()].concat())
}

/// `WINDOW_UPDATE`.
pub(crate) fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// A GET.
pub(crate) fn ask(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &get("/", &[]))
}

/// A POST whose body is still to come.
pub(crate) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    frame(HEADERS, END_HEADERS, stream, &block(&[own.as_slice(), more].concat()))
}

/// `RST_STREAM` with CANCEL.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
}

/// A GET, and raw HPACK after its fields.
pub(crate) fn hpack(more: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[get("/", &[]).as_slice(), more].concat())
}

/// A request of these fields.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &block(fields))
}

/// One after the other.
pub(crate) fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// A connection on which both have said their settings.
fn shake(proxy: &Cloakroom) -> Wire {
    let mut wire = proxy.dial();
    wire.stream().set_tcp_nodelay(true).unwrap();
    wire.send([PREFACE, &setting(4, 65_535)].concat());
    let (kind, flags, ..) = wire.frame().unwrap_or_else(|| panic!("nothing came"));
    assert_eq!((kind, flags & ACK), (SETTINGS, 0), "SETTINGS come first (section 3.4)");
    acknowledged(&mut wire);
    wire.send(frame(SETTINGS, ACK, 0, b""));
    wire
}

fn acknowledged(wire: &mut Wire) {
    while let Some((flags, ..)) = wire.frame_of(SETTINGS) {
        if flags & ACK != 0 {
            return;
        }
    }
    panic!("SETTINGS were not acknowledged");
}

/// What came instead; nothing if it is as it must be.
fn differs(proxy: &Cloakroom, case: &Case) -> Option<String> {
    let mut wire = shake(proxy);
    for step in &case.steps {
        match step {
            Send(bytes) => wire.send_if_heard(bytes),
            Acknowledged => acknowledged(&mut wire),
            DataCame => drop(wire.frame_of(DATA)),
            Answered => loop {
                match wire.frame() {
                    Some((DATA | HEADERS, flags, ..)) if flags & END_STREAM != 0 => break,
                    Some(_) => {}
                    None => return Some("no answer".to_owned()),
                }
            },
        }
    }
    if matches!(case.want, GoesOn) {
        wire.send_if_heard(&frame(PING, 0, 0, b"are here"));
    }
    wire.stream().set_read_timeout(Some(SOON)).unwrap();
    let mut story = Vec::new();
    // Its last word was an error.
    let mut told = false;
    loop {
        let Some((kind, flags, _, payload)) = wire.frame() else {
            let over = wire.ending() == Ending::Over;
            story.push(if over { "the end" } else { "nothing more" }.to_owned());
            let fine = match case.want {
                End => over,
                Connection(_) | Stream(_) => over && told,
                _ => false,
            };
            return (!fine).then(|| story.join(", "));
        };
        let code = |at: usize| payload.get(at + 3).copied().unwrap_or_default();
        story.push(match kind {
            GOAWAY => format!("GOAWAY {}", code(4)),
            RST_STREAM => format!("RST_STREAM {}", code(0)),
            _ => format!("{kind} of {}", payload.len()),
        });
        told = kind == GOAWAY && code(4) == PROTOCOL;
        let good = match (case.want, kind) {
            (Connection(codes) | Stream(codes), GOAWAY) => !told && codes.contains(&code(4)),
            (Stream(codes), RST_STREAM) => codes.contains(&code(0)),
            (Answer, HEADERS) => true,
            (GoesOn, PING) => flags & ACK != 0 && payload == b"are here",
            (Data(length), DATA) if payload.len() == length => true,
            (Data(_), DATA) => return Some(story.join(", ")),
            _ => false,
        };
        if good {
            return None;
        }
    }
}

/// All of them, each on a connection of its own; and the proxy lives.
pub(crate) fn check(cases: &[Case]) {
    let app = App::start(|_| Reply::text("hello, hello"));
    let proxy = Cloakroom::before(app.address).listen("http2_prior_knowledge = true").start();
    let different: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            Some(format!("{} wants {:?}: {}", case.section, case.want, differs(&proxy, case)?))
        })
        .collect();
    assert!(different.is_empty(), "of {}:\n{}", cases.len(), different.join("\n"));
    assert_eq!(Http2::dial(proxy.address).get("http://a/").status, 200);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}
