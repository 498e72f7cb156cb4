//! The plan: everything that is compiled from one configuration. Immutable, and swapped whole on reload; a request
//! keeps the plan it began with.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Timestamp,
    config::{Config, Limits, Log, MintRule, OnStoreFailure, SessionMode, UpstreamHost},
    cookies::CookieRules,
    crypto::Keyring,
    headers::{Forwarding, Guard},
    router::Router,
    session::{SessionManager, store::Memory},
    upstream::Endpoints,
};

/// One route, ready for use.
#[derive(Debug)]
pub struct RoutePlan {
    /// Where its requests go.
    pub upstream: Arc<Endpoints>,
    /// How sessions are treated.
    pub session: SessionMode,
    /// A realm of its own, or the host's.
    pub realm: Option<Arc<str>>,
    /// What follows when the store fails.
    pub on_store_failure: OnStoreFailure,
    /// When a ticket may be given.
    pub mint: MintRule,
    /// From the request's end to the answer's first byte.
    pub first_byte_timeout: Duration,
    /// Within the answer.
    pub answer_idle_timeout: Option<Duration>,
    /// Of the request's body.
    pub body_bytes: Option<u64>,
}

impl RoutePlan {
    /// True where it matters which of the two is chosen.
    pub fn differs(&self, other: &Self) -> bool {
        self.session != other.session
            || self.realm != other.realm
            || !Arc::ptr_eq(&self.upstream, &other.upstream)
            || self.mint != other.mint
    }
}

/// Everything compiled from one configuration.
#[derive(Debug)]
pub struct Plan {
    /// Host and path to route.
    pub router: Router<RoutePlan>,
    /// Sessions.
    pub sessions: SessionManager,
    /// What happens to the app's own Set-Cookie.
    pub cookies: CookieRules,
    /// Names that only cloakroom may write.
    pub guard: Guard,
    /// Whose forwarding headers are believed.
    pub forwarding: Forwarding,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
}

/// The configuration cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// `[session.headers] prefix` makes no header names.
    #[error("[session.headers] prefix: {0:?} cannot begin a header's name")]
    Prefix(String),
    /// A route names an upstream that is not there.
    #[error("a route names an upstream that is not there")]
    Upstream,
    /// A name in `host` is no header value.
    #[error("[upstreams.{0}] host: not a host name")]
    Host(String),
}

impl Plan {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// What `config` could not know to be wrong.
    pub fn build(config: &Config) -> Result<Self, PlanError> {
        let now = Timestamp::now();
        for upstream in &config.upstreams {
            if let UpstreamHost::Name(name) = &upstream.host
                && http::HeaderValue::from_str(name).is_err()
            {
                return Err(PlanError::Host(upstream.name.clone()));
            }
        }
        let upstreams: Vec<_> = config.upstreams.iter().map(|u| Arc::new(Endpoints::new(u))).collect();
        let routes = config.routes.iter().map(|route| {
            let upstream = upstreams.get(route.upstream).ok_or(PlanError::Upstream)?;
            let plan = RoutePlan {
                upstream: Arc::clone(upstream),
                session: route.session,
                realm: route.realm.as_ref().map(|r| r.as_str().into()),
                on_store_failure: route.on_store_failure,
                mint: route.mint,
                first_byte_timeout: route.first_byte_timeout.unwrap_or(upstream.rules.first_byte_timeout),
                answer_idle_timeout: route.answer_idle_timeout,
                body_bytes: route.body_bytes.unwrap_or(config.limits.body_bytes),
            };
            Ok((route.host.clone(), route.path.clone(), route.ignore_case, plan))
        });
        let router = Router::new(routes.collect::<Result<Vec<_>, PlanError>>()?);
        let store = Arc::new(Memory::new(config.store.max_bytes, &config.session, now));
        let prefix = &config.session.headers.prefix;
        let sessions = SessionManager::new(&config.session, store, Keyring::ephemeral("ticket"))
            .ok_or_else(|| PlanError::Prefix(prefix.clone()))?;
        Ok(Self {
            router,
            sessions,
            cookies: CookieRules::build(&config.cookies),
            guard: Guard::new(prefix, &[]),
            forwarding: Forwarding::new(&config.process.trusted_proxies, config.process.forwarded),
            limits: config.limits.clone(),
            log: config.log,
        })
    }
}
