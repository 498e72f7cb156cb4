//! Those who come: people who log in, and a flood of visitors who have no cookie.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cloakroom::testing::clock;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Requests under way at once on one connection.
const PIPELINED: usize = 10;
/// Connections of the flood.
const FLOOD_LINES: usize = 64;
/// Connections of people; what they do on them, they do one after the other.
const PEOPLE_LINES: usize = 8;
/// By default cloakroom closes a connection after so many requests.
const REQUESTS_PER_LINE: usize = 1000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody who logged in.
pub(crate) struct Person {
    name: String,
    ticket: String,
}

/// One answer.
struct Answer<'a> {
    head: &'a [u8],
    body: &'a [u8],
}

impl Answer<'_> {
    fn is_ok(&self) -> bool {
        self.head.starts_with(b"HTTP/1.1 200 ")
    }

    fn value(&self, name: &str) -> Option<&str> {
        // hyper writes names in lower case.
        let at = memmem::find(self.head, name.as_bytes())? + name.len();
        let rest = &self.head[at..];
        let end = rest.iter().position(|byte| b"\r;".contains(byte)).unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).ok()
    }

    fn ticket(&self) -> Option<&str> {
        self.value("\r\nset-cookie: cloakroom=")
    }
}

/// A connection to cloakroom, opened anew when it has carried what it may.
struct Line {
    address: SocketAddr,
    stream: Option<TcpStream>,
    left: usize,
    read: Vec<u8>,
}

impl Line {
    fn to(address: SocketAddr) -> Self {
        Self { address, stream: None, left: 0, read: Vec::with_capacity(16 << 10) }
    }

    /// Sends so many requests at once, and shows each answer.
    async fn ask(&mut self, requests: &[u8], count: usize, each: impl FnMut(&Answer<'_>)) -> io::Result<()> {
        tokio::time::timeout(PATIENCE, self.converse(requests, count, each)).await?
    }

    async fn converse(
        &mut self,
        requests: &[u8],
        count: usize,
        mut each: impl FnMut(&Answer<'_>),
    ) -> io::Result<()> {
        if self.left < count {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            (self.stream, self.left) = (Some(stream), REQUESTS_PER_LINE);
        }
        self.left -= count;
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        stream.write_all(requests).await?;
        let (mut seen, mut from) = (0, 0);
        while seen < count {
            let Some((head, end)) = whole(&self.read[from..]) else {
                if stream.read_buf(&mut self.read).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            };
            each(&Answer { head: &self.read[from..from + head], body: &self.read[from + head..from + end] });
            (seen, from) = (seen + 1, from + end);
        }
        self.read.drain(..from);
        Ok(())
    }

    /// `None` if no ticket came of it.
    async fn log_in(&mut self, name: &str) -> io::Result<Option<Person>> {
        let mut ticket = None;
        // As browsers do: first the page, and with its ticket the form.
        for path in ["/", &format!("/in/{name}")] {
            let mut request = Vec::new();
            write(&mut request, path, ticket.as_deref())?;
            self.ask(&request, 1, |answer| ticket = answer.ticket().map(str::to_owned)).await?;
        }
        Ok(ticket.map(|ticket| Person { name: name.to_owned(), ticket }))
    }
}

/// Where the head of the first answer ends, and where its body does, if all of it is there.
fn whole(read: &[u8]) -> Option<(usize, usize)> {
    let head = memmem::find(read, b"\r\n\r\n")? + 4;
    let length = Answer { head: &read[..head], body: &[] }.value("\r\ncontent-length: ")?.parse().ok();
    let end = head + length.unwrap_or(0_usize);
    (end <= read.len()).then_some((head, end))
}

fn write(out: &mut Vec<u8>, path: &str, ticket: Option<&str>) -> io::Result<()> {
    write!(out, "GET {path} HTTP/1.1\r\nHost: shop.test\r\n")?;
    if let Some(ticket) = ticket {
        write!(out, "Cookie: cloakroom={ticket}\r\n")?;
    }
    write!(out, "\r\n")
}

/// Everyone of this range logs in, each when it is their time (0 to 1). Returns who succeeded, and the longest login.
pub(crate) async fn log_in(
    address: SocketAddr,
    numbers: std::ops::Range<usize>,
    flood: Option<Rc<Flood>>,
) -> io::Result<(Vec<Person>, Duration)> {
    let mut tasks = JoinSet::new();
    for lane in 0..PEOPLE_LINES {
        let (numbers, flood) = (numbers.clone(), flood.clone());
        tasks.spawn_local(async move {
            let (mut line, mut people, mut longest) = (Line::to(address), Vec::new(), Duration::ZERO);
            for number in numbers.clone().skip(lane).step_by(PEOPLE_LINES) {
                while let Some(flood) = &flood
                    && flood.progress() < share(number - numbers.start, numbers.len())
                {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                let began = clock::instant();
                people.extend(line.log_in(&format!("p{number}")).await?);
                longest = longest.max(began.elapsed());
            }
            Ok::<_, io::Error>((people, longest))
        });
    }
    let mut all = (Vec::new(), Duration::ZERO);
    while let Some(done) = tasks.join_next().await {
        let (people, longest) = done??;
        all.0.extend(people);
        all.1 = all.1.max(longest);
    }
    Ok(all)
}

/// How many of these the app still knows, each by their own name.
pub(crate) async fn known(address: SocketAddr, people: &[Person]) -> io::Result<usize> {
    let (mut line, mut known, mut requests) = (Line::to(address), 0, Vec::new());
    for group in people.chunks(PIPELINED) {
        requests.clear();
        for person in group {
            write(&mut requests, "/me", Some(&person.ticket))?;
        }
        let mut names = group.iter().map(|person| person.name.as_bytes());
        let count = |answer: &Answer<'_>| known += usize::from(names.next() == Some(answer.body));
        line.ask(&requests, group.len(), count).await?;
    }
    Ok(known)
}

#[expect(clippy::cast_precision_loss, reason = "a share of a few millions")]
fn share(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}

/// Requests without a cookie, from many connections at once, up to a number and for so long.
pub(crate) struct Flood {
    address: SocketAddr,
    path: &'static str,
    /// Each visitor comes a second time, with the ticket of the first.
    twice: bool,
    requests: usize,
    time: Duration,
    began: Instant,
    claimed: Cell<usize>,
    /// Answers that were 200.
    pub(crate) answered: Cell<usize>,
    /// All other answers.
    pub(crate) failed: Cell<usize>,
}

impl Flood {
    /// A flood that begins now.
    pub(crate) fn new(address: SocketAddr, path: &'static str, twice: bool, requests: usize) -> Rc<Self> {
        let (claimed, answered, failed) = Default::default();
        let (time, began) = (super::FLOOD_TIME, clock::instant());
        Rc::new(Self { address, path, twice, requests, time, began, claimed, answered, failed })
    }

    /// From 0 to 1, by what was asked or by the time that went by, whichever is further.
    fn progress(&self) -> f64 {
        let time = self.began.elapsed().as_secs_f64() / self.time.as_secs_f64();
        share(self.claimed.get(), self.requests).max(time).min(1.0)
    }

    /// Until it is over; how long that took.
    pub(crate) async fn run(self: Rc<Self>) -> io::Result<Duration> {
        let mut tasks = JoinSet::new();
        for _ in 0..FLOOD_LINES {
            tasks.spawn_local(Rc::clone(&self).line());
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(self.began.elapsed())
    }

    async fn line(self: Rc<Self>) -> io::Result<()> {
        let mut line = Line::to(self.address);
        let (mut first, mut again, mut tickets) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..PIPELINED {
            write(&mut first, self.path, None)?;
        }
        while self.progress() < 1.0 {
            tickets.clear();
            self.ask(&mut line, &first, PIPELINED, |answer| {
                tickets.extend(answer.ticket().map(str::to_owned));
            })
            .await?;
            if self.twice && self.progress() < 1.0 {
                again.clear();
                for ticket in &tickets {
                    write(&mut again, self.path, Some(ticket))?;
                }
                self.ask(&mut line, &again, tickets.len(), |_| {}).await?;
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        line: &mut Line,
        requests: &[u8],
        count: usize,
        mut each: impl FnMut(&Answer<'_>),
    ) -> io::Result<()> {
        self.claimed.set(self.claimed.get() + count);
        line.ask(requests, count, |answer| {
            let tally = if answer.is_ok() { &self.answered } else { &self.failed };
            tally.set(tally.get() + 1);
            each(answer);
        })
        .await
    }
}
