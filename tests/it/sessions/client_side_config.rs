//! What is said of a configuration whose sessions travel with their visitors.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::path::Path;
use std::process::Command;

use super::client_side_sessions::sealed;
use crate::support::key;

#[test]
fn check_says_what_sessions_that_travel_need_and_cannot_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |more: &str| check(folder.path(), more);
    let (code, said) = check("[store]\nkind = \"cookie\"");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("needs a key") && said.contains("cloakroom key generate"), "{said}");
    let key = key(folder.path(), "key");
    let (code, said) = check(&sealed("", &key));
    assert_eq!((code, said.contains("warning")), (Some(0), false), "{said}");
    for (more, wanted) in [
        ("[session]\nmax_sessions_per_principal = 2", "`session.max_sessions_per_principal` has no effect"),
        ("[[cookies]]\nname = \"*\"\naction = \"keep\"", "kept cookies travel with the session"),
        ("[limits]\nhead_bytes = \"16 KiB\"", "`limits.head_bytes` is less than"),
    ] {
        let (code, said) = check(&format!("{}{more}", sealed("", &key)));
        assert!(code == Some(0) && said.contains(wanted), "{more}: {said}");
    }
}

#[test]
fn check_says_what_a_session_shared_with_flask_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), "dev-secret-1").expect("a file");
    let secret = format!("secret_key = {{ file = \"{}\" }}\n", folder.path().join("secret").display());
    let name = "[session.cookie]\nname = \"session\"\nprefix = \"none\"\n";
    let check = |more: &str| check(folder.path(), more);
    let (code, said) = check(&format!("{name}[store]\nkind = \"flask\"\n"));
    assert!(code == Some(2) && said.contains("needs the app's SECRET_KEY"), "{said}");
    let (code, said) = check(&format!("{name}[store]\nkind = \"flask\"\n{secret}"));
    assert_eq!((code, said.contains("warning")), (Some(0), false), "{said}");
    let (code, said) = check(&format!("[store]\nkind = \"flask\"\n{secret}"));
    assert!(code == Some(0) && said.contains("has not Flask's name"), "{said}");
    let (code, said) = check(&format!(
        "{name}[store]\nkind = \"flask\"\n{secret}export = {{ a = \"id\", b = \"c\", d = \"c\" }}"
    ));
    assert!(
        code == Some(2) && said.contains("a reserved name") && said.contains("a field of its own"),
        "{said}"
    );
    let realm = "[[routes]]\nhost = \"b.example\"\nupstream = \"app\"\nrealm = \"b\"\n";
    let (code, said) = check(&format!("{realm}{name}[store]\nkind = \"flask\"\n{secret}"));
    assert!(code == Some(0) && said.contains("`realm` keeps no visitor apart"), "{said}");
    // Of two apps only one is shown sessions here: nothing is shared that could be too much.
    let bridge = format!(
        "{name}[upstreams.flask]\nservers = [\"http://127.0.0.1:2\"]\n\
         [[routes]]\npath = \"/account\"\nupstream = \"flask\"\nsession = \"off\"\n[store]\nkind = \"flask\"\n{secret}"
    );
    let (code, said) = check(&bridge);
    assert_eq!((code, said.contains("warning")), (Some(0), false), "{said}");
    let (_, said) = check(&bridge.replace("session = \"off\"", ""));
    assert!(said.contains("one of several upstreams"), "{said}");
    let missing = check("[store]\nkind = \"flask\"\nsecret_key = { file = \"/nowhere/secret\" }");
    assert!(missing.0 == Some(2) && missing.1.contains("/nowhere/secret"), "{}", missing.1);
}

fn check(folder: &Path, more: &str) -> (Option<i32>, String) {
    let file = folder.join("config.toml");
    let text = "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstreams.app]\nservers = [\"http://127.0.0.1:1\"]\n\
                [[routes]]\nupstream = \"app\"\n";
    std::fs::write(&file, format!("{text}{more}\n")).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_cloakroom")).arg("check").arg("-c").arg(&file).output();
    let output = output.expect("cloakroom runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}
