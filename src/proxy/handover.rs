//! What happens when the visitor goes before the answer came: the rest of the request goes on in a task of its own,
//! so that whoever closes the tab after "log out" is logged out.
//!
//! From the first moment on: a request whose head arrived counts, however soon its connection ended. One whose body
//! broke off fails by itself, since the app is not given the end of it.

use std::{
    cell::Cell,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use http::Response;
use tokio_util::task::TaskTracker;

use super::Body;
use crate::{clock, tasks};

type Life = Pin<Box<dyn Future<Output = Response<Body>>>>;

/// Whether the app is awaited no longer: what is left then is to give back what was taken for it.
#[derive(Clone, Default)]
pub struct GivenUp(Rc<Cell<bool>>);

impl GivenUp {
    /// The output of a future; `None` once it is given up.
    pub async fn or<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(move |cx| {
            if self.0.get() { Poll::Ready(None) } else { future.as_mut().poll(cx).map(Some) }
        })
        .await
    }
}

/// What giving back may take.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A request's future. Dropped before its answer is there, it goes on until its changes are committed.
pub struct Handover {
    life: Option<Life>,
    limit: Option<Duration>,
    given_up: GivenUp,
    tracker: TaskTracker,
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handover")
    }
}

impl Handover {
    pub(super) fn new(life: Life, limit: Option<Duration>, given_up: GivenUp, tracker: TaskTracker) -> Self {
        Self { life: Some(life), limit, given_up, tracker }
    }
}

impl Future for Handover {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(life) = &mut self.life else { return Poll::Pending };
        let polled = life.as_mut().poll(cx);
        if polled.is_ready() {
            self.life = None;
        }
        polled
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if let Some(mut life) = self.life.take() {
            let (limit, given_up) = (self.limit, self.given_up.clone());
            // The answer that comes of it is dropped, and with it the connection to the app.
            tasks::spawn(self.tracker.track_future(async move {
                if clock::timeout(limit, life.as_mut()).await.is_err() {
                    given_up.0.set(true);
                    drop(clock::timeout(Some(LAST_WORDS), life).await);
                }
            }));
        }
    }
}
