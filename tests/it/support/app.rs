//! An upstream app whose answers a test decides, and which remembers every byte it was sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::wire::{Framing, Headers, Wire, framing, header, parse};

/// One request as the app received it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The raw head with its blank line.
    pub(crate) head: Vec<u8>,
    /// The body, chunks joined.
    pub(crate) body: Vec<u8>,
    /// The request line.
    pub(crate) start: String,
    headers: Headers,
}

impl Request {
    /// Reads the next request's head.
    pub(crate) fn head_from(wire: &mut Wire) -> Self {
        Self::next_head(wire).unwrap_or_else(|| panic!("closed without a request"))
    }

    /// The same; nothing at the end of the connection.
    pub(crate) fn next_head(wire: &mut Wire) -> Option<Self> {
        let head = wire.head().ok().flatten()?;
        let (start, headers) = parse(&head);
        Some(Self { head, body: Vec::new(), start, headers })
    }

    /// Reads the next request whole.
    pub(crate) fn from(wire: &mut Wire) -> Self {
        let mut request = Self::head_from(wire);
        request.read_body(wire);
        request
    }

    /// Reads the rest of it.
    pub(crate) fn read_body(&mut self, wire: &mut Wire) {
        self.body = wire.body(framing(&self.headers, Framing::Length(0))).unwrap();
    }

    /// Every value under a name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let lines = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The request's target, as it stood in the request line.
    pub(crate) fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The first value under a name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name)
    }
}

/// What the app answers.
pub(crate) struct Reply {
    status: u16,
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Reply {
    /// 200 with a text.
    pub(crate) fn text(body: impl Into<String>) -> Self {
        Self { status: 200, lines: Vec::new(), body: body.into().into_bytes() }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a raw header line, sent as it is.
    pub(crate) fn with(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Reply\r\ncontent-length: {}\r\n", self.status, self.body.len());
        for line in &self.lines {
            head += line;
            head += "\r\n";
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A running app; it ends with the test binary.
pub(crate) struct App {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Request>>>,
}

impl App {
    /// Starts an app on a free port.
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_by(|stream| Some(Wire::new(stream)), handler)
    }

    /// The same, by what is made of each connection, such as TLS; it may come to nothing.
    pub(crate) fn start_by<S: Read + Write>(
        begin: impl Fn(TcpStream) -> Option<Wire<S>> + Send + Sync + 'static,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let begin = Arc::new(begin);
        let log = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, handler, begin) = (Arc::clone(&log), Arc::clone(&handler), Arc::clone(&begin));
                thread::spawn(move || begin(stream).map(|wire| converse(wire, &log, &*handler)));
            }
        });
        Self { address, received }
    }

    /// Every request so far, oldest first.
    pub(crate) fn received(&self) -> Vec<Request> {
        self.received.lock().unwrap().clone()
    }

    /// The newest request.
    pub(crate) fn last(&self) -> Request {
        self.received().pop().unwrap_or_else(|| panic!("the app was never asked"))
    }
}

/// Answers the requests of one connection until the peer is done with it.
fn converse<S: Read + Write>(mut wire: Wire<S>, log: &Mutex<Vec<Request>>, handler: &Handler) {
    while let Ok(Some(head)) = wire.head() {
        let (start, headers) = parse(&head);
        let Ok(body) = wire.body(framing(&headers, Framing::Length(0))) else { return };
        let request = Request { head, body, start, headers };
        log.lock().unwrap().push(request.clone());
        if wire.stream().write_all(&handler(&request).bytes()).is_err() {
            return;
        }
    }
}
