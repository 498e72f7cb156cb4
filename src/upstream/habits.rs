//! What a server was seen to do with connections that nobody was using: saying more than its answers, closing early.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::TICK;

/// Bytes that come within this after an answer belong to it. Later ones are something else: some servers say 408 to a
/// connection that they close.
const SOON: u64 = ticks(Duration::from_secs(3));
/// Closed earlier, it was because the app was restarted, or of that one connection.
const EARLIEST_CLOSE: u64 = ticks(Duration::from_secs(1));
/// A close is found this much later than it happened, at most: connections are looked at twice a second.
const FOUND_LATE: u64 = ticks(Duration::from_millis(700));
/// A connection is trusted this long, whatever was seen.
const LEAST: u64 = ticks(Duration::from_millis(300));

const fn ticks(time: Duration) -> u64 {
    (time.as_millis() / TICK.as_millis()) as u64
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    /// With its head, by rule: to HEAD, or of status 204 or 304 (RFC 9112 section 6.3). Faulty apps send a body all the
    /// same, a moment later.
    Head,
    /// As its head says.
    Body,
}

/// The habits of one server; shared by all workers.
#[derive(Debug, Default)]
pub(super) struct ConnectionHabits {
    /// It was seen to say more after answers that end with their heads; after others.
    says_more: [AtomicBool; 2],
    /// The ticks after which it was seen to close, less what that is found late; 0: not seen.
    closes_after: AtomicU64,
}

impl ConnectionHabits {
    /// Takes over what was known of the same server under the plan before.
    pub(super) fn resume(&self, before: &Self) {
        for (mine, theirs) in self.says_more.iter().zip(&before.says_more) {
            mine.fetch_or(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.closes_after.store(before.closes_after.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn after(&self, end: AnswerEnd) -> &AtomicBool {
        let [after_head, after_body] = &self.says_more;
        match end {
            AnswerEnd::Head => after_head,
            AnswerEnd::Body => after_body,
        }
    }

    /// Whether a connection may be used again after such an answer.
    pub(super) fn allow_reuse(&self, end: AnswerEnd) -> bool {
        !self.after(end).load(Ordering::Relaxed)
    }

    /// Bytes came that nobody asked for, so many ticks after an answer.
    pub(super) fn note_leftovers(&self, server: &str, end: AnswerEnd, ticks: u64) {
        if ticks > SOON || self.after(end).swap(true, Ordering::Relaxed) {
            return;
        }
        let rule = match end {
            AnswerEnd::Head => {
                "sent a body where none may be: after an answer to HEAD, or of status 204 or 304 (RFC 9112 section 6.3)"
            }
            AnswerEnd::Body => {
                "sent more than its answer's Content-Length says, or bytes after the last chunk"
            }
        };
        tracing::warn!(
            server,
            rule,
            "the app sent bytes that could be taken for the next response: connections are no longer reused after such responses, which costs time; fix the app"
        );
    }

    /// The server closed a connection that had been unused for so many ticks.
    pub(super) fn closed(&self, server: &str, ticks: u64) {
        if ticks < EARLIEST_CLOSE {
            return;
        }
        let after = ticks.saturating_sub(FOUND_LATE).max(LEAST);
        let known = self.closes_after.load(Ordering::Relaxed);
        if known != 0 && known <= after {
            return;
        }
        self.closes_after.store(after, Ordering::Relaxed);
        tracing::info!(
            server,
            kept_for = ?(TICK * u32::try_from(after).unwrap_or(u32::MAX)),
            "the app closes unused connections before idle_timeout: they are kept for less from now on"
        );
    }

    /// How many ticks a connection is kept unused, at most.
    pub(super) fn most_ticks(&self) -> u64 {
        match self.closes_after.load(Ordering::Relaxed) {
            0 => u64::MAX,
            after => after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_trusted_for_less_than_it_was_seen_to_keep() {
        let habits = ConnectionHabits::default();
        assert_eq!(habits.most_ticks(), u64::MAX);
        habits.closed("app", 9);
        assert_eq!(habits.most_ticks(), u64::MAX, "that was a restart");
        for (found, wanted) in [(25, 18), (39, 18), (21, 14), (10, 3)] {
            habits.closed("app", found);
            assert_eq!(habits.most_ticks(), wanted, "found closed after {found} ticks");
        }
    }

    #[test]
    fn what_comes_much_later_is_no_part_of_an_answer() {
        let habits = ConnectionHabits::default();
        habits.note_leftovers("app", AnswerEnd::Body, 50);
        assert!(habits.allow_reuse(AnswerEnd::Body));
        habits.note_leftovers("app", AnswerEnd::Head, 0);
        assert!(!habits.allow_reuse(AnswerEnd::Head) && habits.allow_reuse(AnswerEnd::Body));
    }
}
