//! The log: to standard error, or to the journal where standard error is the journal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
};

use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{config::LogLevel, message::visible::visible, proxy};

/// Standard error, without what would not be seen there.
struct VisibleStderr;

impl Write for VisibleStderr {
    /// An event is written at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            // SECURITY: what visitors and apps send stands in log lines. An escape sequence must
            // not reach the operator's terminal.
            Ok(text) => io::stderr().write_all(visible(text).as_bytes())?,
            Err(_) => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A line as the library writes it, and at its end whose request it is about, as far as it does not say that itself.
struct WithOrigin(Format<Full>);

impl<S, N> FormatEvent<S, N> for WithOrigin
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // What is noticed of a server is often the doing of the request before.
        let is_of_server = event.metadata().fields().field("server").is_some();
        let Some(origin) = proxy::current_request().filter(|_| !is_of_server) else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        line.truncate(line.trim_end_matches('\n').len());
        write_origin(&mut line, event.metadata(), &origin)?;
        writeln!(writer, "{line}")
    }
}

fn write_origin(line: &mut String, metadata: &Metadata<'_>, origin: &proxy::RequestOrigin) -> fmt::Result {
    let is_missing = |name| metadata.fields().field(name).is_none();
    if is_missing("request") {
        write!(line, " request={}", origin.id())?;
    }
    if let Some(host) = origin.host().filter(|_| is_missing("host")) {
        // Quoted and escaped: it is the visitor's word.
        write!(line, " host={:?}", String::from_utf8_lossy(host))?;
    }
    if let Some(upstream) = origin.upstream().filter(|_| is_missing("upstream")) {
        write!(line, " upstream={upstream:?}")?;
    }
    if let Some(session) = origin.session.get().filter(|_| is_missing("session")) {
        write!(line, " session={session}")?;
    }
    Ok(())
}

/// Starts the log. A second call changes nothing.
pub fn start(level: LogLevel) {
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let terminal = io::stderr().is_terminal();
    let text = tracing_subscriber::fmt::layer()
        .with_writer(|| VisibleStderr)
        .with_ansi(terminal)
        .event_format(WithOrigin(Format::default().with_ansi(terminal).with_target(false)));
    // Libraries are heard where they warn: their frames and handshakes say nothing of what was decided here.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), filter);
    let targets = ours.with_default(filter.min(LevelFilter::WARN));
    let _ = tracing_subscriber::registry().with(targets).with(text).try_init();
}
