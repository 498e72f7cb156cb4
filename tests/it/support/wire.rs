//! HTTP/1.1 as bytes: just enough to read heads and bodies without hiding anything from a test.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use socket2::Socket;

use super::PATIENCE;

/// Header lines in the order in which they came.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// How the end of a body is told.
#[derive(Clone, Copy)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(usize),
    /// Chunks, then trailers.
    Chunked,
    /// Until the connection is closed.
    Close,
}

/// What a connection has to say to one who expects nothing more of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was closed, in order or by a reset.
    Over,
    /// There are bytes, or it stayed open for as long as anyone waits.
    Not(String),
}

/// A connection, by TCP or a unix socket, and what was read from it too early.
pub(crate) struct Wire<S = Socket> {
    stream: S,
    buffer: Vec<u8>,
    /// The trailers of the last chunked body.
    pub(crate) trailers: Headers,
}

impl Wire {
    /// Takes over a stream; its timeouts are the caller's.
    pub(crate) fn new(stream: impl Into<Socket>) -> Self {
        Self { stream: stream.into(), buffer: Vec::new(), trailers: Vec::new() }
    }

    /// Takes over a stream on which nobody waits for ever.
    pub(crate) fn patient(stream: impl Into<Socket>) -> Self {
        let wire = Self::new(stream);
        wire.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        wire.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        wire
    }

    /// Ends what is sent; what comes is still read.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes by a reset.
    pub(crate) fn reset(self) {
        self.stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl<S: Read + Write> Wire<S> {
    /// Takes over what is no socket of its own, such as TLS.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), trailers: Vec::new() }
    }

    /// The stream, for whoever speaks something else on it.
    pub(crate) fn into_stream(self) -> S {
        assert!(self.buffer.is_empty(), "something was read too early");
        self.stream
    }

    /// The stream, to write to.
    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Writes all of it.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Waits for the end of the connection.
    pub(crate) fn ending(&mut self) -> Ending {
        match self.buffer.is_empty().then(|| self.fill()) {
            Some(Ok(false)) => Ending::Over,
            Some(Err(error)) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ending::Over
            }
            Some(Err(error)) => Ending::Not(error.to_string()),
            _ => Ending::Not(String::from_utf8_lossy(&self.buffer).into_owned()),
        }
    }

    /// The next head with its blank line; nothing if the peer closed before its first byte.
    pub(crate) fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                return Ok(Some(self.take(at + 4)));
            }
            if !self.fill()? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The whole body, chunks joined, trailers dropped.
    pub(crate) fn body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(length) => self.exactly(length),
            Framing::Chunked => self.chunks(),
            Framing::Close => {
                while self.fill()? {}
                Ok(std::mem::take(&mut self.buffer))
            }
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk()? {
            body.extend(chunk);
        }
        Ok(body)
    }

    /// The next chunk; after the last one nothing, and the trailers are known.
    pub(crate) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| io::Error::other("a bad chunk size"))?;
        if size > 0 {
            let chunk = self.exactly(size)?;
            self.line()?;
            return Ok(Some(chunk));
        }
        let mut lines = Vec::new();
        loop {
            match self.line()? {
                line if line.is_empty() => break,
                line => lines.extend([line.as_bytes(), b"\n"].concat()),
            }
        }
        (_, self.trailers) = parse(&[b"\n", lines.as_slice()].concat());
        Ok(None)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let mut line = self.take(at + 2);
                line.truncate(at);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if !self.fill()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// So many bytes.
    pub(crate) fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.fill()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.take(length))
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(length);
        std::mem::replace(&mut self.buffer, rest)
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0; 8192];
        let read = self.stream.read(&mut piece)?;
        self.buffer.extend(piece.iter().take(read));
        Ok(read > 0)
    }
}

/// The start line and the header lines of a head.
pub(crate) fn parse(head: &[u8]) -> (String, Headers) {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let start = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let headers = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            Some((String::from_utf8_lossy(name).into_owned(), value.get(1..)?.trim_ascii().to_vec()))
        })
        .collect();
    (start, headers)
}

/// The first value under a name, as text.
pub(crate) fn header(headers: &Headers, name: &str) -> Option<String> {
    let (_, value) = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// What the headers say about the body; `silent` if they say nothing.
pub(crate) fn framing(headers: &Headers, silent: Framing) -> Framing {
    let chunked = header(headers, "transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let length = header(headers, "content-length").and_then(|value| value.parse().ok());
    if chunked { Framing::Chunked } else { length.map_or(silent, Framing::Length) }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
