//! A rule as TOML, as an operator would have written it.

use std::{fmt, time::Duration};

use super::{
    super::{HostPattern, SameSite, quoted},
    AttributeRule, CookieAction, CookieRule, KeepRenew, RuleSecure,
};

/// Reads back as the same rule.
impl fmt::Display for CookieRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[[cookies]]")?;
        let mut line = |key: &str, value: Option<String>| match value {
            Some(value) => writeln!(f, "{key} = {value}"),
            None => Ok(()),
        };
        line("name", Some(quoted(&self.name)))?;
        line("host", self.host.as_ref().map(host))?;
        line("request_path", self.request_path.as_deref().map(quoted))?;
        line("upstream", self.upstream.as_deref().map(quoted))?;
        line("action", (self.action != CookieAction::Rewrite).then(|| quoted(self.action.as_str())))?;
        line("domain", wanted(self.domain.as_ref(), |text| quoted(text)))?;
        line("path", wanted(self.path.as_ref(), |text| quoted(text)))?;
        line("secure", wanted(self.secure.as_ref(), |secure| secured(*secure).to_owned()))?;
        line("http_only", wanted(self.http_only.as_ref(), bool::to_string))?;
        let site =
            |site: &SameSite| quoted(SameSite::WORDS.iter().find(|(_, s)| s == site).map_or("", |s| s.0));
        line("same_site", wanted(self.same_site.as_ref(), site))?;
        line("partitioned", wanted(self.partitioned.as_ref(), bool::to_string))?;
        line("priority", wanted(self.priority.as_ref(), |priority| quoted(priority.as_str())))?;
        line("max_age", wanted(self.max_age.as_ref(), |age| shown_duration(*age)))?;
        line("max_age_limit", self.max_age_limit.map(shown_duration))?;
        let renamed = |r: &super::RenamePattern| match &r.after {
            Some(after) => quoted(&format!("{}*{after}", r.before)),
            None => quoted(&r.before),
        };
        line("rename", self.rename.as_ref().map(renamed))?;
        let renew = KeepRenew::WORDS.iter().find(|(_, renew)| *renew == self.renew).map_or("", |r| r.0);
        line("renew", (self.renew != KeepRenew::Unsafe).then(|| quoted(renew)))?;
        line("share", self.share.then(|| "true".to_owned()))?;
        line("lifetime", self.outlives_browser.then(|| quoted("follow")))?;
        line("scripts", self.leaves_to_scripts.then(|| quoted("pass")))?;
        line("adopt_until", self.adopt_until.map(|day| quoted(&day.to_string())))?;
        line("logout", self.expires_on_logout.then(|| quoted("expire")))?;
        line("bind", self.bound.then(|| quoted("session")))?;
        line("report", self.report.then(|| "true".to_owned()))
    }
}

fn host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => quoted(name),
        HostPattern::Below(name) => quoted(&format!("*.{name}")),
    }
}

fn secured(secure: RuleSecure) -> &'static str {
    match secure {
        RuleSecure::Auto => "\"auto\"",
        RuleSecure::Always => "true",
        RuleSecure::Never => "false",
    }
}

fn wanted<T>(wanted: Option<&AttributeRule<T>>, show: impl Fn(&T) -> String) -> Option<String> {
    wanted.map(|wanted| match wanted {
        AttributeRule::Always(value) => show(value),
        AttributeRule::Default(value) => format!("{{ default = {} }}", show(value)),
    })
}

/// In the largest unit that is exact.
pub(in crate::config) fn shown_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let exact = units.into_iter().find(|(_, size)| millis.is_multiple_of(*size));
    match exact {
        Some((unit, size)) => format!("\"{}{unit}\"", millis / size),
        None => format!("\"{millis}ms\""),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const BASE: &str = "listen = [{ address = \"unix:/x\" }]\nroutes = [{ upstream = \"a\" }]\n\
                        upstreams.a.servers = [\"unix:/a\"]\n";

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in [
            "preset = \"harden\"",
            "preset = \"vault\"\nadopt_until = \"2027-01-31\"\nhost = \"*.a.test\"\nshare = true",
            "name = \"?*\"\naction = \"seal\"\nbind = \"session\"\nrename = \"__Host-*.x\"\nreport = true",
            "name = \"a\"\nrename = \"b\"\nlogout = \"expire\"\nupstream = \"a\"\nrequest_path = \"/x\"",
            "name = \"a\"\naction = \"keep\"\nrenew = \"always\"\ndomain = \"\"\npath = { default = \"/\" }",
            "name = \"a\"\nsecure = { default = true }\npartitioned = true\npriority = \"High\"\n\
             max_age = { default = \"90s\" }\nmax_age_limit = \"36h\"\nsame_site = \"None\"",
        ] {
            let rules = Config::parse("x", &format!("{BASE}[[cookies]]\n{text}")).unwrap().0.cookies;
            let written: String = rules.iter().map(ToString::to_string).collect();
            let again = Config::parse("x", &format!("{BASE}{written}"));
            assert_eq!(again.unwrap_or_else(|e| panic!("{written}{e}")).0.cookies, rules, "{written}");
        }
    }
}
