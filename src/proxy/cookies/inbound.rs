//! The request's `Cookie`: ours out, the rules undone, kept cookies in.

use std::{borrow::Cow, cell::OnceCell, collections::BTreeSet};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use smallvec::SmallVec;

use super::{
    super::{Call, ProxyError},
    AskedPath, CookieContext,
};
use crate::{
    cookies::{CookieScope, NameWork, PairContext},
    message::{
        Fields, Request,
        cookie::{self, PairEdit, RetainedLine},
        fields::LineEdit,
    },
    record::jar::{JarCookie, JarRequest, RequestSite},
    session::{FetchContext, ResolvedSession},
};

impl Call<'_> {
    /// The request's `Cookie` as the app is to get it: ours out, the rules undone, kept cookies in.
    pub fn rewrite_cookies<B>(
        &self,
        resolved: Option<&ResolvedSession>,
        request: &mut Request<B>,
    ) -> Result<CookieContext, ProxyError> {
        let now = self.now;
        let rules = &self.plan.cookies;
        let path = AskedPath::of(self.admitted.path(), rules);
        let jar = resolved
            .and_then(ResolvedSession::record)
            .map(|record| &record.jar)
            .filter(|jar| !jar.is_empty());
        // Asked only where it decides something.
        let asks = jar.is_some() || rules.reads_requests();
        let host = self.client.host.as_ref().or(self.admitted.host.as_ref());
        let host = host.map_or(&b""[..], HeaderValue::as_bytes);
        let from = if asks {
            RequestSite::read_with_origin(request.method(), request.fields(), host)
        } else {
            RequestSite::SameSite
        };
        let safe = request.method().is_safe();
        let navigates = asks && FetchContext::navigates(request.fields());
        let mut cookie_context = CookieContext { path, from, safe, navigates, expiring: Vec::new() };
        let headers = request.fields_mut();
        let host = if jar.is_some() { self.host_of_app() } else { Cow::Borrowed("") };
        // By the visitor's path, as cookies are kept: `proxy::response` has put the prefix before theirs.
        let asking = JarRequest {
            host: &host,
            path: self.admitted.path(),
            https: self.client.https,
            upstream: self.upstream(),
            from: cookie_context.from,
        };
        let mut kept = jar.map(|jar| jar.sent(&asking, now)).unwrap_or_default();
        // What was kept under rules that are no more would stand beside the browser's own.
        kept.retain(|cookie| rules.keeps(&cookie.name));
        if rules.expires() {
            cookie_context.expiring = self.names_that_expire(&self.cookie_scope(&cookie_context), headers);
        }
        // Where a cookie is kept under a name, none from before takes its place on other paths.
        let stored =
            |name: &[u8]| rules.keeps(name) && jar.is_some_and(|jar| jar.holds(name, self.upstream(), now));
        // SECURITY: names are the visitor's choice, and each may be held against every pattern. The
        // budget bounds the whole request, however its cookies are cut.
        let work = NameWork::default();
        self.edit_cookies(resolved, (&kept, stored, &work), || self.cookie_scope(&cookie_context), headers);
        if work.is_over() {
            let why = "names of cookies that cost too much to look at";
            return Err(ProxyError::Client(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why));
        }
        // Kept cookies last, after everything of that name was taken out of what the browser sent.
        if let Some(line) = as_line(&kept) {
            append(headers, &line);
        }
        Ok(cookie_context)
    }

    fn names_that_expire(&self, scope: &CookieScope<'_>, headers: &Fields) -> Vec<Vec<u8>> {
        let rules = &self.plan.cookies;
        let lines = headers.get_all(header::COOKIE);
        let names = lines.flat_map(|line| cookie::pairs(line.as_bytes())).map(|(name, _)| name);
        names.filter(|name| rules.goes_with_session(name, scope)).map(<[u8]>::to_vec).collect()
    }

    fn edit_cookies<'o>(
        &self,
        resolved: Option<&ResolvedSession>,
        (kept, stored, work): (&[&JarCookie], impl Fn(&[u8]) -> bool, &NameWork),
        scope: impl FnOnce() -> CookieScope<'o>,
        headers: &mut Fields,
    ) {
        let form = &self.route.cookie;
        let rules = &self.plan.cookies;
        if !rules.reads_requests() {
            return edit_lines(headers, |line| {
                cookie::edit(line, |pair| match pair.name() {
                    name if form.is_ours(name) || form.is_within(pair.text()) => PairEdit::Remove,
                    _ => PairEdit::Keep,
                })
            });
        }
        let scope = &scope();
        let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).cloned().collect();
        // Renamed ones are looked for only where one under the app's own name would be let in beside them, and then once.
        let renamed = OnceCell::new();
        let all_renamed = || -> BTreeSet<Cow<'_, [u8]>> {
            let pairs = lines.iter().flat_map(|line| cookie::pairs(line.as_bytes()));
            pairs.filter_map(|(name, _)| rules.original_name(name, scope)).collect()
        };
        let has = |wanted: &[u8]| stored(wanted) || renamed.get_or_init(all_renamed).contains(wanted);
        let names: SmallVec<[&[u8]; 4]> = kept.iter().map(|kept| &*kept.name).collect();
        let open: SmallVec<[&[u8]; 4]> =
            names.iter().copied().filter(|name| rules.leaves_open(name, scope)).collect();
        let sent = PairContext {
            scope,
            session: resolved.and_then(ResolvedSession::known_id),
            has,
            open: &open,
            kept: &names,
            inventory: Some(&self.plan.inventory),
            work,
        };
        edit_lines(headers, |line| {
            cookie::edit(line, |pair| match pair.name() {
                name if form.is_ours(name) || form.is_within(pair.text()) => PairEdit::Remove,
                name if form.is_the_apps(name) => PairEdit::Keep,
                _ => rules.read(pair, &sent),
            })
        });
    }
}

/// Edits each line; one that has no pair left goes.
fn edit_lines(headers: &mut Fields, edit: impl Fn(&[u8]) -> RetainedLine) {
    headers.edit(header::COOKIE, |line| match edit(line.as_bytes()) {
        RetainedLine::Unchanged => LineEdit::Keep,
        RetainedLine::Empty => LineEdit::Remove,
        // Of bytes that came as headers; were they ever none, the line is not passed on unedited.
        RetainedLine::Changed(bytes) => {
            HeaderValue::from_maybe_shared(Bytes::from(bytes)).map_or(LineEdit::Remove, LineEdit::Replace)
        }
    });
}

/// As a browser writes them (RFC 6265bis section 5.8.3).
fn as_line(kept: &[&JarCookie]) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    for cookie in kept {
        if !line.is_empty() {
            line.extend_from_slice(b"; ");
        }
        line.extend_from_slice(&cookie.name);
        if !cookie.name.is_empty() {
            line.push(b'=');
        }
        line.extend_from_slice(&cookie.value);
    }
    (!line.is_empty()).then_some(line)
}

/// Adds pairs to the last line, or makes one.
fn append(headers: &mut Fields, pairs: &[u8]) {
    let mut lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).cloned().collect();
    let last = lines.pop();
    let line = match &last {
        Some(last) => [last.as_bytes(), b"; ", pairs].concat(),
        None => pairs.to_vec(),
    };
    let Ok(line) = HeaderValue::from_maybe_shared(Bytes::from(line)) else { return };
    headers.remove(header::COOKIE);
    for line in lines.into_iter().chain([line]) {
        headers.append(header::COOKIE, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(headers: &Fields) -> Vec<&str> {
        headers.get_all(header::COOKIE).map(|line| line.to_str().unwrap()).collect()
    }

    fn cookies(all: &[&'static str]) -> Fields {
        all.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn kept_cookies_come_after_the_browsers_own() {
        for (before, wanted) in [
            (&[][..], &["k=1; l"][..]),
            (&["a=1"], &["a=1; k=1; l"]),
            (&["a=1", "b=2"], &["a=1", "b=2; k=1; l"]),
        ] {
            let mut headers = cookies(before);
            append(&mut headers, b"k=1; l");
            assert_eq!(lines(&headers), wanted);
        }
    }
}
