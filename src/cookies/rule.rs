//! Which rule a cookie falls under, and what that means for it.

use std::{borrow::Cow, time::SystemTime};

use uuid::Uuid;

use crate::{
    config::{AttributeRule, CookieAction, CookieRule, KeepRenew, RenamePattern, RuleSecure},
    crypto::{KeySecrets, Sealer},
    message::{
        glob,
        set_cookie::{SetCookieEditor, SetCookieLine},
    },
};

use super::{
    names::NameIndex,
    rewrite::{is_taken_back, refusal, rewrite},
    seal,
};

/// The rules of the configuration, first match wins.
#[derive(Debug)]
pub struct CookieRules {
    pub(super) rules: Vec<CookieRule>,
    /// Their names.
    pub(super) index: NameIndex,
    pub(super) sealer: Sealer,
    reads_requests: bool,
    reads_paths: bool,
    expires: bool,
    adopts: bool,
}

/// When and where a cookie is set, or sent.
#[derive(Debug, Clone, Copy)]
pub struct CookieScope<'a> {
    /// The host that the visitor asks for, lower case and without port.
    pub host: &'a str,
    /// The path that is asked for, as an app reads it.
    pub path: &'a str,
    /// By rule, in their order, whether its `request_path` holds: what [`CookieRules::request_paths`] found, once for
    /// however many cookies. Empty where no rule has one.
    pub request_paths: &'a [bool],
    /// The name of the upstream.
    pub upstream: &'a str,
    /// The visitor came by https.
    pub https: bool,
    /// What sealed cookies are worth something in: a byte for its kind, and its name.
    pub realm: (u8, &'a str),
    /// Now.
    pub now: SystemTime,
}

/// The session that a bound cookie is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedFor {
    /// Not known before the answer's changes are kept.
    Later,
    /// This one, or none.
    Session(Option<Uuid>),
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineVerdict<'a> {
    /// It already says what the rule wants, or no rule speaks of it.
    Untouched,
    /// It now reads so.
    Rewritten(Vec<u8>),
    /// Browsers would refuse the result, so the line passes as it is; why.
    Refused(&'static str),
    /// It does not reach the browser: the rule says so.
    Dropped,
    /// It does not reach the browser: it was to be sealed and cannot be; why.
    Unsealable(&'static str),
    /// To be asked again once the session is known.
    Bound,
    /// It does not reach the browser: the session keeps it.
    Kept(LineForJar<'a>),
    /// It passes as it is. Without `report = true` this would have become of it.
    Reported(Box<LineVerdict<'a>>),
}

/// A line for the session's jar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineForJar<'a> {
    /// With the attributes that the rule sets.
    pub line: Cow<'a, [u8]>,
    /// When it renews the ticket.
    pub renew: KeepRenew,
    /// It is sent to all upstreams.
    pub share: bool,
    /// The session outlives the browser with it.
    pub outlives_browser: bool,
}

impl CookieRules {
    /// Takes the rules over; what they seal is sealed under keys derived from these secrets.
    pub fn build(rules: &[CookieRule], secrets: &KeySecrets) -> Self {
        let any = |fits: fn(&CookieRule) -> bool| rules.iter().any(fits);
        Self {
            rules: rules.to_vec(),
            index: NameIndex::of(rules),
            sealer: Sealer::derive("cookie", secrets),
            reads_requests: any(|rule| {
                rule.rename.is_some() || matches!(rule.action, CookieAction::Seal | CookieAction::Keep)
            }),
            reads_paths: any(|rule| rule.request_path.is_some()),
            expires: any(|rule| {
                (rule.expires_on_logout || rule.bound || rule.adopt_until.is_some()) && !rule.report
            }),
            adopts: any(|rule| rule.adopt_until.is_some() && !rule.report),
        }
    }

    /// Whether no cookie is ever touched.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether any rule has to do with what browsers send.
    pub fn reads_requests(&self) -> bool {
        self.reads_requests
    }

    /// Whether any rule depends on the path.
    pub fn reads_paths(&self) -> bool {
        self.reads_paths
    }

    /// Whether any cookie goes with its session.
    pub fn expires(&self) -> bool {
        self.expires
    }

    /// Whether any rule lets names in that it took from browsers.
    pub fn adopts(&self) -> bool {
        self.adopts
    }

    /// The rule that a cookie of the app falls under.
    pub fn find(&self, name: &[u8], scope: &CookieScope<'_>) -> Option<&CookieRule> {
        let fits = |(number, rule): &(usize, &CookieRule)| {
            glob::fits(rule.name.as_bytes(), name) && is_for(*number, rule, scope)
        };
        self.rules.iter().enumerate().find(fits).map(|(_, rule)| rule)
    }

    /// Whether a cookie of this name is kept in any scope: by a rule before which none takes it in all of them. What was
    /// kept under rules that are no more is not sent, since it would stand beside the browser's own.
    pub fn keeps(&self, name: &[u8]) -> bool {
        let keeps = |rule: &CookieRule| rule.action == CookieAction::Keep && !rule.report;
        if name.is_empty() {
            // It may be kept for what its value would pass for.
            return self.rules.iter().any(keeps);
        }
        let always =
            |rule: &CookieRule| rule.upstream.is_none() && rule.host.is_none() && rule.request_path.is_none();
        let mut fitting = self.rules.iter().filter(|rule| glob::fits(rule.name.as_bytes(), name));
        fitting.find(|rule| keeps(rule) || always(rule)).is_some_and(keeps)
    }

    /// The rule for a line. A nameless cookie is sent as its value alone: what that would pass for is not to be in a
    /// browser either.
    fn find_for(&self, line: SetCookieLine<'_>, scope: &CookieScope<'_>) -> Option<&CookieRule> {
        let found = self.find(line.name(), scope);
        if !line.name().is_empty() {
            return found;
        }
        let hides = |rule: &&CookieRule| !matches!(rule.action, CookieAction::Pass | CookieAction::Rewrite);
        self.find(line.sent_name(), scope).filter(hides).or(found)
    }

    /// What becomes of one `Set-Cookie` line.
    pub fn apply<'a>(
        &self,
        line: impl Into<SetCookieLine<'a>>,
        scope: &CookieScope<'_>,
        session: SealedFor,
    ) -> LineVerdict<'a> {
        let line = line.into();
        let Some(rule) = self.find_for(line, scope) else { return LineVerdict::Untouched };
        // Worked out in full for `report` too: what is reported is exactly what would happen.
        let verdict = self.under(rule, line.bytes(), scope, session);
        if !rule.report {
            return verdict;
        }
        match verdict {
            LineVerdict::Untouched => LineVerdict::Untouched,
            verdict => LineVerdict::Reported(Box::new(verdict)),
        }
    }

    fn under<'a>(
        &self,
        rule: &CookieRule,
        line: &'a [u8],
        scope: &CookieScope<'_>,
        session: SealedFor,
    ) -> LineVerdict<'a> {
        match rule.action {
            CookieAction::Pass => LineVerdict::Untouched,
            CookieAction::Drop => LineVerdict::Dropped,
            CookieAction::Rewrite => {
                let mut editor = SetCookieEditor::new(line);
                rewrite(rule, &mut editor, scope);
                passed(&editor)
            }
            CookieAction::Keep => {
                let mut editor = SetCookieEditor::new(line);
                let is_for_scripts = rule.leaves_to_scripts && !editor.has("HttpOnly");
                rewrite(rule, &mut editor, scope);
                if is_for_scripts {
                    return passed(&editor);
                }
                let line = editor.into_changed().map_or(Cow::Borrowed(line), Cow::Owned);
                let CookieRule { renew, share, outlives_browser, .. } = *rule;
                LineVerdict::Kept(LineForJar { line, renew, share, outlives_browser })
            }
            CookieAction::Seal => self.seal(rule, line, scope, session),
        }
    }

    /// SECURITY: whatever goes wrong here, the line does not pass: its value was never to be in a browser.
    fn seal<'a>(
        &self,
        rule: &CookieRule,
        line: &'a [u8],
        scope: &CookieScope<'_>,
        session: SealedFor,
    ) -> LineVerdict<'a> {
        let mut editor = SetCookieEditor::new(line);
        if rule.bound && is_taken_back(&editor, scope.now) {
            // Where its session has ended there is none to bind it to, and nothing to hide: it goes without a value.
            rewrite(rule, &mut editor, scope);
            editor.set_pair(None, Some(b""));
            return match refusal(&editor) {
                Some(why) => LineVerdict::Unsealable(why),
                None => LineVerdict::Rewritten(editor.line()),
            };
        }
        let session = match (rule.bound, session) {
            (false, _) => None,
            (true, SealedFor::Later) => return LineVerdict::Bound,
            (true, SealedFor::Session(None)) => {
                return LineVerdict::Unsealable("there is no session to bind it to");
            }
            (true, SealedFor::Session(session)) => session,
        };
        let (name, value) = editor.name_value();
        if !glob::fits(rule.name.as_bytes(), name) {
            return LineVerdict::Unsealable(
                "it has no name, and would come back under one that is in its value",
            );
        }
        let bound = seal::bound(name, scope.realm, session);
        let Some(sealed) = seal::seal(&self.sealer, &bound, value) else {
            return LineVerdict::Unsealable("encryption failed");
        };
        rewrite(rule, &mut editor, scope);
        editor.set_pair(None, Some(&sealed));
        match refusal(&editor) {
            Some(why) => LineVerdict::Unsealable(why),
            None => LineVerdict::Rewritten(editor.line()),
        }
    }
}

/// A line that goes on to the browser, as it was rewritten.
fn passed<'a>(editor: &SetCookieEditor<'_>) -> LineVerdict<'a> {
    if !editor.is_changed() {
        return LineVerdict::Untouched;
    }
    match refusal(editor) {
        Some(why) => LineVerdict::Refused(why),
        None => LineVerdict::Rewritten(editor.line()),
    }
}

/// Whether all conditions of the rule of this number hold but the one on the name.
pub(super) fn is_for(number: usize, rule: &CookieRule, scope: &CookieScope<'_>) -> bool {
    rule.upstream.as_ref().is_none_or(|upstream| upstream == scope.upstream)
        && rule.host.as_ref().is_none_or(|host| host.fits(scope.host))
        && (rule.request_path.is_none() || scope.request_paths.get(number) == Some(&true))
}

/// The renaming that holds for this visitor: a prefix that promises Secure is only kept by https (RFC 6265bis section
/// 4.1.3), so that by plain http the cookie has the app's name.
pub(super) fn renaming(rule: &CookieRule, https: bool) -> Option<&RenamePattern> {
    let secure = https || rule.secure == Some(AttributeRule::Always(RuleSecure::Always));
    rule.rename.as_ref().filter(|rename| secure || promise(rename.before.as_bytes()).is_none())
}

/// What a name promises to browsers, which ignore case there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamePrefix {
    /// `__Host-`: Secure, `Path=/`, no Domain.
    Host,
    /// `__Secure-`: Secure.
    Secure,
}

/// The promise of a name.
pub(super) fn promise(name: &[u8]) -> Option<NamePrefix> {
    let begins =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if begins(b"__Host-") {
        Some(NamePrefix::Host)
    } else if begins(b"__Secure-") {
        Some(NamePrefix::Secure)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPattern;

    #[test]
    fn a_nameless_cookie_is_what_its_value_would_come_back_as() {
        let rule = |name: &str, action| CookieRule { name: name.into(), action, ..CookieRule::default() };
        let rules = CookieRules::build(
            &[
                rule("k", CookieAction::Keep),
                rule("d", CookieAction::Drop),
                rule("s", CookieAction::Seal),
                rule("p", CookieAction::Pass),
            ],
            &KeySecrets::ephemeral(),
        );
        let scope = CookieScope {
            host: "a.test",
            path: "/",
            request_paths: &[],
            upstream: "a",
            https: true,
            realm: (b'h', "a.test"),
            now: SystemTime::UNIX_EPOCH,
        };
        let apply = |line: &'static str| rules.apply(line.as_bytes(), &scope, SealedFor::Later);
        assert!(matches!(apply("=k=secret; Path=/"), LineVerdict::Kept(_)));
        assert_eq!(apply(" = d=secret"), LineVerdict::Dropped);
        assert!(matches!(apply("=s=secret"), LineVerdict::Unsealable(_)));
        for line in ["=p=1", "=other=1", "k", "=", "=x"] {
            assert_eq!(apply(line), LineVerdict::Untouched, "{line}");
        }
    }

    #[test]
    fn the_first_rule_that_fits() {
        let rule = |name: &str| CookieRule { name: name.into(), ..CookieRule::default() };
        let rules = CookieRules::build(
            &[
                CookieRule { upstream: Some("b".into()), ..rule("*") },
                CookieRule { host: Some(HostPattern::Below("x.test".into())), ..rule("s*") },
                CookieRule { request_path: Some("/shop".into()), ..rule("s*") },
                rule("sid"),
            ],
            &KeySecrets::ephemeral(),
        );
        for (name, upstream, host, path, wanted) in [
            ("sid", "b", "x.test", "/", Some(0)),
            ("sid", "a", "y.x.test", "/", Some(1)),
            ("sid", "a", "x.test", "/", Some(3)),
            ("sid", "a", "zx.test", "/shop/1", Some(2)),
            ("sid", "a", "x.test", "/shop", Some(2)),
            ("sid", "a", "x.test", "/shopping", Some(3)),
            ("other", "a", "x.test", "/", None),
            ("", "b", "x.test", "/", Some(0)),
        ] {
            let scope = CookieScope {
                host,
                path,
                request_paths: &rules.request_paths(path, &[], false),
                upstream,
                https: false,
                realm: (b'h', host),
                now: SystemTime::UNIX_EPOCH,
            };
            let found = rules.find(name.as_bytes(), &scope).map(std::ptr::from_ref);
            assert_eq!(
                found,
                wanted.map(|at: usize| std::ptr::from_ref(&rules.rules[at])),
                "{name} {host} {path}"
            );
        }
    }
}
