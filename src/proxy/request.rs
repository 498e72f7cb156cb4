//! Rewrites a request for the app: hop-by-hop out, forwarding headers in, session headers last.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, Uri, Version, header, uri::PathAndQuery};

use super::{Call, ProxyError, request_id::RequestId, upgrade};
use crate::{
    config::UpstreamHost,
    headers::{self, ConnectionOptions, PeerAddress, StrippedPrefix, X_FORWARDED_PREFIX},
    listen::ClientCertificate,
    message::{Request, lines::HeaderLines},
    plan::RoutePlan,
    router,
    session::ResolvedSession,
};

/// What we are called in `Via`.
pub const VIA_NAME: &str = "cloakroom";
const VIA: &str = "via: 1.1 cloakroom\r\n";
const VIA_10: &str = "via: 1.0 cloakroom\r\n";
const VIA_20: &str = "via: 2.0 cloakroom\r\n";
const CERTIFICATE_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const NO_HOST: HeaderValue = HeaderValue::from_static("");

impl Call<'_> {
    /// Takes out of the request what is not the app's, and returns the lines that we add to it, and what ended here.
    /// `source` is at the other end of the connection; `can_switch`: it may be asked to change to another protocol.
    pub fn rewrite_request<B>(
        &self,
        resolved: Option<&ResolvedSession>,
        (source, can_switch): (&PeerAddress, bool),
        (request, id): (&mut Request<B>, &RequestId),
    ) -> (HeaderLines, ConnectionOptions) {
        let Self { plan, route, admitted, client, now, .. } = self;
        let via = match request.version() {
            Version::HTTP_10 => VIA_10,
            Version::HTTP_2 => VIA_20,
            _ => VIA,
        };
        let headers = request.fields_mut();
        let mut nominations = headers::strip_hop_by_hop(headers);
        // Where it is not passed on, the app answers as if it had not been asked for.
        // A stream of HTTP/2 changes to nothing (RFC 9113 section 8.6).
        let can_switch = can_switch && !route.upstream.rules.http2;
        nominations.upgrade = nominations.upgrade.filter(|wanted| can_switch && upgrade::is_passed(wanted));
        // 100-continue is between the visitor and us: the body is asked for when the app's side
        // polls it.
        headers.remove(header::EXPECT);
        if let Some(host) = self.host_for_app() {
            headers.insert(header::HOST, host);
        }
        if let Some(left) = admitted.forwards_left {
            headers.insert(header::MAX_FORWARDS, left.into());
        }
        let mut lines = HeaderLines::with_capacity(512);
        if let Some(wanted) = &nominations.upgrade {
            lines.push_fixed("connection: upgrade\r\n");
            lines.push(&header::UPGRADE, wanted);
        }
        if nominations.trailers && route.upstream.rules.http2 {
            // They go through here as they come, and gRPC servers insist on it.
            lines.push_fixed("te: trailers\r\n");
        }
        lines.push_fixed(via);
        id.tell(&mut lines);
        if let Some(certificate) = request.extensions().get::<ClientCertificate>() {
            lines.push(&CERTIFICATE_SUBJECT, &certificate.subject);
        }
        plan.forwarding.write(client, source, admitted.host.as_ref().unwrap_or(&NO_HOST), &mut lines);
        if let Some(prefix) = &route.prefix {
            lines.push(&X_FORWARDED_PREFIX, prefix.value());
        }
        // Session lines last, and never through the map of the visitor's fields: nothing they sent
        // can stand beside or behind these.
        if let Some(resolved) = resolved {
            plan.sessions.headers.tell(resolved, &route.view, plan.sessions.rules(), *now, &mut lines);
        }
        plan.sessions.headers.prove(&route.view, &mut lines);
        (lines, nominations)
    }

    /// The Host that the app gets, where it is not the one that is there.
    pub fn host_for_app(&self) -> Option<HeaderValue> {
        let Self { route, admitted, .. } = self;
        match &route.upstream.rules.host {
            UpstreamHost::Visitor if admitted.host_stands => None,
            UpstreamHost::Visitor => Some(admitted.host.clone().unwrap_or(NO_HOST)),
            UpstreamHost::Server => {
                let name = route.upstream.all.first().map(|e| e.name.as_str()).unwrap_or_default();
                HeaderValue::from_str(if name.starts_with("unix:") { "localhost" } else { name }).ok()
            }
            UpstreamHost::Name(name) => HeaderValue::from_str(name).ok(),
        }
    }
}

/// HTTP/2 may send each cookie in a line of its own (RFC 9113 section 8.2.3); to HTTP/1 there is one line, and of several
/// apps read one or another.
pub fn join_cookies<B>(request: &mut Request<B>) {
    let mut lines = request.fields().get_all(header::COOKIE);
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return };
    let pairs: Vec<_> = [first, second].into_iter().chain(lines).map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(pairs.join(&b"; "[..]))) {
        request.fields_mut().insert(header::COOKIE, joined);
    }
}

/// Absolute-form is for proxies; apps get origin-form (RFC 9112 §3.2.1).
///
/// # Errors
/// A target without a path.
pub fn origin_form<B>(request: &mut Request<B>) -> Result<(), ProxyError> {
    // HTTP/2 always has an authority in its URI; HTTP/1 only in absolute-form.
    if request.uri().scheme().is_some() || request.uri().authority().is_some() {
        let mut parts = http::uri::Parts::default();
        // An empty path is `/`, also before a query.
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        parts.path_and_query = if target.starts_with('?') {
            PathAndQuery::try_from(format!("/{target}")).ok()
        } else {
            request.uri().path_and_query().cloned()
        };
        *request.uri_mut() = Uri::from_parts(parts)
            .map_err(|_| ProxyError::Client(StatusCode::BAD_REQUEST, "a target without a path"))?;
    }
    Ok(())
}

/// Takes the route's prefix off the path, where it says so. The query stays.
///
/// # Errors
/// Apps may read the path as one that is not below the prefix.
pub fn strip_prefix<B>(route: &RoutePlan, request: &mut Request<B>) -> Result<(), ProxyError> {
    match &route.prefix {
        Some(prefix) => strip(prefix, request),
        None => Ok(()),
    }
}

fn strip<B>(prefix: &StrippedPrefix, request: &mut Request<B>) -> Result<(), ProxyError> {
    let refused =
        || ProxyError::Client(StatusCode::BAD_REQUEST, "the path can be read as one beside the route's");
    let uri = request.uri();
    let rest = router::below(uri.path(), prefix.path(), prefix.ignore_case()).ok_or_else(refused)?;
    let rest = if rest.is_empty() { "/" } else { rest };
    let target = match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| refused())?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| refused())?;
    Ok(())
}
