//! What gates promise and routes do not keep.

use std::{cmp::Reverse, collections::HashMap};

use super::super::{ServerConfig, UpstreamConfig, diagnostic::Diagnostic};
use super::{
    CrossSite, HostPattern, OnUnauthorized, PlacedRoute, PreflightRule, RequiredLogin, RouteConfig,
    SessionMode,
};
use crate::message::case;

/// Notes what is wrong with the gates of all routes.
pub(super) fn gates(routes: &[PlacedRoute<'_>], upstreams: &[UpstreamConfig]) {
    for (at, placed) in routes.iter().enumerate() {
        contradictions(placed);
        circle(at, placed, routes, upstreams);
        differing_in_case(placed, routes.get(..at).unwrap_or_default());
    }
    if routes.iter().any(|placed| placed.route.require > RequiredLogin::Nothing) {
        laxer_routes(routes, upstreams);
        stripped_doors(routes, upstreams);
    }
}

/// Keys of one route that undo each other.
fn contradictions(placed: &PlacedRoute<'_>) {
    let PlacedRoute { route, reader } = placed;
    if route.require == RequiredLogin::Nothing {
        let idle = [
            ("on_unauthorized", route.on_unauthorized != OnUnauthorized::Unauthorized),
            ("preflight", route.preflight == PreflightRule::Pass),
        ];
        for (key, _) in idle.into_iter().filter(|(_, set)| *set) {
            let message = format!("`{}` has no effect: the route requires nothing", reader.dotted(key));
            let warning = Diagnostic::warning(message, reader.span(key), "for those who are refused");
            reader.notes().push(warning.help("require = \"principal\" or \"session\""));
        }
    } else if route.session == SessionMode::Off {
        let message = "a route without sessions can let nobody in";
        let error = reader.error("session", message, "nobody has a session here");
        reader.notes().push(error.also(reader.span("require"), "and everybody needs one"));
    }
    if route.strip_prefix && route.path.trim_end_matches('/').is_empty() {
        let message =
            format!("`{}` has no effect: there is nothing to take off", reader.dotted("strip_prefix"));
        let warning = Diagnostic::warning(message, reader.span("strip_prefix"), "every path begins with /");
        reader.notes().push(warning.help("path = \"/shop\""));
    }
    if route.cross_site == CrossSite::Pass && !route.trusted_origins.is_empty() {
        let key = "trusted_origins";
        let message = format!("`{}` has no effect: requests from every site pass", reader.dotted(key));
        let warning = Diagnostic::warning(message, reader.span(key), "not only those");
        reader.notes().push(warning.help("cross_site = \"block\""));
    }
}

/// Two routes that are one to an app that ignores case: nobody is let through to either, since both readings differ.
fn differing_in_case(placed: &PlacedRoute<'_>, before: &[PlacedRoute<'_>]) {
    let PlacedRoute { route, reader } = placed;
    let fold = |route: &RouteConfig| case::fold(route.path.trim_end_matches('/').as_bytes()).into_owned();
    let alike = |other: &&PlacedRoute<'_>| {
        let other = &other.route;
        other.host == route.host
            && other.path.trim_end_matches('/') != route.path.trim_end_matches('/')
            && (route.ignore_case.is_none() || other.ignore_case.is_none())
            && fold(other) == fold(route)
    };
    let Some(other) = before.iter().find(alike) else { return };
    let message = format!("{} and {} are one path to an app that ignores case", other.route.path, route.path);
    let label = "differs from the other in case alone";
    let warning = Diagnostic::warning(message, placed.place("path"), label);
    let help = "requests for which it matters get a 400; if the app tells them apart, say so on both routes:\n\
                ignore_case = false";
    reader.notes().push(warning.also(other.place("path"), "the other").help(help));
}

/// `on_unauthorized` that sends visitors to where they are refused again.
fn circle(at: usize, placed: &PlacedRoute<'_>, routes: &[PlacedRoute<'_>], upstreams: &[UpstreamConfig]) {
    let PlacedRoute { route, reader } = placed;
    let mut here = at;
    for _ in 0..=routes.len() {
        let Some(PlacedRoute { route: from, .. }) = routes.get(here) else { return };
        let (true, OnUnauthorized::Redirect(target)) =
            (from.require > RequiredLogin::Nothing, &from.on_unauthorized)
        else {
            return;
        };
        let Some(next) = pick(routes, route.host.as_ref(), &decoded(target)) else { return };
        if next != at {
            here = next;
            continue;
        }
        let (message, label) = if here == at {
            (
                "`routes.on_unauthorized` leads into its own guarded route",
                "who is refused is sent here for ever",
            )
        } else {
            (
                "`routes.on_unauthorized` leads back to where it came from",
                "from there they are sent here again",
            )
        };
        let error = reader.error("on_unauthorized", message, label);
        let error = error.also(reader.span("require"), "refuses whoever follows it");
        let host = match &route.host {
            Some(HostPattern::Exact(name)) => format!("host = \"{name}\"\n"),
            Some(HostPattern::Below(name)) => format!("host = \"*.{name}\"\n"),
            None => String::new(),
        };
        let path = match &route.on_unauthorized {
            OnUnauthorized::Redirect(target) => String::from_utf8_lossy(&decoded(target)).into_owned(),
            OnUnauthorized::Unauthorized => String::new(),
        };
        let app = upstreams.get(route.upstream).map_or("NAME", |upstream| upstream.name.as_str());
        let help = format!(
            "let it pass by a route of its own:\n[[routes]]\n{host}path = \"{path}\"\nupstream = \"{app}\""
        );
        reader.notes().push(error.help(help));
        return;
    }
}

/// Which app each route leads to: the first upstream with one of its servers stands for it.
fn apps(routes: &[PlacedRoute<'_>], upstreams: &[UpstreamConfig]) -> Vec<usize> {
    let servers = |at: usize| upstreams.get(at).map_or(&[][..], |upstream| upstream.servers.as_slice());
    let app = |index: usize| {
        let shared = |a: &ServerConfig| servers(index).iter().any(|b| a.address == b.address);
        (0..upstreams.len()).find(|other| servers(*other).iter().any(shared)).unwrap_or(index)
    };
    routes.iter().map(|placed| app(placed.route.upstream)).collect()
}

/// Apps that are guarded under one path, and less under another that is taken off: the app is sent the same by both.
fn stripped_doors(routes: &[PlacedRoute<'_>], upstreams: &[UpstreamConfig]) {
    let apps = apps(routes, upstreams);
    // What the app's own path begins with.
    let sent = |route: &RouteConfig| {
        if route.strip_prefix { "" } else { route.path.trim_end_matches('/') }.to_owned()
    };
    let within = |path: &str, prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for (at, lax) in routes.iter().enumerate().filter(|(at, _)| !is_login_page(*at, routes)) {
        let meets = |strict: &&PlacedRoute<'_>| {
            let (a, b) = (sent(&lax.route), sent(&strict.route));
            within(&a, &b) || within(&b, &a)
        };
        let strict = routes
            .iter()
            .zip(&apps)
            .filter(|(_, app)| Some(*app) == apps.get(at))
            .map(|(strict, _)| strict)
            .filter(|strict| strict.route.require > lax.route.require)
            // One path on two hosts is a side door, and told as such.
            .filter(|strict| strict.route.path != lax.route.path)
            .filter(|strict| strict.route.strip_prefix || lax.route.strip_prefix)
            .find(meets);
        let Some(strict) = strict else { continue };
        let name = upstreams.get(strict.route.upstream).map_or("", |upstream| upstream.name.as_str());
        let message = format!(
            "`upstreams.{name}` is guarded under {}, and less under {}",
            strict.route.path, lax.route.path
        );
        let warning = Diagnostic::warning(message, lax.place("path"), "reached here past the gate");
        let help = "with `strip_prefix` the app is sent the same path by both: require the same here";
        lax.reader.notes().push(warning.also(strict.place("require"), "guarded here").help(help));
    }
}

/// Apps that are guarded on one host, and not by the route that another host takes to the same path.
fn laxer_routes(routes: &[PlacedRoute<'_>], upstreams: &[UpstreamConfig]) {
    let apps = apps(routes, upstreams);
    let mut hosts: Vec<Option<&HostPattern>> = Vec::new();
    let mut paths: Vec<&[u8]> = Vec::new();
    for PlacedRoute { route, .. } in routes {
        if !hosts.contains(&route.host.as_ref()) {
            hosts.push(route.host.as_ref());
        }
        if !paths.contains(&route.path.as_bytes()) {
            paths.push(route.path.as_bytes());
        }
    }
    let mut told: HashMap<usize, usize> = HashMap::new();
    for path in paths {
        let chosen: Vec<usize> = hosts.iter().filter_map(|host| pick(routes, *host, path)).collect();
        let require =
            |at: &usize| routes.get(*at).map_or(RequiredLogin::Nothing, |placed| placed.route.require);
        for lax in chosen.iter().filter(|lax| !is_login_page(**lax, routes)) {
            let same = |at: &&usize| apps.get(**at) == apps.get(*lax);
            let Some(strict) = chosen.iter().filter(same).max_by_key(|at| (require(at), Reverse(**at)))
            else {
                continue;
            };
            let before = told.get(lax).map_or(require(lax), require);
            if require(strict) > before {
                told.insert(*lax, *strict);
            }
        }
    }
    for (lax, strict) in told {
        let (Some(lax), Some(strict)) = (routes.get(lax), routes.get(strict)) else { continue };
        let name = upstreams.get(strict.route.upstream).map_or("", |upstream| upstream.name.as_str());
        let message = format!("`upstreams.{name}` is guarded on one host, and less on another");
        let warning = Diagnostic::warning(message, lax.place("require"), "reached here past the gate");
        let help =
            "the visitor chooses the host that a request names: require the same here, or send it elsewhere";
        lax.reader.notes().push(warning.also(strict.place("require"), "guarded here").help(help));
    }
}

/// Whether a route is there for what an `on_unauthorized` of its host names: that has to be open.
fn is_login_page(at: usize, routes: &[PlacedRoute<'_>]) -> bool {
    let own = routes.get(at).map_or("", |placed| placed.route.path.trim_end_matches('/'));
    let leads_here = |PlacedRoute { route, .. }: &PlacedRoute<'_>| match &route.on_unauthorized {
        OnUnauthorized::Redirect(target) => {
            let path = decoded(target);
            path.strip_suffix(b"/").unwrap_or(&path) == own.as_bytes()
                && pick(routes, route.host.as_ref(), &path) == Some(at)
        }
        OnUnauthorized::Unauthorized => false,
    };
    !own.is_empty() && routes.iter().any(leads_here)
}

/// The route of a path, by the rules of the router: the most specific host, then the longest prefix. A pattern stands
/// for any host that it alone describes.
fn pick(routes: &[PlacedRoute<'_>], host: Option<&HostPattern>, path: &[u8]) -> Option<usize> {
    let fits = |placed: &PlacedRoute<'_>| {
        let prefix = placed.route.path.trim_end_matches('/').as_bytes();
        let (head, rest) = path.split_at_checked(prefix.len())?;
        let same = head == prefix || (placed.route.ignores_case() && head.eq_ignore_ascii_case(prefix));
        let whole = prefix.is_empty() || matches!(rest.first(), None | Some(b'/'));
        if same && whole { Some((rank(placed.route.host.as_ref(), host)?, prefix.len())) } else { None }
    };
    let found = routes.iter().enumerate().filter_map(|(at, placed)| Some((Reverse(fits(placed)?), at)));
    found.min().map(|(_, at)| at)
}

/// How specific a route's host is to this one; none: it does not take it.
fn rank(pattern: Option<&HostPattern>, host: Option<&HostPattern>) -> Option<usize> {
    let below = |host: &str, name: &str| {
        host.strip_suffix(name).and_then(|rest| rest.strip_suffix('.')).is_some_and(|rest| !rest.is_empty())
    };
    match (pattern, host) {
        (None, _) => Some(0),
        (Some(HostPattern::Exact(a)), Some(HostPattern::Exact(b))) if a == b => Some(usize::MAX),
        (Some(HostPattern::Below(a)), Some(HostPattern::Below(b))) if a == b => Some(a.len()),
        (Some(HostPattern::Below(a)), Some(HostPattern::Exact(b) | HostPattern::Below(b))) if below(b, a) => {
            Some(a.len())
        }
        _ => None,
    }
}

/// The path of a target, without its query and its escapes.
fn decoded(target: &str) -> Vec<u8> {
    let mut rest = target.split('?').next().unwrap_or_default().as_bytes();
    let mut path = Vec::with_capacity(rest.len());
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, tail @ ..] = rest {
        let escape = match (first, tail) {
            (b'%', [high, low, after @ ..]) => digit(high).zip(digit(low)).map(|(h, l)| (h << 4 | l, after)),
            _ => None,
        };
        let (byte, after) = escape.unwrap_or((*first, tail));
        path.push(byte);
        rest = after;
    }
    path
}
