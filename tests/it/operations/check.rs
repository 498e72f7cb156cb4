//! What an operator reads when the configuration is broken: `tests/configs/broken/*.toml` and the text beside each.
//! `UPDATE=1` writes the texts anew: read them before you commit them.

use std::{fs, path::Path};

use cloakroom::testing::config::{Config, Severity};

const FOLDER: &str = "tests/configs/broken";

fn told(file: &str) -> String {
    let Err(diagnostics) = Config::load(&Path::new(FOLDER).join(file)) else {
        return format!("{file} is fine\n");
    };
    assert!(diagnostics.has_errors(), "{file}");
    diagnostics.render(false)
}

#[test]
fn every_broken_file_is_explained() {
    let mut files: Vec<String> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.push("missing_file.toml".to_owned());
    assert!(files.len() >= 10, "{files:?}");
    let mut wrong = String::new();
    for file in files {
        let expected = Path::new(FOLDER).join(&file).with_extension("txt");
        let text = told(&file);
        if std::env::vars().any(|(name, _)| name == "UPDATE") {
            fs::write(&expected, &text).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.extend([format!("== {}, but it now says:\n{text}\n", expected.display())]);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "[log]\nlevel = 1\nacces = \"json\"\n[store]\nkind = \"redis\"\n";
    let diagnostics = Config::parse("x.toml", text).unwrap_err();
    assert_eq!(diagnostics.list.len(), 6, "{diagnostics}");
}

#[test]
fn a_warning_does_not_stop() {
    let text = "listen = [{ address = \"[::1]:80\" }]\nupstreams.a.servers = [\"http://[::1]:3000\"]\n\
                routes = [{ upstream = \"a\" }]\nsession.idle_timeout = \"13h\"\n";
    let (config, warnings) = Config::parse("x.toml", text).unwrap();
    assert_eq!(config.session.plain.idle_timeout.as_secs(), 13 * 3600);
    assert_eq!(warnings.list.len(), 1, "{warnings}");
    assert_eq!(warnings.list[0].severity, Severity::Warning);
}

#[test]
fn what_is_open_to_others_is_told_with_the_line_to_add() {
    const LISTEN: &str = "visitors speak http over a network";
    const SERVER: &str = "`upstreams.a` can be asked past cloakroom";
    for (listen, upstream, process, wanted) in [
        ("address = \"127.0.0.1:80\"", "\"http://127.0.0.1:1\"", "", None),
        ("address = \"[::1]:80\"", "\"http://[::1]:1\", \"http://localhost\"", "", None),
        ("address = \"unix:/x\"", "\"unix:/y\", \"http://app.localhost\"", "", None),
        ("address = \"[::]:80\"", "\"unix:/y\"", "", Some((LISTEN, "tls = { certificates = "))),
        ("address = \"192.0.2.1:80\"", "\"unix:/y\"", "", Some((LISTEN, "trusted_proxies = ["))),
        ("address = \"[::]:80\", redirect_to_https = true", "\"unix:/y\"", "", None),
        ("address = \"[::]:80\"", "\"unix:/y\"", "process.trusted_proxies = [\"10.0.0.1\"]", None),
        (
            "address = \"unix:/x\"",
            "\"http://127.0.0.1\", \"http://10.0.0.2\"",
            "",
            Some((SERVER, "proof = {")),
        ),
        (
            "address = \"unix:/x\"",
            "{ address = \"http://app\", weight = 2 }",
            "",
            Some((SERVER, "proof = {")),
        ),
        ("address = \"unix:/x\"", "\"https://app\"", "", None),
        ("address = \"unix:/x\"", "\"http://app\"", "upstreams.a.proof = { env = \"PROOF\" }", None),
    ] {
        let text = format!(
            "listen = [{{ {listen} }}]\nroutes = [{{ upstream = \"a\" }}]\nupstreams.a.servers = [{upstream}]\n{process}\n"
        );
        let (_, warnings) = Config::parse("x.toml", &text).unwrap();
        let said = warnings.render(false);
        match wanted {
            None => assert!(warnings.is_empty(), "{text}{said}"),
            Some((what, line)) => {
                assert!(
                    said.contains(what) && said.contains(line) && warnings.list.len() == 1,
                    "{text}{said}"
                );
                assert!(said.contains("--> x.toml:"), "{said}");
            }
        }
    }
}

#[test]
fn a_preset_is_printed_as_the_rules_that_it_stands_for() {
    let base = "listen = [{ address = \"127.0.0.1:1\" }]\nroutes = [{ upstream = \"a\" }]\n\
                upstreams.a.servers = [\"http://127.0.0.1:2\"]\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    for (preset, wanted) in [
        (
            "harden",
            "name = \"*\"\nsecure = \"auto\"\nsame_site = { default = \"Lax\" }\nmax_age_limit = \"400d\"",
        ),
        ("vault", "[[cookies]]\nname = \"*\"\naction = \"keep\""),
        ("vault", "scripts = \"pass\""),
    ] {
        fs::write(&file, format!("{base}[[cookies]]\npreset = \"{preset}\"\n")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        let done = command.args(["check", "--expand", "-c"]).arg(&file).output().unwrap();
        let printed = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && printed.contains(wanted), "{printed}");
        let said = String::from_utf8(done.stderr).unwrap();
        let lives = said.contains(
            "logins end with their sessions: [session] idle_timeout = \"30m\", absolute_timeout = \"12h\"",
        );
        assert_eq!(lives, preset == "vault", "{said}");
        let rules = |text: &str| Config::parse("x", text).unwrap().0.cookies;
        let before = rules(&fs::read_to_string(&file).unwrap());
        assert_eq!(rules(&format!("{base}{printed}")), before, "{printed}");
    }
}

#[test]
fn flags_alone_are_enough() {
    let config = Config::from_flags("127.0.0.1:8080", "http://localhost:3000").unwrap();
    assert_eq!((config.listen.len(), config.upstreams.len(), config.routes.len()), (1, 1, 1));
    assert_eq!(config.upstreams[0].name, "app");
    let error = Config::from_flags("127.0.0.1:8080\"\n[log]", "localhost:3000").unwrap_err();
    assert_eq!(error.list.len(), 2, "{error}");
}

#[test]
fn what_cannot_work_is_refused_and_the_rest_is_not() {
    let base = "listen = [{ address = \"unix:/run/x\" }]\nupstreams.a.servers = [{ address = \"unix:/a\", weight = 2 }]\n\
                routes = [{ upstream = \"a\", host = \"*.Example.com\", body_bytes = \"off\" }]\n";
    for (line, fine) in [
        ("cookies = [{ name = \"__Host-*\", domain = \"a.b\" }]", false),
        ("cookies = [{ name = \"__host-a\", domain = \"\", path = \"/\" }]", true),
        ("cookies = [{ name = \"*\", same_site = \"None\", secure = false }]", false),
        ("cookies = [{ name = \"*\", rename = \"__Secure-*\", secure = \"auto\" }]", true),
        ("cookies = [{ name = \"*\", rename = \"__Secure-*\", secure = false }]", false),
        ("cookies = [{ name = \"a\", rename = \"**\" }]", false),
        ("cookies = [{ name = \"a\", rename = \"*\" }]", false),
        ("cookies = [{ name = \"a\", max_age = { default = \"401d\" } }]", false),
        ("cookies = [{ name = \"a\", partitioned = { default = true }, secure = false }]", false),
        ("cookies = [{ preset = \"vaul\" }]", false),
        ("cookies = [{ preset = \"vault\", host = \"a.test\", adopt_until = \"2027-02-30\" }]", false),
        ("cookies = [{ name = \"pass\", action = \"pass\" }, { preset = \"vault\", report = true }]", true),
        ("session.jar = { max_cookies = 0 }", false),
        ("session.jar = { max_bytes = \"64 KiB\" }", true),
        ("session.cookie = { partitioned = true, secure = false }", false),
        ("session.cookie = { partitioned = true }", true),
        ("session.cookie = { name = \"__Secure-a\" }", false),
        ("session.cookie = { name = \"a b\" }", false),
        ("session.cookie = { domain = \".Example.com\" }", true),
        ("session.headers.prefix = \"X-S\"", false),
        ("limits.head_bytes = \"4 KiB\"", false),
        ("limits.fields = 101", false),
        ("limits = { fields = \"off\", body_bytes = 1_000, cookies = 0x10 }", true),
        ("process.trusted_proxies = [\"10.0.0.0/8\", \"::1\", \"unix\"]", true),
        ("process.trusted_proxies = [\"example.com\"]", false),
        ("process.workers = 0", false),
        ("process.workers = \"auto\"", true),
    ] {
        let result = Config::parse("x.toml", &format!("{base}{line}\n"));
        assert_eq!(result.is_ok(), fine, "{line}: {result:?}");
    }
}

#[test]
fn what_is_seldom_meant_is_told_and_does_not_stop() {
    let base = "listen = [{ address = \"unix:/run/x\" }]\nroutes = [{ upstream = \"a\" }]\nstore.kind = \"memory\"\n\
                upstreams.a.servers = [\"http://127.0.0.1:2\"]\n";
    let key = "keys.current = { env = \"KEY\" }\n";
    for (cookies, more, wanted) in [
        ("{ name = \"PHP*\" }, { name = \"PHPSESSID\", action = \"keep\" }", "", "this rule never applies"),
        ("{ name = \"a\" }, { name = \"a\", host = \"x.test\" }", "", "this rule never applies"),
        ("{ name = \"a\", host = \"x.test\" }, { name = \"a\" }", "", ""),
        (
            "{ name = \"a?\" }, { name = \"a*\" }, { name = \"abc\", host = \"x.test\" }",
            "",
            "this rule never applies",
        ),
        (
            "{ name = \"a\", rename = \"x\" }, { name = \"b\", rename = \"x\" }",
            "",
            "two cookies are renamed to `x`",
        ),
        ("{ name = \"a\", rename = \"x-*\" }, { name = \"b\", rename = \"x-*\" }", "", ""),
        ("{ name = \"__Host-cloakroom\" }", "", "is the session's own cookie"),
        ("{ name = \"a\", same_site = \"None\" }", "", "unless it is Secure"),
        ("{ name = \"a\", partitioned = { default = true } }", "", "unless it is Secure"),
        ("{ name = \"a\", same_site = \"None\", secure = \"auto\" }", "", ""),
        ("{ name = \"a\", same_site = \"None\", rename = \"__Secure-*\" }", "", ""),
        ("{ name = \"a\", domain = \"com\" }", "", "for all of `com`"),
        ("{ name = \"a\", domain = \"x.test\" }", "", ""),
        ("{ name = \"a\", action = \"seal\" }", "", "nothing after a restart"),
        ("{ name = \"a\", action = \"seal\" }", key, ""),
    ] {
        let (_, warnings) = Config::parse("x.toml", &format!("{base}{more}cookies = [{cookies}]\n")).unwrap();
        let told: Vec<_> = warnings.list.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(told.len(), usize::from(!wanted.is_empty()), "{cookies}: {told:?}");
        assert!(told.concat().contains(wanted), "{cookies}: {told:?}");
    }
    for (day, fine) in [("2027-01-31", true), ("2027-01-31T12:00", false), ("20270131", false)] {
        let text =
            format!("{base}cookies = [{{ name = \"a\", action = \"keep\", adopt_until = \"{day}\" }}]\n");
        assert_eq!(Config::parse("x.toml", &text).is_ok(), fine, "{day}");
    }
}

/// What is for the service alone is not looked at, and that is said; what is there and wrong is a mistake. `FILE` stands
/// for `-c`.
#[test]
fn secrets_out_of_reach_are_no_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.toml");
    let check = |keys: &str| {
        let text = format!(
            "[[listen]]\naddress = \"127.0.0.1:8080\"\n[upstreams.app]\nservers = [\"http://127.0.0.1:3000\"]\n\
             proof = {{ credential = \"cloakroom-test-proof\" }}\n[[routes]]\nupstream = \"app\"\n[keys]\ncurrent = {keys}\n"
        );
        fs::write(&file, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .arg("check")
            .arg(&file)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = check("{ credential = \"cloakroom-test-key\" }");
    assert_eq!(code, Some(0), "{said}");
    for what in [
        "[keys]: the credential \"cloakroom-test-key\"",
        "[upstreams.app] proof: the credential \"cloakroom-test-proof\"",
    ] {
        assert!(said.contains(&format!("warning: not looked at: {what}")), "{said}");
    }
    assert!(said.contains("2 warnings, no errors") && said.contains("run it with sudo"), "{said}");
    let (code, said) = check("{ file = \"/dev/null\" }");
    assert!(
        code == Some(2) && said.contains("error: [keys]: the secret in the file /dev/null is empty"),
        "{said}"
    );
}
