//! A visitor: raw bytes out, raw bytes in, and a cookie jar of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;
use super::wire::{Framing, Headers, Wire, framing, header, parse};

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The header lines in their order.
    pub(crate) headers: Headers,
    /// The body, chunks joined.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The values of every Set-Cookie line.
    pub(crate) fn set_cookies(&self) -> Vec<String> {
        let lines = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

/// A browser with one window and one host in its jar.
#[derive(Clone)]
pub(crate) struct Browser {
    address: SocketAddr,
    /// Cookies by name.
    pub(crate) jar: BTreeMap<String, String>,
}

impl Browser {
    /// A fresh browser that will talk to this address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, jar: BTreeMap::new() }
    }

    /// The cookie that holds the session.
    pub(crate) fn ticket(&self) -> Option<String> {
        self.jar.get("cloakroom").cloned()
    }

    /// GET, with the jar's cookies; the answer's cookies go into the jar.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.get_with(path, "")
    }

    /// GET with raw header lines more, each ended by CR LF.
    pub(crate) fn get_with(&mut self, path: &str, lines: &str) -> Response {
        let head = format!("GET {path} HTTP/1.1\r\n{}{lines}\r\n", self.lines());
        self.send_raw(head.as_bytes())
    }

    /// POST of a form.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Response {
        let form = "content-type: application/x-www-form-urlencoded\r\n";
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\n{}{form}content-length: {length}\r\n\r\n{body}", self.lines());
        self.send_raw(head.as_bytes())
    }

    /// Sends bytes on a new connection and reads one final answer.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> Response {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut wire = Wire::new(stream);
        let head_only = bytes.starts_with(b"HEAD ");
        loop {
            let head = wire.head().unwrap().unwrap_or_else(|| panic!("closed without an answer"));
            let (start, headers) = parse(&head);
            let status: u16 = start.split(' ').nth(1).unwrap_or_default().parse().unwrap();
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let bodiless = head_only || matches!(status, 101 | 204 | 304);
            let told = if bodiless { Framing::Length(0) } else { framing(&headers, Framing::Close) };
            let response = Response { status, headers, body: wire.body(told).unwrap() };
            self.remember(&response);
            return response;
        }
    }

    fn lines(&self) -> String {
        let pairs: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie =
            if pairs.is_empty() { String::new() } else { format!("cookie: {}\r\n", pairs.join("; ")) };
        format!("host: {}\r\n{cookie}", self.address)
    }

    fn remember(&mut self, response: &Response) {
        for line in response.set_cookies() {
            let (pair, attributes) = line.split_once(';').unwrap_or((&line, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let mut attributes = attributes.split(';').map(str::trim);
            if attributes.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Response {
    /// The first value under a header's name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name)
    }
}
