//! The circumstances of a request that decide whether a visitor may be given a ticket. Pure.

use http::{Method, header};

use crate::{
    config::SameSite,
    message::{Fields, authority::HostPort},
    record::jar::RequestSite,
};

/// Sub-resources never begin a session (Fetch Metadata, `Sec-Fetch-Dest`).
const SUBRESOURCES: [&[u8]; 8] =
    [b"image", b"style", b"script", b"font", b"audio", b"video", b"track", b"manifest"];

/// What a request says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchContext {
    /// A new ticket may be given.
    pub may_mint: bool,
    /// Another site made the browser ask, and it kept our cookie back: who comes may have a session all the same.
    pub is_same_site_withheld: bool,
    /// A cookie that the browser has could not have come: a session begins there only when the answer logs somebody in,
    /// since its ticket would take the place of that one.
    pub may_have_unseen_session: bool,
    /// A page that can show a flash: a document, or a client that does not say.
    pub is_document: bool,
}

impl RequestSite {
    /// Reads the Fetch Metadata headers. A top-level navigation by a safe method carries Lax cookies, one in a frame
    /// or by another method does not; nothing cross-site carries Strict ones (RFC 6265bis section 5.2).
    pub fn read(method: &Method, headers: &Fields) -> Self {
        let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        // `same-site` and `none` (typed, bookmarked) carry the cookie; a client without Fetch
        // Metadata is taken for one of these.
        if get("sec-fetch-site") != Some(b"cross-site") {
            return Self::SameSite;
        }
        Self::other_site(method, headers)
    }

    /// The same; where there is no Fetch Metadata, as by plain http and in the handshake of a WebSocket, `Origin` tells.
    /// `host` is the one that the visitor sees.
    pub fn read_with_origin(method: &Method, headers: &Fields, host: &[u8]) -> Self {
        if headers.contains("sec-fetch-site") {
            return Self::read(method, headers);
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if !is_same_site(origin.as_bytes(), host) => Self::other_site(method, headers),
            _ => Self::SameSite,
        }
    }

    fn other_site(method: &Method, headers: &Fields) -> Self {
        let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        // An old browser by plain http: `Origin` said that it is another site, and what a form
        // accepts is all that tells it from a script.
        if !["sec-fetch-mode", "sec-fetch-dest"].iter().any(|name| headers.contains(*name)) {
            let form = !method.is_safe() && accepts_page(headers);
            return if form { Self::Form } else { Self::CrossSite };
        }
        let navigates = get("sec-fetch-mode").is_none_or(|m| m == b"navigate")
            && get("sec-fetch-dest").is_none_or(|d| d == b"document");
        match (navigates, method.is_safe()) {
            (true, true) => Self::Link,
            (true, false) => Self::Form,
            (false, _) => Self::CrossSite,
        }
    }
}

impl FetchContext {
    /// A request to where browsers do not send the cookie, which one may have all the same, is blind.
    #[must_use]
    pub fn within(self, reached: bool) -> Self {
        Self {
            may_mint: self.may_mint && reached,
            may_have_unseen_session: self.may_have_unseen_session || !reached,
            ..self
        }
    }

    /// Whether a script says that it asks, as jQuery and others do.
    pub fn is_scripted(headers: &Fields) -> bool {
        headers
            .get("x-requested-with")
            .is_some_and(|by| by.as_bytes().eq_ignore_ascii_case(b"XMLHttpRequest"))
    }

    /// Whether what is answered takes the place of the page that the visitor sees: they sent a form or followed a link, and
    /// no script asks.
    pub fn navigates(headers: &Fields) -> bool {
        let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        match (get("sec-fetch-mode"), get("sec-fetch-dest")) {
            (None, None) => accepts_page(headers),
            (mode, dest) => {
                mode.is_none_or(|mode| mode == b"navigate") && dest.is_none_or(|dest| dest == b"document")
            }
        }
    }

    /// Reads the Fetch Metadata headers. Where there are none, a ticket may be given.
    pub fn read(method: &Method, headers: &Fields, same_site: SameSite, cross_site_sessions: bool) -> Self {
        let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        let from = RequestSite::read(method, headers);
        let cookie_could_come = match same_site {
            SameSite::None => true,
            SameSite::Lax => matches!(from, RequestSite::SameSite | RequestSite::Link),
            SameSite::Strict => from == RequestSite::SameSite,
        };
        let subresource = get("sec-fetch-dest").is_some_and(|d| SUBRESOURCES.contains(&d));
        let prefetch = ["sec-purpose", "purpose", "x-moz"]
            .iter()
            .any(|n| get(n).is_some_and(|v| v.starts_with(b"prefetch") || v.starts_with(b"prerender")));
        let preflight = method == Method::OPTIONS && headers.contains(header::ACCESS_CONTROL_REQUEST_METHOD);
        Self {
            // Where the cookie could not come, a new ticket would overwrite the one that the
            // browser kept back.
            may_mint: (cookie_could_come || cross_site_sessions) && !subresource && !prefetch && !preflight,
            // Nobody sees what was fetched in advance.
            is_document: get("sec-fetch-dest").map_or_else(|| accepts_page(headers), |d| d == b"document")
                && !prefetch,
            is_same_site_withheld: !cookie_could_come && !cross_site_sessions,
            // Of a safe request to a Lax site the browser takes no cookie where it sent none.
            may_have_unseen_session: !cookie_could_come
                && !cross_site_sessions
                && (!method.is_safe() || same_site == SameSite::Strict),
        }
    }
}

/// Whether an origin is of the site of this host: the same host, or one of the two below the other. Without a list of public
/// suffixes nobody knows more; the port and the scheme do not count, since a proxy before this one may have changed both.
fn is_same_site(origin: &[u8], host: &[u8]) -> bool {
    let host_of = |text: &[u8]| HostPort::parse(text).map(|authority| authority.host);
    let scheme = memchr::memmem::find(origin, b"://").map_or(0, |at| at + 3);
    let Some((theirs, ours)) = host_of(origin.get(scheme..).unwrap_or_default()).zip(host_of(host)) else {
        return false;
    };
    let below = |one: &str, other: &str| one.strip_suffix(other).is_some_and(|rest| rest.ends_with('.'));
    theirs == ours || below(&theirs, &ours) || below(&ours, &theirs)
}

/// Whether a page is what is asked for, where there is no Fetch Metadata, which browsers send by https only: pictures and
/// what scripts fetch are told by what they accept, and by what libraries say of themselves.
fn accepts_page(headers: &Fields) -> bool {
    let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    !FetchContext::is_scripted(headers)
        && get("accept").is_none_or(|types| memchr::memmem::find(types, b"text/html").is_some())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn where_browsers_say_nothing_of_sites_the_origin_decides() {
        let lines = |all: &[(&'static str, &'static str)]| -> Fields {
            all.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
        };
        let (get, post) = (&Method::GET, &Method::POST);
        let page = ("accept", "text/html,*/*;q=0.8");
        for (method, headers, wanted) in [
            (get, &[][..], RequestSite::SameSite),
            (get, &[("origin", "https://shop.test")], RequestSite::SameSite),
            (get, &[("origin", "http://SHOP.test:8080")], RequestSite::SameSite),
            (get, &[("origin", "https://www.shop.test")], RequestSite::SameSite),
            (get, &[("origin", "https://test")], RequestSite::SameSite),
            (get, &[("origin", "https://evil.test")], RequestSite::CrossSite),
            (get, &[("origin", "https://evilshop.test")], RequestSite::CrossSite),
            (get, &[("origin", "null")], RequestSite::CrossSite),
            (post, &[("origin", "https://evil.test"), ("accept", "*/*")], RequestSite::CrossSite),
            (post, &[("origin", "https://evil.test"), page], RequestSite::Form),
            (
                post,
                &[("origin", "https://evil.test"), ("sec-fetch-site", "same-origin")],
                RequestSite::SameSite,
            ),
            (
                get,
                &[("origin", "https://shop.test"), ("sec-fetch-site", "cross-site")],
                RequestSite::CrossSite,
            ),
        ] {
            let found = RequestSite::read_with_origin(method, &lines(headers), b"shop.test:8443");
            assert_eq!(found, wanted, "{method} {headers:?}");
        }
    }
}
