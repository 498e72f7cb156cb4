//! The log: to standard error, or to the journal where standard error is the journal.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{config::LogLevel, message::visible::visible};

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

/// Starts the log. A second call changes nothing.
pub fn start(level: LogLevel) {
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let terminal = io::stderr().is_terminal();
    let text =
        tracing_subscriber::fmt::layer().with_writer(|| VisibleStderr).with_ansi(terminal).with_target(false);
    let _ = tracing_subscriber::registry().with(filter).with(text).try_init();
}
