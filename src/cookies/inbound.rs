//! Cookies on their way back to the app: names as the app knows them, sealed values opened, what a browser has no
//! business to send taken out.

use std::{borrow::Cow, time::UNIX_EPOCH};

use jiff::{civil::Date, tz::TimeZone};
use uuid::Uuid;

use crate::{
    config::{CookieAction, CookieRule, RenamePattern},
    message::{
        cookie::{CookiePair, PairEdit},
        glob,
    },
};

use super::{
    CookieInventory, CookieRules, CookieScope, lookalikes,
    names::NameWork,
    rule::{is_for, renaming},
    seal::{bound, open},
};

/// What a request knows beside the pair that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct PairContext<'a, H> {
    /// When and where.
    pub scope: &'a CookieScope<'a>,
    /// The session that the request came under, if it has one.
    pub session: Option<Uuid>,
    /// Whether the app gets a cookie of this name from elsewhere: the jar, or a renamed one.
    pub has: H,
    /// Names that the jar sends here although no rule takes them from the browser here ([`CookieRules::leaves_open`]).
    pub open: &'a [&'a [u8]],
    /// Names of what the jar sends with this request.
    pub kept: &'a [&'a [u8]],
    /// What the apps were seen to set; `None`: whatever a browser sends may be that.
    pub inventory: Option<&'a CookieInventory>,
    /// What its names have cost so far. Once it is too much, pairs are removed unseen, and the request is to be refused.
    pub work: &'a NameWork,
}

impl<'a> PairContext<'a, fn(&[u8]) -> bool> {
    /// Of a request without a session, whose app gets no cookie from elsewhere, and before any app was seen.
    pub fn alone(scope: &'a CookieScope<'a>, work: &'a NameWork) -> Self {
        Self { scope, session: None, has: |_| false, open: &[], kept: &[], inventory: None, work }
    }
}

impl CookieRules {
    /// What becomes of one pair of a request's `Cookie`.
    pub fn read<'p, H: Fn(&[u8]) -> bool>(
        &self,
        pair: CookiePair<'p>,
        sent: &PairContext<'_, H>,
    ) -> PairEdit<'p> {
        let name = pair.name();
        // SECURITY: what else some app would read in this pair, whatever becomes of the pair itself.
        let passes_for = |name: &[u8], own: Option<&CookieRule>| self.guards_disguised(name, sent, own);
        let smuggles = || lookalikes::within(pair).any(|name| passes_for(name, None));
        if let Some((rule, original)) = self.original(name, sent.scope) {
            return if rule.action == CookieAction::Seal {
                self.open(rule, pair, Some(original), sent)
            } else if passes_for(&original, Some(rule)) || smuggles() {
                PairEdit::Remove
            } else {
                PairEdit::Rename(original)
            };
        }
        let read_as = lookalikes::name(pair);
        let rule = self.find(name, sent.scope);
        let Some(rule) = rule.filter(|rule| guards(rule, sent.scope)) else {
            let known = rule.is_some_and(|rule| !rule.report);
            let doubles = sent.open.iter().any(|open| {
                let passes = |name: &[u8]| !sent.work.looks_at(name) || lookalikes::passes_for(name, open);
                *open == read_as || (!known && (passes(read_as) || lookalikes::within(pair).any(passes)))
            });
            let goes = doubles || passes_for(read_as, None) || smuggles();
            return if goes { PairEdit::Remove } else { PairEdit::Keep };
        };
        if adopts(rule, sent.scope) {
            // What scripts read is the browser's own, unless the jar has it: then the app set it HttpOnly.
            let is_let_in = is_let_in(rule, sent.scope);
            let by_script = || is_written_by_scripts(rule, name, sent) && !is_like_kept(read_as, sent);
            let adopted = (is_let_in || by_script())
                && !(sent.has)(read_as)
                && !passes_for(read_as, Some(rule))
                && !smuggles();
            if let Some(seen) = sent.inventory.filter(|_| adopted && !is_let_in && !rule.leaves_to_scripts) {
                seen.tell_of_script(sent.scope.upstream, name);
            }
            return if adopted { PairEdit::Keep } else { PairEdit::Remove };
        }
        self.open(rule, pair, None, sent)
    }

    /// Whether the app's cookie of this name is kept, but under conditions that do not hold here, so that nothing takes
    /// it from the browser: where the jar sends it all the same, the browser's namesakes would come beside it.
    pub fn leaves_open(&self, name: &[u8], scope: &CookieScope<'_>) -> bool {
        let keeps = |rule: &&CookieRule| rule.action == CookieAction::Keep && !rule.report;
        self.rules.iter().filter(keeps).any(|rule| glob::fits(rule.name.as_bytes(), name))
            && !self.find(name, scope).is_some_and(|rule| guards(rule, scope))
    }

    /// Whether a cookie from before its rule is let in under this name of the app's.
    pub fn is_adopted(&self, name: &[u8], scope: &CookieScope<'_>) -> bool {
        self.adopts()
            && self
                .find(name, scope)
                .is_some_and(|rule| guards(rule, scope) && adopts(rule, scope) && is_let_in(rule, scope))
    }

    /// Whether some app would read this name as one that a rule (but not its `own`) takes from browsers. A rule that
    /// fits the name as it stands says that the app has such a cookie: rules behind it count only where they name one
    /// cookie.
    fn guards_disguised<H: Fn(&[u8]) -> bool>(
        &self,
        name: &[u8],
        sent: &PairContext<'_, H>,
        own: Option<&CookieRule>,
    ) -> bool {
        let PairContext { scope, work, .. } = *sent;
        let is = |rule: &CookieRule, other: Option<&CookieRule>| {
            other.is_some_and(|other| std::ptr::eq(other, rule))
        };
        let meant = self.find_by_index(name, scope, work);
        let first = meant.map_or(usize::MAX, |(number, _)| number);
        let meant = meant.map(|(_, rule)| rule);
        if let Some(rule) = meant.filter(|rule| rule.name.as_bytes() == name) {
            return guards(rule, scope) && !is(rule, own);
        }
        let mut found = false;
        lookalikes::readings(name, |reading| {
            self.index.look_up(reading, work, |number| {
                let Some(rule) = self.rules.get(number) else { return };
                // What scripts read is in browsers under whichever name, unless it is the jar's.
                let counts = (number <= first || is_plain(&rule.name))
                    && (!rule.leaves_to_scripts || (sent.has)(reading));
                found |= counts && !is(rule, own) && guards(rule, scope) && is_for(number, rule, scope);
            });
        });
        found || work.is_over()
    }

    /// As [`find`](Self::find), and where the rule stands.
    fn find_by_index(
        &self,
        name: &[u8],
        scope: &CookieScope<'_>,
        work: &NameWork,
    ) -> Option<(usize, &CookieRule)> {
        let mut first: Option<(usize, &CookieRule)> = None;
        self.index.look_up(name, work, |number| {
            let Some(rule) = self.rules.get(number) else { return };
            let is_earlier = first.is_none_or(|(other, _)| number < other);
            if is_earlier && glob::fits(rule.name.as_bytes(), name) && is_for(number, rule, scope) {
                first = Some((number, rule));
            }
        });
        first
    }

    /// The app's name for a cookie that a browser sends under another one.
    pub fn original_name<'n>(&self, name: &'n [u8], scope: &CookieScope<'_>) -> Option<Cow<'n, [u8]>> {
        self.original(name, scope).map(|(_, original)| original)
    }

    /// The rule under which the app's cookie got this name, and the app's name for it.
    pub(super) fn original<'n>(
        &self,
        name: &'n [u8],
        scope: &CookieScope<'_>,
    ) -> Option<(&CookieRule, Cow<'n, [u8]>)> {
        self.rules.iter().filter(|rule| !rule.report).find_map(|rule| {
            let original = undo(renaming(rule, scope.https)?, &rule.name, name)?;
            let found = self.find(&original, scope)?;
            std::ptr::eq(found, rule).then_some((rule, original))
        })
    }

    fn open<'p, H>(
        &self,
        rule: &CookieRule,
        pair: CookiePair<'p>,
        original: Option<Cow<'p, [u8]>>,
        sent: &PairContext<'_, H>,
    ) -> PairEdit<'p> {
        let session = if rule.bound {
            let Some(session) = sent.session else { return PairEdit::Remove };
            Some(session)
        } else {
            None
        };
        let name = original.as_deref().unwrap_or(pair.name());
        match open(&self.sealer, &bound(name, sent.scope.realm, session), pair.value()) {
            // SECURITY: what does not open is taken out, not passed: the app must never see a value
            // that a browser made up for a sealed cookie.
            Some(value) => PairEdit::Replace(original, value),
            None => PairEdit::Remove,
        }
    }
}

/// Whether what a browser sends under the app's name is not what the app is to get.
fn guards(rule: &CookieRule, scope: &CookieScope<'_>) -> bool {
    let taken = matches!(rule.action, CookieAction::Keep | CookieAction::Seal);
    !rule.report && (taken || renaming(rule, scope.https).is_some())
}

/// The app's name for a cookie that a browser sends under this one.
fn undo<'n>(rename: &RenamePattern, app_name: &str, name: &'n [u8]) -> Option<Cow<'n, [u8]>> {
    match &rename.after {
        None if name == rename.before.as_bytes() => Some(Cow::Owned(app_name.as_bytes().to_vec())),
        None => None,
        Some(after) => {
            let rest = name.strip_prefix(rename.before.as_bytes())?;
            Some(Cow::Borrowed(rest.strip_suffix(after.as_bytes())?))
        }
    }
}

/// Whether there may be such a cookie from before the rule: browsers have none under this name since.
fn adopts(rule: &CookieRule, scope: &CookieScope<'_>) -> bool {
    rule.action == CookieAction::Keep || renaming(rule, scope.https).is_some()
}

/// Whether a name that a rule takes from browsers is a script's all the same: one that scripts read, unless the app was seen
/// to set it so that they cannot; or one that a wildcard took, and that no app has.
fn is_written_by_scripts<H>(rule: &CookieRule, name: &[u8], sent: &PairContext<'_, H>) -> bool {
    if rule.leaves_to_scripts {
        return !sent.inventory.is_some_and(|seen| seen.known.may_be_set(name));
    }
    rule.action == CookieAction::Keep
        && !is_plain(&rule.name)
        && !name.is_empty()
        && sent.inventory.is_some_and(|seen| !seen.known.may_be_the_apps(name))
}

/// Whether some app would read a name as that of a cookie which the jar sends beside it.
fn is_like_kept<H>(name: &[u8], sent: &PairContext<'_, H>) -> bool {
    let mut found = false;
    for kept in sent.kept {
        lookalikes::readings(kept, |reading| found = found || lookalikes::passes_for(name, reading));
    }
    found
}

/// Whether names that the rule took from browsers are let in still.
fn is_let_in(rule: &CookieRule, scope: &CookieScope<'_>) -> bool {
    rule.adopt_until.is_some_and(|day| !is_over(day, scope))
}

/// Whether a rule's name is one name, and no pattern.
fn is_plain(name: &str) -> bool {
    !name.contains(['*', '?'])
}

/// The day itself still counts (UTC).
fn is_over(day: Date, scope: &CookieScope<'_>) -> bool {
    let end = day.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
    let end = end.map_or(0, |end| end.timestamp().as_second());
    let now = scope.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(now).is_ok_and(|now| now >= end)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        crypto::KeySecrets,
        message::cookie::{RetainedLine, edit},
    };

    fn sent(rule: CookieRule, https: bool, line: &str) -> String {
        sent_under(&[rule], https, line)
    }

    fn sent_under(rules: &[CookieRule], https: bool, line: &str) -> String {
        let rules = CookieRules::build(rules, &KeySecrets::ephemeral());
        let scope = CookieScope {
            host: "a.test",
            path: "/",
            request_paths: &[],
            upstream: "a",
            https,
            realm: (b'h', "a.test"),
            now: UNIX_EPOCH + Duration::from_hours(24 * 365 * 30),
        };
        let work = NameWork::default();
        let has: fn(&[u8]) -> bool = |name| name == b"here";
        let sent = PairContext { has, ..PairContext::alone(&scope, &work) };
        match edit(line.as_bytes(), |pair| rules.read(pair, &sent)) {
            RetainedLine::Unchanged => "=".into(),
            RetainedLine::Empty => String::new(),
            RetainedLine::Changed(bytes) => String::from_utf8(bytes).unwrap(),
        }
    }

    #[test]
    fn names_that_were_taken_from_the_browser_never_reach_the_app() {
        let rule = |name: &str| CookieRule { name: name.into(), ..CookieRule::default() };
        let kept = CookieRule { action: CookieAction::Keep, ..rule("s*") };
        let renamed = CookieRule {
            rename: Some(RenamePattern { before: "__Host-".into(), after: Some(String::new()) }),
            ..rule("sid")
        };
        let fixed =
            CookieRule { rename: Some(RenamePattern { before: "coat".into(), after: None }), ..rule("sid") };
        let sealed = CookieRule { action: CookieAction::Seal, ..rule("s?") };
        let until =
            |rule: &CookieRule, day: &str| CookieRule { adopt_until: day.parse().ok(), ..rule.clone() };
        let here = CookieRule { name: "here".into(), ..until(&kept, "2999-01-01") };
        for (rule, https, line, wanted) in [
            (&kept, true, "a=1; sid=2; s=3; b=4", "a=1; b=4"),
            (&until(&kept, "2999-01-01"), true, "a=1; sid=2", "="),
            (&until(&kept, "1999-12-23"), true, "a=1; sid=2", "a=1"),
            (&here, true, "here=1", ""),
            (&renamed, true, "__Host-sid=1; a=2; sid=3", "sid=1; a=2"),
            (&renamed, true, "__Host-other=1;a=2", "="),
            (&renamed, false, "__Host-sid=1; sid=3", "="),
            (&kept, true, "x.id=1; s[a]=2; %73id=3; a=4", "x.id=1; a=4"),
            (&kept, true, "a=1 sid=2; b=3, s=4; c=5 d=6; e=\"7 sid\"", "c=5 d=6; e=\"7 sid\""),
            (&kept, true, "SID=1; a; sid; secure sid=2; \u{a0}s=3", "a"),
            (&until(&kept, "2999-01-01"), true, "sid=1; sx=2 sid=3", "sid=1"),
            (&here, true, "here; HERE=1; a=1", "a=1"),
            (&renamed, true, "__Host-sid=1 sid=2; Sid=3; b=1", "b=1"),
            (&fixed, false, "coat=1; sid=2", "sid=1"),
            (&sealed, true, "sx=plain; a=1", "a=1"),
            (&CookieRule { report: true, ..kept.clone() }, true, "sid=2", "="),
            (&CookieRule { report: true, ..renamed.clone() }, true, "__Host-sid=1; sid=2", "="),
        ] {
            assert_eq!(sent(rule.clone(), https, line), wanted, "{line}");
        }
    }

    #[test]
    fn exact_rule_decides_before_a_pattern() {
        let rule = |name: &str, action| CookieRule { name: name.into(), action, ..CookieRule::default() };
        let until = |rule: CookieRule| CookieRule { adopt_until: "2999-01-01".parse().ok(), ..rule };
        let rename = Some(RenamePattern { before: "c-".into(), after: Some(String::new()) });
        let renamed = |name: &str| CookieRule { rename: rename.clone(), ..rule(name, CookieAction::Rewrite) };
        let (pass, keep) = (CookieAction::Pass, CookieAction::Keep);
        for (first, second, line, wanted) in [
            (rule("SID", pass), rule("sid", keep), "SID=1; sid=2; Sid=3", "SID=1"),
            (rule("s_id*", pass), rule("s*", keep), "s_id=1; s_id2=2; s_x=3", "s_id=1; s_id2=2"),
            (rule("my*", pass), rule("my.sid", keep), "my_sid=1; my_x=2", "my_x=2"),
            (rule("my.sid", keep), rule("m*", pass), "my_sid=1; my_x=2", "my_x=2"),
            (rule("my.sid", keep), renamed("m*"), "c-my_sid=1; c-mx=2", "mx=2"),
            (rule("my.sid", keep), until(rule("m*", keep)), "my_sid=1; mx=2", "mx=2"),
        ] {
            assert_eq!(sent_under(&[first, second], true, line), wanted, "{line}");
        }
    }
}
