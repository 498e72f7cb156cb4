//! The life of one request, and the only place where the wings meet.
//!
//! Here live the stages, in the order of [`handle`]. Never: sockets (`listen`, `upstream`), decisions about sessions
//! (`session`). Called by `app`, which gives each worker's listeners [`answer`]. RFC 9110 §7 and RFC 9112 bind it.

mod access_log;
mod admit;
mod body;
mod call;
mod cookies;
mod counted;
mod error;
mod exchange;
mod explain;
mod gate;
mod handover;
mod long_answer;
mod own_answer;
mod own_url;
mod request;
mod request_body;
mod request_id;
mod request_origin;
mod response;
mod session;
mod upgrade;
mod websocket;

pub use access_log::AccessLog;
pub use body::ResponseBody;
pub use counted::WorkerCounts;
pub use error::ProxyError;
pub use explain::explain;
pub use handover::AbortHandover;
pub use request_body::RequestBody;

use std::{future::Future, pin::pin, rc::Rc, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::{self, Timestamp},
    headers::{self, ConnectionOptions, NominatedNames},
    listen::{PeerName, PendingUpgrade, ReceivedBody, RequestArrival},
    message::{Request, Response, challenges, lines::HeaderLines},
    net::VisitorConnection,
    plan::{Plan, RoutePlan},
    router::RouteMiss,
    session::ResolvedSession,
    upstream::{self, AnswerBody, UpstreamConnections},
};
use admit::AdmittedRequest;
use call::Call;
use cookies::{CommittedSession, CookieContext};
use exchange::Exchange;
use handover::AwaitedBy;
use long_answer::LongAnswer;
use own_answer::StageEnd;
pub use request_origin::{RequestOrigin, current as current_request};

/// What belongs to one worker: the plan that all share, and connections of its own.
#[derive(Debug)]
pub struct ProxyWorker {
    /// The current plan.
    pub plan: Arc<ArcSwap<Plan>>,
    /// Connections to the apps.
    pub pools: UpstreamConnections<RequestBody>,
    /// Requests that go on without their visitor.
    pub tasks: TaskTracker,
    /// The process is to end.
    pub stop: CancellationToken,
    /// The access log, if there is one.
    pub access: Option<AccessLog>,
    /// What is counted of its requests.
    pub counted: Rc<WorkerCounts>,
}

/// Answers one request. The future may be dropped at any time: what must still be committed is handed over.
pub fn answer(
    worker: &Rc<ProxyWorker>,
    request: Request<ReceivedBody>,
    arrival: RequestArrival,
) -> AbortHandover {
    // Written where it will lie: `Box::pin` would make it on the stack and move all of it.
    let life = Box::write(Box::new_uninit(), handle(Rc::clone(worker), request, arrival));
    AbortHandover::new(Box::into_pin(life), Rc::clone(worker))
}

/// Its future is what a request holds from its first byte to the head of its answer, and it is made anew for each: so
/// what is large stays where it is and is lent, and what is rare is boxed where it happens. An `async fn` would hold
/// its arguments twice, as they came and as they are used.
#[expect(clippy::manual_async_fn, reason = "half the size")]
fn handle(
    worker: Rc<ProxyWorker>,
    mut request: Request<ReceivedBody>,
    arrival: RequestArrival,
) -> impl Future<Output = Response<ResponseBody>> {
    async move {
        // 2. begin. The plan is pinned: what a reload publishes meanwhile holds from the next request on.
        let plan = worker.plan.load_full();
        let mut exchange = Box::new(Exchange::begin(&request, worker.access.as_ref(), clock::instant()));
        exchange.count(&worker.counted, &plan, arrival.listener);
        let origin = Rc::clone(&exchange.origin);
        let answered = {
            let stages = pin!(stages(&worker, &plan, &mut exchange, &mut request, arrival));
            origin.within(stages).await
        };
        let response = answered.unwrap_or_else(|error| {
            // Refused before it was known to name a host that is one.
            if let Some(host) = exchange::named_host(&request) {
                origin.asks_for(&host);
            }
            let _scope = origin.enter();
            error.answer(request.fields().get(http::header::ACCEPT), &plan.errors, origin.id())
        });
        // 12. finish: with the body's last piece, or when the visitor has gone, the exchange is dropped, and then counted.
        exchange.status = response.status();
        response.map(|body| body.ends(exchange))
    }
}

/// A request that is as the app is to get it.
struct PreparedRequest<'p> {
    call: Call<'p>,
    resolved: Option<ResolvedSession>,
    /// What its answer's cookies depend on.
    cookie_context: CookieContext,
    /// Lines that we add to its head.
    added: HeaderLines,
    /// What ended here.
    nominations: ConnectionOptions,
}

/// The stages before the app is asked. Any of them may end the request ([`StageEnd`]).
async fn prepare<'p, B: http_body::Body>(
    plan: &'p Arc<Plan>,
    exchange: &mut Exchange,
    request: &mut Request<B>,
    arrival: RequestArrival,
    can_switch: bool,
) -> Result<PreparedRequest<'p>, StageEnd> {
    let (address, source) = match arrival.peer {
        PeerName::Ip(ip) => (Some(ip), headers::PeerAddress::Ip(ip)),
        PeerName::Unix => (None, headers::PeerAddress::Unix),
    };
    // Until more is known: refused requests have an address too.
    exchange.client = address;
    // 3. admit. Nothing of a request is looked at that two readers could read in two ways.
    let admitted = admit::admit(request, &plan.limits)?;
    if let Some(host) = &admitted.host {
        exchange.origin.asks_for(host);
    }
    let client = plan.forwarding.client(&source, arrival.https, request.fields());
    exchange.comes_from(&client, request);
    gate::https(arrival, &client, &admitted)?;
    // 4. route.
    let route = route(plan, &admitted)?;
    exchange.goes(route);
    tracing::debug!(route = %route.name, "a route was chosen");
    admit::body(request, route.body_bytes)?;
    let (now, is_rehearsal) = (exchange.now, exchange.is_rehearsal);
    let call = Call { plan, route, admitted, client, now, is_rehearsal };
    // 5. strip. SECURITY: from here on a session header in the request is one that we wrote.
    plan.guard.strip_request(request.fields_mut());
    gate::cross_site(&call, request)?;

    // 6. resolve; the gate comes after it, since it asks who is logged in.
    let mut resolved = exchange.store_wait(pin!(call.resolve_session(request))).await?;
    if let Some(resolved) = &resolved {
        exchange.comes_under(resolved, plan.log.principals);
    }
    gate::require(&call, request, resolved.as_ref())?;
    // 7. rewrite the request. Paths first, since cookies and forwarding headers speak of what the app will see.
    request::origin_form(request)?;
    request::strip_prefix(route, request)?;
    own_url::for_app(&call, request)?;

    // Hardly anything ends the request from here on before the app is asked, and then they are given back.
    if let Some(resolved) = resolved.as_mut().filter(|resolved| resolved.has_flashes() && !is_rehearsal) {
        Box::pin(call.deliver_flashes(request, resolved)).await;
    }
    let (added, nominations) =
        call.rewrite_request(resolved.as_ref(), (&source, can_switch), (request, exchange.origin.id()));
    let cookie_context = match call.rewrite_cookies(resolved.as_ref(), request) {
        Ok(cookie_context) => cookie_context,
        Err(error) => {
            if let Some(resolved) = resolved.filter(ResolvedSession::has_taken) {
                Box::pin(call.give_back_flashes(&resolved)).await;
            }
            return Err(error.into());
        }
    };
    Ok(PreparedRequest { call, resolved, cookie_context, added, nominations })
}

/// All stages.
async fn stages(
    worker: &ProxyWorker,
    plan: &Arc<Plan>,
    exchange: &mut Exchange,
    request: &mut Request<ReceivedBody>,
    arrival: RequestArrival,
) -> Result<Response<ResponseBody>, StageEnd> {
    // Taken off before the body goes to the app's side, which has no business with the visitor's
    // connection.
    let (switch, interim) = (request.body_mut().take_switch(), request.body_mut().take_interim());
    let connection = request.body_mut().take_connection();
    let mut prepared = prepare(plan, exchange, request, arrival, switch.is_some()).await?;
    let body = std::mem::take(request.body_mut());
    let ended = std::mem::take(&mut prepared.nominations);
    let body = RequestBody::new(body, prepared.call.route, plan, ended.names);
    let hints = |head| response::hint(plan, interim.as_ref(), head);
    let visitor = VisitorSide {
        interim: interim.as_ref().map(|_| upstream::InterimHandler(&hints)),
        // SECURITY: of the next person on a proxy's connection nobody is to be made who was on it before.
        connection: connection.as_ref().filter(|_| !prepared.call.client.by_proxy),
        upgrade: ended.upgrade.zip(switch),
    };
    let outcome = prepared.forward(worker, exchange, (request, body), visitor).await;
    if outcome.is_err()
        && let Some(resolved) = prepared.resolved.as_ref().filter(|resolved| resolved.has_taken())
    {
        Box::pin(prepared.call.give_back_flashes(resolved)).await;
    }
    Ok(outcome?)
}

/// What an app's answer can do to the visitor's connection, beside being sent there.
struct VisitorSide<'a> {
    /// Who hears what the app says beforehand.
    interim: Option<upstream::InterimHandler<'a>>,
    /// The connection, where it carries one request at a time.
    connection: Option<&'a VisitorConnection>,
    /// To what it is to change, and how.
    upgrade: Option<(HeaderValue, PendingUpgrade)>,
}

impl PreparedRequest<'_> {
    /// The stages from the app's side on.
    async fn forward(
        &self,
        worker: &ProxyWorker,
        exchange: &Exchange,
        (head, body): (&Request<ReceivedBody>, RequestBody),
        visitor: VisitorSide<'_>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let Self { call, cookie_context, .. } = self;
        let (route, resolved) = (call.route, self.resolved.as_ref());
        // 8. forward.
        exchange.asks();
        let answer = {
            let upload = body.upload();
            let options = self.send_options(upload.as_ref(), &visitor);
            let sent = pin!(upstream::send(&route.upstream, &worker.pools, head, &self.added, body, options));
            // A stream that is taken back is told as such. Where nothing is to be kept of the answer, it is at once.
            let (end, error) = if route.upstream.rules.http2 && resolved.is_none() {
                (AwaitedBy::Us, ProxyError::Gone)
            } else {
                (AwaitedBy::Nobody, ProxyError::GivenUp)
            };
            handover::until(end, sent).await.ok_or(error)??
        };

        let upstream::UpstreamAnswer { mut response, endpoint } = answer;
        exchange.is_answered_by(endpoint);
        // 9. rewrite the response.
        let (mut changes, nominations) = call.rewrite_response(endpoint, &mut response);
        // SECURITY: on a connection that many share, NTLM would log in all of them: it is not even
        // offered.
        if visitor.connection.is_none() && response.status() == StatusCode::UNAUTHORIZED {
            challenges::remove_offers_of_connections(response.fields_mut());
        }
        let upgrade = visitor.upgrade;
        let asked = upgrade.as_ref().map(|(asked, _)| asked);
        let switched = upgrade::agree(asked, nominations.upgrade, &mut response)?;
        // Before the commit, since what the jar keeps of these lines is part of it.
        let waiting = call.rewrite_set_cookies(cookie_context, &mut response, &mut changes);
        // 10. commit, before the visitor's first byte: who reads that they are logged in is, also after a crash.
        let mut after = CommittedSession::default();
        if let Some(resolved) = resolved {
            after = match changes {
                None if call.plan.sessions.has_nothing_to_commit(resolved, call.now) => {
                    call.commit_nothing(resolved, &mut response)
                }
                changes => {
                    let changes = changes.unwrap_or_default();
                    let mut committed = Box::pin(call.commit_changes(resolved, changes, &mut response));
                    exchange.store_wait(committed.as_mut()).await?
                }
            };
        }
        call.finish_set_cookies(cookie_context, waiting, &after, response.fields_mut());
        // 11. stream, or tunnel.
        Ok(match upgrade.filter(|_| switched) {
            None => self.stream(worker, response, &after, nominations.names),
            Some((_, switch)) => self.tunnel(worker, response, (switch, exchange), &after),
        })
    }

    fn send_options<'s>(
        &'s self,
        upload: Option<&'s upstream::UploadProgress>,
        visitor: &VisitorSide<'s>,
    ) -> upstream::SendOptions<'s> {
        let Call { route, admitted, client, now, .. } = &self.call;
        upstream::SendOptions {
            first_byte: Some(route.first_byte_timeout),
            answer_idle: route.response_idle_timeout,
            session: session::affinity(self.resolved.as_ref(), client),
            upload,
            interim: visitor.interim,
            visitor: visitor.connection,
            has_credentials: admitted.has_credentials,
            address: client.address,
            now: *now,
        }
    }

    /// The answer with its body, which ends with its session where it goes on for long.
    fn stream(
        &self,
        worker: &ProxyWorker,
        response: Response<AnswerBody<RequestBody>>,
        after: &CommittedSession,
        nominated: NominatedNames,
    ) -> Response<ResponseBody> {
        if long_answer::is_event_stream(response.body(), response.fields()) {
            let tunnel_limits = self.tunnel_limits(worker, after);
            return response
                .map(|body| ResponseBody::long(LongAnswer::events(body, tunnel_limits), nominated));
        }
        response.map(|body| self.body(worker, body, after, nominated))
    }

    /// The app's body. What has a session, and is not all here, ends with that if it goes on.
    fn body(
        &self,
        worker: &ProxyWorker,
        body: AnswerBody<RequestBody>,
        after: &CommittedSession,
        nominated: NominatedNames,
    ) -> ResponseBody {
        if self.resolved.is_some() && !body.is_here() {
            let mut tunnel_limits = self.tunnel_limits(worker, after);
            if let Some(session) = tunnel_limits.session.as_mut() {
                session.outlives_renewals();
                return ResponseBody::long(LongAnswer::new(body, tunnel_limits), nominated);
            }
        }
        ResponseBody::answer(body, Arc::clone(self.call.plan), nominated)
    }

    /// What ends that which now begins, and may go on for long.
    fn tunnel_limits(&self, worker: &ProxyWorker, after: &CommittedSession) -> upgrade::TunnelLimits {
        // After the commit: a login by this very answer must not end what it begins.
        let now = Timestamp::now();
        let session = self
            .resolved
            .as_ref()
            .and_then(|resolved| self.call.plan.sessions.tunnel(resolved, after.sets_cookie, now));
        upgrade::TunnelLimits { plan: Arc::clone(self.call.plan), session, stop: worker.stop.clone() }
    }

    /// The 101, and what follows it: after its instructions were committed, and after it has left.
    fn tunnel(
        &self,
        worker: &ProxyWorker,
        response: Response<AnswerBody<RequestBody>>,
        (switch, exchange): (PendingUpgrade, &Exchange),
        after: &CommittedSession,
    ) -> Response<ResponseBody> {
        let is_websocket = upgrade::is_websocket(&response);
        response.map(|body| {
            if let Some((app, early, busy)) = body.into_stream() {
                let tunnel_limits = self.tunnel_limits(worker, after);
                let origin = Rc::clone(&exchange.origin);
                switch.to(move |visitor, unread| {
                    Box::pin(async move {
                        let visitor = (visitor, unread);
                        let tunnel = upgrade::tunnel(visitor, (app, early), is_websocket, tunnel_limits);
                        origin.within(pin!(tunnel)).await;
                        drop(busy);
                    })
                });
            }
            ResponseBody::full(Bytes::new())
        })
    }
}

fn route<'p>(plan: &'p Plan, admitted: &AdmittedRequest) -> Result<&'p RoutePlan, ProxyError> {
    plan.router.find(&admitted.authority.host, admitted.path(), RoutePlan::differs).map_err(|miss| match miss
    {
        RouteMiss::NotFound => ProxyError::Client(StatusCode::NOT_FOUND, "no route for this host and path"),
        RouteMiss::Ambiguous => {
            ProxyError::Client(StatusCode::BAD_REQUEST, "the path can be read as one of another route")
        }
        RouteMiss::BadPath => ProxyError::Client(StatusCode::BAD_REQUEST, "characters that no path may hold"),
        RouteMiss::TooManyReadings => {
            ProxyError::Client(StatusCode::BAD_REQUEST, "the path can be read in too many ways")
        }
    })
}
