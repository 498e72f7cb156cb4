//! The circumstances of a request that decide whether a visitor may be given a ticket. Pure.

use http::{HeaderMap, Method, header};

use super::jar::From;
use crate::config::{MintRule, SameSite};

/// Sub-resources never begin a session (Fetch Metadata, `Sec-Fetch-Dest`).
const SUBRESOURCES: [&[u8]; 8] =
    [b"image", b"style", b"script", b"font", b"audio", b"video", b"track", b"manifest"];

/// What a request says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// A new ticket may be given.
    pub may_mint: bool,
    /// Another site made the browser ask, and it kept our cookie back: who comes may have a session all the same.
    pub withheld: bool,
    /// A cookie that the browser has could not have come: a session begins there only when the answer logs somebody in,
    /// since its ticket would take the place of that one.
    pub blind: bool,
    /// A page that can show a flash: a document, or a client that does not say.
    pub is_document: bool,
}

impl From {
    /// Reads the Fetch Metadata headers. A top-level navigation by a safe method carries Lax cookies, one in a frame
    /// or by another method does not; nothing cross-site carries Strict ones (RFC 6265bis section 5.2).
    pub fn read(method: &Method, headers: &HeaderMap) -> Self {
        let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        if get("sec-fetch-site") != Some(b"cross-site") {
            return Self::SameSite;
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

impl Visit {
    /// A request to where browsers do not send the cookie, which one may have all the same, is blind.
    #[must_use]
    pub fn within(self, reached: bool) -> Self {
        Self { may_mint: self.may_mint && reached, blind: self.blind || !reached, ..self }
    }

    /// Whether a script says that it asks, as jQuery and others do.
    pub fn is_scripted(headers: &HeaderMap) -> bool {
        headers
            .get("x-requested-with")
            .is_some_and(|by| by.as_bytes().eq_ignore_ascii_case(b"XMLHttpRequest"))
    }

    /// Whether the visitor sent a form, so that what is answered takes the place of the page that they see: by an unsafe
    /// method, and not by a script.
    pub fn submits(method: &Method, headers: &HeaderMap) -> bool {
        let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        if method.is_safe() {
            return false;
        }
        match (get("sec-fetch-mode"), get("sec-fetch-dest")) {
            (None, None) => accepts_page(headers),
            (mode, dest) => {
                mode.is_none_or(|mode| mode == b"navigate") && dest.is_none_or(|dest| dest == b"document")
            }
        }
    }

    /// Reads the Fetch Metadata headers. Where there are none, a ticket may be given.
    pub fn read(method: &Method, headers: &HeaderMap, same_site: SameSite, mint: MintRule) -> Self {
        let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        let from = From::read(method, headers);
        let cookie_could_come = match same_site {
            SameSite::None => true,
            SameSite::Lax => matches!(from, From::SameSite | From::Link),
            SameSite::Strict => from == From::SameSite,
        };
        let subresource = get("sec-fetch-dest").is_some_and(|d| SUBRESOURCES.contains(&d));
        let prefetch = ["sec-purpose", "purpose", "x-moz"]
            .iter()
            .any(|n| get(n).is_some_and(|v| v.starts_with(b"prefetch") || v.starts_with(b"prerender")));
        let preflight =
            method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let always = mint == MintRule::Always;
        Self {
            may_mint: (cookie_could_come || always) && !subresource && !prefetch && !preflight,
            // Nobody sees what was fetched in advance.
            is_document: get("sec-fetch-dest").map_or_else(|| accepts_page(headers), |d| d == b"document")
                && !prefetch,
            withheld: !cookie_could_come && !always,
            // Of a safe request to a Lax site the browser takes no cookie where it sent none.
            blind: !cookie_could_come && !always && (!method.is_safe() || same_site == SameSite::Strict),
        }
    }
}

/// Whether a page is what is asked for, where there is no Fetch Metadata, which browsers send by https only: pictures and
/// what scripts fetch are told by what they accept, and by what libraries say of themselves.
fn accepts_page(headers: &HeaderMap) -> bool {
    let get = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    !Visit::is_scripted(headers)
        && get("accept").is_none_or(|types| memchr::memmem::find(types, b"text/html").is_some())
}
