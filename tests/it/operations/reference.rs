//! `config.toml` is the reference: it parses, and nothing is missing from it.

use std::{collections::BTreeSet, path::Path};

use cloakroom::testing::config::{Config, StoreKind};
use toml::de::{DeTable, DeValue};

const REFERENCE: &str = include_str!("../../../config.toml");

/// With every `# key = …` and `# [section]` in force.
fn uncommented() -> String {
    let is_key = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        line.starts_with("[[")
            || (!key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let line = |line: &'static str| line.strip_prefix("# ").filter(|rest| is_key(rest)).unwrap_or(line);
    REFERENCE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Flags alone say no more than where to listen and whom to ask, and keep sessions in memory.
#[expect(clippy::unwrap_used, reason = "two flags that are right")]
fn defaults() -> Config {
    let mut config = Config::from_flags("127.0.0.1:8080", "http://127.0.0.1:3000").unwrap();
    assert_eq!(config.store.kind, StoreKind::Memory);
    config.store.kind = StoreKind::default();
    config
}

fn keys(path: &str, value: &DeValue<'_>, found: &mut BTreeSet<String>) {
    match value {
        DeValue::Table(table) => {
            for (key, value) in table {
                let key: &str = if path == "upstreams" { "NAME" } else { key.get_ref() };
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                keys(&path, value.get_ref(), found);
                found.insert(path);
            }
        }
        DeValue::Array(items) => items.iter().for_each(|item| keys(path, item.get_ref(), found)),
        _ => {}
    }
}

#[test]
fn the_reference_parses_as_it_stands_and_shows_the_defaults() {
    let (config, warnings) = Config::load(Path::new("config.toml")).unwrap_or_else(|e| panic!("{e}"));
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(config, defaults());
}

#[test]
fn the_reference_uncommented_says_the_same() {
    let (mut all, warnings) = Config::parse("config.toml", &uncommented()).unwrap_or_else(|e| panic!("{e}"));
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!((all.cookies.len(), all.routes[0].host.is_some()), (10, true));
    // These are examples, or say what holds when they are absent.
    all.cookies.clear();
    all.routes[0].host = None;
    assert_eq!(all.routes[0].ignore_case.take(), Some(false));
    assert!(all.listen[0].tls.take().is_some());
    assert!(all.upstreams[0].health.take().is_some());
    assert!(all.listen[0].client_certificates.take().is_some_and(|asked| asked.require));
    assert_eq!(all.upstreams[0].header_aliases.drain(..).len(), 1);
    assert!(all.upstreams[0].proof.take().is_some());
    assert_eq!(all.session.headers.fields.drain().len(), 1);
    assert_eq!(all.routes[0].first_byte_timeout.take(), Some(all.upstreams[0].first_byte_timeout));
    assert_eq!(all.routes[0].body_bytes.take(), Some(all.limits.body_bytes));
    assert_eq!(all.store.path.take(), Some("/var/lib/cloakroom".into()));
    assert!(all.keys.current.take().is_some());
    assert!(all.admin.token.take().is_some() && all.admin.group.take().is_some());
    assert!(all.store.flask.secret_key.take().is_some() && all.store.flask.export.take().is_some());
    assert_eq!(all, defaults());
}

#[test]
fn every_key_is_in_the_reference() {
    let text = uncommented();
    let table = DeTable::parse(&text).unwrap();
    let mut found = BTreeSet::new();
    keys("", &DeValue::Table(table.into_inner()), &mut found);
    // The long form of a server stands in a comment, and so do the other places of a secret.
    found.extend(
        [
            "upstreams.NAME.servers.address",
            "upstreams.NAME.servers.weight",
            "upstreams.NAME.proof.file",
            "upstreams.NAME.proof.env",
            "admin.token.credential",
            "admin.token.env",
            "store.secret_key.file",
            "store.secret_key.env",
        ]
        .map(str::to_owned),
    );
    let places = ["credential", "file", "env"];
    found.extend(places.map(|place| format!("keys.current.{place}")));
    let missing: Vec<_> = Config::known_keys().into_iter().filter(|key| !found.contains(key)).collect();
    assert!(missing.is_empty(), "not in config.toml: {missing:?}");
}
