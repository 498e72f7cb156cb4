//! Sets the attributes of a rule in place, within what browsers accept (RFC 6265bis section 5.7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    config::{CookieRule, RuleSecure, SameSite},
    message::set_cookie::Editor,
};

use super::date;

/// The longest life that browsers grant: 400 days (RFC 6265bis section 5.5).
const LONGEST: i64 = 400 * 86_400;

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It already says what the rule wants, or no rule speaks of it.
    Untouched,
    /// It now reads so.
    Rewritten(Vec<u8>),
    /// Browsers would refuse the result, so the line passes as it is; why.
    Refused(&'static str),
}

/// Applies one rule to one line.
pub(super) fn rewrite<'a>(rule: &'a CookieRule, line: &'a [u8], https: bool, now: SystemTime) -> Verdict {
    let mut editor = Editor::new(line);
    for (attribute, wanted) in [("Domain", &rule.domain), ("Path", &rule.path)] {
        match wanted.as_deref() {
            Some("") => editor.remove(attribute),
            Some(value) => editor.set(attribute, value.as_bytes(), |old| old == value.as_bytes()),
            None => {}
        }
    }
    match rule.secure {
        Some(RuleSecure::Always) => editor.set_flag("Secure"),
        Some(RuleSecure::Auto) if https => editor.set_flag("Secure"),
        Some(RuleSecure::Never) => editor.remove("Secure"),
        _ => {}
    }
    match rule.http_only {
        Some(true) => editor.set_flag("HttpOnly"),
        Some(false) => editor.remove("HttpOnly"),
        None => {}
    }
    if let Some(same_site) = rule.same_site {
        let value: &[u8] = match same_site {
            SameSite::Strict => b"Strict",
            SameSite::Lax => b"Lax",
            SameSite::None => b"None",
        };
        editor.set("SameSite", value, |old| old.eq_ignore_ascii_case(value));
    }
    live(rule, &mut editor, now);
    if !editor.is_changed() {
        return Verdict::Untouched;
    }
    if let Some(why) = refusal(&editor) {
        return Verdict::Refused(why);
    }
    editor.into_changed().map_or(Verdict::Untouched, Verdict::Rewritten)
}

/// `max_age` and `max_age_limit`; a cookie that the app takes back is left to go.
fn live(rule: &CookieRule, editor: &mut Editor<'_>, now: SystemTime) {
    if rule.max_age.is_none() && rule.max_age_limit.is_none() {
        return;
    }
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
    let age = editor.get("Max-Age").and_then(max_age);
    let end = editor.get("Expires").and_then(date::parse);
    if age.map_or(end.is_some_and(|end| end <= now), |age| age <= 0) {
        return;
    }
    let seconds =
        |time: Duration| i64::try_from(time.as_secs()).map_or(LONGEST, |seconds| seconds.min(LONGEST));
    let limit = rule.max_age_limit.map_or(LONGEST, seconds);
    if let Some(wanted) = rule.max_age.map(|age| seconds(age).min(limit)) {
        set_age(editor, wanted);
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

fn set_age(editor: &mut Editor<'_>, seconds: i64) {
    let mut buffer = itoa::Buffer::new();
    let value = buffer.format(seconds).as_bytes();
    editor.set("Max-Age", value.to_vec(), |old| old == value);
}

fn set_expires(editor: &mut Editor<'_>, at: i64) {
    use std::io::Write as _;
    let mut buffer = [0_u8; 29];
    let at = UNIX_EPOCH + Duration::from_secs(u64::try_from(at).unwrap_or(0));
    if write!(buffer.as_mut_slice(), "{}", httpdate::HttpDate::from(at)).is_ok() {
        editor.set("Expires", buffer.to_vec(), |old| old == buffer);
    }
}

/// Max-Age as browsers read it; none if they ignore it (RFC 6265 section 5.2.2).
fn max_age(value: &[u8]) -> Option<i64> {
    let (negative, digits) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: i64, digit: &u8| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    let number = digits.iter().fold(0, add);
    Some(if negative { -number } else { number })
}

/// Why browsers would not take the line.
fn refusal(editor: &Editor<'_>) -> Option<&'static str> {
    let (name, value) = editor.name_value();
    let begins =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let secure = editor.has("Secure");
    if begins(b"__Host-") {
        if !secure {
            return Some("__Host- needs Secure");
        }
        if editor.get("Path") != Some(b"/") {
            return Some("__Host- needs Path=/");
        }
        if editor.has("Domain") {
            return Some("__Host- allows no Domain");
        }
    }
    if begins(b"__Secure-") && !secure {
        return Some("__Secure- needs Secure");
    }
    if !secure && editor.has("Partitioned") {
        return Some("Partitioned needs Secure");
    }
    if !secure && editor.get("SameSite").is_some_and(|value| value.eq_ignore_ascii_case(b"None")) {
        return Some("SameSite=None needs Secure");
    }
    (name.len() + value.len() > 4096).then_some("name and value are longer than 4096 bytes")
}

#[cfg(test)]
mod tests {
    use super::super::CookieRules;
    use super::*;

    fn run(rule: &CookieRule, line: &str) -> String {
        let rules = CookieRules::build(&[CookieRule { name: "*".into(), ..rule.clone() }]);
        match rules.apply(line.as_bytes(), true, UNIX_EPOCH + Duration::from_secs(784_111_777)) {
            Verdict::Untouched => "=".into(),
            Verdict::Rewritten(line) => String::from_utf8(line).unwrap(),
            Verdict::Refused(_) => "!".into(),
        }
    }

    #[test]
    fn attributes() {
        let none = CookieRule::default();
        let secure = CookieRule { secure: Some(RuleSecure::Auto), ..none.clone() };
        let never = CookieRule { secure: Some(RuleSecure::Never), http_only: Some(false), ..none.clone() };
        let lax = CookieRule { same_site: Some(SameSite::Lax), http_only: Some(true), ..none.clone() };
        let cross = CookieRule { same_site: Some(SameSite::None), ..none.clone() };
        let place = CookieRule { domain: Some(String::new()), path: Some("/x".into()), ..none.clone() };
        let limit = CookieRule { max_age_limit: Some(Duration::from_mins(1)), ..none.clone() };
        let age = CookieRule { max_age: Some(Duration::from_mins(1)), ..none.clone() };
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
}
