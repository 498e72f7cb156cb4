//! Cookies on their way back to the app: names as the app knows them, sealed values opened, what a browser has no
//! business to send taken out.

use std::{borrow::Cow, time::UNIX_EPOCH};

use jiff::{civil::Date, tz::TimeZone};
use uuid::Uuid;

use crate::{
    config::{CookieAction, CookieRule, Rename},
    message::cookie::{Edit, Pair},
};

use super::{
    CookieRules, Occasion, disguise,
    rule::renaming,
    seal::{bound, open},
};

/// What a request knows beside the pair that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a, H> {
    /// When and where.
    pub occasion: &'a Occasion<'a>,
    /// The session that the request came under, if it has one.
    pub session: Option<Uuid>,
    /// Whether the app gets a cookie of this name from elsewhere: the jar, or a renamed one.
    pub has: H,
}

impl CookieRules {
    /// What becomes of one pair of a request's `Cookie`.
    pub fn read<'p, H: Fn(&[u8]) -> bool>(&self, pair: Pair<'p>, sent: &Sent<'_, H>) -> Edit<'p> {
        let name = pair.name();
        if let Some((rule, original)) = self.original(name, sent.occasion) {
            return if rule.action == CookieAction::Seal {
                self.open(rule, pair, Some(original), sent)
            } else {
                Edit::Rename(original)
            };
        }
        let rule = self.find(name, sent.occasion);
        let Some(rule) = rule.filter(|rule| guards(rule, sent.occasion)) else {
            let guarded =
                |name: &[u8]| self.find(name, sent.occasion).is_some_and(|rule| guards(rule, sent.occasion));
            // A rule for this very name says that the app has such a cookie.
            let meant = rule.is_some_and(|rule| rule.name.as_bytes() == name);
            return if !meant && disguise::passes_for(pair, guarded) { Edit::Remove } else { Edit::Keep };
        };
        if rule.action == CookieAction::Keep || renaming(rule, sent.occasion.https).is_some() {
            let adopted =
                rule.adopt_until.is_some_and(|day| !is_over(day, sent.occasion)) && !(sent.has)(name);
            return if adopted { Edit::Keep } else { Edit::Remove };
        }
        self.open(rule, pair, None, sent)
    }

    /// The app's name for a cookie that a browser sends under another one.
    pub fn original_name<'n>(&self, name: &'n [u8], occasion: &Occasion<'_>) -> Option<Cow<'n, [u8]>> {
        self.original(name, occasion).map(|(_, original)| original)
    }

    /// The rule under which the app's cookie got this name, and the app's name for it.
    pub(super) fn original<'n>(
        &self,
        name: &'n [u8],
        occasion: &Occasion<'_>,
    ) -> Option<(&CookieRule, Cow<'n, [u8]>)> {
        self.rules.iter().filter(|rule| !rule.report).find_map(|rule| {
            let original = undo(renaming(rule, occasion.https)?, &rule.name, name)?;
            let found = self.find(&original, occasion)?;
            std::ptr::eq(found, rule).then_some((rule, original))
        })
    }

    fn open<'p, H>(
        &self,
        rule: &CookieRule,
        pair: Pair<'p>,
        original: Option<Cow<'p, [u8]>>,
        sent: &Sent<'_, H>,
    ) -> Edit<'p> {
        let session = if rule.bound {
            let Some(session) = sent.session else { return Edit::Remove };
            Some(session)
        } else {
            None
        };
        let name = original.as_deref().unwrap_or(pair.name());
        match open(&self.sealer, &bound(name, sent.occasion.realm, session), pair.value()) {
            Some(value) => Edit::Replace(original, value),
            None => Edit::Remove,
        }
    }
}

/// Whether what a browser sends under the app's name is not what the app is to get.
fn guards(rule: &CookieRule, occasion: &Occasion<'_>) -> bool {
    let taken = matches!(rule.action, CookieAction::Keep | CookieAction::Seal);
    !rule.report && (taken || renaming(rule, occasion.https).is_some())
}

/// The app's name for a cookie that a browser sends under this one.
fn undo<'n>(rename: &Rename, app_name: &str, name: &'n [u8]) -> Option<Cow<'n, [u8]>> {
    match &rename.after {
        None if name == rename.before.as_bytes() => Some(Cow::Owned(app_name.as_bytes().to_vec())),
        None => None,
        Some(after) => {
            let rest = name.strip_prefix(rename.before.as_bytes())?;
            Some(Cow::Borrowed(rest.strip_suffix(after.as_bytes())?))
        }
    }
}

/// The day itself still counts (UTC).
fn is_over(day: Date, occasion: &Occasion<'_>) -> bool {
    let end = day.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
    let end = end.map_or(0, |end| end.timestamp().as_second());
    let now = occasion.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(now).is_ok_and(|now| now >= end)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        crypto::Secrets,
        message::cookie::{Retained, edit},
    };

    fn sent(rule: CookieRule, https: bool, line: &str) -> String {
        let rules = CookieRules::build(&[rule], &Secrets::ephemeral());
        let occasion = Occasion {
            host: "a.test",
            path: "/",
            upstream: "a",
            https,
            realm: (b'h', "a.test"),
            now: UNIX_EPOCH + Duration::from_hours(24 * 365 * 30),
        };
        let sent = Sent { occasion: &occasion, session: None, has: |name: &[u8]| name == b"here" };
        match edit(line.as_bytes(), |pair| rules.read(pair, &sent)) {
            Retained::Unchanged => "=".into(),
            Retained::Empty => String::new(),
            Retained::Changed(bytes) => String::from_utf8(bytes).unwrap(),
        }
    }

    #[test]
    fn names_that_were_taken_from_the_browser_never_reach_the_app() {
        let rule = |name: &str| CookieRule { name: name.into(), ..CookieRule::default() };
        let kept = CookieRule { action: CookieAction::Keep, ..rule("s*") };
        let renamed = CookieRule {
            rename: Some(Rename { before: "__Host-".into(), after: Some(String::new()) }),
            ..rule("sid")
        };
        let fixed = CookieRule { rename: Some(Rename { before: "coat".into(), after: None }), ..rule("sid") };
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
            (&fixed, false, "coat=1; sid=2", "sid=1"),
            (&sealed, true, "sx=plain; a=1", "a=1"),
            (&CookieRule { report: true, ..kept.clone() }, true, "sid=2", "="),
            (&CookieRule { report: true, ..renamed.clone() }, true, "__Host-sid=1; sid=2", "="),
        ] {
            assert_eq!(sent(rule.clone(), https, line), wanted, "{line}");
        }
    }
}
