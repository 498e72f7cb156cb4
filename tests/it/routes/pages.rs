//! `[errors]`: pages of the operator's own, for what cloakroom itself answers.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::{fs, path::Path};

use cloakroom::testing::config::Config;

use crate::support::{App, Cloakroom, Port, obey};

/// A folder with these pages.
fn folder(pages: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in pages {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn toml(folder: &Path) -> String {
    format!("[errors]\npages = \"{}\"\n", folder.display())
}

#[test]
fn error_pages_replace_our_answers_only() {
    let folder = folder(&[
        ("502.html", "<h1>Zum Umbau geschlossen – ☕</h1>"),
        ("401.html", "<h1>Who are you?</h1>"),
        ("404.html", "<h1>Lost</h1>"),
        ("logo.svg", "<svg/>"),
    ]);
    let (app, gone) = (App::start(obey), Port::reserve());
    let routes = format!(
        "{}[upstreams.gone]\nservers = [\"http://{}\"]\nconnect_timeout = \"100ms\"\n\
         [[routes]]\nupstream = \"app\"\nhost = \"app.test\"\n\
         [[routes]]\nupstream = \"app\"\nhost = \"app.test\"\npath = \"/mine\"\nrequire = \"principal\"\n\
         [[routes]]\nupstream = \"gone\"\nhost = \"gone.test\"\n",
        toml(folder.path()),
        gone.address
    );
    let proxy = Cloakroom::before(app.address).config(&routes).start();
    let ask = |host: &str, path: &str, lines: &str| {
        let mut wire = proxy.dial();
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n"));
        wire.answer(false)
    };
    for (host, path, status, wanted) in [
        ("gone.test", "/", 502, "<h1>Zum Umbau geschlossen – ☕</h1>"),
        ("app.test", "/mine", 401, "<h1>Who are you?</h1>"),
        ("other.test", "/", 404, "<h1>Lost</h1>"),
    ] {
        let answer = ask(host, path, "");
        assert_eq!((answer.status, answer.text().as_str()), (status, wanted));
        assert_eq!(answer.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        let json = ask(host, path, "accept: application/json\r\n");
        assert_eq!(
            (json.status, json.header("content-type").as_deref()),
            (status, Some("application/problem+json"))
        );
    }
    assert!(ask("app.test", "/mine", "").header("www-authenticate").is_some());
    // No page of their own: the built-in one, with the operator's others beside it.
    let refused = ask("app.test", "/x", "expect: more\r\n");
    assert_eq!((refused.status, refused.text().contains("417 Expectation Failed")), (417, true));
    for status in ["502", "404", "401"] {
        let answer = ask("app.test", "/", &format!("x-status: {status}\r\n"));
        assert!(!answer.text().contains("<h1>"), "{}", answer.text());
        assert!(answer.start.contains(status), "{}", answer.start);
    }
    let mut wire = proxy.dial();
    wire.send("HEAD / HTTP/1.1\r\nhost: other.test\r\n\r\n");
    let head = wire.answer(true);
    assert_eq!((head.status, head.header("content-length").as_deref()), (404, Some("13")));
}

#[test]
fn unusable_error_pages_fail_the_check() {
    let base = "listen = [{ address = \"127.0.0.1:1\" }]\nroutes = [{ upstream = \"a\" }]\n\
                upstreams.a.servers = [\"http://127.0.0.1:2\"]\n";
    let said = |pages: &[(&str, &str)], more: &dyn Fn(&Path)| {
        let folder = folder(pages);
        more(folder.path());
        let read = Config::parse("x", &format!("{base}{}", toml(folder.path())));
        let (errors, list) = match read {
            Ok((_, found)) => (false, found),
            Err(found) => (true, found),
        };
        let text = list.render(false).replace(&folder.path().display().to_string(), "PAGES");
        assert!(list.is_empty() || text.contains("x:5:9"), "{text}");
        (errors, text)
    };
    let nothing = |_: &Path| {};
    assert_eq!(
        said(&[("502.html", "x"), ("599.html", "x"), ("a.css", "")], &nothing),
        (false, String::new())
    );
    for (pages, fails, wanted) in [
        (vec![], false, "there is no page in PAGES"),
        (vec![("502.html", "x"), ("200.html", "x")], false, "PAGES/200.html is never shown"),
        (vec![("502.html", "x"), ("404.htm", "x")], false, "PAGES/404.htm is never shown"),
        (vec![("502.html", " \n")], true, "PAGES/502.html is no page: it is empty"),
    ] {
        let (failed, text) = said(&pages, &nothing);
        assert!(failed == fails && text.contains(wanted), "{text}");
    }
    let latin1 = |folder: &Path| fs::write(folder.join("502.html"), b"caf\xe9").unwrap();
    assert!(said(&[], &latin1).1.contains("PAGES/502.html is no page: it is not UTF-8"));
    let large = |folder: &Path| fs::write(folder.join("502.html"), vec![b'x'; (256 << 10) + 1]).unwrap();
    assert!(said(&[], &large).1.contains("it is larger than 256 KiB"));
    let gone = |folder: &Path| fs::remove_dir(folder).unwrap();
    assert!(said(&[], &gone).1.contains("the folder PAGES cannot be read: No such file"));
}
