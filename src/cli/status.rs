//! `cloakroom status`: how the one that runs is.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::remote::{cell, table, tell};

/// Runs the verb.
pub(super) fn status(file: &Path, json: bool) -> ExitCode {
    tell(file, ("GET", "/api/status"), json, show)
}

fn show(status: &Value) -> String {
    let list = |key: &str| -> Vec<String> {
        let all = status.get(key).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let inner = |key: &str| status.get(key).cloned().unwrap_or_default();
    let (store, reloads) = (inner("store"), inner("reloads"));
    let reasons = list("reasons").join("; ");
    let ready = match status.get("ready").and_then(Value::as_bool) {
        Some(true) if reasons.is_empty() => "yes".to_owned(),
        Some(true) => format!("yes, but {reasons}"),
        _ => format!("no: {reasons}"),
    };
    let last = reloads.get("last_successful").and_then(Value::as_bool).unwrap_or_default();
    let rows = [
        ("version", cell(status, "version")),
        ("process", cell(status, "pid")),
        ("since", cell(status, "started")),
        ("ready", ready),
        ("listening on", list("listeners").join(", ")),
        ("connections", cell(status, "connections")),
        (
            "requests",
            format!("{}, {} of them errors", cell(status, "requests_total"), cell(status, "errors_total")),
        ),
        ("sessions", format!("{} ({})", cell(&store, "sessions"), cell(&store, "kind"))),
        (
            "reloads",
            format!(
                "{} taken, {} refused{}",
                cell(&reloads, "taken"),
                cell(&reloads, "refused"),
                if last { "" } else { "; the last one was refused: see the log" }
            ),
        ),
    ];
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<_> = rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect();
    let mut text = lines.concat();
    let certificates: Vec<_> =
        status.get("certificates").and_then(Value::as_array).into_iter().flatten().collect();
    if !certificates.is_empty() {
        let row =
            |one: &&Value| ["listener", "names", "ends", "days_left"].map(|key| cell(one, key)).to_vec();
        let rows: Vec<_> = certificates.iter().map(row).collect();
        text.extend(["\n", &table(&["LISTENER", "CERTIFICATE", "ENDS", "DAYS LEFT"], &rows)]);
    }
    text
}
