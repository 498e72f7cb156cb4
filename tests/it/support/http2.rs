//! HTTP/2 from both ends of politeness: a client that keeps the rules, and frames as bytes for all who do not.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Caller, PATIENCE, Wire};

/// A connection of a client that keeps the rules.
pub(crate) struct Http2 {
    runtime: Runtime,
    send: SendRequest<Bytes>,
}

/// As browsers have them: windows of some megabytes.
fn roomy() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(6 << 20).initial_connection_window_size(15 << 20);
    builder
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Whole {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http2 {
    /// By prior knowledge.
    pub(crate) fn dial(address: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let send = runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.unwrap();
            let (send, connection) = roomy().handshake(tcp).await.unwrap();
            tokio::spawn(connection);
            send
        });
        Self { runtime, send }
    }

    /// By TLS and ALPN.
    pub(crate) fn dial_tls(address: SocketAddr, caller: &Caller, host: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let config = Arc::new(caller.clone().offering(&["h2", "http/1.1"]).config());
        let send = runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from(host.to_owned()).unwrap();
            let tls = TlsConnector::from(config).connect(name, tcp).await.unwrap();
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
            let (send, connection) = roomy().handshake(tls).await.unwrap();
            tokio::spawn(connection);
            send
        });
        Self { runtime, send }
    }

    /// Runs something on this connection's loop, for no longer than anyone waits.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(PATIENCE, future).await.unwrap() })
    }

    /// Lets what was begun leave.
    pub(crate) fn flush(&self) {
        self.run(async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Begins a request; with `end` it has no body.
    pub(crate) fn begin(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let Self { runtime, send } = self;
        runtime.block_on(async {
            timeout(PATIENCE, async {
                let mut ready = send.clone().ready().await?;
                ready.send_request(request, end)
            })
            .await
            .unwrap()
        })
    }

    /// GET of `http://HOST/PATH`.
    pub(crate) fn get(&mut self, url: &str) -> Whole {
        self.ask(Request::get(url).body(()).unwrap(), None).unwrap()
    }

    /// A request and its answer, whole.
    pub(crate) fn ask(&mut self, request: Request<()>, body: Option<&[u8]>) -> Result<Whole, h2::Error> {
        let (answer, mut send) = self.begin(request, body.is_none())?;
        if let Some(body) = body {
            send.send_data(Bytes::copy_from_slice(body), true)?;
        }
        self.run(whole(answer))
    }
}

/// A tunnel in a stream (RFC 8441), read and written like a socket.
pub(crate) struct Inner {
    connection: Http2,
    send: SendStream<Bytes>,
    receive: RecvStream,
    left: Bytes,
}

impl Http2 {
    /// An extended CONNECT: its answer, and the tunnel if it was agreed to.
    pub(crate) fn connect(mut self, url: &str) -> (Response<()>, Inner) {
        self.flush();
        let request = Request::connect(url).extension(Protocol::from_static("websocket"));
        let request = request.header("sec-websocket-version", "13").body(()).unwrap();
        let (answer, send) = self.begin(request, false).unwrap();
        let (parts, receive) = self.run(answer).unwrap().into_parts();
        (Response::from_parts(parts, ()), Inner { connection: self, send, receive, left: Bytes::new() })
    }
}

impl Inner {
    /// Ends what is sent; what comes is still read.
    pub(crate) fn finish(&mut self) {
        self.send.send_data(Bytes::new(), true).unwrap();
    }
}

impl Read for Inner {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            let receive = &mut self.receive;
            let Some(piece) = self.connection.run(receive.data()) else { return Ok(0) };
            self.left = piece.map_err(io::Error::other)?;
            self.receive.flow_control().release_capacity(self.left.len()).map_err(io::Error::other)?;
        }
        let length = self.left.len().min(buf.len());
        buf.get_mut(..length).unwrap().copy_from_slice(&self.left.split_to(length));
        Ok(length)
    }
}

impl Write for Inner {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let send = &mut self.send;
        send.reserve_capacity(buf.len().min(16_384));
        let room = self.connection.run(std::future::poll_fn(|cx| send.poll_capacity(cx)));
        let room = room.ok_or(io::ErrorKind::BrokenPipe)?.map_err(io::Error::other)?;
        let piece = buf.get(..room.min(buf.len())).unwrap();
        self.send.send_data(Bytes::copy_from_slice(piece), false).map_err(io::Error::other)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush();
        Ok(())
    }
}

/// Waits for the whole answer.
pub(crate) async fn whole(answer: ResponseFuture) -> Result<Whole, h2::Error> {
    let (parts, mut stream) = Response::into_parts(answer.await?);
    let body = read(&mut stream).await?;
    let trailers = stream.trailers().await?;
    Ok(Whole { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

/// Reads a body to its end.
pub(crate) async fn read(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend(piece);
    }
    Ok(body)
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames (RFC 9113 section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length.get(1..).unwrap().to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block of fields, each a literal that is not indexed (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.bytes());
        }
    }
    bytes
}

/// The fields of a GET, and some more.
pub(crate) fn get(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)];
    block(&[own.as_slice(), more].concat())
}

/// `:status`, which comes first: from the static table, or as a literal under its name (RFC 7541, appendix A).
pub(crate) fn status_of(payload: &[u8]) -> String {
    match payload {
        [0x88, ..] => "200".to_owned(),
        [0x89, ..] => "204".to_owned(),
        [0x8c, ..] => "400".to_owned(),
        [0x8d, ..] => "404".to_owned(),
        // A literal of three digits, which Huffman makes two or three bytes of.
        [0x48, 0x03, a, b, c, ..] => String::from_utf8_lossy(&[*a, *b, *c]).into_owned(),
        [0x48, 0x82, a, b, ..] => digits(&[*a, *b]),
        [0x48, 0x83, a, b, c, ..] => digits(&[*a, *b, *c]),
        other => format!("{other:x?}"),
    }
}

/// Three digits in the code of RFC 7541, appendix B.
fn digits(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|b| format!("{b:08b}")).collect::<Vec<_>>().concat();
    let codes = [
        ("00000", '0'),
        ("00001", '1'),
        ("00010", '2'),
        ("011001", '3'),
        ("011010", '4'),
        ("011011", '5'),
        ("011100", '6'),
        ("011101", '7'),
        ("011110", '8'),
        ("011111", '9'),
    ];
    let (mut rest, mut text) = (bits.as_str(), String::new());
    while text.len() < 3 {
        let (code, digit) = codes.iter().find(|(code, _)| rest.starts_with(code)).unwrap();
        text.push(*digit);
        rest = rest.get(code.len()..).unwrap();
    }
    text
}

impl Wire {
    /// Begins HTTP/2 without TLS.
    pub(crate) fn preface(&mut self) {
        self.send([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
    }

    /// The next frame: kind, flags, stream, payload; nothing at the end of the connection.
    pub(crate) fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let head = self.exactly(9).ok()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
        let length = number(head.get(..3)?) as usize;
        let payload = self.exactly(length).ok()?;
        Some((*head.get(3)?, *head.get(4)?, number(head.get(5..)?) & 0x7fff_ffff, payload))
    }

    /// Frames up to the first of this kind, if there is one before the end.
    pub(crate) fn frame_of(&mut self, kind: u8) -> Option<(u8, u32, Vec<u8>)> {
        loop {
            let (found, flags, stream, payload) = self.frame()?;
            if found == kind {
                return Some((flags, stream, payload));
            }
        }
    }

    /// Writes until the other side has closed; how much it took, or nothing if it never did.
    pub(crate) fn flood(&mut self, mut next: impl FnMut(u32) -> Vec<u8>) -> Option<u64> {
        self.stream().set_write_timeout(Some(PATIENCE)).unwrap();
        let began = Instant::now();
        let mut sent = 0;
        for round in 0.. {
            let bytes = next(round);
            match self.stream().write_all(&bytes) {
                Ok(()) => {}
                // Who only stops reading has not closed.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    break;
                }
                Err(_) => return Some(sent),
            }
            sent += bytes.len() as u64;
            if began.elapsed() > PATIENCE || sent > 64 << 20 {
                break;
            }
        }
        None
    }
}
