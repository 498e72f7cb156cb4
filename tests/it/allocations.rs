//! What cookies cost, counted and not timed: how often memory is asked for.

use std::time::Duration;

use crate::support::scope;
use allocation_counter::measure;
use bytes::Bytes;
use cloakroom::testing::{
    clock::Timestamp,
    config::{AttributeRule, CookieAction, CookieRule, RuleSecure, SameSite},
    cookies::{CookieInventory, CookieRules, LineVerdict, NameWork, PairContext, SealedFor},
    crypto::KeySecrets,
    message::cookie::{RetainedLine, edit},
    record::jar::{Jar, JarRequest, RequestSite},
};
use http::HeaderValue;

#[test]
fn rewritten_cookie_costs_three_allocations_at_most() {
    let rule = CookieRule {
        name: "PHPSESSID".into(),
        secure: Some(AttributeRule::Always(RuleSecure::Auto)),
        http_only: Some(AttributeRule::Always(true)),
        same_site: Some(AttributeRule::Default(SameSite::Lax)),
        max_age_limit: Some(Duration::from_hours(24)),
        path: Some(AttributeRule::Always("/".into())),
        domain: Some(AttributeRule::Always(String::new())),
        ..CookieRule::default()
    };
    let rules = CookieRules::build(&[rule], &KeySecrets::ephemeral());
    let none = CookieRules::build(&[], &KeySecrets::ephemeral());
    let inventory = CookieInventory::default();
    // As an answer's line is treated: noted, judged, put in the place of the one before.
    let cost = |rules: &CookieRules, line: &'static [u8]| {
        inventory.note(line, &scope(), rules);
        let mut rewritten = false;
        let count = measure(|| {
            assert!(inventory.note(line, &scope(), rules).is_empty());
            if let LineVerdict::Rewritten(new) = rules.apply(line, &scope(), SealedFor::Later) {
                rewritten = HeaderValue::from_maybe_shared(Bytes::from(new)).is_ok();
            }
        });
        (rewritten, count.count_total)
    };
    let php = b"PHPSESSID=9f3ca0c2d7b14e11; path=/x; Domain=.example.com; Max-Age=999999; Expires=Fri, 31 Dec 2100 23:59:59 GMT";
    let (rewritten, count) = cost(&rules, php);
    assert!(rewritten && count <= 3, "{count}");
    assert_eq!(cost(&rules, b"lang=en; Path=/; Max-Age=31536000; SameSite=Lax"), (false, 0));
    assert_eq!(cost(&none, php), (false, 0));
}

#[test]
fn cookie_without_a_rule_costs_no_allocation() {
    let rule = |name: &str, action| CookieRule { name: name.into(), action, ..CookieRule::default() };
    let adopt_until = "2999-01-31".parse().ok();
    let kept = CookieRule { adopt_until, ..rule("PHPSESSID", CookieAction::Keep) };
    let rules = CookieRules::build(&[kept, rule("user.*", CookieAction::Seal)], &KeySecrets::ephemeral());
    let scope = scope();
    let work = NameWork::default();
    let sent = PairContext::alone(&scope, &work);
    let line = b"lang=en; _ga=GA1.2.3; prefs.shop={\"a\": 1}; b; n\xc3\xa4me=x y; q=a, b=c; PHPSESSID=old";
    let count = measure(|| assert_eq!(edit(line, |pair| rules.read(pair, &sent)), RetainedLine::Unchanged));
    assert_eq!(count.count_total, 0);
}

#[test]
fn a_jar_that_is_not_used_costs_nothing() {
    let jar = Jar::default();
    let asking =
        JarRequest { host: "a.test", path: "/", https: true, upstream: "app", from: RequestSite::SameSite };
    let count = measure(|| {
        let copy = jar.clone();
        assert!(
            copy.is_empty()
                && copy == jar
                && copy.sent(&asking, Timestamp(0)).is_empty()
                && copy.weight() == 0
        );
    });
    assert_eq!((count.count_total, size_of::<Jar>()), (0, size_of::<usize>()));
}
