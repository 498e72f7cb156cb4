//! Where rules hold by `request_path`.

use std::borrow::Cow;

use crate::{
    config::{CookieAction, CookieRule},
    message::case,
};

use super::CookieRules;

/// One reading of a path.
struct PathReading<'a> {
    text: &'a [u8],
    /// Its letters without their case.
    folded: Cow<'a, [u8]>,
    /// It decodes what parts a path.
    decoded: bool,
}

impl<'a> PathReading<'a> {
    fn new(text: &'a str, decoded: bool) -> Self {
        Self { text: text.as_bytes(), folded: case::fold(text.as_bytes()), decoded }
    }
}

impl CookieRules {
    /// By rule, in their order, whether its `request_path` holds; empty where no rule has one. Asked once for a request: its
    /// visitor chooses how long the path is and how many cookies come along.
    ///
    /// `main` is the path as an app reads it, `others` what else some app may read it as, and whether that is by decoding
    /// what parts a path (%2F, %5C, %3B, %3F, %23, %00); `unknown`: that there is more, of which nothing is known.
    pub fn request_paths(&self, main: &str, others: &[(String, bool)], unknown: bool) -> Vec<bool> {
        if !self.reads_paths() {
            return Vec::new();
        }
        // Some app reads this path in a way that we do not know: what is taken from browsers is
        // taken, and nothing is handed out.
        if unknown {
            return self.rules.iter().map(|rule| rule.request_path.is_none() || takes(rule)).collect();
        }
        let main = PathReading::new(main, false);
        let others: Vec<_> = others.iter().map(|(text, decoded)| PathReading::new(text, *decoded)).collect();
        let holds = |rule: &CookieRule| {
            rule.request_path.as_ref().is_none_or(|path| holds(rule, path, &main, &others))
        };
        self.rules.iter().map(holds).collect()
    }
}

/// SECURITY: whoever writes a link chooses how its path is spelt. Where apps may read it in more than one way, a rule
/// that takes something from browsers holds if any reading is below its path, letters without their case; any other holds
/// if that is so of the one that counts as it stands, and if what parts a path is escaped in it, of those that decode that.
/// Where not all readings are known, the former hold and the latter do not.
fn holds(rule: &CookieRule, prefix: &str, main: &PathReading<'_>, others: &[PathReading<'_>]) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix).as_bytes();
    if takes(rule) {
        let prefix = case::fold(prefix);
        std::iter::once(main).chain(others).any(|reading| is_below(&reading.folded, &prefix))
    } else {
        is_below(main.text, prefix)
            && others.iter().all(|reading| !reading.decoded || is_below(reading.text, prefix))
    }
}

/// Whether a rule takes something from browsers.
fn takes(rule: &CookieRule) -> bool {
    rule.rename.is_some() || !matches!(rule.action, CookieAction::Pass | CookieAction::Rewrite)
}

/// By segments: `/shop` is below `/shop`, `/shopping` is not.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{
        cookies::{CookieScope, NameWork, PairContext},
        crypto::KeySecrets,
        message::{cookie, steps::taken},
    };

    /// The visitor chooses the path, its readings and the cookies: they are not to be multiplied with each other.
    #[test]
    fn cookies_are_looked_at_without_going_through_the_path_again() {
        let rule = |number: usize| CookieRule {
            name: "*".into(),
            action: CookieAction::Keep,
            request_path: Some(format!("/{number}")),
            ..CookieRule::default()
        };
        let rules: Vec<_> = (0..20).map(rule).collect();
        let rules = CookieRules::build(&rules, &KeySecrets::ephemeral());
        let path = format!("/{}", "A".repeat(8000));
        let others: Vec<_> = (0..12).map(|number| (format!("{path}{number}"), true)).collect();
        let once = taken(|| drop(rules.request_paths(&path, &others, false)));
        assert!((13 * 8000..14 * 8000).contains(&once), "{once} steps: each reading once");
        let request_paths = &rules.request_paths(&path, &others, false);
        let scope = CookieScope {
            host: "a",
            path: &path,
            request_paths,
            upstream: "a",
            https: true,
            realm: (b'h', "a"),
            now: UNIX_EPOCH + Duration::from_hours(24 * 365 * 60),
        };
        let work = NameWork::default();
        let sent = PairContext::alone(&scope, &work);
        let cookies = "sid=1; ".repeat(180);
        let steps = taken(|| drop(cookie::edit(cookies.as_bytes(), |pair| rules.read(pair, &sent))));
        assert!(steps < 180 * 20 * 25, "{steps} steps for 180 cookies under 20 rules");
    }

    #[test]
    fn rules_that_take_hold_by_any_reading_and_others_by_all() {
        let rule = |action, path: Option<&str>| CookieRule {
            name: "s".into(),
            action,
            request_path: path.map(str::to_owned),
            ..CookieRule::default()
        };
        let shop = Some("/shop");
        let rules = [
            rule(CookieAction::Keep, shop),
            rule(CookieAction::Pass, shop),
            rule(CookieAction::Drop, Some("/shop/")),
            rule(CookieAction::Keep, None),
        ];
        let rules = CookieRules::build(&rules, &KeySecrets::ephemeral());
        for (main, other, wanted) in [
            ("/", None, [false, false, false, true]),
            ("/shop/x", None, [true, true, true, true]),
            ("/SHOP", None, [true, false, true, true]),
            ("/shopping", None, [false, false, false, true]),
            ("/x", Some(("/Shop", false)), [true, false, true, true]),
            ("/shop/x", Some(("/x", false)), [true, true, true, true]),
            ("/shop/x", Some(("/x", true)), [true, false, true, true]),
        ] {
            let others: Vec<_> = other.iter().map(|(text, decoded)| ((*text).to_owned(), *decoded)).collect();
            assert_eq!(rules.request_paths(main, &others, false), wanted, "{main} {other:?}");
        }
        assert_eq!(rules.request_paths("/x", &[], true), [true, false, true, true], "not all is known");
        let none = CookieRules::build(&[rule(CookieAction::Keep, None)], &KeySecrets::ephemeral());
        assert!(
            none.request_paths("/shop", &[], false).is_empty(),
            "nothing is found where nothing is asked"
        );
    }
}
