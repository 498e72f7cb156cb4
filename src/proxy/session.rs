//! Where requests and sessions meet: the cookie in, the Set-Cookie out.

use http::{Request, Response, header};

use super::{ProxyError, admit::Admitted};
use crate::{
    clock::Timestamp,
    config::{OnStoreFailure, SessionMode},
    headers::Client,
    message::cookie,
    plan::{Plan, RoutePlan},
    session::{self, Changes, Realm, Resolved, Visit},
};

/// The session of a request; `None` where the route has none.
pub fn resolve<B>(
    plan: &Plan,
    route: &RoutePlan,
    admitted: &Admitted,
    client: &Client,
    request: &Request<B>,
    now: Timestamp,
) -> Option<Resolved> {
    if route.session == SessionMode::Off {
        return None;
    }
    let form = &plan.sessions.cookie;
    let name = form.name(client.https).as_bytes();
    // In an array: there is seldom more than one, and more than four are not tried.
    let mut candidates: [&[u8]; session::MOST_CANDIDATES] = [b""; session::MOST_CANDIDATES];
    let mut places = candidates.iter_mut();
    for line in request.headers().get_all(header::COOKIE) {
        for (_, value) in cookie::pairs(line.as_bytes()).filter(|(n, _)| *n == name) {
            if let Some(place) = places.next() {
                *place = value;
            }
        }
    }
    let left = places.len();
    let (candidates, _) = candidates.split_at(session::MOST_CANDIDATES - left);
    Some(plan.sessions.resolve(session::Request {
        candidates,
        realm: realm(plan, route, admitted),
        https: client.https,
        visit: || Visit::read(request.method(), request.headers(), form.same_site(), route.mint),
        read_only: route.session == SessionMode::ReadOnly,
        now,
    }))
}

/// A session belongs to the route's realm, else to the cookie's domain, else to the host.
fn realm<'a>(plan: &'a Plan, route: &'a RoutePlan, admitted: &'a Admitted) -> Realm<'a> {
    match (&route.realm, plan.sessions.cookie.domain()) {
        (Some(realm), _) => Realm::Named(realm),
        (None, Some(domain)) => Realm::Domain(domain),
        (None, None) => Realm::Host(&admitted.authority.host),
    }
}

/// Stores the changes, before the visitor's first byte.
pub fn commit<B>(
    plan: &Plan,
    route: &RoutePlan,
    admitted: &Admitted,
    resolved: Option<&Resolved>,
    changes: &Changes,
    began: Timestamp,
    response: &mut Response<B>,
) -> Result<(), ProxyError> {
    let Some(resolved) = resolved else { return Ok(()) };
    // What can wait does on 304 and on answers for shared caches.
    let shared = || {
        response.status() == http::StatusCode::NOT_MODIFIED
            || session::is_for_shared_caches(response.headers())
    };
    let realm = realm(plan, route, admitted);
    // The app may have taken its time; where it changes nothing that does not matter.
    let now = if changes.is_empty() { began } else { Timestamp::now() };
    let issue = match plan.sessions.commit(resolved, realm, changes, shared, now) {
        Ok(issue) => issue,
        Err(error) if changes.is_weighty() || route.on_store_failure == OnStoreFailure::Refuse => {
            return Err(error.into());
        }
        Err(error) => {
            tracing::error!(%error, "changes of a session were dropped: the route is on_store_failure = \"anonymous\"");
            return Ok(());
        }
    };
    if let Some(line) = issue.set_cookie {
        response.headers_mut().append(header::SET_COOKIE, line);
        session::make_private(response.headers_mut());
    }
    Ok(())
}
