//! The app's own cookies on their way through: what the rules make of them, what the jar keeps and adds.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Version, header};
use uuid::Uuid;

use super::{admit::Admitted, request, session};
use crate::{
    clock::Timestamp,
    config::{KeepRenew, SessionMode},
    cookies::{self, Occasion, SealedFor, Sent, Verdict},
    headers::Client,
    message::{
        authority::Authority,
        cookie::{self, Edit, Retained},
        set_cookie,
    },
    plan::{Plan, RoutePlan},
    router,
    session::{
        Resolved,
        jar::{Asking, Cookie, From, JarChange, Setting},
    },
};

/// What an answer's cookies will have to know of the request.
#[derive(Debug)]
pub struct Crossing {
    /// The path as an app reads it, where a rule asks for it.
    path: Option<String>,
    from: From,
    /// RFC 9110 section 9.2.1.
    safe: bool,
    /// The browser's names of cookies that go when their session does.
    leaving: Vec<Vec<u8>>,
}

/// The cookies of one request and its answer.
#[derive(Debug)]
pub struct Cookies<'a> {
    /// The plan that it began with.
    pub plan: &'a Plan,
    /// The route that it takes.
    pub route: &'a RoutePlan,
    /// Who asks.
    pub client: &'a Client,
    /// What it asks for.
    pub admitted: &'a Admitted,
}

/// Lines that wait until the session is known.
#[derive(Debug, Default)]
pub struct Waiting(Vec<HeaderValue>);

impl<'a> Cookies<'a> {
    fn occasion(&self, crossing: &'a Crossing, now: Timestamp) -> Occasion<'a> {
        Occasion {
            host: &self.admitted.authority.host,
            path: crossing.path.as_deref().unwrap_or(self.admitted.path()),
            upstream: &self.route.upstream.rules.name,
            https: self.client.https,
            realm: session::realm(self.route, self.admitted).tag(),
            now: now.system(),
        }
    }

    fn upstream(&self) -> &str {
        &self.route.upstream.rules.name
    }

    /// The host that the app is asked for, as browsers compare it.
    fn app_host(&self) -> Cow<'_, str> {
        let other =
            request::host(self.route, self.admitted).and_then(|host| Authority::parse(host.as_bytes()));
        other.map_or(Cow::Borrowed(self.admitted.authority.host.as_str()), |other| Cow::Owned(other.host))
    }

    /// The request's `Cookie` as the app is to get it: ours out, the rules undone, kept cookies in.
    pub fn inbound<B>(
        &self,
        resolved: Option<&Resolved>,
        now: Timestamp,
        request: &mut Request<B>,
    ) -> Crossing {
        let rules = &self.plan.cookies;
        let path = rules.reads_paths().then(|| router::reading(self.admitted.path()).into_owned());
        let mut crossing = Crossing {
            path,
            from: From::read(request.method(), request.headers()),
            safe: request.method().is_safe(),
            leaving: Vec::new(),
        };
        let crumbs = request.version() == Version::HTTP_2;
        let headers = request.headers_mut();
        if crumbs {
            join(headers);
        }
        let jar = resolved.and_then(Resolved::record).map(|record| &record.jar).filter(|jar| !jar.is_empty());
        let host = if jar.is_some() { self.app_host() } else { Cow::Borrowed("") };
        let asking = Asking {
            host: &host,
            path: self.admitted.path(),
            https: self.client.https,
            upstream: self.upstream(),
            from: crossing.from,
        };
        let kept = jar.map(|jar| jar.sent(&asking, now)).unwrap_or_default();
        if rules.expires() {
            crossing.leaving = self.leaving(&self.occasion(&crossing, now), headers);
        }
        self.edit(resolved, &kept, &self.occasion(&crossing, now), headers);
        if let Some(line) = as_line(&kept) {
            append(headers, &line);
        }
        crossing
    }

    fn leaving(&self, occasion: &Occasion<'_>, headers: &HeaderMap) -> Vec<Vec<u8>> {
        let rules = &self.plan.cookies;
        let lines = headers.get_all(header::COOKIE).iter();
        let names = lines.flat_map(|line| cookie::pairs(line.as_bytes())).map(|(name, _)| name);
        names.filter(|name| rules.goes_with_session(name, occasion)).map(<[u8]>::to_vec).collect()
    }

    fn edit(
        &self,
        resolved: Option<&Resolved>,
        kept: &[&Cookie],
        occasion: &Occasion<'_>,
        headers: &mut HeaderMap,
    ) {
        let form = &self.route.cookie;
        let rules = &self.plan.cookies;
        if !rules.reads_requests() {
            return edit_lines(headers, |line| cookie::retain(line, |name| !form.is_ours(name)));
        }
        let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
        let bare = Sent { occasion, session: None, has: |_: &[u8]| false };
        // Renamed ones are looked for only where one under the app's own name would be let in beside them.
        let renamed = |wanted: &[u8]| {
            lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).any(|piece| {
                matches!(rules.read(cookie::Pair::new(piece), &bare), Edit::Rename(name) if *name == *wanted)
            })
        };
        let has = |wanted: &[u8]| kept.iter().any(|cookie| *cookie.name == *wanted) || renamed(wanted);
        let sent = Sent { occasion, session: resolved.and_then(Resolved::known_id), has };
        edit_lines(headers, |line| {
            cookie::edit(
                line,
                |pair| {
                    if form.is_ours(pair.name()) { Edit::Remove } else { rules.read(pair, &sent) }
                },
            )
        });
    }

    /// The answer's `Set-Cookie` lines as the browser is to get them, save those that wait for the session; what the
    /// session is to keep is added to `kept`.
    pub fn outbound(
        &self,
        crossing: &Crossing,
        now: Timestamp,
        headers: &mut HeaderMap,
        kept: &mut Vec<JarChange>,
    ) -> Waiting {
        let mut waiting = Waiting::default();
        let header::Entry::Occupied(mut lines) = headers.entry(header::SET_COOKIE) else { return waiting };
        let occasion = self.occasion(crossing, now);
        let mut gone: Vec<usize> = Vec::new();
        for (at, line) in lines.iter_mut().enumerate() {
            match self.fate(crossing, line, &occasion, now) {
                Fate::Stays => {}
                Fate::Becomes(new) => *line = new,
                Fate::Goes => gone.push(at),
                Fate::IsKept(change) => {
                    gone.push(at);
                    kept.push(*change);
                }
                Fate::Waits => {
                    gone.push(at);
                    waiting.0.push(line.clone());
                }
            }
        }
        if !gone.is_empty() {
            let stays = lines.iter().enumerate().filter(|(at, _)| !gone.contains(at));
            let left: Vec<HeaderValue> = stays.map(|(_, line)| line.clone()).collect();
            lines.remove_entry_mult();
            for line in left {
                headers.append(header::SET_COOKIE, line);
            }
        }
        waiting
    }

    fn fate(&self, crossing: &Crossing, line: &HeaderValue, occasion: &Occasion<'_>, now: Timestamp) -> Fate {
        let bytes = line.as_bytes();
        let name = set_cookie::name(bytes);
        if self.route.cookie.is_ours(set_cookie::sent_name(bytes)) {
            tracing::warn!(
                "a Set-Cookie of the app was dropped: it has the name of the session's own cookie"
            );
            return Fate::Goes;
        }
        let rules = &self.plan.cookies;
        self.note(bytes, occasion);
        if rules.is_empty() {
            return Fate::Stays;
        }
        match rules.apply(bytes, occasion, SealedFor::Later) {
            Verdict::Bound => Fate::Waits,
            Verdict::Kept(kept) => self.keep(crossing, &kept, name, now),
            verdict => self.carry_out(bytes, verdict),
        }
    }

    /// The inventory's part.
    fn note(&self, line: &[u8], occasion: &Occasion<'_>) {
        for finding in self.plan.inventory.note(line, occasion, &self.plan.cookies) {
            let cookie = String::from_utf8_lossy(set_cookie::name(line)).into_owned();
            tracing::info!(upstream = self.upstream(), %cookie, finding = finding.as_str(), "a cookie of the app");
        }
    }

    fn carry_out(&self, line: &[u8], verdict: Verdict<'_>) -> Fate {
        let name = set_cookie::name(line);
        let cookie = String::from_utf8_lossy(name);
        match verdict {
            Verdict::Rewritten(bytes) => match HeaderValue::from_maybe_shared(Bytes::from(bytes)) {
                Ok(value) => Fate::Becomes(value),
                // Never of bytes that came as a header and of ours; and what was to be changed does not pass unchanged.
                Err(_) => Fate::Goes,
            },
            Verdict::Refused(why) => {
                if self.plan.inventory.is_new(name, why) {
                    tracing::warn!(%cookie, why, "a rule was not applied: the cookie would be refused by browsers");
                }
                Fate::Stays
            }
            Verdict::Unsealable(why) => {
                tracing::warn!(%cookie, why, "a cookie of the app was dropped: it could not be sealed");
                Fate::Goes
            }
            Verdict::Reported(verdict) => {
                let would = cookies::told(line, &verdict);
                if self.plan.inventory.is_new(name, &would) {
                    tracing::info!(%cookie, would, "report: without `report` this would have become of it");
                }
                Fate::Stays
            }
            Verdict::Dropped | Verdict::Kept(_) | Verdict::Bound => Fate::Goes,
            Verdict::Untouched => Fate::Stays,
        }
    }

    /// SECURITY: whatever comes of it, the line goes: it was never to be in a browser.
    fn keep(&self, crossing: &Crossing, kept: &cookies::Kept<'_>, name: &[u8], now: Timestamp) -> Fate {
        let lost = |why: &str| {
            self.plan.sessions.wire.events.not_kept(None, name, why);
            Fate::Goes
        };
        if self.route.session == SessionMode::Off {
            return lost("the route has no session");
        }
        let host = self.app_host();
        let setting = Setting {
            host: &host,
            path: self.admitted.path(),
            https: self.client.https,
            from: crossing.from,
            owner: (!kept.share).then(|| self.upstream()),
        };
        let renews = match kept.renew {
            KeepRenew::Unsafe => !crossing.safe,
            KeepRenew::Always => true,
            KeepRenew::Off => false,
        };
        match Cookie::read(&kept.line, &setting, now) {
            Ok(cookie) => Fate::IsKept(Box::new(JarChange { cookie, https: self.client.https, renews })),
            Err(refused) => lost(refused.0),
        }
    }

    /// After the answer's changes were kept: what waited for the session, and what goes with one that ended.
    pub fn finish(
        &self,
        crossing: &Crossing,
        waiting: Waiting,
        after: After,
        now: Timestamp,
        headers: &mut HeaderMap,
    ) {
        if waiting.0.is_empty() && !after.ended {
            return;
        }
        let occasion = self.occasion(crossing, now);
        for line in waiting.0 {
            let verdict =
                self.plan.cookies.apply(line.as_bytes(), &occasion, SealedFor::Session(after.session));
            if let Fate::Becomes(line) = self.carry_out(line.as_bytes(), verdict) {
                headers.append(header::SET_COOKIE, line);
            }
        }
        if after.ended {
            self.expire(crossing, &occasion, headers);
        }
    }

    fn expire(&self, crossing: &Crossing, occasion: &Occasion<'_>, headers: &mut HeaderMap) {
        for name in &crossing.leaving {
            // What this very answer sets is not taken back.
            let mut set =
                headers.get_all(header::SET_COOKIE).iter().map(|line| set_cookie::name(line.as_bytes()));
            if set.any(|set| set == name.as_slice()) {
                continue;
            }
            for line in self.plan.cookies.expire(name, occasion, &self.plan.inventory) {
                if let Ok(line) = HeaderValue::from_maybe_shared(Bytes::from(line)) {
                    headers.append(header::SET_COOKIE, line);
                }
            }
        }
    }
}

/// What became of the session when an answer's changes were kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct After {
    /// The one that the browser is in from now on.
    pub session: Option<Uuid>,
    /// The one that the request came under has ended.
    pub ended: bool,
}

enum Fate {
    Stays,
    Becomes(HeaderValue),
    Goes,
    Waits,
    IsKept(Box<JarChange>),
}

/// Edits each line; one that has no pair left goes.
fn edit_lines(headers: &mut HeaderMap, edit: impl Fn(&[u8]) -> Retained) {
    let header::Entry::Occupied(mut lines) = headers.entry(header::COOKIE) else { return };
    let mut empty = false;
    for line in lines.iter_mut() {
        match edit(line.as_bytes()) {
            Retained::Unchanged => {}
            Retained::Empty => {
                *line = HeaderValue::from_static("");
                empty = true;
            }
            Retained::Changed(bytes) => {
                // Of bytes that came as headers; were they ever none, the line is not passed on unedited.
                let value = HeaderValue::from_maybe_shared(Bytes::from(bytes));
                empty |= value.is_err();
                *line = value.unwrap_or(HeaderValue::from_static(""));
            }
        }
    }
    if empty {
        let kept: Vec<HeaderValue> = lines.iter().filter(|l| !l.is_empty()).cloned().collect();
        lines.remove_entry_mult();
        for line in kept {
            headers.append(header::COOKIE, line);
        }
    }
}

/// HTTP/2 clients may send a pair a line; HTTP/1 has one line (RFC 9113 section 8.2.3).
fn join(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(line) = HeaderValue::from_maybe_shared(Bytes::from(lines.join(&b"; "[..]))) {
        headers.insert(header::COOKIE, line);
    }
}

/// As a browser writes them (RFC 6265bis section 5.8.3).
fn as_line(kept: &[&Cookie]) -> Option<Vec<u8>> {
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
fn append(headers: &mut HeaderMap, pairs: &[u8]) {
    let mut lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
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

    fn lines(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(header::COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }

    fn cookies(all: &[&'static str]) -> HeaderMap {
        all.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn crumbs_become_one_line() {
        for (crumbs, wanted) in
            [(&["a=1"][..], &["a=1"][..]), (&["a=1", "b=2; c", " d=3"], &["a=1; b=2; c;  d=3"]), (&[], &[])]
        {
            let mut headers = cookies(crumbs);
            join(&mut headers);
            assert_eq!(lines(&headers), wanted);
        }
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
