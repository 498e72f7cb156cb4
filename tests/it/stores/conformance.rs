//! The disk store from outside: sessions outlive the process, and only this one may have them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::support::{App, Browser, Cloakroom, on_disk, tool};

/// The same browser, when the house has moved.
fn moved(browser: &Browser, proxy: &Cloakroom) -> Browser {
    let mut moved = proxy.browser();
    moved.jar.clone_from(&browser.jar);
    moved
}

#[test]
fn sessions_tickets_and_keys_outlive_the_process() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    let state = folder.path().join("state");
    let mut proxy = Cloakroom::with(&app, &on_disk(&state));
    let mut zoe = proxy.browser();
    zoe.answered("/", &["X-Session-Set-Cart: 42", "X-Session-Principal: zo%C3%AB"]);
    let mut stranger = proxy.browser();
    let id = stranger.get("/").told("id");
    let mut gone = proxy.browser();
    gone.answered("/", &["X-Session-Set-A: 1"]);
    let ended = gone.clone();
    gone.answered("/", &["X-Session-Action: destroy"]);
    proxy.terminate();
    assert!(proxy.exit().success());
    let mode = |name: &str| fs::metadata(state.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("."), mode("key")), (0o700, 0o600));

    let proxy = Cloakroom::with(&app, &on_disk(&state));
    assert_eq!(moved(&zoe, &proxy).shown(), "cart=42 principal=zo%C3%AB");
    let mut stranger = moved(&stranger, &proxy);
    assert_eq!(stranger.get("/").told("id"), id, "a session without data needs no store");
    assert_ne!(moved(&ended, &proxy).get("/").told("state").as_deref(), Some("active"));
}

#[test]
fn copied_store_is_unreadable_without_its_key() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    let proxy = Cloakroom::with(&app, &on_disk(folder.path()));
    proxy.browser().answered("/", &["X-Session-Set-Card: 4111-1111", "X-Session-Principal: zebedee"]);
    drop(proxy);
    let mut looked = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for word in ["4111-1111", "zebedee", "card"] {
            assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
        }
        looked += 1;
    }
    assert!(looked >= 3, "database, log and key");
    fs::remove_file(folder.path().join("key")).unwrap();
    let refused = Cloakroom::refusal(&on_disk(folder.path()));
    assert_eq!(refused.0, Some(2));
    assert!(refused.1.contains("was written under a key that [keys] does not have"), "{}", refused.1);
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    let proxy = Cloakroom::with(&app, &on_disk(folder.path()));
    let refused = Cloakroom::refusal(&on_disk(folder.path()));
    assert_eq!(refused.0, Some(1), "it may be free at the next start");
    assert!(refused.1.contains("is in use by another process"), "{}", refused.1);
    let mut browser = proxy.browser();
    browser.answered("/", &["X-Session-Set-A: 1"]);
    assert_eq!(browser.shown(), "a=1");
}

#[test]
fn a_state_directory_that_cannot_be_written_is_told() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let refused = Cloakroom::refusal(&on_disk(&folder.path().join("file/state")));
    assert_eq!(refused.0, Some(2));
    assert!(refused.1.contains("state directory") && refused.1.contains("[store] path"), "{}", refused.1);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn sessions_are_written_out_and_read_in_elsewhere() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let nothing = tool(&here, "verify", b"");
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("there is no store in"), "{nothing:?}");

    let mut proxy = Cloakroom::with(&app, &on_disk(&here));
    let (mut zoe, mut gone) = (proxy.browser(), proxy.browser());
    zoe.answered(
        "/",
        &["X-Session-Set-Cart: 42", "X-Session-Set-Json-L: [1]", "X-Session-Principal: zo%C3%AB"],
    );
    gone.answered("/", &["X-Session-Set-A: 1"]);
    let ended = gone.clone();
    gone.answered("/", &["X-Session-Action: destroy"]);
    for verb in ["import", "compact"] {
        let held = tool(&here, verb, b"");
        assert!(text(&held.stderr).contains("is in use by another process"), "{held:?}");
    }
    proxy.terminate();
    proxy.exit();

    let verified = tool(&here, "verify", b"");
    assert_eq!(verified.status.code(), Some(0));
    assert!(text(&verified.stdout).starts_with("1 sessions whole, 0 damaged"), "{verified:?}");
    assert!(tool(&here, "compact", b"").status.success());
    let lines = tool(&here, "export", b"");
    assert_eq!(text(&lines.stdout).lines().count(), 3, "{lines:?}");
    assert!(text(&lines.stdout).contains(r#""cart":{"text":"42"}"#), "{lines:?}");
    assert!(lines.stderr.is_empty(), "no bar but on a terminal: {lines:?}");

    fs::create_dir(&there).unwrap();
    fs::copy(here.join("key"), there.join("key")).unwrap();
    let broken = tool(&there, "import", &[&lines.stdout[..], b"{}\n"].concat());
    assert!(text(&broken.stderr).contains("line 4: "), "{broken:?}");
    let imported = tool(&there, "import", &lines.stdout);
    assert!(text(&imported.stderr).starts_with("1 sessions read in, 0 left"), "{imported:?}");
    let again = tool(&there, "import", &lines.stdout);
    assert!(text(&again.stderr).starts_with("0 sessions read in, 1 left"), "{again:?}");

    let proxy = Cloakroom::with(&app, &on_disk(&there));
    assert_eq!(moved(&zoe, &proxy).shown(), "cart=42 l=%5B1%5D principal=zo%C3%AB");
    assert_ne!(moved(&ended, &proxy).get("/").told("state").as_deref(), Some("active"));
}

#[test]
fn a_store_is_looked_through_and_written_out_while_it_serves() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    let state = folder.path().join("state");
    let proxy = Cloakroom::with(&app, &on_disk(&state));
    for n in 1..=20 {
        let mut browser = proxy.browser();
        browser.answered("/", &[&format!("X-Session-Set-N: {n}")]);
        // What was acknowledged is there.
        let verified = tool(&state, "verify", b"");
        assert!(
            text(&verified.stdout).starts_with(&format!("{n} sessions whole, 0 damaged")),
            "{verified:?}"
        );
        let exported = text(&tool(&state, "export", b"").stdout);
        assert!(exported.contains(&format!(r#""n":{{"text":"{n}"}}"#)), "{exported}");
        assert_eq!(browser.shown(), format!("n={n}"));
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let mut browser = proxy.browser();
                browser.answered("/", &["X-Session-Set-N: 0"]);
                browser.answered("/", &["X-Session-Action: destroy"]);
            }
        });
        let looks: Vec<_> = (0..40).map(|_| tool(&state, "verify", b"")).collect();
        over.store(true, Ordering::Relaxed);
        for look in looks {
            assert_eq!((look.status.code(), text(&look.stderr)), (Some(0), String::new()));
        }
    });
    assert!(!proxy.log().contains("ERROR"), "{}", proxy.log());
}

/// Sessions of three hundred people, as an export writes them.
fn crowd() -> String {
    let line = |number: u32| {
        let id = format!("{:08x}-0000-4000-8000-000000000000", number * 14_000_000);
        let (value, secret) = ("x".repeat(200), "A".repeat(43));
        let times = r#""created":1,"counted_from":1,"renewed":1,"last_seen":4000000000000"#;
        let rules = r#""permanent":true,"idle":null,"max":null,"version":1,"confirmed":true"#;
        let holds =
            format!(r#""principal":"u{number}","fields":{{"a":{{"text":"{value}"}}}},"flashes":{{}}"#);
        let tickets = format!(r#""secret":"{secret}","previous":null"#);
        format!(r#"{{"id":"{id}","session":{{"realm":"ha.test",{times},{rules},{holds},{tickets}}}}}"#) + "\n"
    };
    (1..=300).map(line).collect()
}

#[test]
fn verify_of_a_damaged_store_changes_nothing() {
    let folder = TempDir::new().unwrap();
    // Neither it nor the one above is there yet.
    let state = folder.path().join("lib/state");
    fs::create_dir(folder.path().join("lib")).unwrap();
    let imported = tool(&state, "import", crowd().as_bytes());
    assert!(text(&imported.stderr).starts_with("300 sessions read in"), "{imported:?}");
    assert!(tool(&state, "verify", b"").status.success());
    let database = state.join("sessions.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[10 * 4096..11 * 4096].fill(0xa5);
    fs::write(&database, &bytes).unwrap();
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();

    for _ in 0..2 {
        let verified = tool(&state, "verify", b"");
        assert_eq!(verified.status.code(), Some(1), "{verified:?}");
        assert!(text(&verified.stderr).contains(" sessions are missing: the store itself is damaged"));
        let whole: u32 = text(&verified.stdout).split(' ').next().unwrap().parse().unwrap();
        assert!((270..300).contains(&whole), "{verified:?}");
        let exported = tool(&state, "export", b"");
        assert_eq!(exported.status.code(), Some(1));
        assert_eq!(text(&exported.stdout).matches("\"session\"").count(), whole as usize);
        assert!(text(&exported.stderr).contains(&format!("at least {} sessions are missing", 300 - whole)));
    }
    assert_eq!(names(), before);
    assert_eq!(fs::read(&database).unwrap(), bytes);

    let compacted = tool(&state, "compact", b"");
    assert!(compacted.status.success());
    let told = text(&compacted.stderr);
    assert!(told.contains("the store was damaged: ") && told.contains("damaged-1"), "{told}");
    assert!(tool(&state, "verify", b"").status.success());
}

#[test]
fn import_of_an_old_export_wants_force() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    let state = folder.path().join("state");
    let serve = || Cloakroom::with(&app, &on_disk(&state));
    let mut proxy = serve();
    let mut zoe = proxy.browser();
    zoe.answered("/", &["X-Session-Principal: zo%C3%AB", "X-Session-Action: permanent"]);
    proxy.terminate();
    proxy.exit();
    let lines = text(&tool(&state, "export", b"").stdout);
    // She logs out; of what has ended, the store knows.
    let mut proxy = serve();
    let kept = moved(&zoe, &proxy);
    moved(&zoe, &proxy).answered("/", &["X-Session-Action: destroy"]);
    proxy.terminate();
    proxy.exit();
    let fresh = tool(&state, "import", lines.as_bytes());
    assert!(text(&fresh.stderr).starts_with("0 sessions read in, 1 left"), "{fresh:?}");

    // The same, written out a day ago; or by a version that did not say when.
    let (head, rest) = lines.split_once("\"exported\":").unwrap();
    let (when, rest) = rest.split_once('}').unwrap();
    let day_ago = when.parse::<u64>().unwrap() - 86_400_000;
    for old in
        [format!("{head}\"exported\":{day_ago}}}{rest}"), format!("{}}}{rest}", head.trim_end_matches(','))]
    {
        let refused = tool(&state, "import", old.as_bytes());
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("--force reads it in all the same"), "{refused:?}");
        let forced = tool(&state, "import --force", old.as_bytes());
        assert!(text(&forced.stderr).starts_with("0 sessions read in, 1 left"), "{forced:?}");
        let elsewhere = folder.path().join(format!("elsewhere-{}", old.len()));
        let taken = tool(&elsewhere, "import", old.as_bytes());
        assert!(text(&taken.stderr).starts_with("1 sessions read in"), "a new store: {taken:?}");
    }
    assert_ne!(moved(&kept, &serve()).get("/").told("state").as_deref(), Some("active"));
}
