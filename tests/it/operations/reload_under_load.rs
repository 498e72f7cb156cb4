//! Reloads and restarts again and again, under load: tests/turnover [RELOADS [RESTARTS]] for as many as one likes.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::manager::Manager;
use crate::support::tls::Sealed;
use crate::support::{App, Authority, Browser, Caller, Cloakroom, Response, key};

fn number(name: &str, default: usize) -> usize {
    let said = std::env::vars().find(|(known, _)| known == name);
    said.map_or(default, |(_, text)| text.parse().expect("a number"))
}

/// Visitors ask for as long as `act` takes; how many answers they got. Each must be whole.
fn under_load<V: Send>(visitors: Vec<V>, ask: impl Fn(&mut V) + Sync, act: impl FnOnce()) -> usize {
    let (done, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for mut visitor in visitors {
            let (done, answers, ask) = (&done, &answers, &ask);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    ask(&mut visitor);
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let over = Over(&done);
        act();
        drop(over);
    });
    answers.into_inner()
}

/// Visitors stop also where what they were to live through fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A visitor by https: on one connection, or on a new one each time.
struct Visitor {
    caller: Caller,
    address: SocketAddr,
    kept: Option<Sealed>,
    cookie: String,
}

impl Visitor {
    fn ask(&mut self, lines: &str, stays: bool) -> Response {
        let dial = || self.caller.dial(self.address, "a.example").expect("a handshake");
        let mut wire = self.kept.take().unwrap_or_else(dial);
        wire.send(format!("GET / HTTP/1.1\r\nhost: a.example\r\ncookie: {}\r\n{lines}\r\n", self.cookie));
        let answer = wire.answer(false);
        assert_eq!(answer.status, 200);
        for line in answer.set_cookies() {
            line.split(';').next().unwrap_or_default().clone_into(&mut self.cookie);
        }
        let closes = answer.header("connection").is_some_and(|value| value == "close");
        self.kept = (stays && !closes).then_some(wire);
        answer
    }
}

struct Use {
    files: usize,
    threads: usize,
    bytes: u64,
}

fn used(proxy: &Cloakroom) -> Use {
    let threads = fs::read_dir(format!("/proc/{}/task", proxy.pid())).expect("its threads").count();
    Use { files: proxy.files(), threads, bytes: proxy.memory() }
}

#[test]
fn reload_under_load_costs_no_request() {
    let reloads = number("CLOAKROOM_RELOADS", 500);
    let app = App::scripted();
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    authority.issue("site", &["a.example"]);
    let keys = ["one", "two", "three"].map(|name| key(folder.path(), name));
    let ring = |round: usize| {
        let key = |n: usize| keys.get((round + n) % 3).map_or("", String::as_str);
        format!("[keys]\ncurrent = {}\nprevious = [{}, {}]\n", key(0), key(2), key(1))
    };
    let proxy = Cloakroom::before(app.address)
        .listen(&authority.toml(&["site"]))
        .config(&format!("[store]\nkind = \"memory\"\n[session]\ncache = \"off\"\n{}", ring(0)))
        .start();
    let visitors: Vec<(bool, Visitor)> = (0..4)
        .map(|n| {
            let caller = authority.caller().offering(&["http/1.1"]);
            let mut visitor = Visitor { caller, address: proxy.address, kept: None, cookie: String::new() };
            visitor.ask("x-answer: X-Session-Set-N: 7\r\n", false);
            (n % 2 == 0, visitor)
        })
        .collect();
    let mut before = None;
    let answers = under_load(
        visitors,
        |(stays, visitor)| assert_eq!(visitor.ask("", *stays).fields(), "n=7"),
        || {
            for round in 0..reloads {
                // Every tenth is broken, in the file or in a certificate.
                let broken = round % 10 == 9;
                if broken && round % 20 == 9 {
                    fs::write(authority.path("site.pem"), "half of a file").expect("a file");
                } else if round % 3 == 1 {
                    authority.issue("site", &["a.example"]);
                }
                let told = proxy.reload(|text| {
                    let (head, _) = text.split_once("[keys]").unwrap_or((&text, ""));
                    let (head, _) = head.split_once("[session]").unwrap_or((head, ""));
                    let cache = ["off", "private", "no-store"].get(round % 3).copied().unwrap_or_default();
                    let key = if broken && round % 20 == 19 { "cash" } else { "cache" };
                    format!("{head}[session]\n{key} = \"{cache}\"\n{}", ring(round / 3))
                });
                assert_eq!(told.contains("not reloaded"), broken, "{round}: {told}");
                if broken {
                    authority.issue("site", &["a.example"]);
                }
                if round == reloads / 4 {
                    before = Some(used(&proxy));
                }
            }
        },
    );
    let (before, after) = (before.expect("a quarter of them"), used(&proxy));
    assert!(answers > reloads, "{answers} answers");
    assert_eq!(after.threads, before.threads);
    assert!(after.files <= before.files + 8, "{} files, then {}", before.files, after.files);
    assert!(after.bytes < before.bytes + (8 << 20), "{} bytes, then {}", before.bytes, after.bytes);
}

#[test]
fn socket_activated_restart_refuses_nobody() {
    let restarts = number("CLOAKROOM_RESTARTS", 50);
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let mut manager = Manager::of(&format!(
        "[process]\nworkers = 2\n[[listen]]\naddress = \"systemd:public\"\n[upstreams.app]\nservers = [\"http://{}\"]\n\
         [[routes]]\nupstream = \"app\"\n[store]\nkind = \"disk\"\npath = \"{}\"\n[log]\naccess = \"off\"\n",
        app.address,
        folder.path().display()
    ));
    let address = manager.socket("public");
    let mut service = manager.start();
    service.notes("READY=1");
    let visitors: Vec<(usize, Browser)> = (0..6)
        .map(|n| {
            let mut visitor = Browser::at(address);
            visitor.answered("/", &[&format!("X-Session-Set-N: {n}"), "X-Session-Principal: alice"]);
            (n, visitor)
        })
        .collect();
    let answers = under_load(
        visitors,
        |(n, visitor)| {
            let page = visitor.get("/");
            assert_eq!((page.status, page.fields()), (200, format!("n={n} principal=alice")));
        },
        || {
            for _ in 0..restarts {
                service.signal("-TERM");
                assert_eq!(service.ended().code(), Some(0));
                service = manager.start();
                service.notes("READY=1");
            }
        },
    );
    assert!(answers > restarts, "{answers} answers");
    assert!(!service.log().contains("ERROR"), "{}", service.log());
}
