//! `cloakroom sessions`: who is there, and an end to it.

use std::{
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use clap::Subcommand;
use serde_json::Value;

use super::{
    FAILED, WRONG,
    remote::{cell, encoded, table, tell, tell_with},
};

#[derive(Debug, Subcommand)]
pub(super) enum SessionsVerb {
    /// Those who are there, or the sessions of somebody who is logged in
    List {
        /// Who is logged in
        #[arg(long, requires = "realm")]
        principal: Option<String>,
        /// Where: `host:shop.example`, `domain:example.com` or `name:REALM`
        #[arg(long, requires = "principal")]
        realm: Option<String>,
        /// How many at once
        #[arg(long, default_value_t = 50, conflicts_with = "principal")]
        limit: u16,
        /// Go on after this id
        #[arg(long, conflicts_with = "principal")]
        after: Option<String>,
    },
    /// One session: names and sizes of what it holds, never a value
    Show {
        /// Its public id, as apps and logs have it
        id: String,
    },
    /// Tell what became of a ticket, and why somebody was logged out
    Why {
        /// The ticket, a cookie line with it, or a session's public id; absent or `-`: from standard input, so that no
        /// ticket stands in the history of a shell
        #[arg(value_name = "TICKET_OR_ID")]
        shown: Option<String>,
        /// The host that the visitor asked for, where routes name none
        #[arg(long)]
        host: Option<String>,
    },
    /// End one session, or all of somebody
    Revoke {
        /// Its public id, as apps and logs have it
        #[arg(required_unless_present = "principal", conflicts_with = "principal")]
        id: Option<String>,
        /// Instead of one session all of whom is logged in by this name
        #[arg(long, requires = "realm")]
        principal: Option<String>,
        /// Where: `host:shop.example`, `domain:example.com` or `name:REALM`
        #[arg(long, requires = "principal")]
        realm: Option<String>,
    },
}

/// Runs the verb.
pub(super) fn run(file: &Path, verb: &SessionsVerb, json: bool) -> ExitCode {
    let one = |id: &str| format!("/api/sessions/{}", encoded(id));
    let all = |name: &str, realm: &str| format!("/api/principals/{}?realm={}", encoded(name), encoded(realm));
    match verb {
        SessionsVerb::List { principal: Some(name), realm: Some(realm), .. } => {
            tell(file, ("GET", &all(name, realm)), json, list)
        }
        SessionsVerb::List { limit, after, .. } => {
            let after = after.as_ref().map(|id| format!("&after={}", encoded(id))).unwrap_or_default();
            tell(file, ("GET", &format!("/api/sessions?limit={limit}{after}")), json, list)
        }
        SessionsVerb::Show { id } => tell(file, ("GET", &one(id)), json, show),
        SessionsVerb::Why { shown, host } => why(file, shown.as_deref(), host.as_deref(), json),
        SessionsVerb::Revoke { id: Some(id), .. } => tell(file, ("DELETE", &one(id)), json, revoked),
        SessionsVerb::Revoke { principal, realm, .. } => {
            let (name, realm) =
                (principal.as_deref().unwrap_or_default(), realm.as_deref().unwrap_or_default());
            tell(file, ("DELETE", &all(name, realm)), json, revoked)
        }
    }
}

fn why(file: &Path, shown: Option<&str>, host: Option<&str>, json: bool) -> ExitCode {
    let shown = match shown {
        Some(shown) if shown != "-" => shown.to_owned(),
        _ => {
            let mut text = String::new();
            if let Err(error) = io::stdin().read_to_string(&mut text) {
                anstream::eprintln!("error: standard input: {error}");
                return ExitCode::from(FAILED);
            }
            text
        }
    };
    let shown = shown.trim();
    if shown.is_empty() || shown.bytes().any(|byte| byte.is_ascii_control() || !byte.is_ascii()) {
        anstream::eprintln!(
            "error: this is no ticket, no cookie line and no session's id: one line of ASCII is expected"
        );
        return ExitCode::from(WRONG);
    }
    let query = host.map(|host| format!("?host={}", encoded(host))).unwrap_or_default();
    let lines = format!("x-cloakroom-ticket: {shown}\r\n");
    tell_with(file, ("GET", &format!("/api/why{query}"), &lines), json, story)
}

/// What became of a ticket: a line each.
fn story(answer: &Value) -> String {
    let mut text = format!("{}: {}\n", cell(answer, "ticket"), cell(answer, "explanation"));
    let session = answer.get("session").filter(|session| session.is_object());
    let mut line = |what: &str, value: String| {
        if value != "-" {
            text.extend([format!("{what:13}  {value}\n")]);
        }
    };
    line("session", cell(answer, "session_id"));
    if let Some(session) = session {
        for (what, key) in [("principal", "principal"), ("realm", "realm"), ("last seen", "last_seen")] {
            line(what, cell(session, key));
        }
    }
    line("session began", cell(answer, "session_began"));
    line("ticket given", cell(answer, "given"));
    line("ended", cell(answer, "ended"));
    text
}

fn list(answer: &Value) -> String {
    let keys = ["id", "principal", "realm", "last_seen", "expires"];
    let all = answer.get("sessions").and_then(Value::as_array).into_iter().flatten();
    let rows: Vec<_> = all.map(|one| keys.map(|key| cell(one, key)).to_vec()).collect();
    let next = answer.get("next").and_then(Value::as_str);
    if rows.is_empty() && next.is_none() {
        return "none".to_owned();
    }
    let more = next.map(|id| format!("\nmore: --after {id}\n")).unwrap_or_default();
    table(&["ID", "WHO", "WHERE", "LAST SEEN", "EXPIRES"], &rows) + &more
}

fn show(session: &Value) -> String {
    let keys =
        ["id", "realm", "principal", "created", "last_seen", "expires", "permanent", "version", "flashes"];
    let mut text: String = keys.map(|key| format!("{key:9}  {}\n", cell(session, key))).concat();
    for (key, head) in [("fields", "FIELD"), ("cookies", "COOKIE")] {
        let all = session.get(key).and_then(Value::as_array).into_iter().flatten();
        let rows: Vec<_> = all.map(|one| vec![cell(one, "name"), cell(one, "bytes")]).collect();
        if !rows.is_empty() {
            text.extend(["\n", &table(&[head, "BYTES"], &rows)]);
        }
    }
    text
}

fn revoked(answer: &Value) -> String {
    match cell(answer, "revoked").as_str() {
        "1" => "1 session ended".to_owned(),
        many => format!("{many} sessions ended"),
    }
}
