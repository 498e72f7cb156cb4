//! Who does not read what they asked for: `write_stall_timeout`.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use crate::{clock::CoarseTimer, net::NetStream};

/// How long a visitor has taken no byte of what is written.
#[derive(Debug)]
pub(super) struct WriteStall {
    limit: Option<Duration>,
    timer: Option<CoarseTimer>,
}

impl WriteStall {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, timer: None }
    }

    /// What became of a write to this stream; an error once the visitor was waited for too long.
    pub(super) fn wrote<T>(
        &mut self,
        stream: &NetStream,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            let timer = self.timer.get_or_insert_with(|| CoarseTimer::new(self.limit));
            ready!(timer.poll_elapsed(cx));
            // A normal close would leave all that was written in the kernel's buffer, for a visitor
            // who does not read it.
            stream.closes_by_reset();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if self.timer.is_some() {
            self.timer = None;
        }
        polled
    }
}
