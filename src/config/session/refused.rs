//! A session's cookie that browsers refuse or never send, because of where it is given: each attribute held against the
//! listeners and the routes. Whoever gets such a cookie has no session, and nothing says so.

use std::net::IpAddr;

use super::{SameSite, SecureRule, SessionCookie};
use crate::config::{
    HostPattern, ListenConfig, RequiredLogin, RouteConfig, SessionMode, diagnostic::Diagnostic,
    process::TrustedProxies, value::TableReader,
};

/// Where visitors come from.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct VisitorScheme<'a> {
    pub listen: &'a [ListenConfig],
    pub routes: &'a [RouteConfig],
    pub trusted: &'a TrustedProxies,
}

/// Notes what cannot work; `reader` is that of `[session.cookie]`.
pub(in crate::config) fn check(reader: &TableReader<'_>, cookie: &SessionCookie, around: VisitorScheme<'_>) {
    by_http(reader, cookie, around);
    by_domain(reader, cookie, around);
    by_path(reader, cookie, around);
}

/// `Secure` by plain http, and what needs it (RFC 6265bis sections 5.7 and 4.1.2.7).
fn by_http(reader: &TableReader<'_>, cookie: &SessionCookie, around: VisitorScheme<'_>) {
    let told_by_proxies = !around.trusted.networks.is_empty() || around.trusted.unix;
    let is_plain = |listen: &&ListenConfig| listen.tls.is_none() && listen.redirect_to_https.is_none();
    // Behind a proxy that is believed, visitors come by https whatever is spoken here.
    let Some(plain) = around.listen.iter().find(is_plain).filter(|_| !told_by_proxies) else { return };
    let key = match cookie.secure {
        SecureRule::Always => "secure",
        SecureRule::Auto if cookie.same_site == SameSite::None => "same_site",
        SecureRule::Auto if cookie.partitioned => "partitioned",
        // Of one that is never Secure it was said already what is wrong.
        SecureRule::Auto | SecureRule::Never => return,
    };
    let what = match key {
        "secure" => "a Secure cookie by http",
        "same_site" => "a cookie that is SameSite=None and not Secure",
        _ => "a cookie that is Partitioned and not Secure",
    };
    let message = format!("by {} visitors get no session: browsers refuse {what}", plain.address);
    let warning = Diagnostic::warning(message, reader.span(key), "works by https alone");
    let help = "speak https there, send visitors to where it is spoken (redirect_to_https), or name the load balancer\n\
                that speaks it, under [process]: trusted_proxies = [\"ADDRESS\"]";
    reader.notes().push(warning.help(help));
}

/// A `Domain` that is not the host's own (RFC 6265bis section 5.7).
fn by_domain(reader: &TableReader<'_>, cookie: &SessionCookie, around: VisitorScheme<'_>) {
    let Some(domain) = &cookie.domain else { return };
    if domain.parse::<IpAddr>().is_ok() || !domain.contains('.') {
        let message = format!("browsers refuse a cookie with Domain={domain}");
        let warning =
            Diagnostic::warning(message, reader.span("domain"), "an address, or a name of one label");
        reader.notes().push(warning.help("leave it out: the cookie is for the host that was asked for"));
        return;
    }
    let is_within = |host: &str| {
        host.strip_suffix(domain.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let outside = around.routes.iter().filter(|route| route.session == SessionMode::On).find_map(|route| {
        let host = route.host.as_ref()?;
        let (HostPattern::Exact(name) | HostPattern::Below(name)) = host;
        (!is_within(name)).then_some(host)
    });
    if let Some(host) = outside {
        let message =
            format!("visitors of {host} get no session: browsers refuse a cookie of another domain");
        let warning = Diagnostic::warning(message, reader.span("domain"), "not the domain of that host");
        reader.notes().push(warning.help("leave it out, or give that host a cloakroom of its own"));
    }
}

/// A `Path` below which a guarded route does not lie: nobody ever shows a ticket there.
fn by_path(reader: &TableReader<'_>, cookie: &SessionCookie, around: VisitorScheme<'_>) {
    let path = cookie.path.trim_end_matches('/');
    let is_below = |route: &RouteConfig| {
        let rest = route.path.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let guarded =
        around.routes.iter().find(|route| route.require > RequiredLogin::Nothing && !is_below(route));
    if let Some(route) = guarded {
        let message = format!(
            "nobody passes the route {}: browsers send the cookie only below {}",
            route.path, cookie.path
        );
        let warning = Diagnostic::warning(message, reader.span("path"), "that route lies outside");
        reader.notes().push(warning.help("path = \"/\""));
    }
}
