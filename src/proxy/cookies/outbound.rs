//! The answer's `Set-Cookie` lines: what the rules make of them, what the session keeps, what goes with it.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use uuid::Uuid;

use super::{
    super::{Call, handover},
    CookieContext,
    expiring::ExpiringLines,
};
use crate::{
    config::{KeepRenew, SessionMode, is_session_like},
    cookies::{self, CookieFinding, CookieScope, LineVerdict, SealedFor},
    message::{
        Fields, Response,
        fields::LineEdit,
        set_cookie::{self, SetCookieLine},
    },
    record::jar::{Jar, JarChange, JarCookie, SettingScope},
    session::{SessionChanges, make_private},
};

/// Lines that wait until the session is known.
#[derive(Debug, Default)]
pub struct PendingLines {
    /// To be sealed for it.
    bound: Vec<HeaderValue>,
    /// Of cookies from before their rule, whose old copies go.
    adopted: Vec<AdoptedLine>,
}

#[derive(Debug)]
struct AdoptedLine {
    /// As the app wrote it.
    line: HeaderValue,
    needs: AdoptionNeeds,
}

/// Without which the old copy stays.
#[derive(Debug)]
enum AdoptionNeeds {
    Nothing,
    /// A session that the new one is sealed for.
    Session,
    /// The new one in the jar.
    Kept(Box<JarCookie>),
}

/// What became of the session when an answer's changes were kept.
#[derive(Debug, Clone, Default)]
pub struct CommittedSession {
    /// The one that the browser is in from now on.
    pub session: Option<Uuid>,
    /// The one that the request came under has ended.
    pub ended: bool,
    /// What it keeps, if the answer changed anything there.
    pub jar: Jar,
    /// The browser was given a ticket, or had one taken away.
    pub sets_cookie: bool,
}

enum LineFate {
    Stays,
    Becomes(HeaderValue),
    Goes,
    Waits,
    IsKept(Box<JarChange>),
}

impl Call<'_> {
    /// The answer's `Set-Cookie` lines as the browser is to get them, save those that wait for the session; what the
    /// session is to keep is added to `changes`.
    pub fn rewrite_set_cookies<B>(
        &self,
        cookie_context: &CookieContext,
        response: &mut Response<B>,
        changes: &mut Option<Box<SessionChanges>>,
    ) -> Option<Box<PendingLines>> {
        let mut waiting: Option<Box<PendingLines>> = None;
        let status = response.status();
        let headers = response.fields_mut();
        if !headers.contains(header::SET_COOKIE) {
            return waiting;
        }
        let scope = self.cookie_scope(cookie_context);
        let mut taken = false;
        headers.edit(header::SET_COOKIE, |line| {
            let fate = self.fate_of_line((cookie_context, status), line, &scope);
            if self.plan.cookies.adopts()
                && let Some(adopted) = self.adopted_line(line, &fate, &scope)
            {
                waiting.get_or_insert_default().adopted.push(adopted);
            }
            taken |= matches!(fate, LineFate::Goes | LineFate::IsKept(_));
            match fate {
                LineFate::Stays => LineEdit::Keep,
                LineFate::Becomes(new) => LineEdit::Replace(new),
                LineFate::Goes => LineEdit::Remove,
                LineFate::IsKept(change) => {
                    changes.get_or_insert_default().jar.push(*change);
                    LineEdit::Remove
                }
                LineFate::Waits => {
                    waiting.get_or_insert_default().bound.push(line.clone());
                    LineEdit::Remove
                }
            }
        });
        if let Some(changes) = changes.as_mut().filter(|changes| !changes.jar.is_empty()) {
            // Asked now: whoever has gone by this time is not known to get the new ticket.
            changes.keeps_old_ticket = !(cookie_context.navigates && handover::visitor_waits());
        }
        if taken {
            // SECURITY: an answer that set a cookie is as a rule its visitor's own, and caches that serve many leave it
            // alone for that line. Without it they would not.
            make_private(headers);
        }
        waiting
    }

    /// A line that takes the place of a cookie from before its rule, or takes it back.
    fn adopted_line(
        &self,
        line: &HeaderValue,
        fate: &LineFate,
        scope: &CookieScope<'_>,
    ) -> Option<AdoptedLine> {
        if !self.plan.cookies.is_adopted(set_cookie::name(line.as_bytes()), scope) {
            return None;
        }
        let needs = match fate {
            LineFate::Stays | LineFate::Goes => return None,
            LineFate::Waits => AdoptionNeeds::Session,
            LineFate::IsKept(change) if change.keeps() => {
                AdoptionNeeds::Kept(Box::new(change.cookie.clone()))
            }
            LineFate::Becomes(_) | LineFate::IsKept(_) => AdoptionNeeds::Nothing,
        };
        Some(AdoptedLine { line: line.clone(), needs })
    }

    fn fate_of_line(
        &self,
        answered: (&CookieContext, StatusCode),
        line: &HeaderValue,
        scope: &CookieScope<'_>,
    ) -> LineFate {
        let line = SetCookieLine::read(line.as_bytes());
        if self.route.cookie.is_ours(line.sent_name()) {
            tracing::warn!(
                "a Set-Cookie of the app was dropped: it has the name of the session's own cookie"
            );
            return LineFate::Goes;
        }
        let rules = &self.plan.cookies;
        self.note_cookie(line, scope);
        // After the inventory was told, so that the operator sees cookies for which there is no
        // rule yet.
        if rules.is_empty() || self.route.cookie.is_the_apps(line.name()) {
            return LineFate::Stays;
        }
        match rules.apply(line, scope, SealedFor::Later) {
            LineVerdict::Untouched => LineFate::Stays,
            LineVerdict::Bound => LineFate::Waits,
            LineVerdict::Kept(kept) => self.keep_cookie(answered, &kept, line.name()),
            verdict => self.apply_verdict(line, verdict),
        }
    }

    /// Whether a cookie of this name holds the session, whoever sets it on this route.
    fn is_session_cookie(&self, name: &[u8]) -> bool {
        self.route.cookie.is_ours(name) || self.route.cookie.is_the_apps(name)
    }

    /// The inventory's part.
    fn note_cookie(&self, line: SetCookieLine<'_>, scope: &CookieScope<'_>) {
        let new = self.plan.inventory.note(line, scope, &self.plan.cookies);
        if !new.is_empty() {
            let cookie = String::from_utf8_lossy(line.name()).into_owned();
            let found: Vec<_> = new.into_iter().map(CookieFinding::as_str).collect();
            tracing::info!(upstream = self.upstream(), %cookie, found = found.join("; "), "a cookie of the app");
        }
    }

    fn apply_verdict(&self, line: SetCookieLine<'_>, verdict: LineVerdict<'_>) -> LineFate {
        let name = line.name();
        let cookie = || String::from_utf8_lossy(name);
        match verdict {
            // Its own name was asked about before.
            LineVerdict::Rewritten(bytes)
                if (name.is_empty() || !bytes.starts_with(line.pair()))
                    && self.is_session_cookie(set_cookie::name(&bytes)) =>
            {
                tracing::warn!(cookie = %cookie(), "a Set-Cookie of the app was dropped: renamed, it would be the session's own");
                LineFate::Goes
            }
            LineVerdict::Rewritten(bytes) => match HeaderValue::from_maybe_shared(Bytes::from(bytes)) {
                Ok(value) => LineFate::Becomes(value),
                // Never of bytes that came as a header and of ours; and what was to be changed does not pass unchanged.
                Err(_) => LineFate::Goes,
            },
            LineVerdict::Refused(why) => {
                if self.plan.inventory.is_new(name, why) {
                    tracing::warn!(cookie = %cookie(), why, "a rule was not applied: browsers would refuse the cookie");
                }
                LineFate::Stays
            }
            LineVerdict::Unsealable(why) => {
                tracing::warn!(cookie = %cookie(), why, "a cookie of the app was dropped: it could not be sealed");
                LineFate::Goes
            }
            LineVerdict::Reported(verdict) => {
                let would = cookies::describe(line.bytes(), &verdict);
                if self.plan.inventory.is_new(name, &would) {
                    tracing::info!(cookie = %cookie(), would, "report: what the rule would do to a cookie");
                }
                LineFate::Stays
            }
            LineVerdict::Dropped | LineVerdict::Kept(_) | LineVerdict::Bound => LineFate::Goes,
            LineVerdict::Untouched => LineFate::Stays,
        }
    }

    /// SECURITY: whatever comes of it, the line goes: it was never to be in a browser.
    fn keep_cookie(
        &self,
        (cookie_context, status): (&CookieContext, StatusCode),
        kept: &cookies::LineForJar<'_>,
        name: &[u8],
    ) -> LineFate {
        let lost = |why: &str| {
            self.plan.sessions.headers.events.not_kept(None, name, why);
            LineFate::Goes
        };
        let host = self.host_of_app();
        // By the visitor's path: `proxy::response` has put back the prefix of the route before any rule is asked.
        let setting = SettingScope {
            host: &host,
            path: self.admitted.path(),
            https: self.client.https,
            from: cookie_context.from,
            owner: (!kept.share).then(|| self.upstream()),
        };
        let mut cookie = match JarCookie::read(&kept.line, &setting, self.now) {
            Ok(cookie) => cookie,
            Err(refused) => return lost(refused.0),
        };
        cookie.outlives_browser &= kept.outlives_browser;
        // By the name alone: what else could tell a login's cookie from a preference is in the
        // app's head.
        let is_session = is_session_like(name);
        let mut change =
            JarChange { cookie, https: self.client.https, renews: false, begins: false, ends: false };
        change.ends = is_session && !change.keeps();
        change.renews = match kept.renew {
            // Many apps log out by a link.
            KeepRenew::Unsafe => !cookie_context.safe || change.ends,
            KeepRenew::Always => true,
            KeepRenew::Off => false,
        };
        // An answer that refuses something logs nobody in.
        let is_form = !cookie_context.safe && cookie_context.navigates;
        change.begins = change.renews && is_form && status.as_u16() < 400 && is_session;
        if self.route.session == SessionMode::Off && change.keeps() {
            return lost("the route has no session");
        }
        LineFate::IsKept(Box::new(change))
    }

    /// After the answer's changes were kept: what waited for the session, and what goes with one that ended.
    pub fn finish_set_cookies(
        &self,
        cookie_context: &CookieContext,
        waiting: Option<Box<PendingLines>>,
        after: &CommittedSession,
        headers: &mut Fields,
    ) {
        // Nearly every answer: no line waited, and nothing ended.
        if waiting.is_none() && !after.ended {
            return;
        }
        let waiting = waiting.unwrap_or_default();
        let scope = self.cookie_scope(cookie_context);
        for line in waiting.bound {
            let line = SetCookieLine::read(line.as_bytes());
            let verdict = self.plan.cookies.apply(line, &scope, SealedFor::Session(after.session));
            match self.apply_verdict(line, verdict) {
                LineFate::Becomes(line) => {
                    headers.append(header::SET_COOKIE, line);
                }
                // What was taken away, caches do not see.
                _ => make_private(headers),
            }
        }
        let mut expiring = ExpiringLines::default();
        for AdoptedLine { line, needs } in waiting.adopted {
            let has = match needs {
                AdoptionNeeds::Nothing => true,
                AdoptionNeeds::Session => after.session.is_some(),
                AdoptionNeeds::Kept(cookie) => after.jar.cookies().contains(&cookie),
            };
            if has {
                let name = set_cookie::name(line.as_bytes());
                let sent = cookie_context.expiring.iter().any(|expiring| expiring == name);
                expiring.add(name, self.plan.cookies.expire_adopted(line.as_bytes(), &scope, sent));
            }
        }
        if after.ended {
            self.expire_cookies(cookie_context, &scope, headers, &mut expiring);
        }
        expiring.go(headers);
    }
}
