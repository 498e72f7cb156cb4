//! What the operator is shown, on an address of its own: whether the process lives and is ready, and its metrics.
//!
//! Here live the admin's listener and its pages. Never: a visitor's request, or anything that one could reach; what is
//! shown is handed down by `app` ([`AdminSources`]). A unix socket is for whoever may open it (mode 0660); on TCP nothing is
//! shown that tells of a visitor.
//!
//! SECURITY: on TCP the Host must be an address or `localhost`, so that no page of another site reaches it by a name that
//! leads here (DNS rebinding).

mod api;
mod dashboard;
mod exposition;
mod health;
mod listener;
mod status;
mod why;

pub use api::ReloadOutcome;
pub use listener::{AdminError, AdminListener};

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use parking_lot::Mutex;
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::{
    clock::Timestamp,
    listen::{Acceptor, ConnectionLimits},
    metrics::{Counter, RequestMetrics},
    plan::Plan,
    session::BackendState,
};
use api::ApiClient;
use health::HealthReport;

/// What there is to be shown.
#[derive(Debug)]
pub struct AdminSources {
    /// The plan that holds.
    pub plan: Arc<ArcSwap<Plan>>,
    /// Where sessions are kept.
    pub lasting: BackendState,
    /// Connections.
    pub counts: Arc<ConnectionLimits>,
    /// What each worker counts.
    pub requests: Vec<Arc<RequestMetrics>>,
    /// What came of reloads.
    pub reloads: Arc<ReloadHistory>,
    /// The addresses of `[[listen]]`, in its order.
    pub listeners: Vec<String>,
    /// Their entrances, with their certificates.
    pub acceptors: Vec<Acceptor>,
    /// When the process began.
    pub started: Timestamp,
    /// Asks for a reload, and hears what came of it.
    pub reload: UnboundedSender<oneshot::Sender<ReloadOutcome>>,
    /// Explains a request; `proxy` does, which this room does not know.
    pub explain: RequestExplainer,
    /// The hash of the token that the API asks for on TCP; `None`: there is none, and nobody gets in.
    pub token: Option<[u8; 32]>,
}

/// What somebody wants to know of a request.
#[derive(Debug)]
pub struct RequestQuestion {
    /// The request, as it would come over HTTP/1.1.
    pub raw: Bytes,
    /// The address that it comes from.
    pub from: IpAddr,
    /// It comes by https.
    pub https: bool,
    /// The address of the listener, as the configuration names it; the first, unless it is said.
    pub listener: Option<String>,
}

/// The answer, as it is written; or why there is none.
type RequestStory = Result<serde_json::Value, String>;

/// Tells what would become of a request.
pub struct RequestExplainer(pub Box<dyn Fn(RequestQuestion) -> ExplainerFuture + Send + Sync>);

/// What a [`RequestExplainer`] gives.
pub type ExplainerFuture = Pin<Box<dyn Future<Output = RequestStory>>>;

impl std::fmt::Debug for RequestExplainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestExplainer")
    }
}

/// Reloads so far.
#[derive(Debug, Default)]
pub struct ReloadHistory {
    good: Counter,
    bad: Counter,
    last_was_bad: AtomicBool,
    last_good: AtomicU64,
    text: Mutex<String>,
}

impl ReloadHistory {
    /// This is the text of the configuration that holds from now on.
    pub fn hold(&self, text: &str) {
        text.clone_into(&mut self.text.lock());
    }

    fn text(&self) -> String {
        self.text.lock().clone()
    }

    /// One more.
    pub fn note(&self, good: bool, now: Timestamp) {
        if good { &self.good } else { &self.bad }.raise();
        self.last_was_bad.store(!good, Ordering::Relaxed);
        if good {
            self.last_good.store(now.0, Ordering::Relaxed);
        }
    }
}

type AdminResponse = Response<Full<Bytes>>;

/// Answers a request.
async fn answer(sources: &AdminSources, (head, body): (&Parts, Bytes), client: &ApiClient) -> AdminResponse {
    if client.by_tcp && !is_for_us(&head.headers) {
        return page(StatusCode::MISDIRECTED_REQUEST, "text/plain", "ask by address, or as localhost\n");
    }
    let path = head.uri.path();
    if let Some(path) = path.strip_prefix("/api/") {
        return api::answer(sources, (head, body), path, client).await;
    }
    let shown: fn(&AdminSources) -> AdminResponse = match path {
        "/livez" => |_| page(StatusCode::OK, "text/plain; charset=utf-8", "alive\n"),
        "/readyz" if head.uri.query() == Some("upstreams=1") => |sources| readiness(sources, true),
        "/readyz" => |sources| readiness(sources, false),
        "/metrics" => |sources| {
            let text = exposition::write(sources, Timestamp::now());
            page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
        },
        "/" => |_| dashboard::page(),
        "/dashboard.css" => |_| dashboard::style(),
        "/dashboard.js" => |_| dashboard::script(),
        _ => {
            let there = "there are /, /livez, /readyz, /metrics and /api/status\n";
            return page(StatusCode::NOT_FOUND, "text/plain", there);
        }
    };
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    shown(sources)
}

/// For balancers: 200, or 503 and why. `upstreams`: the apps count as well.
fn readiness(sources: &AdminSources, upstreams: bool) -> AdminResponse {
    let health = HealthReport::of(sources, Timestamp::now());
    let is_ready = if upstreams { health.are_all_ready() } else { health.is_ready() };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    page(status, "text/plain; charset=utf-8", health.text(upstreams))
}

/// Whether the Host is an address or `localhost`, with or without a port.
fn is_for_us(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
        return false;
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<std::net::Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (name, fine) = host.split_once(':').map_or((host, true), |(name, port)| (name, is_port(port)));
    fine && (name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::Ipv4Addr>().is_ok())
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<String>) -> AdminResponse {
    let mut page = Response::new(Full::new(text.into().into()));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_or_localhost_is_us() {
        for (host, wanted) in [
            ("127.0.0.1:9900", true),
            ("127.0.0.1", true),
            ("LOCALHOST:9900", true),
            ("[::1]:9900", true),
            ("[::1]", true),
            ("evil.example:9900", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("localhost:x", false),
            ("[::1", false),
            ("[::1]x", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(is_for_us(&headers), wanted, "{host}");
        }
        let mut two = HeaderMap::new();
        two.append(header::HOST, HeaderValue::from_static("localhost"));
        two.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(!is_for_us(&two) && !is_for_us(&HeaderMap::new()));
    }
}
