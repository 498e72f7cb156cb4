//! Tunnels from end to end: an app and a visitor that agree to another protocol, and websockets that send back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::{Cloakroom, Ending, RawUpstream, Request, Response, Wire};

/// What asks for a websocket.
pub(crate) const ASKS: &str = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n";
/// What agrees to it, without its end.
pub(crate) const AGREES: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n";

/// Asks for a tunnel; the app's side of it, and what it was sent.
pub(crate) fn ask(wire: &mut Wire, stage: &RawUpstream, lines: &str) -> (Wire, Request) {
    wire.send(format!("GET /ws HTTP/1.1\r\nhost: a\r\n{ASKS}{lines}\r\n"));
    let mut app = stage.accept();
    let asked = Request::from(&mut app);
    (app, asked)
}

/// A tunnel from end to end.
pub(crate) fn open(proxy: &Cloakroom, stage: &RawUpstream, cookie: &str) -> (Wire, Wire, Response) {
    let mut visitor = proxy.dial();
    let (mut app, _) = ask(&mut visitor, stage, cookie);
    app.send(format!("{AGREES}\r\n"));
    let answer = visitor.answer(false);
    assert_eq!(answer.status, 101);
    (visitor, app, answer)
}

/// Both ends hear each other.
pub(crate) fn talk(visitor: &mut Wire, app: &mut Wire) {
    visitor.send("ping");
    assert_eq!(app.exactly(4).unwrap(), b"ping");
    app.send("pong!");
    assert_eq!(visitor.exactly(5).unwrap(), b"pong!");
}

/// Both ends of a websocket are told that it ends, each in its way.
pub(crate) fn end_with<S: Read + Write>(visitor: &mut Wire<S>, app: &mut Wire, code: u16) {
    visitor_is_told(visitor, code);
    app_is_told(app, code);
}

/// A close frame with this code (RFC 6455 section 5.5.1), and nothing more.
fn visitor_is_told<S: Read + Write>(visitor: &mut Wire<S>, code: u16) {
    let [_, payload] = close_frame(visitor, 0);
    assert!(payload.starts_with(&code.to_be_bytes()), "{code}: {payload:?}");
}

/// The same, masked as what comes of a visitor.
pub(crate) fn app_is_told(app: &mut Wire, code: u16) {
    let [mask, payload] = close_frame(app, 4);
    let payload: Vec<_> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    assert!(payload.starts_with(&code.to_be_bytes()), "{code}: {payload:?}");
}

/// The mask and the payload of the last frame.
fn close_frame<S: Read + Write>(wire: &mut Wire<S>, mask: usize) -> [Vec<u8>; 2] {
    assert_eq!(wire.exactly(1).unwrap(), [0x88]);
    let length = wire.exactly(1).unwrap().first().map_or(0, |length| length & 0x7f);
    let frame = [wire.exactly(mask).unwrap(), wire.exactly(usize::from(length)).unwrap()];
    assert_eq!(wire.ending(), Ending::Over);
    frame
}

/// The cookie line of a visitor who asks for a page first.
pub(crate) fn cookie(proxy: &Cloakroom, stage: &RawUpstream, lines: &str) -> String {
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n{lines}\r\n"));
    let ticket = visitor.answer(false).set_cookies().swap_remove(0);
    format!("cookie: {}\r\n", ticket.split_once(';').unwrap().0)
}

/// A request under this cookie, whose answer says these lines.
pub(crate) fn order(proxy: &Cloakroom, stage: &RawUpstream, cookie: &str, lines: &str) {
    let mut visitor = proxy.dial();
    visitor.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{cookie}\r\n"));
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n{lines}\r\n"));
    assert_eq!(visitor.answer(false).status, 200);
}

/// A websocket app that sends back what it is sent.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut socket = tungstenite::accept_with_config(stream, Some(roomy())).unwrap();
                while let Ok(message) = socket.read() {
                    if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Messages of any size.
pub(crate) fn roomy() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(None).max_frame_size(None)
}

/// Text, binary, fragments, pings, sizes around each boundary of the framing, close codes.
pub(crate) fn converse<S: Read + Write>(mut socket: WebSocket<S>) {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 16 << 20] {
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        socket.send(Message::binary(bytes.clone())).unwrap();
        assert!(socket.read().unwrap().into_data() == bytes, "binary of {length}");
    }
    for text in ["", "hello", "zoë ☃ 𝄞"] {
        socket.send(Message::text(text)).unwrap();
        assert_eq!(socket.read().unwrap().into_text().unwrap(), text);
    }
    // In fragments, with a ping between them (RFC 6455 section 5.4).
    for (piece, kind, last) in
        [("one ", Data::Text, false), ("two ", Data::Continue, false), ("three", Data::Continue, true)]
    {
        socket.send(Message::Frame(Frame::message(piece, OpCode::Data(kind), last))).unwrap();
        if !last {
            socket.send(Message::Ping(piece.into())).unwrap();
            assert_eq!(socket.read().unwrap(), Message::Pong(piece.into()));
        }
    }
    assert_eq!(socket.read().unwrap().into_text().unwrap(), "one two three");
    socket.send(Message::Ping(b"are you there".to_vec().into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"are you there".to_vec().into()));
    let bye = CloseFrame { code: CloseCode::Library(4321), reason: "bye".into() };
    socket.close(Some(bye.clone())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(Some(bye)));
    assert!(socket.read().is_err());
}
