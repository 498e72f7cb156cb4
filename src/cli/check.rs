//! `cloakroom check`: every mistake at once, with its place.

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use super::{WRONG, print};
use crate::{
    clock::Timestamp,
    config::{
        Config, CookieAction, CookieRule, Diagnostics, KeyError, RouteConfig, SecretError, SessionMode,
    },
    listen::{Acceptor, ResumptionKeys},
    plan::Plan,
    upstream,
};

/// Reads, validates, and builds the plan without running it. What is expanded goes to standard output alone, so that it
/// can be put into a file.
pub(super) fn check(file: &Path, expand: bool) -> ExitCode {
    match Config::load(file) {
        Ok((config, warnings)) => {
            let (warnings, certified) = with_certificates(&config, warnings);
            print(&warnings);
            if warnings.has_errors() {
                return ExitCode::from(WRONG);
            }
            // Whether they can be read, not which: a key that is not there yet is made by `run`.
            let keys = config.keys.secrets(|| Ok([0; 32]));
            let mut unseen = Vec::new();
            if let Err(error) = &keys {
                let is_out_of_reach = matches!(error, KeyError::Secret(secret) if secret.is_out_of_reach());
                unseen.push((is_out_of_reach, format!("[keys]: {error}")));
            }
            if let Err(error) = Plan::build(&config) {
                unseen.push((error.secret().is_some_and(SecretError::is_out_of_reach), error.to_string()));
            }
            for (is_out_of_reach, error) in &unseen {
                if !is_out_of_reach {
                    anstream::eprintln!("error: {error}\n  --> {}", file.display());
                    return ExitCode::from(WRONG);
                }
                anstream::eprintln!(
                    "warning: not looked at: {error}\n   = help: this user may not read what the service may; run it with sudo"
                );
            }
            let verdict = match warnings.list.len() + unseen.len() {
                0 => "no mistakes".to_owned(),
                1 => "one warning, no errors".to_owned(),
                many => format!("{many} warnings, no errors"),
            };
            if expand {
                for rule in &config.cookies {
                    anstream::println!("{rule}");
                }
                anstream::eprintln!("{}: {verdict}", file.display());
            } else {
                anstream::println!("{}: {verdict}", file.display());
            }
            for note in hosts_to_name(&config, &certified).into_iter().chain(lives_of_logins(&config)) {
                anstream::eprintln!("{note}");
            }
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            print(&mistakes);
            ExitCode::from(WRONG)
        }
    }
}

/// Where cookies of the apps are kept, their logins last no longer than our sessions, whatever the apps grant.
fn lives_of_logins(config: &Config) -> Option<String> {
    let keeps = |rule: &&CookieRule| rule.action == CookieAction::Keep && !rule.report;
    let kept = config.cookies.iter().find(keeps)?;
    let (plain, permanent) = (config.session.plain, config.session.permanent);
    let remembered = if kept.outlives_browser {
        format!(
            "\n      Where the app's cookie would outlive the browser: as long as it, and [session.permanent] {permanent}."
        )
    } else {
        String::new()
    };
    Some(format!(
        "note: cookies of the app are kept, so its logins end with their sessions: [session] {plain}, without a request and \
         after the login.{remembered}"
    ))
}

/// The very look at certificates that `run` takes; and the names that they are for.
fn with_certificates(config: &Config, mut found: Diagnostics) -> (Diagnostics, Vec<String>) {
    let mut names = Vec::new();
    if let Ok(tickets) = ResumptionKeys::new() {
        let (acceptors, told) = Acceptor::all(&config.listen, &tickets, Timestamp::now());
        found.list.extend(told);
        let certificates = acceptors.iter().flatten().flat_map(Acceptor::certificates);
        names.extend(
            certificates.flat_map(|(names, _)| names.split(' ').map(str::to_owned).collect::<Vec<_>>()),
        );
    }
    found.list.extend(upstream::look(&config.upstreams));
    (Diagnostics::new(found.source, found.list), names)
}

/// What follows from routes that name no host, and which ones could be named: those of certificates and of other routes. No
/// warning, since one app behind one name needs none.
fn hosts_to_name(config: &Config, certified: &[String]) -> Option<String> {
    let open = |route: &&RouteConfig| {
        route.host.is_none()
            && route.session != SessionMode::Off
            && route.realm.is_none()
            && config.session.cookie.domain.is_none()
    };
    let apps = config.routes.iter().filter(open).filter_map(|route| config.upstreams.get(route.upstream));
    let apps: BTreeSet<_> = apps.map(|upstream| format!("`{}`", upstream.name)).collect();
    if apps.is_empty() {
        return None;
    }
    let is_open = |upstream: usize| config.routes.iter().filter(open).any(|other| other.upstream == upstream);
    let beside = config.routes.iter().filter(|route| is_open(route.upstream));
    let beside: BTreeSet<_> =
        beside.filter_map(|route| route.host.as_ref()).map(ToString::to_string).collect();
    let beside = beside.into_iter().collect::<Vec<_>>().join(", ");
    let apart = if beside.is_empty() {
        String::new()
    } else {
        format!(
            "\n      The people of {beside} are not among them, though the same app serves both: who logs in under another\n      \
             host stays logged in when they are logged out everywhere there."
        )
    };
    let routed = config.routes.iter().filter_map(|route| route.host.as_ref()).map(ToString::to_string);
    let known: BTreeSet<_> = certified.iter().cloned().chain(routed).collect();
    let name = |name: &String| format!("host = \"{name}\"");
    let names = if known.is_empty() {
        "host = \"shop.example.com\"".to_owned()
    } else {
        known.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let apps = apps.into_iter().collect::<Vec<_>>().join(", ");
    Some(format!(
        "note: routes to {apps} name no host, and so answer to any that a visitor writes. Whoever logs in there is one\n      \
         person on all of them, and by each of these routes: counted together, and logged out together.{apart}\n      \
         To tell sites apart, give each a route that names it: {names}"
    ))
}
