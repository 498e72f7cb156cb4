//! The watchdog: systemd is told that all is well for as long as it is, and starts the process anew when it is told no
//! more (`WatchdogSec=`, systemd.service(5)).
//!
//! All is well when each worker's event loop goes round, and the thread that writes sessions takes orders.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::systemd;
use crate::{clock, session::BackendState, tasks};

/// How often a worker shows that it goes round. A watchdog of less than twice as much would bark at nothing.
const BEAT: Duration = Duration::from_millis(200);

/// A worker's sign of life.
#[derive(Debug, Clone, Default)]
pub(super) struct WorkerPulse(Arc<AtomicU64>);

impl WorkerPulse {
    /// Beats from now on, on this thread's event loop.
    pub(super) fn start(&self) {
        let beats = Arc::clone(&self.0);
        tasks::spawn(async move {
            loop {
                beats.fetch_add(1, Ordering::Relaxed);
                clock::pause(BEAT).await;
            }
        });
    }
}

/// The question to the thread that writes, until it is answered. That may be at once: a future that is done is not kept,
/// since it must not be asked again.
#[derive(Default)]
struct WriterQuestion(Option<Pin<Box<dyn Future<Output = ()>>>>);

impl WriterQuestion {
    /// Gives it to the thread now.
    fn ask(&mut self, question: impl Future<Output = ()> + 'static) {
        self.0 = Some(Box::pin(question));
        self.is_answered();
    }

    /// Whether there is an answer, or was no question.
    fn is_answered(&mut self) -> bool {
        self.0.take_if(|question| tasks::is_done(question.as_mut()));
        self.0.is_none()
    }
}

/// Looks after the others.
pub(super) struct Watchdog {
    /// How often systemd is told: twice in the time that it waits. None: it does not want to be told.
    period: Option<Duration>,
    workers: Vec<(WorkerPulse, u64)>,
    lasting: BackendState,
    asked: WriterQuestion,
    was_well: bool,
}

impl Watchdog {
    pub(super) fn new(workers: Vec<WorkerPulse>, lasting: BackendState) -> Self {
        let period = systemd::watchdog().map(|patience| (patience / 2).max(2 * BEAT));
        let workers = workers.into_iter().map(|pulse| (pulse, 0)).collect();
        Self { period, workers, lasting, asked: WriterQuestion::default(), was_well: true }
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Looks, again and again. Never ready.
    pub(super) async fn run(&mut self) {
        let Some(period) = self.period else { return std::future::pending().await };
        loop {
            clock::sleep(period).await;
            let stuck = self.stuck();
            match &stuck {
                None => systemd::well(),
                Some(who) if self.was_well => {
                    tracing::error!(%who, "a thread does not respond: the systemd watchdog is not notified");
                    systemd::status(&format!("{who} does not answer"));
                }
                Some(_) => {}
            }
            if stuck.is_none() && !self.was_well {
                tracing::warn!("all threads respond again: the systemd watchdog is notified");
                systemd::status("all is well again");
            }
            self.was_well = stuck.is_none();
        }
    }

    /// Who has given no sign of life since the last look.
    fn stuck(&mut self) -> Option<String> {
        let mut stuck = None;
        for (number, (pulse, seen)) in self.workers.iter_mut().enumerate() {
            let beats = pulse.0.load(Ordering::Relaxed);
            if std::mem::replace(seen, beats) == beats {
                stuck = Some(format!("worker-{number}"));
            }
        }
        if !self.asked.is_answered() {
            return stuck.or_else(|| Some("the thread that writes sessions".to_owned()));
        }
        // It has until the next look.
        if let Some(question) = self.lasting.writer() {
            self.asked.ask(question);
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdog_accepts_an_answer_at_once() {
        let mut asked = WriterQuestion::default();
        assert!(asked.is_answered(), "there was no question");
        for _ in 0..2 {
            asked.ask(async {});
            assert!(asked.is_answered() && asked.is_answered());
        }
        asked.ask(std::future::pending());
        assert!(!asked.is_answered() && !asked.is_answered());
    }
}
