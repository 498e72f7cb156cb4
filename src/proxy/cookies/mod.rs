//! The app's own cookies on their way through: what the rules make of them, what the jar keeps and adds.

mod expiring;
mod inbound;
mod outbound;

pub use outbound::CommittedSession;

use std::borrow::Cow;

use super::Call;
use crate::{
    cookies::{CookieRules, CookieScope},
    message::authority::HostPort,
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
                Cow::Borrowed(_) => Self { main: None, rules: rules.request_paths(path, &[], false) },
                Cow::Owned(main) => {
                    let (others, unknown) = router::other_readings(path);
                    let rules = rules.request_paths(&main, &others, unknown);
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
    /// The answer takes the place of a page ([`FetchContext::navigates`](crate::session::FetchContext::navigates)).
    navigates: bool,
    /// The browser's names of cookies that go when their session does.
    expiring: Vec<Vec<u8>>,
}

impl Call<'_> {
    /// What the rules may ask of a cookie's circumstances.
    fn cookie_scope<'a>(&'a self, cookie_context: &'a CookieContext) -> CookieScope<'a> {
        let path = cookie_context.path.as_deref();
        CookieScope {
            host: &self.admitted.authority.host,
            path: path.and_then(|path| path.main.as_deref()).unwrap_or(self.admitted.path()),
            request_paths: path.map_or(&[], |path| &path.rules),
            upstream: self.upstream(),
            https: self.client.https,
            realm: self.realm().tag(),
            now: self.now.system(),
        }
    }

    /// The host that the app is asked for, as browsers compare it.
    fn host_of_app(&self) -> Cow<'_, str> {
        let other = self.host_for_app().and_then(|host| HostPort::parse(host.as_bytes()));
        other.map_or(Cow::Borrowed(self.admitted.authority.host.as_str()), |other| Cow::Owned(other.host))
    }
}
