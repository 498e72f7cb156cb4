//! The JSON interface below `/api`: what is, and what an operator may do. Every act leaves a line in the log: who, what,
//! and what came of it.
//!
//! SECURITY: on TCP all of it asks for the token. What changes anything asks for a header besides, which no form of
//! another site's page can send. Field values are never shown.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    AdminResponse, AdminSources, RequestQuestion, page,
    status::{CookieReport, ProcessStatus, SessionSummary, UpstreamReport},
    why::TicketStory,
};
use crate::{
    clock::Timestamp,
    cookies::CookieFinding,
    crypto,
    plan::{Plan, RoutePlan},
    record::{EndReason, Realm, Record, SessionEnd},
    store::{FoundRecord, RecordStore},
};

/// Before the methods that are.
const ALLOWED: &str = "allowed: ";
/// So many sessions make a page unless it is said.
const PAGE: usize = 50;
/// So many sessions are shown at once.
const MOST_SHOWN: usize = 200;
/// A header that whoever changes something sends.
const ACT: &str = "x-cloakroom-admin";

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct ApiClient {
    /// It did not come through the unix socket.
    pub by_tcp: bool,
    /// For the log: an address, or the user of a unix socket.
    pub name: String,
}

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ReloadOutcome {
    /// The new configuration is in use.
    pub taken: bool,
    /// What is to be said of it: with the mistakes, where there are any.
    pub message: String,
}

/// A page, or why there is none.
type ApiResult = Result<AdminResponse, ApiProblem>;

/// Why something is refused (RFC 9457).
struct ApiProblem(StatusCode, String);

impl ApiProblem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(status, detail.into())
    }

    fn page(&self) -> AdminResponse {
        let Self(status, detail) = self;
        let title = status.canonical_reason().unwrap_or_default();
        let text = serde_json::json!({ "title": title, "status": status.as_u16(), "detail": detail });
        page(*status, "application/problem+json", text.to_string() + "\n")
    }
}

/// Answers what is asked below `/api`.
pub(super) async fn answer(
    sources: &AdminSources,
    (head, body): (&Parts, Bytes),
    path: &str,
    client: &ApiClient,
) -> AdminResponse {
    let answered = match entitled(sources, head, client) {
        Ok(()) if path == "explain" && head.method == Method::POST => explain(sources, head, body).await,
        Ok(()) => route(sources, head, path, client).await,
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(|problem| {
        let mut page = problem.page();
        match problem.0 {
            StatusCode::UNAUTHORIZED => {
                page.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                if let Ok(allowed) = HeaderValue::from_str(problem.1.trim_start_matches(ALLOWED)) {
                    page.headers_mut().insert(header::ALLOW, allowed);
                }
            }
            _ => {}
        }
        page
    })
}

fn entitled(sources: &AdminSources, head: &Parts, client: &ApiClient) -> Result<(), ApiProblem> {
    if client.by_tcp {
        let given =
            head.headers.get(header::AUTHORIZATION).and_then(|line| line.as_bytes().strip_prefix(b"Bearer "));
        // By their hashes: the length of the token tells nothing either.
        let right = given
            .zip(sources.token.as_ref())
            .is_some_and(|(given, token)| crypto::same(&crypto::sha256(given), token));
        if !right {
            let why = "needs the token: `Authorization: Bearer …` ([admin] token)";
            return Err(ApiProblem::new(StatusCode::UNAUTHORIZED, why));
        }
    }
    if !head.method.is_safe() && !head.headers.contains_key(ACT) {
        return Err(ApiProblem::new(StatusCode::FORBIDDEN, format!("needs the header `{ACT}: 1`")));
    }
    Ok(())
}

async fn route(sources: &AdminSources, head: &Parts, path: &str, client: &ApiClient) -> ApiResult {
    let method = &head.method;
    let get = *method == Method::GET || *method == Method::HEAD;
    let now = Timestamp::now();
    match path.split_once('/').map_or((path, None), |(room, rest)| (room, Some(rest))) {
        ("status", None) if get => json(&ProcessStatus::of(sources, now)),
        ("upstreams", None) if get => json(&UpstreamReport::of(sources, now)),
        ("cookies", None) if get => json(&CookieReport::of(sources, CookieFinding::as_str)),
        // Secrets stand elsewhere: a file names only where they lie.
        ("config", None) if get => json(&serde_json::json!({ "toml": sources.reloads.text() })),
        ("why", None) if get => why(sources, head, now).await,
        ("reload", None) if *method == Method::POST => reload(sources, client).await,
        ("sessions", None) if get => sessions(sources, head.uri.query().unwrap_or_default()).await,
        ("sessions", Some(id)) if get || *method == Method::DELETE => {
            let id = Uuid::try_parse(&decoded(id)?)
                .map_err(|_| ApiProblem::new(StatusCode::NOT_FOUND, "no session's id"))?;
            session(sources, id, get, client).await
        }
        ("principals", Some(name)) if get || *method == Method::DELETE => {
            principal(sources, name, head.uri.query().unwrap_or_default(), get, client).await
        }
        ("status" | "upstreams" | "cookies" | "config" | "sessions" | "why", None) => {
            Err(wrong_method("GET, HEAD"))
        }
        ("reload" | "explain", None) => Err(wrong_method("POST")),
        ("sessions" | "principals", Some(_)) => Err(wrong_method("GET, HEAD, DELETE")),
        _ => Err(ApiProblem::new(
            StatusCode::NOT_FOUND,
            "there are status, upstreams, cookies, config, sessions, sessions/ID, principals/NAME?realm=…, why, explain and reload",
        )),
    }
}

async fn explain(sources: &AdminSources, head: &Parts, raw: Bytes) -> ApiResult {
    let bad = |why: &str| ApiProblem::new(StatusCode::BAD_REQUEST, why);
    let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let (mut from, mut https, mut listener) = (IpAddr::from([127, 0, 0, 1]), false, None);
    for pair in pairs {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("from", address) => {
                from = decoded(address)?.parse().map_err(|_| bad("from: an address is expected"))?;
            }
            ("https", yes) => https = yes == "1",
            ("listener", address) => listener = Some(decoded(address)?),
            _ => return Err(bad("there are from, https and listener")),
        }
    }
    let question = RequestQuestion { raw, from, https, listener };
    json(&(sources.explain.0)(question).await.map_err(|why| bad(&why))?)
}

async fn why(sources: &AdminSources, head: &Parts, now: Timestamp) -> ApiResult {
    let query = head.uri.query().unwrap_or_default();
    let host = query.split('&').find_map(|pair| pair.strip_prefix("host=")).map(decoded).transpose()?;
    let host = host.map(|host| host.to_ascii_lowercase());
    let story = TicketStory::of(sources, &head.headers, host.as_deref(), now).await.map_err(failed)?;
    let missing = || {
        let why = "needs a ticket, a cookie line or a session's id in the header `x-cloakroom-ticket`";
        ApiProblem::new(StatusCode::BAD_REQUEST, why)
    };
    json(&story.ok_or_else(missing)?)
}

fn wrong_method(allowed: &str) -> ApiProblem {
    ApiProblem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{ALLOWED}{allowed}"))
}

fn json(value: &impl Serialize) -> ApiResult {
    json_as(StatusCode::OK, value)
}

fn json_as(status: StatusCode, value: &impl Serialize) -> ApiResult {
    let text = serde_json::to_string_pretty(value)
        .map_err(|_| ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "it cannot be written"))?;
    Ok(page(status, "application/json", text + "\n"))
}

/// Who did what, and what came of it.
fn audit(client: &ApiClient, act: &str, target: &str, outcome: &str) {
    tracing::info!(who = %client.name, act, target, outcome, "an operator has acted");
}

async fn reload(sources: &AdminSources, client: &ApiClient) -> ApiResult {
    let (tell, told) = oneshot::channel();
    let ends = || ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "the process is about to end");
    sources.reload.send(tell).map_err(|_| ends())?;
    let outcome = told.await.map_err(|_| ends())?;
    audit(client, "reload", "-", if outcome.taken { "taken" } else { "refused" });
    json_as(if outcome.taken { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, &outcome)
}

fn store(sources: &AdminSources) -> Result<&RecordStore, ApiProblem> {
    let none = "visitors carry their sessions: there is no store ([store] kind)";
    sources
        .lasting
        .store()
        .map(|store| &**store)
        .ok_or_else(|| ApiProblem::new(StatusCode::NOT_IMPLEMENTED, none))
}

fn failed(error: impl std::fmt::Display) -> ApiProblem {
    ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// A page of them, by id: `limit`, and `after` the last of the page before.
async fn sessions(sources: &AdminSources, query: &str) -> ApiResult {
    let (store, now) = (store(sources)?, Timestamp::now());
    let said = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    let wrong = |why: &str| ApiProblem::new(StatusCode::BAD_REQUEST, why);
    let most = said("limit").map_or(Ok(PAGE), str::parse).map_err(|_| wrong("limit: a whole number"))?;
    let most = most.clamp(1, MOST_SHOWN);
    let after = said("after").map(decoded).transpose()?;
    let after =
        after.as_deref().map(Uuid::try_parse).transpose().map_err(|_| wrong("after: a session's id"))?;
    let plan = sources.plan.load();
    let ids = store.page(after, most);
    // By the ids that were looked at, not by those that are shown: a page of expired sessions must
    // not end the list.
    let next = ids.last().filter(|_| ids.len() == most).map(Uuid::to_string);
    let mut sessions = Vec::new();
    for id in ids {
        if let FoundRecord::Live(record) = store.load(id, now).await.map_err(failed)? {
            sessions.push(SessionSummary::of(&record, plan.sessions.rules()));
        }
    }
    json(&serde_json::json!({ "sessions": sessions, "next": next }))
}

async fn session(sources: &AdminSources, id: Uuid, get: bool, client: &ApiClient) -> ApiResult {
    let (store, now) = (store(sources)?, Timestamp::now());
    let none = || ApiProblem::new(StatusCode::NOT_FOUND, "no such session, or none with data");
    let plan = sources.plan.load();
    if get {
        let FoundRecord::Live(record) = store.load(id, now).await.map_err(failed)? else {
            return Err(none());
        };
        return json(&SessionSummary::of(&record, plan.sessions.rules()));
    }
    // Without a look at it first: what cannot be read can be ended all the same.
    let ended = store.delete(id, SessionEnd { at: now, by: EndReason::Operator }).await;
    let outcome = match &ended {
        Ok(true) => "done",
        Ok(false) => "there was none",
        Err(_) => "failed",
    };
    audit(client, "revoke", &id.to_string(), outcome);
    if !ended.map_err(failed)? {
        return Err(none());
    }
    plan.sessions.headers.events.revoked.raise();
    json(&serde_json::json!({ "revoked": 1 }))
}

async fn principal(
    sources: &AdminSources,
    name: &str,
    query: &str,
    get: bool,
    client: &ApiClient,
) -> ApiResult {
    let (store, now) = (store(sources)?, Timestamp::now());
    let name = decoded(name)?;
    let realm = query.split('&').find_map(|pair| pair.strip_prefix("realm=")).map(decoded).transpose()?;
    let plan = sources.plan.load();
    let realm_key = realm.as_deref().and_then(|realm| realm_key(&plan, realm)).ok_or_else(|| {
        let why = "a principal is one of a realm: ?realm=host:shop.example, domain:example.com or name:REALM";
        ApiProblem::new(StatusCode::BAD_REQUEST, why)
    })?;
    if !get {
        let end = SessionEnd { at: now, by: EndReason::Operator };
        let many = store.delete_all_of(&realm_key, &name, end).await;
        let outcome = many.as_ref().map_or_else(|_| "failed".to_owned(), |many| format!("{many} sessions"));
        let realm = realm.as_deref().unwrap_or_default();
        let whom = if plan.log.principals { name.as_str() } else { "a principal" };
        audit(client, "revoke", &format!("{whom} of {realm}"), &outcome);
        let many = many.map_err(failed)?;
        for _ in 0..many {
            plan.sessions.headers.events.revoked.raise();
        }
        return json(&serde_json::json!({ "revoked": many }));
    }
    let mut all = store.of(&realm_key, &name);
    let sibling = Realm::sibling(&realm_key).unwrap_or_default();
    all.extend(store.of(&sibling, &name));
    // Where the host is named, those of others are not theirs.
    let is_theirs = |record: &Record| {
        *record.realm == *sibling || !record.realm.starts_with('u') || realm_key.starts_with('u')
    };
    let mut sessions = Vec::new();
    // The latest logins: an account that many share is not to be read from disk as a whole.
    for id in all.iter().rev().take(MOST_SHOWN) {
        if let FoundRecord::Live(record) = store.load(*id, now).await.map_err(failed)?
            && is_theirs(&record)
        {
            sessions.push(SessionSummary::of(&record, plan.sessions.rules()));
        }
    }
    json(&serde_json::json!({ "sessions": sessions, "more": all.len().saturating_sub(MOST_SHOWN) }))
}

/// Without percent-encoding.
fn decoded(text: &str) -> Result<String, ApiProblem> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| ApiProblem::new(StatusCode::BAD_REQUEST, "not UTF-8"))
}

/// A realm as records hold it.
fn realm_key(plan: &Plan, text: &str) -> Option<String> {
    let (kind, name) = text.split_once(':')?;
    let realm = match kind {
        "host" if plan.router.find(name, "/", RoutePlan::differs).is_ok_and(|route| route.any_host) => {
            Realm::AnyHost(name)
        }
        "host" => Realm::Host(name),
        "domain" => Realm::Domain(name),
        "name" => Realm::Named(name),
        _ => return None,
    };
    Some(realm.key().to_string())
}
