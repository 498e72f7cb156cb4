//! The session part alone, without a socket, under a time that the test winds forward.

use std::net::IpAddr;

use cloakroom::testing::{
    clock::Timestamp,
    config::{Config, StoreKind},
    plan::Plan,
    record::Realm,
    session::{
        CookieForm, FetchContext, PresentedCookies, ResolveRequest, ResolvedSession, SessionAnswer,
        SessionChanges, UpstreamAccess,
    },
    store::StoreError,
    tasks::at_once,
};

const REALM: Realm<'static> = Realm::Host("shop.test");

/// A compiled configuration, and what it shows to an app that is shown everything.
pub(crate) struct SessionBench {
    /// Everything compiled.
    pub(crate) plan: Plan,
    view: UpstreamAccess,
    cookie: CookieForm,
    /// When it was opened.
    pub(crate) opened: Timestamp,
    /// Where requests come from.
    pub(crate) client: Option<IpAddr>,
}

impl SessionBench {
    /// With this TOML more.
    pub(crate) fn open(toml: &str) -> Self {
        let base = "listen = [{ address = \"127.0.0.1:1\" }]\nroutes = [{ upstream = \"a\" }]\n\
                    upstreams.a.servers = [\"http://127.0.0.1:2\"]\n";
        let (config, _) = Config::parse("desk.toml", &format!("{base}{toml}")).unwrap();
        let plan = Plan::build(&config).unwrap();
        let parts = if config.store.kind == StoreKind::Cookie { config.store.max_cookies } else { 1 };
        let cookie = CookieForm::new(&config.session.cookie, None, &[]).in_parts(parts);
        Self { plan, view: UpstreamAccess::default(), cookie, opened: Timestamp::now(), client: None }
    }

    /// What a request with this ticket comes under.
    pub(crate) fn resolve(&self, ticket: Option<&str>, now: Timestamp) -> ResolvedSession {
        self.resolve_as(ticket, true, false, now)
    }

    /// The same on a route that only reads.
    pub(crate) fn resolve_reading(&self, ticket: Option<&str>, now: Timestamp) -> ResolvedSession {
        self.resolve_as(ticket, true, true, now)
    }

    /// The same for what is no page: no flash is taken.
    pub(crate) fn resolve_quietly(&self, ticket: Option<&str>, now: Timestamp) -> ResolvedSession {
        self.resolve_as(ticket, false, false, now)
    }

    fn resolve_as(
        &self,
        ticket: Option<&str>,
        is_document: bool,
        read_only: bool,
        now: Timestamp,
    ) -> ResolvedSession {
        let name = self.cookie.name(false);
        let line = ticket.map(|ticket| format!("{name}={ticket}"));
        let request = ResolveRequest {
            cookie: &self.cookie,
            shown: PresentedCookies::read(&self.cookie, false, line.iter().map(String::as_bytes)),
            realm: REALM,
            https: false,
            client: self.client,
            visit: || FetchContext {
                may_mint: true,
                is_same_site_withheld: false,
                may_have_unseen_session: false,
                is_document,
            },
            read_only,
            id_filter: None,
            now,
            is_rehearsal: false,
        };
        let mut resolved = at_once(self.plan.sessions.resolve(request)).unwrap().unwrap();
        at_once(self.plan.sessions.deliver(&mut resolved, REALM, &self.view, || is_document)).unwrap();
        resolved
    }

    /// Commits an answer; the ticket that the browser gets, if any: an empty one is taken back.
    pub(crate) fn commit(
        &self,
        resolved: &ResolvedSession,
        changes: SessionChanges,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let answer = SessionAnswer {
            changes,
            realm: REALM,
            cookie: &self.cookie,
            view: &self.view,
            shared: || false,
            shows_nothing: false,
            client: None::<IpAddr>,
            id_filter: None,
            now,
        };
        let line = at_once(self.plan.sessions.commit(resolved, answer)).unwrap()?.set_cookies.pop();
        Ok(line.map(|line| {
            let line = line.to_str().unwrap();
            let (_, rest) = line.split_once('=').unwrap();
            rest.split(';').next().unwrap_or_default().to_owned()
        }))
    }

    /// A request and its answer at once; the ticket that the browser has afterwards.
    pub(crate) fn visit(
        &self,
        ticket: Option<&str>,
        changes: SessionChanges,
        now: Timestamp,
    ) -> Option<String> {
        let resolved = self.resolve(ticket, now);
        let given = self.commit(&resolved, changes, now).unwrap();
        given.or_else(|| ticket.map(str::to_owned)).filter(|ticket| !ticket.is_empty())
    }

    /// Who a request with this ticket comes from.
    pub(crate) fn principal(&self, ticket: &str, now: Timestamp) -> Option<String> {
        let resolved = self.resolve(Some(ticket), now);
        resolved.record().and_then(|record| record.principal.as_deref().map(str::to_owned))
    }
}

/// An answer that logs somebody in.
pub(crate) fn login(name: &str) -> SessionChanges {
    SessionChanges { principal: Some(Some(name.into())), ..SessionChanges::default() }
}
