//! What happens when the visitor goes before the answer came: the rest of the request goes on in a task of its own,
//! so that whoever closes the tab after "log out" is logged out.
//!
//! From the first moment on: a request whose head arrived counts, however soon its connection ended. One whose body
//! broke off fails by itself, since the app is not given the end of it.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use super::{ProxyWorker, ResponseBody};
use crate::{clock, message::Response, tasks};

type RequestLife = Pin<Box<dyn Future<Output = Response<ResponseBody>>>>;

/// Whether anybody waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AwaitedBy {
    /// The visitor.
    Visitor,
    /// The visitor went; what the answer changes is waited for still.
    Us,
    /// Nobody any longer: the time was up.
    Nobody,
}

thread_local! {
    /// While a life is polled: who waits. No part of the life itself, since nearly all end with their visitor there.
    static AWAITED_BY: Cell<AwaitedBy> = const { Cell::new(AwaitedBy::Visitor) };
}

/// For as long as this is there, [`AWAITED_BY`] is what it says; also where a poll panics.
struct AwaitedScope;

impl AwaitedScope {
    fn begin(by: AwaitedBy) -> Self {
        AWAITED_BY.set(by);
        Self
    }
}

impl Drop for AwaitedScope {
    fn drop(&mut self) {
        AWAITED_BY.set(AwaitedBy::Visitor);
    }
}

/// The output of a future; `None` once it has come to `end`: what is left then is to give back what was taken for it.
pub async fn until<F: Future>(end: AwaitedBy, mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(
        move |cx| {
            if AWAITED_BY.get() >= end { Poll::Ready(None) } else { future.as_mut().poll(cx).map(Some) }
        },
    )
    .await
}

/// Whether the visitor waits for the answer that is in the making: asked within the life of its request.
pub fn visitor_waits() -> bool {
    AWAITED_BY.get() == AwaitedBy::Visitor
}

/// What giving back may take.
const CLEANUP_GRACE: Duration = Duration::from_secs(10);

/// A request's future. Dropped before its answer is there, it goes on until its changes are committed.
pub struct AbortHandover {
    life: Option<RequestLife>,
    worker: Rc<ProxyWorker>,
}

impl std::fmt::Debug for AbortHandover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handover")
    }
}

impl AbortHandover {
    pub(super) fn new(life: RequestLife, worker: Rc<ProxyWorker>) -> Self {
        Self { life: Some(life), worker }
    }
}

impl Future for AbortHandover {
    type Output = Response<ResponseBody>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(life) = &mut self.life else { return Poll::Pending };
        let polled = life.as_mut().poll(cx);
        if polled.is_ready() {
            self.life = None;
        }
        polled
    }
}

impl Drop for AbortHandover {
    fn drop(&mut self) {
        if let Some(mut life) = self.life.take() {
            let limit = self.worker.plan.load().limits.finish_after_abort;
            // The answer that comes of it is dropped, and with it the connection to the app.
            // Spawned only here, when a visitor has gone: the usual request costs no task.
            tasks::spawn(self.worker.tasks.track_future(async move {
                for (awaited, limit) in [(AwaitedBy::Us, limit), (AwaitedBy::Nobody, Some(CLEANUP_GRACE))] {
                    let life = poll_fn(|cx| {
                        let _scope = AwaitedScope::begin(awaited);
                        life.as_mut().poll(cx)
                    });
                    if clock::timeout(limit, life).await.is_ok() {
                        return;
                    }
                }
            }));
        }
    }
}
