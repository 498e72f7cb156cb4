//! Sets the attributes of a rule in place, within what browsers accept (RFC 6265bis section 5.7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    config::{AttributeRule, CookieRule, RuleSecure, SameSite},
    message::{
        cookie_date::{self, max_age},
        set_cookie::SetCookieEditor,
    },
};

use super::{
    CookieScope,
    rule::{NamePrefix, promise, renaming},
};

/// The longest life that browsers grant: 400 days (RFC 6265bis section 5.5).
const LONGEST: i64 = 400 * 86_400;

/// What browsers take of name and value together, in bytes (RFC 6265bis section 5.6).
pub(super) const MOST_BYTES: usize = 4096;

/// Sets what the rule wants, in place.
pub(super) fn rewrite<'a>(rule: &'a CookieRule, editor: &mut SetCookieEditor<'a>, scope: &CookieScope<'_>) {
    for (attribute, wanted) in [("Domain", &rule.domain), ("Path", &rule.path)] {
        match wanted.as_ref().and_then(|wanted| wanted.when(editor.has(attribute))).map(String::as_str) {
            Some("") => editor.remove(attribute),
            Some(value) => editor.set(attribute, value.as_bytes(), |old| old == value.as_bytes()),
            None => {}
        }
    }
    match rule.secure.as_ref().and_then(|secure| secure.when(editor.has("Secure"))) {
        Some(RuleSecure::Always) => editor.set_flag("Secure"),
        Some(RuleSecure::Auto) if scope.https => editor.set_flag("Secure"),
        Some(RuleSecure::Never) => editor.remove("Secure"),
        _ => {}
    }
    flag(editor, "HttpOnly", rule.http_only);
    if let Some(same_site) = rule.same_site.as_ref().and_then(|s| s.when(editor.has("SameSite"))) {
        let value: &[u8] = match same_site {
            SameSite::Strict => b"Strict",
            SameSite::Lax => b"Lax",
            SameSite::None => b"None",
        };
        editor.set("SameSite", value, |old| old.eq_ignore_ascii_case(value));
    }
    flag(editor, "Partitioned", rule.partitioned);
    if let Some(priority) = rule.priority.as_ref().and_then(|p| p.when(editor.has("Priority"))) {
        let value = priority.as_str().as_bytes();
        editor.set("Priority", value, |old| old.eq_ignore_ascii_case(value));
    }
    live(rule, editor, scope.now);
    rename(rule, editor, scope.https);
}

fn flag(editor: &mut SetCookieEditor<'_>, name: &'static str, wanted: Option<AttributeRule<bool>>) {
    match wanted.as_ref().and_then(|wanted| wanted.when(editor.has(name))) {
        Some(true) => editor.set_flag(name),
        Some(false) => editor.remove(name),
        None => {}
    }
}

/// The new name, and what it promises.
fn rename(rule: &CookieRule, editor: &mut SetCookieEditor<'_>, https: bool) {
    let Some(rename) = renaming(rule, https) else { return };
    let (name, _) = editor.name_value();
    let new = match &rename.after {
        Some(after) => [rename.before.as_bytes(), name, after.as_bytes()].concat(),
        None => rename.before.clone().into_bytes(),
    };
    if let Some(promise) = promise(&new) {
        editor.set_flag("Secure");
        if promise == NamePrefix::Host {
            editor.remove("Domain");
            editor.set("Path", b"/".as_slice(), |old| old == b"/");
        }
    }
    editor.set_pair(Some(&new), None);
}

/// Whether the line takes its cookie back.
pub(super) fn is_taken_back(editor: &SetCookieEditor<'_>, now: SystemTime) -> bool {
    let age = editor.get("Max-Age").and_then(max_age);
    let end = || editor.get("Expires").and_then(cookie_date::parse);
    age.map_or_else(|| end().is_some_and(|end| end <= seconds_of(now)), |age| age <= 0)
}

fn seconds_of(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

/// `max_age` and `max_age_limit`; a cookie that the app takes back is left to go.
fn live(rule: &CookieRule, editor: &mut SetCookieEditor<'_>, now: SystemTime) {
    if rule.max_age.is_none() && rule.max_age_limit.is_none() {
        return;
    }
    if is_taken_back(editor, now) {
        return;
    }
    let now = seconds_of(now);
    let age = editor.get("Max-Age").and_then(max_age);
    let end = editor.get("Expires").and_then(cookie_date::parse);
    let seconds =
        |time: Duration| i64::try_from(time.as_secs()).map_or(LONGEST, |seconds| seconds.min(LONGEST));
    let limit = rule.max_age_limit.map_or(LONGEST, seconds);
    // A session cookie of the app stays one, unless the rule says otherwise.
    let said = age.is_some() || end.is_some();
    if let Some(wanted) =
        rule.max_age.as_ref().and_then(|age| age.when(said)).map(|age| seconds(*age).min(limit))
    {
        set_age(editor, wanted);
        // A second's difference is left alone, so that a line which already says what is wanted
        // passes byte for byte.
        if end.is_none_or(|end| end.abs_diff(now + wanted) > 1) {
            set_expires(editor, now + wanted);
        }
        return;
    }
    if age.is_some_and(|age| age > limit) {
        set_age(editor, limit);
    }
    if end.is_some_and(|end| end > now + limit) {
        set_expires(editor, now + limit);
    }
}

fn set_age(editor: &mut SetCookieEditor<'_>, seconds: i64) {
    let mut buffer = itoa::Buffer::new();
    let value = buffer.format(seconds).as_bytes();
    editor.set("Max-Age", value.to_vec(), |old| old == value);
}

fn set_expires(editor: &mut SetCookieEditor<'_>, at: i64) {
    use std::io::Write as _;
    let mut buffer = [0_u8; 29];
    let at = UNIX_EPOCH + Duration::from_secs(u64::try_from(at).unwrap_or(0));
    if write!(buffer.as_mut_slice(), "{}", httpdate::HttpDate::from(at)).is_ok() {
        editor.set("Expires", buffer.to_vec(), |old| old == buffer);
    }
}

/// Why browsers would not take the line.
pub(super) fn refusal(editor: &SetCookieEditor<'_>) -> Option<&'static str> {
    let (name, value) = editor.name_value();
    let secure = editor.has("Secure");
    match promise(name) {
        Some(NamePrefix::Host) if !secure => return Some("__Host- needs Secure"),
        Some(NamePrefix::Host) if editor.get("Path") != Some(b"/") => return Some("__Host- needs Path=/"),
        Some(NamePrefix::Host) if editor.has("Domain") => return Some("__Host- allows no Domain"),
        Some(NamePrefix::Secure) if !secure => return Some("__Secure- needs Secure"),
        _ => {}
    }
    if !secure && editor.has("Partitioned") {
        return Some("Partitioned needs Secure");
    }
    if !secure && editor.get("SameSite").is_some_and(|value| value.eq_ignore_ascii_case(b"None")) {
        return Some("SameSite=None needs Secure");
    }
    (name.len() + value.len() > MOST_BYTES).then_some("name and value are longer than 4096 bytes")
}

#[cfg(test)]
mod tests {
    use super::super::{CookieRules, LineVerdict, SealedFor};
    use super::*;
    use crate::message::steps::assert_linear;
    use crate::{
        config::{CookiePriority, RenamePattern},
        crypto::KeySecrets,
    };

    fn run(rule: &CookieRule, line: &str) -> String {
        let rule = CookieRule { name: "*".into(), ..rule.clone() };
        let rules = CookieRules::build(&[rule], &KeySecrets::ephemeral());
        let scope = CookieScope {
            host: "a.test",
            path: "/",
            request_paths: &[],
            upstream: "a",
            https: true,
            realm: (b'h', "a.test"),
            now: UNIX_EPOCH + Duration::from_secs(784_111_777),
        };
        match rules.apply(line.as_bytes(), &scope, SealedFor::Later) {
            LineVerdict::Untouched => "=".into(),
            LineVerdict::Rewritten(line) => String::from_utf8(line).unwrap(),
            LineVerdict::Refused(_) => "!".into(),
            other => format!("{other:?}"),
        }
    }

    /// A line of an app's answer, under many rules that set all that a rule can set.
    #[test]
    fn hostile_lines_cost_no_more_than_their_bytes() {
        let all = CookieRule {
            domain: Some(AttributeRule::Always("b.test".into())),
            path: Some(AttributeRule::Default("/x".into())),
            secure: Some(AttributeRule::Always(RuleSecure::Auto)),
            http_only: Some(AttributeRule::Always(true)),
            same_site: Some(AttributeRule::Always(SameSite::Lax)),
            max_age: Some(AttributeRule::Always(Duration::from_mins(1))),
            ..CookieRule::default()
        };
        let rule = |name: String| CookieRule { name, ..all.clone() };
        let plain = (0..100).map(|number| rule(format!("sid{number}")));
        let rules: Vec<_> = plain.chain(["*sid*x".to_owned(), "?*".to_owned()].map(rule)).collect();
        let rules = CookieRules::build(&rules, &KeySecrets::ephemeral());
        let scope = CookieScope {
            host: "a.test",
            path: "/",
            request_paths: &[],
            upstream: "a",
            https: true,
            realm: (b'h', "a.test"),
            now: UNIX_EPOCH,
        };
        for unit in [
            "a",
            ";",
            "; ",
            "=",
            "; Path=/",
            ";path",
            "; Domain=x; Max-Age=1",
            "sid",
            "sidx",
            "a=1; Expires=",
        ] {
            // Some thirty looks at each attribute, which is a byte at least, and what the rules' names cost.
            assert_linear(unit, 40, |line| drop(rules.apply(line.as_bytes(), &scope, SealedFor::Later)));
        }
    }

    #[test]
    fn attributes() {
        let always = AttributeRule::Always;
        let none = CookieRule::default();
        let secure = CookieRule { secure: Some(always(RuleSecure::Auto)), ..none.clone() };
        let never = CookieRule {
            secure: Some(always(RuleSecure::Never)),
            http_only: Some(AttributeRule::Always(false)),
            ..none.clone()
        };
        let lax = CookieRule {
            same_site: Some(AttributeRule::Always(SameSite::Lax)),
            http_only: Some(AttributeRule::Always(true)),
            ..none.clone()
        };
        let cross = CookieRule { same_site: Some(AttributeRule::Always(SameSite::None)), ..none.clone() };
        let place = CookieRule {
            domain: Some(AttributeRule::Always(String::new())),
            path: Some(AttributeRule::Always("/x".into())),
            ..none.clone()
        };
        let limit = CookieRule { max_age_limit: Some(Duration::from_mins(1)), ..none.clone() };
        let age = CookieRule { max_age: Some(AttributeRule::Always(Duration::from_mins(1))), ..none.clone() };
        let long = format!("a={}", "x".repeat(4096));
        for (rule, line, wanted) in [
            (&none, "a=b", "="),
            (&secure, "a=b", "a=b; Secure"),
            (&secure, "a=\"x,y\\\" z\"; FOO=1;secure", "="),
            (&secure, "ü=é", "ü=é; Secure"),
            (&secure, "a", "a; Secure"),
            (&secure, "=a;Priority=High", "=a;Priority=High; Secure"),
            (&secure, &long, "!"),
            (&none, &long, "="),
            (&never, "a=b; Secure; HttpOnly;X", "a=b;X"),
            (&never, "__Secure-a=b; Secure", "!"),
            (&never, "a=b; Secure; SameSite=None", "!"),
            (&lax, "a=b; samesite=none; httponly", "a=b; samesite=Lax; httponly"),
            (&lax, "a=b; SameSite=lax; HttpOnly", "="),
            (&cross, "a=b", "!"),
            (&never, "a=b; Secure; Partitioned", "!"),
            (&cross, "a=b; Secure", "a=b; Secure; SameSite=None"),
            (&place, "a=b; Domain=.x; path=/; domain=y", "a=b; path=/x"),
            (&place, "__Host-a=b; Secure; Path=/", "!"),
            (&limit, "a=b", "="),
            (&limit, "a=b; max-age=60", "="),
            (&limit, "a=b; max-age=61; X", "a=b; max-age=60; X"),
            (&limit, "a=b; Max-Age=99999999999999999999", "a=b; Max-Age=60"),
            (&limit, "a=b; Max-Age=no", "="),
            (
                &limit,
                "a=b; expires=Sun, 06-Nov-95 08:49:37 GMT; Z",
                "a=b; expires=Sun, 06 Nov 1994 08:50:37 GMT; Z",
            ),
            (&limit, "a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "="),
            (&age, "a=b", "a=b; Max-Age=60; Expires=Sun, 06 Nov 1994 08:50:37 GMT"),
            (&age, "a=b; Max-Age=60; Expires=Sun, 06 Nov 1994 08:50:37 GMT", "="),
            (&age, "a=b; Max-Age=0", "="),
        ] {
            assert_eq!(run(rule, line), wanted, "{line}");
        }
    }

    #[test]
    fn defaults_hold_where_the_app_said_nothing() {
        let rule = CookieRule {
            domain: Some(AttributeRule::Default("x.test".into())),
            path: Some(AttributeRule::Default("/x".into())),
            secure: Some(AttributeRule::Default(RuleSecure::Auto)),
            http_only: Some(AttributeRule::Default(true)),
            same_site: Some(AttributeRule::Default(SameSite::Lax)),
            priority: Some(AttributeRule::Default(CookiePriority::High)),
            max_age: Some(AttributeRule::Default(Duration::from_mins(1))),
            ..CookieRule::default()
        };
        let rest = "; Secure; HttpOnly";
        for (line, wanted) in [
            (
                "a=b",
                format!(
                    "a=b; Domain=x.test; Path=/x{rest}; SameSite=Lax; Priority=High; Max-Age=60; \
                     Expires=Sun, 06 Nov 1994 08:50:37 GMT"
                ),
            ),
            (
                "a=b; priority=low; domain=y; path=/y; samesite=None; max-age=5",
                format!("a=b; priority=low; domain=y; path=/y; samesite=None; max-age=5{rest}"),
            ),
        ] {
            assert_eq!(run(&rule, line), wanted, "{line}");
        }
    }

    #[test]
    fn a_new_name_keeps_its_promise() {
        let named = |before: &str, after: Option<&str>| CookieRule {
            rename: Some(RenamePattern { before: before.into(), after: after.map(Into::into) }),
            ..CookieRule::default()
        };
        let partitioned =
            CookieRule { partitioned: Some(AttributeRule::Always(true)), ..named("__Secure-", Some("")) };
        for (rule, line, wanted) in [
            (named("__Host-", Some("")), "a=b; Foo", "__Host-a=b; Foo; Secure; Path=/"),
            (
                named("__Host-", Some("")),
                " a = b; Domain=x; path=/y; Secure; Expires=0",
                " __Host-a = b; path=/; Secure; Expires=0",
            ),
            (partitioned, "a=b", "__Secure-a=b; Partitioned; Secure"),
            (named("x", None), "a=b; Path=/y", "x=b; Path=/y"),
            (named("", Some("_2")), "a=", "a_2="),
            (named("x", Some("")), "noequals", "x=noequals"),
        ] {
            assert_eq!(run(&rule, line), wanted, "{line}");
        }
    }
}
