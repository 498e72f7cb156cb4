//! The word that the process is to end, as a connection hears it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use tokio_util::sync::WaitForCancellationFuture;

/// Whether the process is to end.
pub(super) struct StopNotice<'a, 't> {
    waiting: Pin<&'a mut WaitForCancellationFuture<'t>>,
    notice: Option<Arc<StopWaker>>,
    /// It is.
    pub(super) came: bool,
}

impl<'a, 't> StopNotice<'a, 't> {
    pub(super) fn new(waiting: Pin<&'a mut WaitForCancellationFuture<'t>>) -> Self {
        Self { waiting, notice: None, came: false }
    }

    /// Looks whether there is news.
    pub(super) fn look(&mut self, cx: &Context<'_>) {
        // One atomic load for each request, instead of the token's lock.
        let news = self.notice.as_ref().is_none_or(|notice| notice.came.load(Ordering::Acquire));
        if news && !self.came {
            let notice = self.notice.get_or_insert_with(|| StopWaker::to(cx.waker()));
            let waker = Waker::from(Arc::clone(notice));
            self.came = self.waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        }
    }
}

/// Wakes a connection's task, and leaves word of it: whether the process is to end is asked only then, since asking takes
/// a lock that all connections share.
struct StopWaker {
    came: AtomicBool,
    task: Waker,
}

impl StopWaker {
    fn to(task: &Waker) -> Arc<Self> {
        Arc::new(Self { came: AtomicBool::new(false), task: task.clone() })
    }
}

impl Wake for StopWaker {
    fn wake(self: Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}
