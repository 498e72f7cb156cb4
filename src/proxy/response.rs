//! Rewrites an answer for the visitor: hop-by-hop out, instructions read and taken out, redirects to the server's own
//! address turned to the visitor's, and the prefix put back that the app was not sent.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version, header};

use super::{Call, own_url};
use crate::{
    config::SessionMode,
    headers::{self, ConnectionOptions, StrippedPrefix},
    listen::InterimSender,
    message::{Fields, Response, fields::LineEdit},
    plan::Plan,
    session::SessionChanges,
};

impl Call<'_> {
    /// Takes out of the answer what is not the visitor's, and returns what the app wants changed, if anything, and what
    /// ended here.
    pub fn rewrite_response<B>(
        &self,
        endpoint: usize,
        response: &mut Response<B>,
    ) -> (Option<Box<SessionChanges>>, ConnectionOptions) {
        let Self { plan, route, admitted, .. } = self;
        // The version is a matter of each connection (RFC 9110 section 2.5).
        *response.version_mut() = Version::HTTP_11;
        let headers = response.fields_mut();
        // First of all: an app's own `Connection` cannot nominate its instructions away.
        let changes = plan.sessions.headers.take(headers);
        let nominations = headers::strip_hop_by_hop(headers);
        // The same names in a spelling that is no instruction.
        plan.guard.strip_response(headers);
        let changes = changes.filter(|_| route.session != SessionMode::Off);
        // One pass over the names costs less than looking each of them up.
        let (mut urls, mut draft) = (false, false);
        for name in headers.names() {
            match name.as_str().len() {
                7 | 8 | 16 => urls |= URLS.contains(name),
                11 => draft |= name.as_str() == SET_COOKIE2,
                _ => {}
            }
        }
        if draft {
            // It was never more than a draft's (RFC 6265 section 1), and no rule reads it.
            headers.remove(SET_COOKIE2);
        }
        if urls {
            for name in &URLS {
                self.rewrite_url(headers, name, endpoint);
            }
        }
        if let Some(prefix) = &route.prefix {
            set_cookies(headers, prefix, prefix.is_all_of(admitted.path()));
        }
        (changes, nominations)
    }

    /// A field that says where something is, as the visitor needs it.
    fn rewrite_url(&self, headers: &mut Fields, name: &HeaderName, endpoint: usize) {
        let Self { route, admitted, client, .. } = self;
        let Some(host) = client.host.as_ref().or(admitted.host.as_ref()) else { return };
        if route.upstream.rules.rewrite_redirects
            && let Some(endpoint) = route.upstream.all.get(endpoint)
            && let Some(value) = headers.get(name)
            && let Some(new) = own_url::for_visitor((name, value), route, endpoint, (host, client))
        {
            headers.insert(name.clone(), new);
        }
        let (Some(prefix), Some(value)) = (&route.prefix, headers.get(name)) else { return };
        let (value, bare) = (value.as_bytes(), prefix.is_all_of(admitted.path()));
        // The one that the visitor sees, and the one that the app may have been sent.
        let hosts = [Some(host), admitted.host.as_ref()];
        let is_own = |authority: &[u8]| hosts.iter().flatten().any(|host| is_own(authority, host.as_bytes()));
        let new = if *name == header::REFRESH {
            prefix.refresh(value, is_own, bare)
        } else {
            prefix.url(value, is_own, bare)
        };
        if let Some(new) = new.and_then(|new| HeaderValue::from_maybe_shared(Bytes::from(new)).ok()) {
            headers.insert(name.clone(), new);
        }
    }
}

/// Passes on what the app says before it answers, such as 103 Early Hints. Instructions and cookies have no place there:
/// nothing is committed yet.
pub fn hint(plan: &Plan, visitor: Option<&InterimSender>, mut head: Response<()>) {
    let Some(visitor) = visitor else { return };
    let status = head.status();
    let fields = head.fields_mut();
    headers::strip_hop_by_hop(fields);
    plan.guard.strip_response(fields);
    // SECURITY: a cookie before the commit could be that of a login which is then refused.
    fields.remove(header::SET_COOKIE);
    fields.remove(SET_COOKIE2);
    visitor.send(status, fields);
}

const SET_COOKIE2: &str = "set-cookie2";

/// Fields of an answer that say where something is.
const URLS: [HeaderName; 3] = [header::LOCATION, header::CONTENT_LOCATION, header::REFRESH];

/// Whether a URL of the app names the host that the visitor asks for, by whichever scheme.
fn is_own(authority: &[u8], host: &[u8]) -> bool {
    let plain = |text: &[u8]| {
        let port = [&b":80"[..], b":443"].into_iter().find_map(|port| text.strip_suffix(port));
        port.unwrap_or(text).to_ascii_lowercase()
    };
    plain(authority) == plain(host)
}

/// The app's cookie paths, as the visitor's browser needs them: before any rule is asked.
fn set_cookies(headers: &mut Fields, prefix: &StrippedPrefix, bare: bool) {
    headers.edit(header::SET_COOKIE, |line| {
        let new = prefix.set_cookie(line.as_bytes(), bare);
        let new = new.and_then(|new| HeaderValue::from_maybe_shared(Bytes::from(new)).ok());
        new.map_or(LineEdit::Keep, LineEdit::Replace)
    });
}
