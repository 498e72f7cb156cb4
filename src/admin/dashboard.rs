//! The dashboard: one page with its script and style, as they lie beside this file. It holds nothing; what it shows it
//! asks the API for, and on TCP it asks the operator for the token first.

use http::{HeaderValue, StatusCode, header};

use super::AdminResponse;

/// No script, style or connection but our own; in no frame; nothing is sent anywhere by a form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub(super) fn page() -> AdminResponse {
    part("text/html; charset=utf-8", include_str!("dashboard/page.html"))
}

/// Its style.
pub(super) fn style() -> AdminResponse {
    part("text/css; charset=utf-8", include_str!("dashboard/page.css"))
}

/// Its script.
pub(super) fn script() -> AdminResponse {
    part("text/javascript; charset=utf-8", include_str!("dashboard/page.js"))
}

fn part(kind: &'static str, text: &'static str) -> AdminResponse {
    let mut part = super::page(StatusCode::OK, kind, text);
    let headers = part.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    part
}
