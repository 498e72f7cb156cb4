//! The plan: everything that is compiled from one configuration. Immutable, and swapped whole on reload; a request
//! keeps the plan it began with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;

use crate::{
    clock::Timestamp,
    config::{
        Config, CrossSite, ErrorPages, HeaderPreset, HostPattern, LogConfig, OnStoreFailure, OnUnauthorized,
        PreflightRule, RequestLimits, RequiredLogin, RouteConfig, SecretError, SecretSource, SessionMode,
        StoreKind, UpstreamHost, WebOrigin,
    },
    cookies::{CookieInventory, CookieRules},
    crypto::{KeySecrets, Keyring},
    headers::{ForwardingRules, HeaderGuard, StrippedPrefix},
    record::Realm,
    router::Router,
    session::{
        Backend, BackendState, CookieForm, FlaskSessions, Revocations, SealedSessions, SessionManager,
        UpstreamAccess,
    },
    store::{MemoryStore, RecordStore},
    upstream::{Endpoints, TlsError},
};

/// How many plans there were.
static PLANS: AtomicU64 = AtomicU64::new(1);

/// One route, ready for use.
#[derive(Debug)]
pub struct RoutePlan {
    /// Its place in the configuration.
    pub number: usize,
    /// Host and path, for whoever asks why it was chosen.
    pub name: Arc<str>,
    /// What is taken off the path on the way to the app (`strip_prefix`).
    pub prefix: Option<StrippedPrefix>,
    /// Where its requests go.
    pub upstream: Arc<Endpoints>,
    /// How sessions are treated.
    pub session: SessionMode,
    /// It names no host: visitors choose theirs.
    pub any_host: bool,
    /// A realm of its own, or the host's.
    pub realm: Option<Arc<str>>,
    /// The form of its sessions' cookie.
    pub cookie: CookieForm,
    /// What follows when the store fails.
    pub on_store_failure: OnStoreFailure,
    /// When a ticket may be given.
    pub cross_site_sessions: bool,
    /// What its upstream is shown of a session, and what it may do.
    pub view: Arc<UpstreamAccess>,
    /// Who may pass.
    pub require: RequiredLogin,
    /// What the others get.
    pub on_unauthorized: OnUnauthorized,
    /// Whether CORS preflights pass all the same.
    pub preflight: PreflightRule,
    /// Whether other sites may make a browser ask for it.
    pub cross_site: CrossSite,
    /// Sites that may.
    pub trusted_origins: Vec<WebOrigin>,
    /// From the request's end to the answer's first byte.
    pub first_byte_timeout: Duration,
    /// Within the answer.
    pub response_idle_timeout: Option<Duration>,
    /// Of the request's body.
    pub body_bytes: Option<u64>,
}

/// An app, and its part in sessions.
type CompiledUpstream = (Arc<Endpoints>, Arc<UpstreamAccess>);

impl RoutePlan {
    /// What sessions belong to by this route, for visitors of this host: its realm, else the cookie's domain, else the host.
    pub fn realm_of<'a>(&'a self, host: &'a str) -> Realm<'a> {
        match (&self.realm, self.cookie.domain()) {
            (Some(realm), _) => Realm::Named(realm),
            (None, Some(domain)) => Realm::Domain(domain),
            (None, None) if self.any_host => Realm::AnyHost(host),
            (None, None) => Realm::Host(host),
        }
    }

    /// True where it matters which of the two is chosen.
    pub fn differs(&self, other: &Self) -> bool {
        self.session != other.session
            || self.realm != other.realm
            || !Arc::ptr_eq(&self.upstream, &other.upstream)
            || self.prefix != other.prefix
            || self.cross_site_sessions != other.cross_site_sessions
            || self.require != other.require
            || self.cross_site != other.cross_site
    }
}

/// Everything compiled from one configuration.
#[derive(Debug)]
pub struct Plan {
    /// Tells plans of one process apart.
    pub number: u64,
    /// How many routes there are.
    pub routes: usize,
    /// Host and path to route.
    pub router: Router<RoutePlan>,
    /// The apps, and what each is shown: of all upstreams, once.
    pub upstreams: Vec<(Arc<Endpoints>, Arc<UpstreamAccess>)>,
    /// Sessions.
    pub sessions: SessionManager,
    /// What happens to the app's own Set-Cookie.
    pub cookies: CookieRules,
    /// What the apps were seen to set.
    pub inventory: Arc<CookieInventory>,
    /// Names that only cloakroom may write.
    pub guard: HeaderGuard,
    /// Whose forwarding headers are believed.
    pub forwarding: ForwardingRules,
    /// `[errors]`: pages of the operator's own.
    pub errors: ErrorPages,
    /// `[limits]`
    pub limits: RequestLimits,
    /// `[log]`
    pub log: LogConfig,
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
    /// Flask's key cannot be had.
    #[error("[store] secret_key: {}", .0.as_ref().map_or_else(|| "there is none".to_owned(), ToString::to_string))]
    FlaskKey(Option<SecretError>),
    /// An upstream's `proof` cannot be had.
    #[error("[upstreams.{0}] proof: {1}")]
    Proof(String, ProofError),
    /// An upstream cannot be spoken to by TLS.
    #[error("[upstreams.{0}] tls: {1}")]
    Tls(String, TlsError),
    /// A name in `host` is no header value.
    #[error("[upstreams.{0}] host: not a host name")]
    Host(String),
}

impl PlanError {
    /// The secret that could not be read, where that is all.
    pub fn secret(&self) -> Option<&SecretError> {
        match self {
            Self::FlaskKey(Some(error)) | Self::Proof(_, ProofError::Secret(error)) => Some(error),
            _ => None,
        }
    }
}

/// Why a proof cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is there, and no header can hold it.
    #[error("holds characters that no header can carry")]
    NoHeader,
}

fn proof(source: &SecretSource) -> Result<HeaderValue, ProofError> {
    let mut value = HeaderValue::from_bytes(source.read()?.expose()).map_err(|_| ProofError::NoHeader)?;
    // Kept out of HPACK's tables and of debug output.
    value.set_sensitive(true);
    Ok(value)
}

/// Where sessions are kept.
fn keep(config: &Config, lasting: &BackendState, secrets: &KeySecrets) -> Result<Backend, PlanError> {
    match lasting {
        BackendState::Store(store) => Ok(Backend::Store(Arc::clone(store))),
        BackendState::ClientSide(ended) => {
            Ok(Backend::Sealed(SealedSessions::new(&config.session, Arc::clone(ended), secrets)))
        }
        BackendState::Nothing => {
            let rules = &config.store.flask;
            let keys = rules.keys().map_err(|why| PlanError::FlaskKey(Some(why)))?;
            let flask = FlaskSessions::new(&config.session, rules, &keys).ok_or(PlanError::FlaskKey(None))?;
            Ok(Backend::Flask(flask))
        }
    }
}

/// The apps, and what each is shown.
fn compile_upstreams(config: &Config) -> Result<Vec<CompiledUpstream>, PlanError> {
    let mut upstreams = Vec::new();
    for rules in &config.upstreams {
        let proof = match &rules.proof {
            Some(source) => Some(proof(source).map_err(|why| PlanError::Proof(rules.name.clone(), why))?),
            None => None,
        };
        let endpoints = Endpoints::new(rules).map_err(|why| PlanError::Tls(rules.name.clone(), why))?;
        upstreams.push((Arc::new(endpoints), Arc::new(UpstreamAccess::new(rules, proof))));
    }
    Ok(upstreams)
}

/// Host and path to route.
fn compile_routes(config: &Config, upstreams: &[CompiledUpstream]) -> Result<Router<RoutePlan>, PlanError> {
    let parted = parted(&config.routes);
    let routes = config.routes.iter().enumerate().map(|(number, route)| {
        let (upstream, view) = upstreams.get(route.upstream).ok_or(PlanError::Upstream)?;
        let plan = RoutePlan {
            number,
            name: name(route).into(),
            prefix: StrippedPrefix::new(&route.path, route.ignores_case()).filter(|_| route.strip_prefix),
            upstream: Arc::clone(upstream),
            session: route.session,
            any_host: route.host.is_none(),
            realm: route.realm.as_ref().map(|r| r.as_str().into()),
            cookie: cookie(config, route, &parted),
            on_store_failure: route.on_store_failure,
            cross_site_sessions: route.cross_site_sessions,
            view: Arc::clone(view),
            require: route.require,
            on_unauthorized: route.on_unauthorized.clone(),
            preflight: route.preflight,
            cross_site: route.cross_site,
            trusted_origins: route.trusted_origins.clone(),
            // Settled here, once: no request asks where a value came from.
            first_byte_timeout: route.first_byte_timeout.unwrap_or(upstream.rules.first_byte_timeout),
            response_idle_timeout: route.response_idle_timeout,
            body_bytes: route.body_bytes.unwrap_or(config.limits.body_bytes),
        };
        Ok((route.host.clone(), route.path.clone(), route.ignore_case, plan))
    });
    Ok(Router::new(routes.collect::<Result<Vec<_>, PlanError>>()?))
}

/// The form of a route's session cookie.
fn cookie(config: &Config, route: &RouteConfig, parted: &[&str]) -> CookieForm {
    let form = CookieForm::new(
        &config.session.cookie,
        route.realm.as_deref().filter(|realm| parted.contains(realm)),
        parted,
    );
    match config.store.kind {
        StoreKind::Cookie => form.in_parts(config.store.max_cookies),
        // The Flask app that owns the session does its own: its cookie passes either way.
        StoreKind::Flask if route.session == SessionMode::Off => form.of_the_app(),
        _ => form,
    }
}

/// Realms that are not alone on their hosts. Of one cookie for two of them, each visit to one would take the other's.
fn parted(routes: &[RouteConfig]) -> Vec<&str> {
    // Whether a browser could hold one cookie for both.
    let meet = |a: &RouteConfig, b: &RouteConfig| {
        let below = |name: &str, domain: &str| name.strip_suffix(domain).is_some_and(|n| n.ends_with('.'));
        match (&a.host, &b.host) {
            (None, _) | (_, None) => true,
            (Some(HostPattern::Exact(a)), Some(HostPattern::Exact(b))) => a == b,
            (Some(HostPattern::Exact(name)), Some(HostPattern::Below(domain)))
            | (Some(HostPattern::Below(domain)), Some(HostPattern::Exact(name))) => below(name, domain),
            (Some(HostPattern::Below(a)), Some(HostPattern::Below(b))) => {
                a == b || below(a, b) || below(b, a)
            }
        }
    };
    let on = |route: &&RouteConfig| route.session != SessionMode::Off;
    let alone = |route: &RouteConfig| {
        routes.iter().filter(on).all(|other| other.realm == route.realm || !meet(route, other))
    };
    let mut parted: Vec<&str> =
        routes.iter().filter(on).filter(|r| !alone(r)).filter_map(|r| r.realm.as_deref()).collect();
    parted.sort_unstable();
    parted.dedup();
    parted
}

/// Host and path, as an operator would look for it.
fn name(route: &RouteConfig) -> String {
    let host = route.host.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string);
    format!("{host}{}", route.path)
}

impl Plan {
    /// Compiles a configuration to be looked at: with a store in memory and a key of its own, so that nothing is opened
    /// and nothing made.
    ///
    /// # Errors
    /// What `config` could not know to be wrong.
    pub fn build(config: &Config) -> Result<Self, PlanError> {
        let bytes = config.store.max_bytes;
        let lasting = match config.store.kind {
            StoreKind::Cookie => BackendState::ClientSide(Arc::new(Revocations::in_memory(bytes))),
            StoreKind::Flask => BackendState::Nothing,
            StoreKind::Disk | StoreKind::Memory => {
                let memory = MemoryStore::new(bytes, &config.session, Timestamp::now());
                BackendState::Store(Arc::new(RecordStore::Memory(Box::new(memory))))
            }
        };
        Self::with(config, &lasting, &KeySecrets::ephemeral())
    }

    /// Takes over from the plan before what is no matter of configuration: what was seen, and what was counted.
    pub fn succeed(&mut self, before: &Self) {
        self.inventory = Arc::clone(&before.inventory);
        for (upstream, _) in &self.upstreams {
            let known = before.upstreams.iter().find(|(known, _)| known.rules.name == upstream.rules.name);
            if let Some((known, _)) = known {
                upstream.succeed(known);
            }
        }
        self.sessions.succeed(&before.sessions);
    }

    /// Compiles a configuration.
    ///
    /// # Errors
    /// What `config` could not know to be wrong.
    pub fn with(config: &Config, lasting: &BackendState, secrets: &KeySecrets) -> Result<Self, PlanError> {
        for upstream in &config.upstreams {
            if let UpstreamHost::Name(name) = &upstream.host
                && HeaderValue::from_str(name).is_err()
            {
                return Err(PlanError::Host(upstream.name.clone()));
            }
        }
        let upstreams = compile_upstreams(config)?;
        let router = compile_routes(config, &upstreams)?;
        let prefix = &config.session.headers.prefix;
        let limits = &config.limits;
        let sessions = SessionManager::new(
            &config.session,
            keep(config, lasting, secrets)?,
            Keyring::derive("ticket", secrets),
            limits.new_sessions_per_second.map(u64::from),
            limits.new_sessions_per_address.map(u64::from),
        )
        .ok_or_else(|| PlanError::Prefix(prefix.clone()))?;
        // Whatever an upstream is told under a further name is nobody else's to say, on any route.
        let also = config.upstreams.iter().flat_map(|u| &u.header_aliases).map(|a| a.header.to_string());
        let apache = (config.session.headers.preset == HeaderPreset::Apache).then(|| "session".to_owned());
        let strip = config.process.strip.iter().map(ToString::to_string);
        let ours: Vec<_> = also.chain(apache).chain(strip).collect();
        sessions.headers.events.trail.name_principals(config.log.principals);
        Ok(Self {
            number: PLANS.fetch_add(1, Ordering::Relaxed),
            routes: config.routes.len(),
            router,
            upstreams,
            sessions,
            cookies: CookieRules::build(&config.cookies, secrets),
            inventory: Arc::default(),
            guard: HeaderGuard::new(prefix, &ours),
            forwarding: ForwardingRules::new(&config.process.trusted_proxies, config.process.forwarded),
            errors: config.errors.clone(),
            limits: config.limits.clone(),
            log: config.log,
        })
    }
}
