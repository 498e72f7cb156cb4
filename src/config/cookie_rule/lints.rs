//! What is allowed, and seldom meant.

use super::{
    super::{SameSite, SessionCookie, diagnostic::Diagnostic, session::prefixed, value::TableReader},
    CookieAction, CookieRule,
};
use crate::message::glob;

/// Rules that were written out, each with its section.
pub(super) type WrittenRules<'r, 'a> = [(&'r TableReader<'a>, CookieRule)];

/// Warns of them. `keyless`: what is sealed is worth nothing after a restart.
pub(super) fn tell(all: &WrittenRules<'_, '_>, own: &SessionCookie, keyless: bool) {
    for (at, one) in all.iter().enumerate() {
        let before = all.get(..at).unwrap_or_default();
        shadowed(one, before);
        renamed_alike(one, before);
        alone(one.0, &one.1, own, keyless);
    }
}

fn warn(reader: &TableReader<'_>, key: &str, message: impl Into<String>, label: &str) {
    reader.notes().push(Diagnostic::warning(message, reader.span(key), label));
}

/// All that the later asks for beside the name, the earlier asks for too, or it asks for nothing.
fn is_as_wide((reader, earlier): &(&TableReader<'_>, CookieRule), later: &CookieRule) -> bool {
    // What was refused reads as if it were absent.
    let absent = |key| reader.span(key).is_none();
    (absent("host") || (earlier.host.is_some() && earlier.host == later.host))
        && (absent("upstream") || (earlier.upstream.is_some() && earlier.upstream == later.upstream))
        && (absent("request_path")
            || (earlier.request_path.is_some() && earlier.request_path == later.request_path))
}

fn shadowed((reader, rule): &(&TableReader<'_>, CookieRule), before: &WrittenRules<'_, '_>) {
    let is_plain = !rule.name.contains(['*', '?']);
    let covers = |one: &&(&TableReader<'_>, CookieRule)| {
        let earlier = &one.1;
        let fits = is_plain && glob::fits(earlier.name.as_bytes(), rule.name.as_bytes());
        // Of one that takes all, every rule after it is told anyway.
        earlier.name != "*" && (fits || earlier.name == rule.name) && is_as_wide(one, rule)
    };
    if let Some((first, _)) = before.iter().find(covers) {
        let label = "the first that fits is the only one";
        let warning = Diagnostic::warning("this rule never applies", reader.span("name"), label);
        reader.notes().push(warning.also(first.span("name"), "fits it too"));
    }
}

/// Which of two the browser sends back, nobody could tell.
fn renamed_alike(own: &(&TableReader<'_>, CookieRule), before: &WrittenRules<'_, '_>) {
    let (reader, rule) = own;
    let new = |rule: &CookieRule| {
        let rename = rule.rename.as_ref().filter(|_| !rule.name.contains(['*', '?']))?;
        Some(match &rename.after {
            Some(after) => [rename.before.as_str(), &rule.name, after].concat(),
            None => rename.before.clone(),
        })
    };
    let Some(name) = new(rule) else { return };
    let alike = |one: &&(&TableReader<'_>, CookieRule)| {
        one.1.name != rule.name
            && new(&one.1).is_some_and(|other| other == name)
            && (is_as_wide(one, rule) || is_as_wide(own, &one.1))
    };
    if let Some((first, _)) = before.iter().find(alike) {
        let message = format!("two cookies are renamed to `{name}`");
        let warning = Diagnostic::warning(message, reader.span("rename"), "the one takes the other's place");
        reader.notes().push(warning.also(first.span("rename"), "the other"));
    }
}

fn alone(reader: &TableReader<'_>, rule: &CookieRule, own: &SessionCookie, keyless: bool) {
    if prefixed(&rule.name).map_or(rule.name.as_str(), |(_, rest)| rest) == own.name {
        let message = format!("`{}` is the session's own cookie", own.name);
        warn(reader, "name", message, "what an app sets under it is dropped, whatever a rule says");
    }
    if rule.secure.is_none() && rule.rename.as_ref().is_none_or(|new| prefixed(&new.before).is_none()) {
        for (key, set) in [
            ("same_site", rule.same_site.is_some_and(|site| *site.value() == SameSite::None)),
            ("partitioned", rule.partitioned.is_some_and(|partitioned| *partitioned.value())),
        ] {
            if set {
                let message = "browsers refuse such a cookie unless it is Secure";
                warn(reader, key, message, "where the app does not say Secure, the rule is not applied");
            }
        }
    }
    if let Some(domain) = rule.domain.as_ref().map(super::AttributeRule::value)
        && !domain.is_empty()
        && domain != "localhost"
        && !domain.contains('.')
    {
        warn(
            reader,
            "domain",
            format!("browsers refuse a cookie for all of `{domain}`"),
            "a name of one part",
        );
    }
    if rule.action == CookieAction::Seal && !rule.report && keyless {
        let message = "what is sealed here is worth nothing after a restart";
        warn(reader, "action", message, "the key is in memory: give one in [keys]");
    }
}
