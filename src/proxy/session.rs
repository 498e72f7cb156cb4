//! Where requests and sessions meet: the cookie in, the Set-Cookie out.

use std::net::IpAddr;

use http::{HeaderValue, StatusCode, header};
use uuid::Uuid;

use super::{Call, ProxyError, cookies::CommittedSession};
use crate::{
    clock::Timestamp,
    config::{CacheRule, OnStoreFailure, SessionMode},
    headers::ClientInfo,
    message::{Fields, Request, Response},
    net::network_of,
    session::{self, FetchContext, PresentedCookies, ResolvedSession, SessionChanges},
};

impl Call<'_> {
    /// The session of a request; `None` where the route has none.
    ///
    /// # Errors
    /// The store failed, and the route does not ask the app without it.
    pub async fn resolve_session<B>(
        &self,
        request: &Request<B>,
    ) -> Result<Option<ResolvedSession>, ProxyError> {
        let Self { plan, route, admitted, client, now, is_rehearsal } = self;
        let now = *now;
        if route.session == SessionMode::Off {
            return Ok(None);
        }
        let form = &route.cookie;
        // Who has no session is sent by address, and must find the same server by the session that begins there.
        let home = by_address(client).and_then(|address| route.upstream.home_of(address, now));
        let id_filter = |id| route.upstream.home_of(in_common(id), now) == home;
        let lines = request.fields().get_all(header::COOKIE).map(HeaderValue::as_bytes);
        let resolved = plan.sessions.resolve(session::ResolveRequest {
            cookie: form,
            shown: PresentedCookies::read(form, client.https, lines),
            realm: self.realm(),
            https: client.https,
            client: client.address,
            visit: || {
                let visit = FetchContext::read(
                    request.method(),
                    request.fields(),
                    form.same_site(),
                    route.cross_site_sessions,
                );
                visit.within(form.reaches(admitted.path()))
            },
            read_only: route.session == SessionMode::ReadOnly,
            id_filter: home.is_some().then_some(&id_filter),
            now,
            is_rehearsal: *is_rehearsal,
        });
        match resolved.await {
            Ok(resolved) => Ok(Some(resolved)),
            Err(error) if route.on_store_failure == OnStoreFailure::Anonymous => {
                tracing::error!(%error, "a request goes on without its session: the route is on_store_failure = \"anonymous\"");
                Ok(Some(ResolvedSession::unavailable(client.https, now)))
            }
            Err(error) => Err(ProxyError::StoreRead(error)),
        }
    }

    /// Takes the flashes that this request delivers: the app is asked now.
    pub async fn deliver_flashes<B>(&self, request: &Request<B>, resolved: &mut ResolvedSession) {
        let Self { plan, route, .. } = self;
        let is_document = || {
            FetchContext::read(
                request.method(),
                request.fields(),
                route.cookie.same_site(),
                route.cross_site_sessions,
            )
            .is_document
        };
        plan.sessions.deliver(resolved, self.realm(), &route.view, is_document).await;
    }

    /// Flashes that no answer showed are for the next page.
    pub async fn give_back_flashes(&self, resolved: &ResolvedSession) {
        self.plan.sessions.give_back(resolved, self.realm(), Timestamp::now()).await;
    }

    /// Nothing changes ([`has_nothing_to_commit`](session::SessionManager::has_nothing_to_commit)), as is nearly always so.
    pub fn commit_nothing<B>(
        &self,
        resolved: &ResolvedSession,
        response: &mut Response<B>,
    ) -> CommittedSession {
        self.tell_browser(resolved, Vec::new(), response);
        CommittedSession { session: resolved.known_id(), ..CommittedSession::default() }
    }

    /// Stores the changes, before the visitor's first byte.
    ///
    /// # Errors
    /// They could not be kept, and the visitor is to know; or `If-Version` named another version.
    pub async fn commit_changes<B>(
        &self,
        resolved: &ResolvedSession,
        changes: Box<SessionChanges>,
        response: &mut Response<B>,
    ) -> Result<CommittedSession, ProxyError> {
        let Self { plan, route, client, .. } = self;
        let began = self.now;
        // What can wait does on 304 and on answers for shared caches.
        let shared = || {
            response.status() == StatusCode::NOT_MODIFIED || session::is_for_shared_caches(response.fields())
        };
        let weighty = changes.is_weighty();
        let home = affinity(Some(resolved), client).and_then(|one| route.upstream.home_of(one, began));
        let id_filter = |id| route.upstream.home_of(in_common(id), began) == home;
        let answer = session::SessionAnswer {
            // The app may have taken its time; where it changes nothing that does not matter.
            now: if changes.is_empty() { began } else { Timestamp::now() },
            changes: *changes,
            realm: self.realm(),
            cookie: &route.cookie,
            view: &route.view,
            shared,
            shows_nothing: response.status().is_redirection() || response.status().is_server_error(),
            client: client.address,
            id_filter: home.is_some().then_some(&id_filter),
        };
        let issue = match plan.sessions.commit(resolved, answer).await {
            Ok(issue) => issue,
            // Logins and logouts are never dropped in silence, whatever the route says.
            Err(error) if weighty || route.on_store_failure == OnStoreFailure::Refuse => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::error!(%error, "a response is sent although its session changes were not stored, or stored late: the route is on_store_failure = \"anonymous\"");
                plan.sessions.headers.events.dropped.raise();
                self.give_back_flashes(resolved).await;
                session::IssuedCookies::default()
            }
        };
        if issue.conflict {
            return Err(ProxyError::Client(StatusCode::CONFLICT, "If-Version named another version"));
        }
        let sets_cookie = !issue.set_cookies.is_empty();
        self.tell_browser(resolved, issue.set_cookies, response);
        Ok(CommittedSession { session: issue.session, ended: issue.ended, jar: issue.jar, sets_cookie })
    }

    /// What the browser and caches are told.
    fn tell_browser<B>(
        &self,
        resolved: &ResolvedSession,
        set_cookies: Vec<HeaderValue>,
        response: &mut Response<B>,
    ) {
        let Self { plan, route, admitted, client, .. } = self;
        let others = if resolved.is_crowded() {
            route.cookie.expire_others(client.https, &admitted.authority.host, admitted.path())
        } else {
            Vec::new()
        };
        let headers = response.fields_mut();
        if plan.sessions.varies_by_cookie() {
            vary(headers);
        }
        // First, since the stricter of the two is enough.
        cache(plan.sessions.rules().cache, resolved, headers);
        if !others.is_empty() || !set_cookies.is_empty() {
            for line in others.into_iter().chain(set_cookies) {
                headers.append(header::SET_COOKIE, line);
            }
            session::make_private(headers);
        }
    }
}

/// What the requests of one session have in common, where servers are chosen by it.
fn in_common(session: Uuid) -> u64 {
    session.as_u64_pair().1
}

/// The same of one visitor's requests: the address, or its /64 in IPv6. Those who come by a unix socket have none.
fn by_address(client: &ClientInfo) -> Option<u64> {
    match network_of(client.address?) {
        IpAddr::V4(v4) => Some(u64::from(v4.to_bits())),
        IpAddr::V6(v6) => Some((v6.to_bits() >> 64) as u64),
    }
}

/// By what a server is chosen for a request: its session, if the visitor has shown one; else where it comes from, since who
/// keeps no cookies gets another session with each answer; else the session that they may get.
pub fn affinity(resolved: Option<&ResolvedSession>, client: &ClientInfo) -> Option<u64> {
    let known = resolved.and_then(ResolvedSession::known_id);
    let offered = || resolved.and_then(ResolvedSession::id);
    known.map(in_common).or_else(|| by_address(client)).or_else(|| offered().map(in_common))
}

/// The answer depends on the cookie, as Flask says of its own.
fn vary(headers: &mut Fields) {
    let says = |line: &HeaderValue| {
        let names = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.into_iter().any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie"))
    };
    if !headers.get_all(header::VARY).any(says) {
        headers.append(header::VARY, HeaderValue::from_static("Cookie"));
    }
}

/// An answer whose app was told who asks, and that says nothing of caches, is not for those that serve many.
fn cache(rule: CacheRule, resolved: &ResolvedSession, headers: &mut Fields) {
    let value = match rule {
        CacheRule::Private => "private",
        CacheRule::NoStore => "no-store",
        CacheRule::Off => return,
    };
    if resolved.tells_who_asks() {
        headers.insert_if_absent(header::CACHE_CONTROL, HeaderValue::from_static(value));
    }
}
