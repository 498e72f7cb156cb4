//! Visitors who never stop changing something, and remember what they were told was kept.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread;

use super::{Cloakroom, PATIENCE, orders};

/// One of them.
#[derive(Default)]
pub(crate) struct Visitor {
    ticket: Option<String>,
    /// The last number that was acknowledged.
    kept: u64,
    /// One more was sent, and no answer came.
    unsure: bool,
    steps: u64,
    /// Answers that were whole, and not what was asked for.
    pub(crate) refused: u64,
    /// Tickets of sessions whose end was acknowledged.
    ended: Vec<String>,
}

/// An answer, if one came whole.
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) text: String,
    ticket: Option<String>,
}

impl Heard {
    pub(crate) fn ticket(&self) -> Option<String> {
        self.ticket.clone()
    }

    pub(crate) fn told(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// One request on a connection of its own; `None` if no whole answer came.
pub(crate) fn ask(address: SocketAddr, ticket: Option<&str>, lines: &[&str]) -> Option<Heard> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let cookie = ticket.map(|ticket| format!("cookie: cloakroom={ticket}\r\n")).unwrap_or_default();
    let orders = orders(lines);
    write!(stream, "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n{cookie}{orders}\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, text) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let set = head.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie: "));
    let ticket = set
        .and_then(|line| line.split_once("cloakroom="))
        .map(|(_, rest)| rest.split(';').next().unwrap_or_default().to_owned());
    Some(Heard { status, text: text.to_owned(), ticket })
}

impl Visitor {
    /// Whether what came back is an acknowledgement.
    fn granted(&mut self, heard: Option<Heard>) -> Option<Heard> {
        let heard = heard?;
        self.refused += u64::from(heard.status != 200);
        (heard.status == 200).then_some(heard)
    }

    /// The next change; true if it was acknowledged.
    pub(crate) fn step(&mut self, address: SocketAddr) -> bool {
        self.steps += 1;
        let Some(ticket) = self.ticket.clone() else { return self.begin(address) };
        if self.steps.is_multiple_of(11) {
            self.ticket = None;
            let heard = ask(address, Some(&ticket), &["x-session-action: destroy"]);
            let done = self.granted(heard).is_some();
            if done {
                self.ended.push(ticket);
            }
            return done;
        }
        if self.steps.is_multiple_of(7) {
            // Without an answer it is not known which ticket leads on.
            self.ticket = None;
            let heard =
                ask(address, Some(&ticket), &["x-session-principal: alice", "x-session-action: renew"]);
            self.ticket = self.granted(heard).and_then(|heard| heard.ticket);
            return self.ticket.is_some();
        }
        let next = self.kept + 1;
        let heard = ask(address, Some(&ticket), &[&format!("x-session-set-n: {next}")]);
        let done = self.granted(heard).is_some();
        if done {
            self.kept = next;
        } else {
            self.unsure = true;
        }
        done
    }

    fn begin(&mut self, address: SocketAddr) -> bool {
        (self.kept, self.unsure) = (0, false);
        let heard = ask(address, None, &["x-session-set-n: 0"]);
        self.ticket = self.granted(heard).and_then(|heard| heard.ticket);
        self.ticket.is_some()
    }

    /// Looks whether all that was acknowledged is there, and what ended has stayed so.
    pub(crate) fn verify(&mut self, address: SocketAddr) {
        if let Some(ticket) = &self.ticket {
            let heard = ask(address, Some(ticket), &[]).unwrap();
            assert_eq!((heard.status, heard.told("state")), (200, Some("active")), "{}", heard.text);
            let n: u64 = heard.told("n").unwrap_or_else(|| panic!("{}", heard.text)).parse().unwrap();
            assert!(n == self.kept || (self.unsure && n == self.kept + 1), "{n}, not {}", self.kept);
            (self.kept, self.unsure) = (n, false);
        }
        for ticket in &self.ended {
            let heard = ask(address, Some(ticket), &[]).unwrap();
            assert_ne!(heard.told("state"), Some("active"), "ended, and back: {}", heard.text);
        }
        let old = self.ended.len().saturating_sub(5);
        self.ended.drain(..old);
    }
}

/// Six of them.
pub(crate) fn crowd() -> Vec<Visitor> {
    (0..6).map(|_| Visitor::default()).collect()
}

/// All of them find what they were told was kept; then they change things until so many changes were acknowledged and
/// `end` has come.
pub(crate) fn round(
    proxy: &Cloakroom,
    mut visitors: Vec<Visitor>,
    changes: u64,
    end: impl FnOnce(),
) -> Vec<Visitor> {
    for visitor in &mut visitors {
        visitor.verify(proxy.address);
    }
    let (acknowledged, heard) = channel();
    thread::scope(|scope| {
        let step = |mut visitor: Visitor| {
            let acknowledged = acknowledged.clone();
            scope.spawn(move || {
                while visitor.step(proxy.address) {
                    // Once enough was heard, nobody listens.
                    let _ = acknowledged.send(());
                }
                visitor
            })
        };
        let load: Vec<_> = visitors.drain(..).map(step).collect();
        heard.iter().take(changes as usize).for_each(drop);
        end();
        load.into_iter().map(|visitor| visitor.join().unwrap()).collect()
    })
}
