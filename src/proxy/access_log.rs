//! The access log: one line a request on standard output, written by a thread of its own through a bounded queue.
//! When the queue is full lines are dropped and counted; requests never wait for a log.
//!
//! Never in a line: cookies, field values, Authorization. The target is written as it came, its query included: what an
//! app puts there is the app's affair.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::IpAddr,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use http::{HeaderValue, Method, StatusCode, Version};
use uuid::Uuid;

use super::request_id::RequestId;
use crate::{
    clock::Timestamp, config::AccessFormat, message::visible::is_invisible, metrics::Counter,
    session::TicketVerdict, tasks,
};

const QUEUE: usize = 8192;

/// A handle on the writer.
#[derive(Debug, Clone)]
pub struct AccessLog {
    format: AccessFormat,
    queue: SyncSender<String>,
    dropped: Arc<Counter>,
}

/// One request, done.
#[derive(Debug)]
pub struct AccessRecord<'a> {
    /// The request's id.
    pub id: &'a RequestId,
    /// When it began.
    pub at: Timestamp,
    /// The visitor.
    pub client: Option<IpAddr>,
    /// Method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    /// Version.
    pub version: Version,
    /// Host.
    pub host: Option<&'a HeaderValue>,
    /// Referer.
    pub referer: Option<&'a HeaderValue>,
    /// User-Agent.
    pub agent: Option<&'a HeaderValue>,
    /// Status.
    pub status: StatusCode,
    /// Bytes of body.
    pub sent: u64,
    /// The answer was cut.
    pub cut: bool,
    /// From the head to the last byte.
    pub took: Duration,
    /// The route that it took.
    pub route: Option<&'a str>,
    /// The upstream that the route leads to.
    pub upstream: Option<&'a str>,
    /// Which of its servers answered.
    pub server: Option<&'a str>,
    /// From the question to the app until the head of its answer was there.
    pub upstream_took: Option<Duration>,
    /// How long the store of sessions was waited for.
    pub store_waited: Duration,
    /// What became of the ticket that came with it; `None` where nobody looked.
    pub ticket: Option<TicketVerdict>,
    /// Who is logged in.
    pub principal: Option<&'a str>,
    /// The session's public id.
    pub session: Option<Uuid>,
}

impl AccessLog {
    /// Starts the writer; `None` when the log is off. The thread ends, all lines written, when the last handle on it
    /// is gone.
    ///
    /// # Errors
    /// No thread to be had.
    pub fn start(format: AccessFormat) -> io::Result<Option<(Self, JoinHandle<()>)>> {
        if format == AccessFormat::Off {
            return Ok(None);
        }
        let (queue, lines) = sync_channel(QUEUE);
        let thread = tasks::thread("access-log", move || write_lines(&lines))?;
        Ok(Some((Self { format, queue, dropped: Arc::default() }, thread)))
    }

    /// Writes a line, or drops it.
    pub fn write(&self, line: &AccessRecord<'_>) {
        let text = match self.format {
            AccessFormat::Json => json(line),
            AccessFormat::Combined => common(line, true),
            AccessFormat::Common | AccessFormat::Off => common(line, false),
        };
        // Never waits: a terminal that is paused, or a full pipe, must not stop requests.
        if self.queue.try_send(text).is_err() {
            // Said once: a line for each lost line would make it worse. The count is in the
            // metrics.
            if self.dropped.get() == 0 {
                tracing::warn!("access log lines are dropped: standard output is read too slowly");
            }
            self.dropped.raise();
        }
    }
}

fn write_lines(lines: &Receiver<String>) {
    let mut out = io::BufWriter::new(io::stdout());
    while let Ok(line) = lines.recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            if out.write_all(line.as_bytes()).is_err() {
                return;
            }
            // All that has gathered goes out in one write.
            next = lines.try_recv().ok();
        }
        if out.flush().is_err() {
            return;
        }
    }
}

fn quoted(out: &mut String, bytes: &[u8]) {
    out.push('"');
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    // As nearly all are, and then they are copied as they stand.
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(is_plain) => out.push_str(text),
        _ => escaped(out, bytes),
    }
    out.push('"');
}

fn escaped(out: &mut String, bytes: &[u8]) {
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Beyond 16 bits JSON has two of them (RFC 8259 section 7).
            c if is_invisible(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
}

/// One more member of the object.
fn member(out: &mut String, name: &str, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.extend([",\"", name, "\":"]);
        quoted(out, value);
    }
}

fn number(out: &mut String, name: &str, value: Option<u128>) {
    if let Some(value) = value {
        let _ = write!(out, ",\"{name}\":{value}");
    }
}

fn id(out: &mut String, name: &str, id: Option<Uuid>) {
    if let Some(id) = id {
        out.extend([",\"", name, "\":\"", id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()), "\""]);
    }
}

fn json(line: &AccessRecord<'_>) -> String {
    let mut out = String::with_capacity(640);
    let time = rfc3339(line.at);
    out.extend(["{\"time\":\"", &time, "\""]);
    member(&mut out, "method", Some(line.method.as_str().as_bytes()));
    member(&mut out, "target", Some(line.target.as_bytes()));
    number(&mut out, "status", Some(line.status.as_u16().into()));
    number(&mut out, "bytes", Some(line.sent.into()));
    number(&mut out, "duration_us", Some(line.took.as_micros()));
    member(&mut out, "host", line.host.map(HeaderValue::as_bytes));
    member(&mut out, "referer", line.referer.map(HeaderValue::as_bytes));
    member(&mut out, "user_agent", line.agent.map(HeaderValue::as_bytes));
    if let Some(client) = line.client {
        let _ = write!(out, ",\"client\":\"{client}\"");
    }
    member(&mut out, "route", line.route.map(str::as_bytes));
    member(&mut out, "upstream", line.upstream.map(str::as_bytes));
    member(&mut out, "server", line.server.map(str::as_bytes));
    number(&mut out, "upstream_us", line.upstream_took.map(|took| took.as_micros()));
    number(&mut out, "store_us", Some(line.store_waited.as_micros()).filter(|waited| *waited > 0));
    if let Some(ticket) = line.ticket {
        out.extend([",\"ticket\":\"", ticket.state.as_str(), "\""]);
        if let Some(by) = ticket.ended_by {
            out.extend([",\"ended_by\":\"", by.as_str(), "\""]);
        }
        // Of a ticket that is not good: the session that it was of.
        id(&mut out, "ticket_session", ticket.session.filter(|_| ticket.session != line.session));
    }
    id(&mut out, "session", line.session);
    member(&mut out, "principal", line.principal.map(str::as_bytes));
    let _ = write!(out, ",\"request\":\"{}\"", line.id);
    if line.cut {
        out.push_str(",\"cut\":true");
    }
    out.push_str("}\n");
    out
}

/// RFC 3339.
fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0.cast_signed())
        .map_or_else(|_| String::new(), |t| format!("{t:.3}"))
}

/// The Common and the Combined Log Format of Apache.
fn common(line: &AccessRecord<'_>, combined: bool) -> String {
    let mut out = String::with_capacity(240);
    match line.client {
        Some(client) => drop(write!(out, "{client}")),
        None => out.push('-'),
    }
    // The session's public id stands where Apache has the user.
    let time = jiff::Timestamp::from_millisecond(line.at.0.cast_signed())
        .map_or_else(|_| String::new(), |t| t.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string());
    match line.session {
        Some(session) => drop(write!(out, " - {session} [{time}] ")),
        None => drop(write!(out, " - - [{time}] ")),
    }
    quoted(&mut out, format!("{} {} {:?}", line.method, line.target, line.version).as_bytes());
    let _ = write!(out, " {} {}", line.status.as_u16(), line.sent);
    if combined {
        for value in [line.referer, line.agent] {
            out.push(' ');
            quoted(&mut out, value.map_or(&b"-"[..], HeaderValue::as_bytes));
        }
    }
    out.push('\n');
    out
}
