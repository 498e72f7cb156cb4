//! Every message of the log is a constant text, and stands in `docs/operations/logs.md` with what it means.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The call's arguments, up to the bracket that closes it.
fn arguments(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// The text at the end of the arguments, as it is printed; none if it ends otherwise.
fn message(arguments: &str) -> Option<String> {
    let inner = arguments.trim().trim_end_matches(',').strip_suffix('"')?;
    let mut starts = inner.match_indices('"').filter(|(at, _)| !inner[..*at].ends_with('\\'));
    let (start, _) = starts.next_back()?;
    // A line that is broken in the source goes on without its indent.
    let lines: Vec<_> = inner[start + 1..].split("\\\n").map(str::trim_start).collect();
    Some(lines.concat().replace("\\\"", "\""))
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            // What tests and the demo say, no operator reads.
            if !["tests", "demo"].contains(&name) {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned());
        }
    }
}

fn logged() -> BTreeSet<String> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let mut all = BTreeSet::new();
    for text in &found {
        for level in ["error", "warn", "info", "debug", "trace"] {
            for call in text.split(&format!("tracing::{level}!(")).skip(1) {
                let arguments = arguments(call);
                let message = message(arguments);
                assert!(
                    message.as_ref().is_some_and(|message| !message.contains('{')),
                    "a message is a constant text at the end, and what varies stands in fields: {arguments}"
                );
                all.extend(message);
            }
        }
    }
    all
}

#[test]
fn each_message_is_documented_and_each_documented_one_is_logged() {
    let page = include_str!("../../../docs/operations/logs.md");
    let (_, tables) = page.split_once("## Messages").unwrap();
    let rows = tables.lines().filter_map(|line| line.split_once("| `")?.1.split_once("` |"));
    let documented: BTreeSet<_> = rows.map(|(message, _)| message.to_owned()).collect();
    let logged = logged();
    assert!(logged.len() > 80, "the messages were found: {logged:?}");
    let missing: Vec<_> = logged.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&logged).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not documented: {missing:#?}\nnot logged: {gone:#?}");
}
