//! One exchange: what is known of a request from its first byte to its last, and its line in the access log.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    net::IpAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, StatusCode, Version, header};

use super::{
    access_log::{AccessLog, AccessRecord},
    counted::{CountedRow, PlanShape, WorkerCounts},
    request_id::RequestId,
    request_origin::RequestOrigin,
};
use crate::{
    clock::{self, Timestamp},
    headers::ClientInfo,
    message::Request,
    metrics,
    plan::{Plan, RoutePlan},
    session::{ResolvedSession, TicketVerdict},
};

/// What the access log will say.
#[derive(Debug)]
struct LoggedRequest {
    log: AccessLog,
    method: Method,
    target: String,
    version: Version,
    route: Option<Arc<str>>,
    /// Who is logged in, where that may be written.
    principal: Option<Arc<str>>,
    ticket: Option<TicketVerdict>,
    /// When the app was first asked.
    asked: Cell<Option<Instant>>,
    /// Which of the upstream's servers answered.
    server: Cell<Option<usize>>,
    /// How long the store was waited for.
    store_wait: Cell<Duration>,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    agent: Option<HeaderValue>,
}

/// Where it is counted.
#[derive(Debug)]
struct CountedUnder {
    counted: Rc<WorkerCounts>,
    came: (u16, PlanShape),
    /// None before a route was found.
    row: Option<Rc<CountedRow>>,
}

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange {
    /// When it began: the one timestamp that all its decisions use.
    pub now: Timestamp,
    /// Nobody came: an operator wants to know what would become of it.
    pub is_rehearsal: bool,
    /// The visitor's address.
    pub client: Option<IpAddr>,
    /// The answer's status; 499, as nginx writes it, where the visitor went before there was one.
    pub status: StatusCode,
    /// Bytes of body that went out.
    pub sent: u64,
    /// The answer did not go out whole. So until it has.
    pub cut: bool,
    /// The answer has no body, whatever it says.
    pub head_only: bool,
    /// When the head of the app's answer was there.
    pub answered: Cell<Option<Instant>>,
    began: Instant,
    method: usize,
    counting: Option<CountedUnder>,
    /// What the log says beside each line that is written on its behalf.
    pub origin: Rc<RequestOrigin>,
    noted: Option<Box<LoggedRequest>>,
}

impl Exchange {
    /// Begins; what the access log needs is copied only if a line will be written.
    pub fn begin<B>(request: &Request<B>, log: Option<&AccessLog>, began: Instant) -> Self {
        let noted = log.map(|log| {
            let copy = |name| request.fields().get(name).cloned();
            Box::new(LoggedRequest {
                log: log.clone(),
                method: request.method().clone(),
                target: request
                    .uri()
                    .path_and_query()
                    .map_or_else(|| request.uri().to_string(), ToString::to_string),
                version: request.version(),
                route: None,
                principal: None,
                ticket: None,
                asked: Cell::new(None),
                server: Cell::new(None),
                store_wait: Cell::new(Duration::ZERO),
                host: named_host(request),
                referer: copy(header::REFERER),
                agent: copy(header::USER_AGENT),
            })
        });
        let now = Timestamp::now();
        Self {
            now,
            is_rehearsal: false,
            client: None,
            // Until there is an answer: if the future is dropped, this is what is logged.
            status: gone(),
            sent: 0,
            cut: true,
            head_only: *request.method() == Method::HEAD,
            answered: Cell::new(None),
            began,
            method: metrics::method(request.method().as_str()),
            counting: None,
            origin: RequestOrigin::new(RequestId::make(now)),
            noted,
        }
    }

    /// Of a request that nobody sent.
    pub fn rehearse<B>(request: &Request<B>) -> Self {
        let mut exchange = Self::begin(request, None, clock::instant());
        exchange.is_rehearsal = true;
        exchange
    }

    /// It is counted by this worker, as one that came in there.
    pub fn count(&mut self, counted: &Rc<WorkerCounts>, plan: &Plan, listener: u16) {
        self.counting =
            Some(CountedUnder { counted: Rc::clone(counted), came: (listener, plan.into()), row: None });
    }

    /// It goes that way.
    pub fn goes(&mut self, route: &RoutePlan) {
        self.origin.goes_to(&route.upstream);
        if let Some(noted) = &mut self.noted {
            noted.route = Some(Arc::clone(&route.name));
        }
        if let Some(counting) = &mut self.counting {
            counting.row = Some(counting.counted.row(counting.came, Some(route)));
        }
    }
}

impl Exchange {
    /// Whose it is, and what a proxy that is believed calls it.
    pub fn comes_from<B>(&mut self, client: &ClientInfo, request: &Request<B>) {
        self.client = client.address;
        if client.by_proxy
            && let Some(id) = RequestId::given(request.fields())
        {
            self.origin.is_named(id);
        }
    }

    /// This is the session that it comes under; `names_principals`: who is logged in may be written.
    pub fn comes_under(&mut self, resolved: &ResolvedSession, names_principals: bool) {
        self.origin.session.set(resolved.id());
        if let Some(noted) = &mut self.noted {
            noted.ticket = Some(resolved.verdict());
            let principal = resolved.record().and_then(|record| record.principal.as_ref());
            noted.principal = principal.filter(|_| names_principals).cloned();
        }
    }

    /// The app is asked now.
    pub fn asks(&self) {
        if let Some(noted) = &self.noted {
            noted.asked.set(Some(clock::instant()));
        }
    }

    /// The head of the app's answer is there, from this server of its upstream.
    pub fn is_answered_by(&self, server: usize) {
        self.answered.set(Some(clock::instant()));
        if let Some(noted) = &self.noted {
            noted.server.set(Some(server));
        }
    }

    /// Whatever the future waits for is the store. It is lent, since it may be large.
    pub async fn store_wait<F: Future>(&self, mut future: Pin<&mut F>) -> F::Output {
        let Some(noted) = &self.noted else { return future.await };
        let mut waits_since = None;
        poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            match waits_since {
                // Hardly ever: what is in memory is there at once, and no time is taken.
                None if polled.is_pending() => waits_since = Some(clock::instant()),
                Some(since) if polled.is_ready() => {
                    noted.store_wait.set(noted.store_wait.get() + clock::instant().duration_since(since));
                }
                _ => {}
            }
            polled
        })
        .await
    }
}

/// The host that a request names, whether or not that is one.
pub fn named_host<B>(request: &Request<B>) -> Option<HeaderValue> {
    let by_authority = || HeaderValue::from_str(request.uri().authority()?.as_str()).ok();
    request.fields().get(header::HOST).cloned().or_else(by_authority)
}

fn gone() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl Drop for Exchange {
    /// Finish: always runs, however the exchange ended.
    fn drop(&mut self) {
        let took = self.began.elapsed();
        if let Some(CountedUnder { counted, came, row }) = self.counting.take() {
            let row = row.unwrap_or_else(|| counted.row(came, None));
            row.count(self.method, self.status.as_u16());
            row.took.note(took);
            if let Some(answered) = self.answered.get() {
                row.waited.note(answered.duration_since(self.began));
            }
        }
        if let Some(noted) = self.noted.take() {
            noted.log.write(&AccessRecord {
                id: self.origin.id(),
                at: self.now,
                client: self.client,
                method: &noted.method,
                target: &noted.target,
                version: noted.version,
                host: noted.host.as_ref(),
                route: noted.route.as_deref(),
                upstream: self.origin.upstream(),
                server: noted.server.get().and_then(|place| self.origin.server(place)),
                upstream_took: noted
                    .asked
                    .get()
                    .zip(self.answered.get())
                    .map(|(from, to)| to.duration_since(from)),
                store_waited: noted.store_wait.get(),
                ticket: noted.ticket,
                principal: noted.principal.as_deref(),
                referer: noted.referer.as_ref(),
                agent: noted.agent.as_ref(),
                status: self.status,
                sent: self.sent,
                cut: self.cut,
                took,
                session: self.origin.session.get(),
            });
        }
    }
}
