//! What is written down: a line a request, and never what is secret.

use std::collections::BTreeMap;

use crate::support::{App, Cloakroom, Port, Reply, eventually};

const FORMATS: [&str; 3] = ["json", "combined", "common"];

/// One flat object of JSON, read strictly; values as text, strings unescaped.
fn object(line: &str) -> Option<BTreeMap<String, String>> {
    let mut rest = line.strip_prefix('{')?;
    let mut found = BTreeMap::new();
    loop {
        let (name, after) = string(rest)?;
        let after = after.strip_prefix(':')?;
        let (value, after) = string(after).or_else(|| bare(after))?;
        found.insert(name, value);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (after == "}").then_some(found),
        }
    }
}

/// A number, `true`, `false` or `null`.
fn bare(text: &str) -> Option<(String, &str)> {
    let (value, after) = text.split_at(text.find([',', '}'])?);
    let good = value.parse::<f64>().is_ok() || ["true", "false", "null"].contains(&value);
    good.then(|| (value.to_owned(), after))
}

fn string(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'u' => {
                    let digits: String = letters.by_ref().take(4).map(|(_, digit)| digit).collect();
                    value.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                plain @ ('"' | '\\' | '/') => value.push(plain),
                _ => return None,
            },
            control if control.is_control() => return None,
            plain => value.push(plain),
        }
    }
    None
}

/// An app that keeps what it is told to keep, secrets of its own among it, and some nonsense.
fn keeper() -> App {
    App::start(|request| match request.path() {
        "/login" => Reply::text("in")
            .with("X-Session-Principal: alice")
            .with("X-Session-Set-Card: field-secret-4711")
            .with("Set-Cookie: own=cookie-secret-0815; Path=/"),
        "/nonsense" => Reply::text("")
            .with("X-Session-Set-State: field-secret-reserved")
            .with("X-Session-Set-Bad: %zz-field-secret")
            .with(format!("X-Session-Set-Long: field-secret-{}", "x".repeat(2000)))
            .with("X-Session-Unset: field-secret unset")
            .with("X-Session-Action: field-secret-action")
            .with("Set-Cookie: cloakroom=cookie-secret-of-ours")
            .with("Set-Cookie: __Host-x=cookie-secret-refused; Path=/"),
        "/destroy" => Reply::text("").with("X-Session-Action: destroy"),
        _ => Reply::text("page"),
    })
}

#[test]
fn no_log_holds_a_ticket_a_cookie_a_field_or_a_password() {
    for format in FORMATS {
        let app = keeper();
        let down = Port::reserve();
        let config = format!(
            "[log]\nlevel = \"debug\"\naccess = \"{format}\"\n[[cookies]]\nname = \"*\"\ndomain = \"x.test\"\n\
             [upstreams.down]\nservers = [\"http://{}\"]\nconnect_timeout = \"100ms\"\n\
             [[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/down\"\nupstream = \"down\"",
            down.address
        );
        let proxy = Cloakroom::before(app.address).config(&config).start();
        let mut visitor = proxy.browser();
        let mut secrets = vec!["-secret".to_owned(), "c2VjcmV0".to_owned()];
        let headers = "authorization: Basic c2VjcmV0\r\nproxy-authorization: Basic c2VjcmV0\r\n\
                       x-session-card: forged-secret\r\n";
        let paths = ["/", "/login", "/", "/nonsense", "/down", "/destroy", "/", "/login"];
        for path in paths {
            visitor.jar.insert("theirs".to_owned(), "browser-secret".to_owned());
            visitor.get_with(path, headers);
            secrets.extend(visitor.ticket());
        }
        // What is refused, cut short or forged is logged as well.
        let mut forged = proxy.browser();
        forged.jar.insert("cloakroom".to_owned(), "forged-secret-ticket".to_owned());
        forged.get_with("/", headers);
        forged.get_with("/", "expect: header-secret\r\n");
        forged.get_with("/", &format!("x: {}\r\n", "header-secret".repeat(2000)));
        let mut wire = proxy.dial();
        wire.send("GET / HTTP/1.1\r\nhost: a\r\nbroken line with header-secret\r\n\r\n");
        assert_eq!(wire.answer(false).status, 400);
        secrets.dedup();
        assert!(secrets.len() >= 5, "tickets were seen: {secrets:?}");
        eventually("the access log is complete", || proxy.access().len() >= paths.len() + 3);
        let all = proxy.log() + &proxy.access().join("\n");
        for secret in secrets {
            assert!(!all.contains(&secret), "{format}: {secret} in\n{all}");
            // Nor a part of a ticket that would do.
            let part = &secret[secret.len().saturating_sub(20)..];
            assert!(!all.contains(part), "{format}: {part} in\n{all}");
        }
        assert!(all.contains("malformed"), "the log is no empty one: {all}");
    }
}

#[test]
fn each_line_of_the_access_log_is_an_object_of_json() {
    let app = App::start(|request| match request.path() {
        "/missing" => Reply::text("nothing here").status(404),
        _ => Reply::text("ok"),
    });
    let proxy = Cloakroom::before(app.address).start();
    let odd = "user-agent: \"odd\\agent\"\tx\u{e9}\r\nreferer: http://a.test/?q=\"1\"\r\n";
    let mut visitor = proxy.browser();
    for target in ["/", "/a?b=c&d=%22", "/odd\\path?{x}", "/missing"] {
        visitor.get_with(target, odd);
    }
    visitor.post("/form", "a=b");
    visitor.send_raw(b"GET /old HTTP/1.0\r\n\r\n");
    visitor.send_raw(b"HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("every line is there", || proxy.access().len() >= 7);
    let mut lines = BTreeMap::new();
    for line in proxy.access() {
        let read = object(&line).unwrap_or_else(|| panic!("no JSON: {line}"));
        let part = |name: &str| read.get(name).unwrap_or_else(|| panic!("no {name}: {line}")).clone();
        assert!(part("time").ends_with('Z') && part("duration_us").parse::<u64>().is_ok(), "{line}");
        assert_eq!((part("client"), part("session").len()), ("127.0.0.1".to_owned(), 36), "{line}");
        lines.insert(part("target"), (part("method"), part("status"), part("bytes")));
    }
    for (target, method, status, bytes) in [
        ("/", "GET", "200", "2"),
        ("/a?b=c&d=%22", "GET", "200", "2"),
        ("/missing", "GET", "404", "12"),
        ("/form", "POST", "200", "2"),
        ("/old", "GET", "200", "2"),
        ("/head", "HEAD", "200", "0"),
    ] {
        let wanted = [method, status, bytes].map(str::to_owned).into();
        assert_eq!(lines.get(target), Some(&wanted), "{target}");
    }
}

#[test]
fn combined_and_common_are_what_apache_writes() {
    for format in ["combined", "common"] {
        let app = App::start(|_| Reply::text("four"));
        let proxy = Cloakroom::before(app.address).config(&format!("[log]\naccess = \"{format}\"")).start();
        proxy.browser().get_with("/a?b", "referer: http://r.test/\r\nuser-agent: the \"agent\"\r\n");
        eventually("the line is there", || proxy.access().len() == 1);
        let line = proxy.access().remove(0);
        let (who, rest) = line.split_once(" [").unwrap_or_else(|| panic!("{line}"));
        let (time, rest) = rest.split_once("] ").unwrap_or_else(|| panic!("{line}"));
        let who: Vec<_> = who.split(' ').collect();
        assert_eq!((who.len(), who[0], who[1]), (3, "127.0.0.1", "-"), "{line}");
        assert!(time.len() == 26 && time.ends_with(" +0000"), "{line}");
        let agent = if format == "combined" { " \"http://r.test/\" \"the \\\"agent\\\"\"" } else { "" };
        assert_eq!(rest, format!("\"GET /a?b HTTP/1.1\" 200 4{agent}"));
    }
}

#[test]
fn an_access_log_that_is_off_is_empty() {
    let app = App::start(|_| Reply::text("ok"));
    let mut proxy = Cloakroom::before(app.address).config("[log]\naccess = \"off\"").start();
    assert_eq!(proxy.browser().get("/").status, 200);
    proxy.terminate();
    assert_eq!((proxy.exit().code(), proxy.access()), (Some(0), Vec::new()));
}

#[test]
fn the_access_log_is_complete_when_the_process_has_ended() {
    let app = App::start(|_| Reply::text("ok"));
    for count in 1..=5 {
        let mut proxy = Cloakroom::before(app.address).start();
        let mut visitor = proxy.dial();
        visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(count * 20));
        let answers = (0..count * 20).filter(|_| visitor.answer(false).status == 200).count();
        proxy.terminate();
        drop(visitor);
        assert_eq!(proxy.exit().code(), Some(0));
        assert_eq!((answers, proxy.access().len()), (count * 20, count * 20));
    }
}

/// Whatever is noticed on behalf of a request is of that request, wherever the line is written.
#[test]
fn lines_say_whose_request_they_are_of() {
    let app = App::start(|request| match request.path() {
        "/begin" => Reply::text("").with("X-Session-Set-A: 1"),
        "/field" => Reply::text("").with("X-Session-Set-Bad: %zz"),
        _ => Reply::text("").with(format!("Set-Cookie: large={}; Path=/", "x".repeat(5000))),
    });
    let proxy = Cloakroom::before(app.address)
        .config("[log]\naccess = \"json\"\n[[cookies]]\nname = \"*\"\naction = \"keep\"")
        .start();
    let mut visitor = proxy.browser();
    visitor.get("/begin");
    visitor.get("/field");
    visitor.get("/cookie");
    let log = proxy.log();
    for what in ["a session header of the app was dropped", "a cookie of the app was dropped"] {
        let line = log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {log}"));
        let host = format!("host=\"{}\"", proxy.address);
        let wanted = [" request=", &host, "upstream=\"app\"", " session="];
        for part in wanted {
            assert_eq!(line.matches(part).count(), 1, "{part}: {line}");
        }
    }
}

/// What turns the direction of a line hides what was said.
#[test]
fn invisible_characters_are_written_out() {
    let app = App::start(|_| Reply::text("ok"));
    let proxy = Cloakroom::before(app.address).config("[log]\naccess = \"json\"\n").start();
    proxy.browser().get_with("/", "user-agent: a\u{202e}b\u{e0041}\r\n");
    eventually("it is logged", || !proxy.access().is_empty());
    let line = proxy.access().concat();
    assert!(line.contains("a\\u202eb\\udb40\\udc41"), "{line}");
    assert!(line.chars().all(|c| !('\u{200b}'..='\u{206f}').contains(&c)), "{line}");
}
