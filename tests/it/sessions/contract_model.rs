//! Any sequence of changes through cloakroom equals the same sequence applied to a plain map.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::collections::BTreeMap;

use crate::support::SessionBench;
use cloakroom::testing::{record::FieldValue, session::SessionChanges};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

/// One line of an answer.
#[derive(Clone, Debug)]
enum Line {
    Clear,
    Unset(&'static str),
    Set(&'static str, String),
    Json(&'static str, i64),
    Incr(&'static str, i64),
    Flash(&'static str, String),
}

const NAMES: [&str; 4] = ["a", "cart-id", "n", "z9"];

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let name = || prop::sample::select(NAMES.as_slice());
    let text = || prop_oneof!["[ -~\u{e0}-\u{ff}\u{1f600}]{0,12}", "-?[0-9]{1,4}"];
    let line = prop_oneof![
        1 => Just(Line::Clear),
        2 => name().prop_map(Line::Unset),
        4 => (name(), text()).prop_map(|(name, text)| Line::Set(name, text)),
        2 => (name(), -50..50_i64).prop_map(|(name, number)| Line::Json(name, number)),
        4 => (name(), -50..50_i64).prop_map(|(name, more)| Line::Incr(name, more)),
        2 => (name(), text()).prop_map(|(name, text)| Line::Flash(name, text)),
    ];
    prop::collection::vec(line, 0..6).prop_map(|mut lines: Vec<Line>| {
        // The lines of an answer have an order only where they have one name: no field is set in two ways.
        let texts: Vec<&str> = lines
            .iter()
            .filter_map(|line| if let Line::Set(name, _) = line { Some(*name) } else { None })
            .collect();
        lines.retain(|line| !matches!(line, Line::Json(name, _) if texts.contains(name)));
        lines
    })
}

/// As an app would: every byte that could be misread as %XX.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).into() } else { format!("%{b:02X}") })
        .collect()
}

impl Line {
    fn header(&self) -> (String, String) {
        match self {
            Self::Clear => ("action".into(), "clear".into()),
            Self::Unset(name) => ("unset".into(), (*name).into()),
            Self::Set(name, text) => (format!("set-{name}"), encoded(text)),
            Self::Json(name, number) => (format!("set-json-{name}"), number.to_string()),
            Self::Incr(name, more) => (format!("incr-{name}"), more.to_string()),
            Self::Flash(name, text) => (format!("flash-{name}"), encoded(text)),
        }
    }
}

/// What cloakroom reads in an answer of these lines.
fn changes(desk: &SessionBench, lines: &[Line]) -> SessionChanges {
    let mut headers = cloakroom::testing::message::Fields::new();
    for (name, value) in lines.iter().map(Line::header) {
        let name = HeaderName::try_from(format!("x-session-{name}")).unwrap();
        headers.append(name, HeaderValue::try_from(value).unwrap());
    }
    let changes = desk.plan.sessions.headers.take(&mut headers).unwrap_or_default();
    assert!(headers.is_empty(), "every line is taken out");
    *changes
}

/// Two plain maps, and the contract's order: clear, unset, set, incr, flash.
#[derive(Default)]
struct Plain {
    fields: BTreeMap<&'static str, String>,
    flashes: BTreeMap<&'static str, String>,
}

impl Plain {
    fn apply(&mut self, lines: &[Line]) {
        if lines.iter().any(|line| matches!(line, Line::Clear)) {
            self.fields.clear();
            self.flashes.clear();
        }
        for line in lines {
            if let Line::Unset(name) = line {
                self.fields.remove(name);
            }
        }
        for line in lines {
            match line {
                Line::Set(name, text) => drop(self.fields.insert(*name, text.clone())),
                Line::Json(name, number) => drop(self.fields.insert(*name, number.to_string())),
                _ => {}
            }
        }
        // Of two lines of one kind for one field the last counts.
        let last: BTreeMap<_, _> = lines
            .iter()
            .filter_map(|line| if let Line::Incr(name, more) = line { Some((*name, *more)) } else { None })
            .collect();
        for (name, more) in last {
            let before = self.fields.get(name).map_or(Some(0), |text| text.parse::<i64>().ok());
            if let Some(sum) = before.and_then(|before| before.checked_add(more)) {
                self.fields.insert(name, sum.to_string());
            }
        }
        for line in lines {
            if let Line::Flash(name, text) = line {
                self.flashes.insert(*name, text.clone());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_changes_equals_the_same_on_a_plain_map(answers in prop::collection::vec(lines(), 1..12)) {
        thread_local! {
            static DESK: SessionBench = SessionBench::open("[limits]\nnew_sessions_per_second = \"off\"");
        }
        DESK.with(|desk| {
            let (mut plain, mut ticket, now) = (Plain::default(), None, desk.opened);
            for lines in &answers {
                let resolved = desk.resolve(ticket.as_deref(), now);
                let shown: BTreeMap<_, _> =
                    resolved.flashes().iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
                let wanted: BTreeMap<_, _> =
                    std::mem::take(&mut plain.flashes).into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
                prop_assert_eq!(shown, wanted, "flashes before {:?}", lines);
                let given = desk.commit(&resolved, changes(desk, lines), now).unwrap();
                ticket = given.or(ticket);
                plain.apply(lines);
                let fields: BTreeMap<_, _> = desk
                    .resolve_quietly(ticket.as_deref(), now)
                    .record()
                    .into_iter()
                    .flat_map(|record| record.fields.iter().map(|(name, value)| (name.to_string(), FieldValue::text(value).to_owned())).collect::<Vec<_>>())
                    .collect();
                let wanted: BTreeMap<_, _> =
                    plain.fields.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
                prop_assert_eq!(fields, wanted, "after {:?}", lines);
            }
            Ok(())
        })?;
    }
}
