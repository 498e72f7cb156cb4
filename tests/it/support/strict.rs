//! An app that takes nothing that two readers could read in two ways, and says to whom it answers.
#![expect(clippy::indexing_slicing, reason = "places that were found before")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::PATIENCE;
use super::wire::{Framing, Wire, parse};

/// Who asked, by what method, for what.
pub(crate) type Asked = (String, String, String);

/// What it has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Requests whose head arrived, by how often.
    pub(crate) requests: BTreeMap<Asked, usize>,
    /// Heads and chunks that nobody should send.
    pub(crate) faults: Vec<String>,
}

/// A running one.
pub(crate) struct Strict {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

/// An answer as bytes, and whether the connection is closed after it; nothing: the usual one.
type Script = dyn Fn(&str) -> Option<(Vec<u8>, bool)> + Send + Sync;

impl Strict {
    /// With answers of the test's own for some targets.
    pub(crate) fn start(script: impl Fn(&str) -> Option<(Vec<u8>, bool)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (log, script): (_, Arc<Script>) = (Arc::clone(&seen), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                thread::spawn(move || converse(stream, &log, &*script));
            }
        });
        Self { address, seen }
    }
}

fn converse(stream: TcpStream, log: &Mutex<Seen>, script: &Script) {
    stream.set_read_timeout(Some(PATIENCE * 6)).unwrap();
    let mut wire = Wire::new(stream);
    loop {
        let head = match wire.head() {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => {
                // A head that broke off was never sent by anyone who was to be understood.
                if error.kind() == std::io::ErrorKind::UnexpectedEof {
                    log.lock().unwrap().faults.push("half a head".to_owned());
                }
                return;
            }
        };
        let read = match read(&head) {
            Ok(read) => read,
            Err(why) => {
                let text = String::from_utf8_lossy(&head).into_owned();
                log.lock().unwrap().faults.push(format!("{why}: {text:?}"));
                return;
            }
        };
        let (who, method, target) = &read.asked;
        *log.lock().unwrap().requests.entry(read.asked.clone()).or_default() += 1;
        if wire.body(read.framing).is_err() {
            return;
        }
        let (answer, close) = script(target).unwrap_or_else(|| {
            let body = if method == "HEAD" { "" } else { target.as_str() };
            let lines = format!("x-who: {who}\r\nx-method: {method}\r\ncontent-length: {}", target.len());
            (format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{body}").into_bytes(), false)
        });
        wire.send_if_heard(&answer);
        if close {
            return;
        }
    }
}

impl Wire {
    /// Writes what the other side may not want to hear.
    pub(crate) fn send_if_heard(&mut self, bytes: &[u8]) {
        drop(std::io::Write::write_all(self.stream(), bytes));
    }
}

struct Read {
    asked: Asked,
    framing: Framing,
}

/// A head in the narrowest reading of RFC 9112.
fn read(head: &[u8]) -> Result<Read, &'static str> {
    let lines = head.strip_suffix(b"\r\n\r\n").ok_or("no end")?;
    let text: Vec<_> = lines.split(|b| *b == b'\n').collect();
    let last = text.len() - 1;
    for (at, line) in text.iter().enumerate() {
        let line = if at < last { line.strip_suffix(b"\r").ok_or("a bare LF")? } else { line };
        if line.iter().any(|b| *b == b'\r' || *b == 0 || (*b < b' ' && *b != b'\t') || *b == 0x7f) {
            return Err("a control");
        }
        if at == 0 {
            continue;
        }
        let colon = line.iter().position(|b| *b == b':').ok_or("no colon")?;
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        if colon == 0 || !line[..colon].iter().all(token) {
            return Err("no name");
        }
    }
    let (start, headers) = parse(head);
    let words: Vec<_> = start.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words.as_slice() else { return Err("no request line") };
    if !target.starts_with('/') && *target != "*" {
        return Err("no target");
    }
    let folded = |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let frames = ["content-length", "transfer-encoding"];
    if headers
        .iter()
        .any(|(name, _)| frames.contains(&folded(name).as_str()) && name.contains(['_', '.', '!']))
    {
        return Err("a length under another spelling");
    }
    let all = |name: &str| -> Vec<String> {
        let of = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        of.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    };
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    let framing = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Framing::Length(0),
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => {
            Framing::Length(length.parse().map_err(|_| "a length that is none")?)
        }
        ([], [coding]) if coding == "chunked" => Framing::Chunked,
        _ => return Err("a length in two ways"),
    };
    if all("host").len() != 1 {
        return Err("not one Host");
    }
    if !all("x-session-principal").is_empty() {
        return Err("a principal");
    }
    let who = all("x-forwarded-for");
    let [who] = who.as_slice() else { return Err("not one visitor") };
    who.parse::<IpAddr>().map_err(|_| "a visitor that is none")?;
    Ok(Read { asked: (who.clone(), (*method).to_owned(), (*target).to_owned()), framing })
}
