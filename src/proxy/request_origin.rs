//! Whose request is being worked on: so that each line of the log says it, wherever the line is written.

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use http::HeaderValue;
use smallvec::SmallVec;
use uuid::Uuid;

use super::request_id::RequestId;
use crate::upstream::Endpoints;

thread_local! {
    /// While something of a request is being done on this thread.
    static CURRENT: RefCell<Option<Rc<RequestOrigin>>> = const { RefCell::new(None) };
}

/// Bytes of a name (RFC 1035 section 2.3.4), and a port.
const LONGEST_HOST: usize = 255 + 6;

/// What the log says of a request beside each line that is written on its behalf.
#[derive(Debug)]
pub struct RequestOrigin {
    made_id: RequestId,
    given_id: OnceCell<RequestId>,
    /// Its session, once that is known.
    pub session: Cell<Option<Uuid>>,
    host: OnceCell<SmallVec<[u8; 40]>>,
    upstream: OnceCell<Arc<Endpoints>>,
}

impl RequestOrigin {
    /// Of a request that has just come.
    pub fn new(id: RequestId) -> Rc<Self> {
        Rc::new(Self {
            made_id: id,
            given_id: OnceCell::new(),
            session: Cell::new(None),
            host: OnceCell::new(),
            upstream: OnceCell::new(),
        })
    }

    /// Its id.
    pub fn id(&self) -> &RequestId {
        self.given_id.get().unwrap_or(&self.made_id)
    }

    /// A proxy that is trusted has named it.
    pub fn is_named(&self, id: RequestId) {
        // What was admitted first holds.
        let _ = self.given_id.set(id);
    }

    /// It asks for this host.
    pub fn asks_for(&self, host: &HeaderValue) {
        let bytes = host.as_bytes();
        // SECURITY: a name and a password before it are nobody's business.
        let host = bytes.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
        // A copy: a share of the request's head would hold that for as long as a tunnel goes on. What was admitted first
        // holds.
        let _ = self.host.set(SmallVec::from_slice(host.get(..LONGEST_HOST).unwrap_or(host)));
    }

    /// The host that it asks for, as the visitor wrote it; no more of it than a host may be long.
    pub fn host(&self) -> Option<&[u8]> {
        self.host.get().map(SmallVec::as_slice)
    }

    /// It goes there.
    pub fn goes_to(&self, upstream: &Arc<Endpoints>) {
        // A request goes one way.
        let _ = self.upstream.set(Arc::clone(upstream));
    }

    /// The name of the upstream that it goes to.
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.get().map(|upstream| &*upstream.rules.name)
    }

    /// The name of one of the upstream's servers.
    pub fn server(&self, place: usize) -> Option<&str> {
        Some(&*self.upstream.get()?.all.get(place)?.name)
    }

    /// Until the guard is dropped, lines of the log are of this request.
    pub fn enter(self: &Rc<Self>) -> OriginScope {
        OriginScope(CURRENT.replace(Some(Rc::clone(self))))
    }

    /// Whatever the future logs is of this request. It is lent, since it may be large.
    pub async fn within<F: Future>(self: &Rc<Self>, mut future: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| {
            let _scope = self.enter();
            future.as_mut().poll(cx)
        })
        .await
    }
}

/// For as long as this is there, lines of the log are of its request; also where a poll panics.
pub struct OriginScope(Option<Rc<RequestOrigin>>);

impl Drop for OriginScope {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// The request on whose behalf something is done just now on this thread.
pub fn current() -> Option<Rc<RequestOrigin>> {
    // While a thread ends there may be none left to ask.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}
