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

use crate::{
    clock::Timestamp, config::AccessFormat, message::visible::is_invisible, metrics::Counter, tasks,
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
    pub id: Option<Uuid>,
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
    out.push('"');
}

fn json(line: &AccessRecord<'_>) -> String {
    let mut out = String::with_capacity(320);
    let time = rfc3339(line.at);
    let _ = write!(out, "{{\"time\":\"{time}\",\"method\":");
    quoted(&mut out, line.method.as_str().as_bytes());
    out.push_str(",\"target\":");
    quoted(&mut out, line.target.as_bytes());
    let took = line.took.as_micros();
    let _ =
        write!(out, ",\"status\":{},\"bytes\":{},\"duration_us\":{took}", line.status.as_u16(), line.sent);
    for (name, value) in [("host", line.host), ("referer", line.referer), ("user_agent", line.agent)] {
        if let Some(value) = value {
            let _ = write!(out, ",\"{name}\":");
            quoted(&mut out, value.as_bytes());
        }
    }
    if let Some(client) = line.client {
        let _ = write!(out, ",\"client\":\"{client}\"");
    }
    if let Some(session) = line.session {
        let _ = write!(out, ",\"session\":\"{session}\"");
    }
    if let Some(id) = line.id {
        let _ = write!(out, ",\"request\":\"{id}\"");
    }
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
