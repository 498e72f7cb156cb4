//! An app that speaks HTTP/2: one whose answers a test decides, and one that the test plays frame by frame.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use super::http2::{DATA, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, read};
use super::tls::Server;
use super::{Cloakroom, Wire};

/// A request as the app received it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Its head.
    pub(crate) head: Parts,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// Its trailers.
    pub(crate) trailers: Option<HeaderMap>,
    /// The connection that it came on, counted from 1.
    pub(crate) connection: usize,
}

impl Heard {
    /// Every value under a name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let values = self.head.headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }
}

/// What the app answers.
#[derive(Debug, Default)]
pub(crate) struct Said {
    head: Response<()>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Said {
    /// 200 with a text.
    pub(crate) fn text(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        *self.head.status_mut() = status.try_into().unwrap();
        self
    }

    /// One field more.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.head.headers_mut().append(HeaderName::from_static(name), value);
        self
    }

    /// One trailer more.
    pub(crate) fn ending(mut self, name: &'static str, value: &'static str) -> Self {
        let trailers = self.trailers.get_or_insert_default();
        trailers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }
}

type Handler = dyn Fn(&Heard) -> Said + Send + Sync;

/// A running app; it ends with the test binary.
pub(crate) struct Http2App {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Http2App {
    /// In clear text.
    pub(crate) fn start(answer: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Self {
        Self::taking(100, None, answer)
    }

    /// One that takes so many requests at a time on each connection, by TLS or in clear text.
    pub(crate) fn taking(
        streams: u32,
        tls: Option<Server>,
        answer: impl Fn(&Heard) -> Said + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (log, answer): (_, Arc<Handler>) = (Arc::clone(&heard), Arc::new(answer));
        let acceptor = tls.map(|Server(config)| TlsAcceptor::from(config));
        thread::spawn(move || {
            for (stream, number) in listener.incoming().flatten().zip(1..) {
                let (log, answer, acceptor) = (Arc::clone(&log), Arc::clone(&answer), acceptor.clone());
                let begin = move || begin(stream, acceptor, streams, (number, log, answer));
                thread::spawn(begin);
            }
        });
        Self { address, heard }
    }

    /// Every request so far, in the order in which they were whole.
    pub(crate) fn received(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The newest request.
    pub(crate) fn last(&self) -> Heard {
        self.received().pop().unwrap_or_else(|| panic!("the app was never asked"))
    }
}

type Context = (usize, Arc<Mutex<Vec<Heard>>>, Arc<Handler>);

fn begin(stream: TcpStream, acceptor: Option<TlsAcceptor>, streams: u32, context: Context) {
    stream.set_nonblocking(true).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(streams).initial_connection_window_size(8 << 20);
        match acceptor {
            None => serve(builder.handshake(stream).await, context).await,
            Some(acceptor) => {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                serve(builder.handshake(stream).await, context).await;
            }
        }
    });
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    begun: Result<Connection<S, Bytes>, h2::Error>,
    context: Context,
) {
    let Ok(mut connection) = begun else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let context = context.clone();
        tokio::spawn(async move { drop(converse(request, respond, context).await) });
    }
}

async fn converse(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    (connection, log, answer): Context,
) -> Result<(), h2::Error> {
    let (head, mut stream) = request.into_parts();
    let body = read(&mut stream).await?;
    let trailers = stream.trailers().await?;
    let heard = Heard { head, body, trailers, connection };
    log.lock().unwrap().push(heard.clone());
    // It may wait for a door.
    let said = tokio::task::spawn_blocking(move || answer(&heard)).await.unwrap();
    let mut send = respond.send_response(said.head, false)?;
    send.send_data(said.body.into(), said.trailers.is_none())?;
    said.trailers.map_or(Ok(()), |trailers| send.send_trailers(trailers))
}

impl Wire {
    /// The app's side of a connection, played frame by frame: greets, and hears the greeting.
    pub(crate) fn greeted(mut self) -> Self {
        assert_eq!(self.exactly(PREFACE.len()).unwrap(), PREFACE);
        self.send(frame(SETTINGS, 0, 0, b""));
        let (kind, flags, ..) = self.frame().unwrap();
        assert_eq!((kind, flags), (SETTINGS, 0));
        self.send(frame(SETTINGS, 1, 0, b""));
        self
    }
}

/// Before an app that speaks it, for visitors who speak either version.
pub(crate) fn before(app: SocketAddr, upstream: &str, more: &str) -> Cloakroom {
    Cloakroom::before(app)
        .listen("http2_prior_knowledge = true")
        .upstream(&format!("http2 = true\n{upstream}"))
        .config(&format!("[process]\nworkers = 1\n{more}"))
        .start()
}

/// A request.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
/// One with a body.
pub(crate) const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";

/// Who asks this.
pub(crate) fn visitor(proxy: &Cloakroom, request: &str) -> Wire {
    let mut visitor = proxy.dial();
    visitor.send(request);
    visitor
}

/// The stream of the next request, whose head is there.
pub(crate) fn asked(app: &mut Wire) -> u32 {
    app.frame_of(HEADERS).unwrap().1
}

/// The end of a stream, by this code.
pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// No request later than this one is answered.
pub(crate) fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// An answer.
pub(crate) fn ok(stream: u32) -> Vec<u8> {
    [frame(HEADERS, 4, stream, &[0x88]), frame(DATA, 1, stream, b"ok")].concat()
}
