//! What comes back to a visitor.

use std::io::{Read, Write};

use super::wire::{Framing, Headers, Wire, framing, header, parse};

/// A final answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status line.
    pub(crate) start: String,
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

    /// The first value under a header's name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name)
    }

    /// The values of every Set-Cookie line.
    pub(crate) fn set_cookies(&self) -> Vec<String> {
        let lines = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

impl<S: Read + Write> Wire<S> {
    /// The head of the next answer, interim ones included, without its body.
    pub(crate) fn answer_head(&mut self) -> Response {
        let head = self.head().unwrap().unwrap_or_else(|| panic!("closed without an answer"));
        let (start, headers) = parse(&head);
        let status = start.split(' ').nth(1).unwrap_or_default().parse().unwrap();
        Response { start, status, headers, body: Vec::new() }
    }

    /// The next final answer with its body.
    pub(crate) fn answer(&mut self, to_head: bool) -> Response {
        loop {
            let mut response = self.answer_head();
            let status = response.status;
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let bodiless = to_head || matches!(status, 101 | 204 | 304);
            let told = if bodiless { Framing::Length(0) } else { framing(&response.headers, Framing::Close) };
            response.body = self.body(told).unwrap();
            return response;
        }
    }
}
