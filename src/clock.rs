//! The time: the only place that asks for it.
//!
//! Wall time is [`Timestamp`] (milliseconds since 1970, what records hold). Waiting is coarse: each worker has one
//! ticker, and a [`CoarseTimer`] is a slot in a list that it walks, so a deadline that is never reached costs two stores
//! and no system call. Deadlines are kept to a tenth of a second, which is enough for limits of seconds.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How exact coarse deadlines are.
pub const TICK: Duration = Duration::from_millis(100);

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64))
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.as_millis() as u64))
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0 / 1000).unwrap_or(u32::MAX)
    }

    /// From whole seconds since 1970.
    pub fn from_seconds(seconds: u32) -> Self {
        Self(u64::from(seconds) * 1000)
    }

    /// For libraries that format dates.
    pub fn system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

/// RFC 3339, in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0.cast_signed()) {
            Ok(time) => time.fmt(f),
            // Later than the year 9999.
            Err(_) => f.write_str("never"),
        }
    }
}

/// A point of the monotonic clock, for durations.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

#[derive(Default)]
struct TickClock {
    tick: Cell<u64>,
    slots: RefCell<Vec<Option<(u64, Waker)>>>,
    free: RefCell<Vec<usize>>,
    /// The date as HTTP writes it, and the tick that it was written in.
    date: RefCell<(u64, String)>,
}

thread_local! {
    static TICKER: TickClock = TickClock::default();
}

/// Moves this thread's coarse time on, for as long as it is polled. Each worker runs it once.
pub async fn drive() {
    let start = instant();
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        // By the clock, not by counting: a loop that was held up for a second must not lose ten
        // ticks.
        let tick = (start.elapsed().as_millis() / TICK.as_millis()) as u64;
        TICKER.with(|t| {
            t.tick.set(tick);
            for (at, waker) in t.slots.borrow_mut().iter_mut().flatten() {
                if *at <= tick {
                    // Once: who is still interested says so by polling again.
                    *at = u64::MAX;
                    waker.wake_by_ref();
                }
            }
        });
    }
}

/// The coarse time of this thread, in [`TICK`]s.
pub fn tick() -> u64 {
    TICKER.with(|t| t.tick.get())
}

/// Lends the date as HTTP writes it (RFC 9110 section 5.6.7). Written once a [`TICK`].
pub fn with_http_date(read: impl FnOnce(&str)) {
    TICKER.with(|t| {
        let (written, date) = &mut *t.date.borrow_mut();
        // Formatted ten times a second, and copied for each answer.
        if *written != t.tick.get() || date.is_empty() {
            *written = t.tick.get();
            *date = httpdate::fmt_http_date(Timestamp::now().system());
        }
        read(date);
    });
}

/// A coarse deadline that can be moved. Never early, at most two [`TICK`]s late.
#[derive(Debug)]
pub struct CoarseTimer {
    at: u64,
    slot: Option<usize>,
}

impl CoarseTimer {
    /// Ends after `after`; `None` never does.
    pub fn new(after: Option<Duration>) -> Self {
        Self { at: deadline(after), slot: None }
    }

    /// Starts anew.
    pub fn reset(&mut self, after: Option<Duration>) {
        let at = deadline(after);
        // Reset within one tick is the usual case, and then there is nothing to do.
        if at == self.at {
            return;
        }
        self.at = at;
        if let Some(slot) = self.slot {
            TICKER.with(|t| {
                if let Some(Some(entry)) = t.slots.borrow_mut().get_mut(slot) {
                    entry.0 = at;
                }
            });
        }
    }

    /// Ready once the deadline has passed.
    pub fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.at == u64::MAX {
            return Poll::Pending;
        }
        TICKER.with(|t| {
            if t.tick.get() >= self.at {
                return Poll::Ready(());
            }
            let mut slots = t.slots.borrow_mut();
            if let Some(Some((at, waker))) = self.slot.and_then(|s| slots.get_mut(s)) {
                *at = self.at;
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            let entry = Some((self.at, cx.waker().clone()));
            let free = t.free.borrow_mut().pop();
            if let Some(place) = free.and_then(|s| slots.get_mut(s)) {
                *place = entry;
                self.slot = free;
            } else {
                slots.push(entry);
                self.slot = Some(slots.len() - 1);
            }
            Poll::Pending
        })
    }
}

impl Drop for CoarseTimer {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            // Not there any more when the thread itself ends.
            let _ = TICKER.try_with(|t| {
                if let Some(place) = t.slots.borrow_mut().get_mut(slot) {
                    *place = None;
                }
                t.free.borrow_mut().push(slot);
            });
        }
    }
}

fn deadline(after: Option<Duration>) -> u64 {
    // One more than it takes, since the current tick is partly over.
    after.map_or(u64::MAX, |d| tick().saturating_add((d.as_millis() / TICK.as_millis()) as u64 + 1))
}

/// The time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct DeadlineElapsed;

/// `future`, but no longer than `after` (coarse).
pub async fn timeout<F: Future>(after: Option<Duration>, future: F) -> Result<F::Output, DeadlineElapsed> {
    let mut future = pin!(future);
    let mut timer = CoarseTimer::new(after);
    std::future::poll_fn(move |cx| {
        if let Poll::Ready(out) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(out));
        }
        timer.poll_elapsed(cx).map(|()| Err(DeadlineElapsed))
    })
    .await
}

/// Waits, by the runtime's own timer: for loops that have no ticker.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub async fn sleep(after: Duration) {
    tokio::time::sleep(after).await;
}

/// Waits (coarse); only where [`drive`] runs.
pub async fn pause(after: Duration) {
    let mut timer = CoarseTimer::new(Some(after));
    std::future::poll_fn(move |cx| timer.poll_elapsed(cx)).await;
}
