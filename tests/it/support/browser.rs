//! A visitor: raw bytes out, raw bytes in, and a cookie jar of its own.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;
use super::response::Response;
use super::wire::Wire;

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
        let mut wire = Wire::patient(TcpStream::connect_timeout(&self.address, PATIENCE).unwrap());
        wire.send(bytes);
        let response = wire.answer(bytes.starts_with(b"HEAD "));
        self.remember(&response);
        response
    }

    /// Sends a GET and is gone before anything comes back.
    pub(crate) fn get_and_go(&self, path: &str) {
        let mut wire = Wire::patient(TcpStream::connect_timeout(&self.address, PATIENCE).unwrap());
        wire.send(format!("GET {path} HTTP/1.1\r\n{}\r\n", self.lines()));
    }

    /// Host and Cookie, as header lines.
    pub(crate) fn lines(&self) -> String {
        let pairs: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie =
            if pairs.is_empty() { String::new() } else { format!("cookie: {}\r\n", pairs.join("; ")) };
        format!("host: {}\r\n{cookie}", self.address)
    }

    /// Puts the cookies of an answer into the jar.
    pub(crate) fn remember(&mut self, response: &Response) {
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
