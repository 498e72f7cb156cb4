//! The app's own cookies on their way through: what the rules make of them, what the jar keeps and adds.

mod expiring;
mod inbound;
mod outbound;

pub use outbound::CommittedSession;

use std::borrow::Cow;

use super::{admit::AdmittedRequest, request, session};
use crate::{
    clock::Timestamp,
    cookies::{CookieRules, CookieScope},
    headers::ClientInfo,
    message::authority::HostPort,
    plan::{Plan, RoutePlan},
    record::jar::RequestSite,
    router,
};

/// What the rules make of the path that is asked for.
#[derive(Debug)]
struct AskedPath {
    /// As apps read it, where that is not as it came.
    main: Option<String>,
    /// Which rules hold there ([`CookieRules::request_paths`]).
    rules: Vec<bool>,
}

impl AskedPath {
    /// None where no rule asks for it.
    fn of(path: &str, rules: &CookieRules) -> Option<Box<Self>> {
        rules.reads_paths().then(|| {
            Box::new(match router::reading(path) {
                Cow::Borrowed(_) => Self { main: None, rules: rules.request_paths(path, &[]) },
                Cow::Owned(main) => {
                    let rules = rules.request_paths(&main, &router::other_readings(path));
                    Self { main: Some(main), rules }
                }
            })
        })
    }
}

/// What an answer's cookies will have to know of the request.
#[derive(Debug)]
pub struct CookieContext {
    /// The path, where a rule asks for it.
    path: Option<Box<AskedPath>>,
    from: RequestSite,
    /// RFC 9110 section 9.2.1.
    safe: bool,
    /// The visitor sent a form ([`Visit::submits`](crate::session::FetchContext::submits)).
    form: bool,
    /// The browser's names of cookies that go when their session does.
    expiring: Vec<Vec<u8>>,
}

/// The cookies of one request and its answer.
#[derive(Debug)]
pub struct CookieStage<'a> {
    /// The plan that it began with.
    pub plan: &'a Plan,
    /// The route that it takes.
    pub route: &'a RoutePlan,
    /// Who asks.
    pub client: &'a ClientInfo,
    /// What it asks for.
    pub admitted: &'a AdmittedRequest,
}

impl<'a> CookieStage<'a> {
    fn occasion(&self, crossing: &'a CookieContext, now: Timestamp) -> CookieScope<'a> {
        let path = crossing.path.as_deref();
        CookieScope {
            host: &self.admitted.authority.host,
            path: path.and_then(|path| path.main.as_deref()).unwrap_or(self.admitted.path()),
            request_paths: path.map_or(&[], |path| &path.rules),
            upstream: &self.route.upstream.rules.name,
            https: self.client.https,
            realm: session::realm(self.route, self.admitted).tag(),
            now: now.system(),
        }
    }

    fn upstream(&self) -> &str {
        &self.route.upstream.rules.name
    }

    /// The host that the app is asked for, as browsers compare it.
    fn app_host(&self) -> Cow<'_, str> {
        let other =
            request::host(self.route, self.admitted).and_then(|host| HostPort::parse(host.as_bytes()));
        other.map_or(Cow::Borrowed(self.admitted.authority.host.as_str()), |other| Cow::Owned(other.host))
    }
}
