//! What earlier versions wrote is read: a database, a sealed cookie and an export of the first format, made by a cloakroom
//! 0.1.0 of November 2026 and kept in `first_format/`.
//!
//! Each holds one session of shop.test that lasts until November 2036, the longest there is: alice, a field, a flash, and a
//! cookie of the app. `ticket` and `sealed` are the browser's cookies, `key` is the key of all.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{App, Cloakroom, eventually, obey, on_disk, tool};

const LONG: &str = "[session]\nidle_timeout = \"3650d\"\nabsolute_timeout = \"3650d\"\n[session.permanent]\n\
                    idle_timeout = \"3650d\"\nabsolute_timeout = \"3650d\"\n[[cookies]]\nname = \"*\"\naction = \"keep\"\n";

fn written() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stores/first_format")
}

/// A copy of these files, as a cloakroom keeps its own.
fn copied(names: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in names {
        let copy = folder.path().join(name);
        fs::copy(written().join(name), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// Whoever shows this cookie is in the session.
fn assert_known(toml: &str, cookie: &str) {
    let app = App::start(|request| {
        obey(request).with(format!("X-Cookies: {}", request.header("cookie").unwrap_or_default()))
    });
    let proxy = Cloakroom::with(&app, &format!("{LONG}{toml}"));
    let cookie = fs::read_to_string(written().join(cookie)).unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: shop.test\r\ncookie: cloakroom={cookie}\r\n\r\n");
    let page = proxy.browser().send_raw(head.as_bytes());
    assert_eq!(page.told("state").as_deref(), Some("active"), "{toml}");
    assert_eq!(page.fields(), "cart=forty%20two note=hello principal=alice", "{toml}");
    assert_eq!(page.header("x-cookies").as_deref(), Some("PHPSESSID=abc"), "{toml}");
}

#[test]
fn a_database_of_the_first_format_is_opened() {
    let folder = copied(&["sessions.db", "commits", "key"]);
    assert_known(&on_disk(folder.path()), "ticket");
}

/// Its first page is mended by that of a new database, so it must stay one of the first format.
#[test]
fn a_database_of_the_first_format_is_still_mended() {
    for place in [17, 21, 47, 100] {
        let folder = copied(&["sessions.db", "commits", "key"]);
        drop(Cloakroom::with(&App::start(obey), &format!("{LONG}{}", on_disk(folder.path()))));
        let file = folder.path().join("sessions.db");
        let mut bytes = fs::read(&file).unwrap();
        bytes[place] ^= 0xff;
        fs::write(&file, bytes).unwrap();
        assert_known(&on_disk(folder.path()), "ticket");
    }
}

/// It did not say by what a session ended; from now on it does, over a restart as well.
#[test]
fn a_database_of_the_first_format_learns_why_sessions_end() {
    let folder = copied(&["sessions.db", "commits", "key"]);
    let app = App::start(|request| match request.path() {
        "/destroy" => obey(request).with("X-Session-Action: destroy"),
        _ => obey(request),
    });
    let cookie = fs::read_to_string(written().join("ticket")).unwrap();
    let config = format!("{LONG}{}", on_disk(folder.path()));
    let ask = |path: &str| {
        let proxy = Cloakroom::with(&app, &config);
        let head = format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\ncookie: cloakroom={cookie}\r\n\r\n");
        proxy.browser().send_raw(head.as_bytes());
        eventually("its line is there", || proxy.access().first().is_some_and(|line| line.ends_with('}')));
        proxy.access().swap_remove(0)
    };
    assert!(ask("/destroy").contains("\"ticket\":\"ok\""));
    let line = ask("/");
    assert!(line.contains("\"ticket\":\"ended\",\"ended_by\":\"app\""), "{line}");
}

#[test]
fn an_export_of_the_first_format_is_read_in() {
    let folder = copied(&["key"]);
    let lines = fs::read(written().join("export.jsonl")).unwrap();
    let exported = tool(folder.path(), "import", &lines);
    assert!(String::from_utf8_lossy(&exported.stderr).starts_with("1 sessions read in"), "{exported:?}");
    assert_known(&on_disk(folder.path()), "ticket");
}

#[test]
fn a_sealed_cookie_of_the_first_format_is_opened() {
    let folder = copied(&["key"]);
    let key = folder.path().join("key");
    let toml = format!("[store]\nkind = \"cookie\"\n[keys]\ncurrent = {{ file = \"{}\" }}\n", key.display());
    assert_known(&toml, "sealed");
}
