//! What browsers would refuse, and what would have no effect.

use super::{
    super::{
        RouteConfig, SameSite, SessionCookie, SessionMode, UpstreamConfig, diagnostic::Diagnostic,
        session::prefixed, value::TableReader,
    },
    AttributeRule, CookieAction, CookieRule, RuleSecure,
};

impl CookieRule {
    pub(super) fn check(
        &self,
        reader: &TableReader<'_>,
        upstreams: &[UpstreamConfig],
        routes: &[RouteConfig],
        own: &SessionCookie,
    ) {
        self.check_browsers(reader);
        self.check_prefixes(reader);
        self.check_rename(reader, own);
        self.check_effects(reader);
        self.check_sessions(reader, upstreams, routes);
        self.check_stripped(reader, upstreams, routes);
    }

    /// A rule holds by what visitors ask for; where a route takes its prefix off, the app's path is another.
    fn check_stripped(&self, reader: &TableReader<'_>, upstreams: &[UpstreamConfig], routes: &[RouteConfig]) {
        let Some(wanted) = self.request_path.as_deref().map(|path| path.trim_end_matches('/')) else {
            return;
        };
        let trimmed = |route: &RouteConfig| route.path.trim_end_matches('/').to_owned();
        let is_below = |path: &str, prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let meant = if let Some(name) = &self.upstream {
            upstreams.iter().position(|upstream| upstream.name == *name)
        } else {
            // Without an upstream the rule means the app that the visitor reaches under this path.
            let takes = routes.iter().filter(|route| is_below(wanted, &trimmed(route)));
            takes.max_by_key(|route| route.path.len()).map(|route| route.upstream)
        };
        let also = routes.iter().filter(|route| Some(route.upstream) == meant && route.strip_prefix);
        for prefix in also.map(trimmed).filter(|prefix| !is_below(wanted, prefix)) {
            let message = format!("this rule does not hold below {prefix}{wanted}");
            let label = "a path that visitors ask for";
            let help = format!(
                "the app is sent {wanted} from there too (`strip_prefix`): write a rule with \
                 request_path = \"{prefix}{wanted}\" as well"
            );
            reader.notes().push(Diagnostic::warning(message, reader.span("request_path"), label).help(help));
        }
    }

    fn never_secure(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| *secure.value() == RuleSecure::Never)
    }

    fn check_browsers(&self, reader: &TableReader<'_>) {
        let needs = [
            ("same_site", self.same_site.is_some_and(|s| *s.value() == SameSite::None), "SameSite=None"),
            ("partitioned", self.partitioned.is_some_and(|p| *p.value()), "Partitioned"),
        ];
        for (key, set, what) in needs {
            if set && self.never_secure() {
                let message = format!("browsers refuse a cookie that is {what} and not Secure");
                let error = reader.error(key, message, "needs secure = true or \"auto\"");
                reader.notes().push(error.also(reader.span("secure"), "not Secure by this"));
            }
        }
    }

    /// RFC 6265bis section 4.1.3.
    fn check_prefixes(&self, reader: &TableReader<'_>) {
        let renamed = self.rename.as_ref().map(|rename| ("rename", rename.before.as_str()));
        for (place, name) in [("name", self.name.as_str())].into_iter().chain(renamed) {
            let Some((prefix, _)) = prefixed(name) else { continue };
            let refuse = |key: &str, what: &str| {
                let message = format!("browsers refuse a `{prefix}` cookie {what}");
                let error = reader.error(key, message, "not with that name");
                reader.notes().push(error.also(reader.span(place), "this one"));
            };
            if self.never_secure() {
                refuse("secure", "that is not Secure");
            }
            let says = |wanted: &Option<AttributeRule<String>>, none: &str| {
                wanted.as_ref().is_some_and(|wanted| wanted.value() != none)
            };
            if prefix == "__Host-" && says(&self.domain, "") {
                refuse("domain", "with a domain");
            }
            if prefix == "__Host-" && says(&self.path, "/") {
                refuse("path", "with a path other than \"/\"");
            }
        }
    }

    fn check_rename(&self, reader: &TableReader<'_>, own: &SessionCookie) {
        let Some(rename) = &self.rename else { return };
        if rename.after.is_none() && self.name.contains(['*', '?']) {
            let message = "several cookies would get one name";
            let error = reader.error("rename", message, "needs a * for the app's own name");
            reader.notes().push(error.also(reader.span("name"), "fits several"));
        }
        let new = match &rename.after {
            Some(after) => format!("{}{}{after}", rename.before, self.name),
            None => rename.before.clone(),
        };
        if prefixed(&new).map_or(new.as_str(), |(_, rest)| rest) == own.name {
            let message = format!("`{}` is the session's own cookie", own.name);
            reader.notes().push(reader.error("rename", message, "another name"));
        }
    }

    fn check_effects(&self, reader: &TableReader<'_>) {
        const ATTRIBUTES: [&str; 9] = [
            "domain",
            "path",
            "secure",
            "http_only",
            "same_site",
            "partitioned",
            "priority",
            "max_age",
            "max_age_limit",
        ];
        use CookieAction::{Drop, Keep, Pass, Rewrite, Seal};
        // What was refused reads as the default: nothing is known of what it goes with.
        if reader.span("action").is_some() && !reader.says("action", self.action.as_str()) {
            return;
        }
        let only: [(&[&str], &[CookieAction]); 6] = [
            (&ATTRIBUTES, &[Rewrite, Seal, Keep]),
            (&["rename"], &[Rewrite, Seal]),
            (&["renew", "share", "scripts", "lifetime"], &[Keep]),
            (&["bind"], &[Seal]),
            (&["logout"], &[Rewrite, Pass, Seal]),
            (&["report"], &[Rewrite, Drop, Seal, Keep]),
        ];
        let useless = |key: &str, label: String| {
            if reader.span(key).is_some() {
                let message = format!("`{}` has no effect here", reader.dotted(key));
                reader.notes().push(
                    reader
                        .error(key, message, label)
                        .also(reader.span("action"), "what happens to the cookie"),
                );
            }
        };
        for (keys, actions) in only {
            if !actions.contains(&self.action) {
                let words: Vec<_> = actions.iter().map(|action| format!("\"{}\"", action.as_str())).collect();
                for key in keys {
                    useless(key, format!("only with action = {}", words.join(", ")));
                }
            }
        }
        if self.action != Keep && self.rename.is_none() {
            useless("adopt_until", "only with action = \"keep\" or with `rename`".to_owned());
        }
    }

    /// A kept cookie needs a session to be kept in, and so does one that is bound to it.
    fn check_sessions(&self, reader: &TableReader<'_>, upstreams: &[UpstreamConfig], routes: &[RouteConfig]) {
        if (self.action != CookieAction::Keep && !self.bound) || self.report {
            return;
        }
        let concerns = |route: &&RouteConfig| {
            route.session == SessionMode::Off
                && self.upstream.as_ref().is_none_or(|wanted| {
                    upstreams.get(route.upstream).is_some_and(|upstream| upstream.name == *wanted)
                })
                && (self.host.is_none() || route.host.is_none() || self.host == route.host)
        };
        if let Some(route) = routes.iter().find(concerns) {
            let message = format!("the route for {} has no session", route.path);
            let label = "cookies under this rule are dropped there: there is nothing to keep them in";
            reader.notes().push(Diagnostic::warning(message, reader.span("action"), label));
        }
    }
}

/// A rule after one that takes every cookie is never asked.
pub(super) fn order(readers: &[TableReader<'_>]) {
    const CONDITIONS: [&str; 3] = ["host", "request_path", "upstream"];
    let takes_all = |reader: &TableReader<'_>| {
        (reader.says("name", "*") || reader.span("preset").is_some())
            && CONDITIONS.iter().all(|key| reader.span(key).is_none())
    };
    let Some(first) = readers.iter().position(takes_all) else { return };
    let place = readers.get(first).and_then(|reader| reader.place.clone());
    for late in readers.iter().skip(first + 1) {
        let message = "this rule never applies";
        let warning = Diagnostic::warning(message, late.place.clone(), "the first that fits is the only one");
        late.notes().push(warning.also(place.clone(), "fits every cookie"));
    }
}
