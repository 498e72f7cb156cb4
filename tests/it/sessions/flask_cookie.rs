//! Flask's session cookie, held against Flask itself: what one wrote the other reads, value by value and type by type.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails, with the place")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::iter;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::support::flask_python;
use cloakroom::testing::{
    clock::Timestamp,
    record::{
        FieldValue,
        flask_format::{FlaskCodec, FlaskDocument, LIFETIME},
    },
};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value as Json};

/// How many sessions go each way.
const MANY: usize = 10_000;

/// `flask_sessions.py`, which answers line by line.
struct Flask {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
    hears: ChildStdin,
}

impl Flask {
    fn start(arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/flask_sessions.py");
        let mut command = Command::new(flask_python());
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        let hears = child.stdin.take().unwrap();
        Self { child, says, hears }
    }

    /// Its next line; where it found a fault, that stands on stderr.
    fn says(&mut self) -> String {
        self.says.next().unwrap_or_else(|| panic!("Flask's side ended: its reason stands above")).unwrap()
    }

    fn hears(&mut self, line: &str) {
        writeln!(self.hears, "{line}").unwrap();
    }
}

impl Drop for Flask {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn codec() -> FlaskCodec {
    FlaskCodec::new(b"dev-secret-1", iter::empty(), LIFETIME)
}

/// What an app would be shown, as one JSON object.
fn told(document: &FlaskDocument) -> String {
    let fields = document.names().filter_map(|name| {
        let value = match document.get(&name)? {
            FieldValue::Text(text) => Json::from(&*text).to_string(),
            FieldValue::Json(json) => json.to_string(),
        };
        Some(format!("{}:{value}", Json::from(name)))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

#[test]
fn flask_sessions_round_trip_with_every_type() {
    let mut flask = Flask::start(&["written", "7", &MANY.to_string()]);
    for _ in 0..MANY {
        let cookie = flask.says();
        let now = Timestamp::now();
        let opened = codec().open(cookie.as_bytes(), now).unwrap_or_else(|why| panic!("{why}: {cookie}"));
        let mut document = opened.document;
        assert!(opened.current);
        // Written anew because something was changed, and changed back.
        let marker = FieldValue::Json("{\" t\": [1.0]}".into());
        assert!(document.set("a marker of this test", &marker) && document.remove("a marker of this test"));
        let line = format!("{}\t{}", codec().seal(&document, now), told(&document));
        flask.hears(&line);
    }
    let deflated = flask.says();
    let many: usize = deflated.split(' ').next().unwrap().parse().unwrap();
    assert!((MANY / 20..MANY * 19 / 20).contains(&many), "compressible and not: {deflated}");
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[^\\p{Cc}]{0,20}".prop_map(Into::into),
        "[a-c]{1,2}".prop_map(|text| text.repeat(200).into()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names = "( t| di| b| m| u| d|[a-z_]{1,6}|.{0,3})";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map(names, inner, 0..4)
                .prop_map(|all| all.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

#[test]
fn ten_thousand_sessions_written_here_are_what_flask_reads() {
    let mut flask = Flask::start(&["read", &MANY.to_string()]);
    let sessions = prop::collection::btree_map("( t| di|[a-z_]{1,8}|.{1,4})", json(), 0..6);
    let mut runner = TestRunner::deterministic();
    for _ in 0..MANY {
        let session = sessions.new_tree(&mut runner).unwrap().current();
        let mut document = FlaskDocument::default();
        for (name, value) in &session {
            let value = match value {
                Json::String(text) => FieldValue::Text(text.as_str().into()),
                other => FieldValue::Json(other.to_string().into()),
            };
            assert!(document.set(name, &value));
        }
        // Compared there: serde_json rounds some floats when it reads them.
        let told = Json::Object(session.into_iter().collect());
        flask.hears(&format!("{}\t{told}", codec().seal(&document, Timestamp::now())));
        assert_eq!(flask.says(), "read");
    }
}
