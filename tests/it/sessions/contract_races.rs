//! What the contract promises when everything happens at once: thousands of rounds, no failure.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use cloakroom::testing::session::{SessionChanges, StreamActivity};
use cloakroom::testing::tasks::at_once;

use crate::support::{
    App, Browser, Cloakroom, PATIENCE, Request, SessionBench, Wire, key, login, obey, orders,
};

const ENDLESS: &str = "[limits]\nrequests_per_connection_http1 = \"off\"\nnew_sessions_per_second = \"off\"";

/// A connection that stays open, for one request after the other.
struct Line {
    wire: Wire,
}

impl Line {
    fn to(proxy: &Cloakroom) -> Self {
        Self { wire: proxy.dial() }
    }

    /// A request with the jar of this browser; the answer's cookies go into it.
    fn ask(&mut self, browser: &mut Browser, path: &str, lines: &[&str]) -> String {
        self.wire.send(format!("GET {path} HTTP/1.1\r\n{}{}\r\n", browser.lines(), orders(lines)));
        let answer = self.wire.answer(false);
        assert_eq!(answer.status, 200, "{path} {lines:?}");
        browser.remember(&answer);
        answer.fields()
    }
}

/// A browser that holds this ticket and no other cookie.
fn holding(proxy: &Cloakroom, ticket: Option<String>) -> Browser {
    let mut browser = proxy.browser();
    browser.jar.insert("cloakroom".to_owned(), ticket.unwrap_or_default());
    browser
}

/// Requests that the app holds back until the test lets their round go.
#[derive(Default)]
struct Gate {
    /// How many came, and up to which round they may go.
    state: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Gate {
    fn hold(&self, request: &Request) {
        let Some(round) = request.path().strip_prefix("/held/").and_then(|round| round.parse().ok()) else {
            return;
        };
        self.state.lock().unwrap().0 += 1;
        self.changed.notify_all();
        self.wait("never let go", |(_, open)| open >= round);
    }

    fn came(&self, so_many: usize) {
        self.wait("did not come", |(came, _)| came >= so_many);
    }

    fn open(&self, round: usize) {
        self.state.lock().unwrap().1 = round;
        self.changed.notify_all();
    }

    fn wait(&self, what: &str, done: impl Fn((usize, usize)) -> bool) {
        let guard = self.state.lock().unwrap();
        let (guard, _) = self.changed.wait_timeout_while(guard, PATIENCE, |state| !done(*state)).unwrap();
        assert!(done(*guard), "{what}");
    }
}

/// An app that obeys, and holds back what asks for `/held/ROUND`.
fn gated() -> (Arc<Gate>, App) {
    let gate = Arc::<Gate>::default();
    let held = Arc::clone(&gate);
    let app = App::start(move |request| {
        held.hold(request);
        obey(request)
    });
    (gate, app)
}

#[test]
fn thousand_parallel_field_changes_are_all_kept() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, ENDLESS);
    let together = Barrier::new(8);
    let mut visitor = proxy.browser();
    visitor.get("/");
    thread::scope(|scope| {
        for writer in 0..8 {
            let (together, proxy, mut tab) = (&together, &proxy, visitor.clone());
            scope.spawn(move || {
                let mut line = Line::to(proxy);
                for round in 0..125 {
                    together.wait();
                    line.ask(&mut tab, "/", &[&format!("X-Session-Set-W{writer}: {round}")]);
                    together.wait();
                    let shown = line.ask(&mut tab, "/", &[]);
                    let wanted: Vec<_> = (0..8).map(|writer| format!("w{writer}={round}")).collect();
                    assert_eq!(shown, wanted.join(" "), "round {round}");
                }
            });
        }
    });
}

#[test]
fn a_number_that_a_hundred_requests_add_to_is_their_exact_sum() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, ENDLESS);
    let mut visitor = proxy.browser();
    visitor.get("/");
    for round in 1..=10_i64 {
        thread::scope(|scope| {
            for adder in 0..10_i64 {
                let (proxy, mut tab) = (&proxy, visitor.clone());
                scope.spawn(move || {
                    let mut line = Line::to(proxy);
                    for more in 0..10_i64 {
                        line.ask(&mut tab, "/", &[&format!("X-Session-Incr-N: {}", adder * 10 + more - 20)]);
                    }
                });
            }
        });
        // 0 + … + 99, less 20 a hundred times.
        assert_eq!(visitor.shown(), format!("n={}", round * 2950));
    }
}

#[test]
fn ended_sessions_stay_ended_under_writes() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, ENDLESS);
    let farewells = [
        "X-Session-Action: destroy",
        "X-Session-Action: logout",
        "X-Session-Principal:",
        "X-Session-Action: destroy-principal",
    ];
    thread::scope(|scope| {
        for (number, farewell) in farewells.into_iter().enumerate() {
            let proxy = &proxy;
            scope.spawn(move || {
                let (mut line, mut writers) = (Line::to(proxy), [Line::to(proxy), Line::to(proxy)]);
                for round in 0..125 {
                    let mut visitor = proxy.browser();
                    let principal = format!("X-Session-Principal: user-{number}-{round}");
                    line.ask(&mut visitor, "/", &["X-Session-Set-A: 1", &principal]);
                    let (copy, ticket) = (visitor.clone(), visitor.ticket());
                    let together = Barrier::new(3);
                    thread::scope(|scope| {
                        for writer in &mut writers {
                            let (mut tab, together) = (copy.clone(), &together);
                            scope.spawn(move || {
                                together.wait();
                                for _ in 0..2 {
                                    writer.ask(&mut tab, "/", &["X-Session-Set-B: late"]);
                                }
                            });
                        }
                        together.wait();
                        line.ask(&mut visitor, "/", &[farewell]);
                    });
                    let shown = line.ask(&mut visitor, "/", &[]);
                    assert_eq!(shown, "", "{farewell}, round {round}");
                    let shown = line.ask(&mut holding(proxy, ticket), "/", &[]);
                    assert_eq!(shown, "", "{farewell}, round {round}: the old ticket");
                }
            });
        }
    });
}

#[test]
fn ticket_spent_by_a_login_serves_no_principal() {
    let (gate, app) = gated();
    let proxy = Cloakroom::with(&app, ENDLESS);
    let (mut line, mut thiefs, mut held) = (Line::to(&proxy), Line::to(&proxy), Line::to(&proxy));
    for round in 1..=300 {
        let mut visitor = proxy.browser();
        line.ask(&mut visitor, "/", &["X-Session-Set-A: 1"]);
        let planted = visitor.ticket();
        let mut straggler = holding(&proxy, planted.clone());
        let mut late = String::new();
        thread::scope(|scope| {
            let line = &mut line;
            let under_way = scope.spawn(|| {
                let orders = ["X-Session-Set-Role: admin", "X-Session-Action: renew, permanent"];
                late = held.ask(&mut straggler, &format!("/held/{round}"), &orders);
            });
            gate.came(round);
            let login = scope.spawn(move || line.ask(&mut visitor, "/", &["X-Session-Principal: alice"]));
            // Whatever the thief is told while the login goes on, it is never of a principal.
            let mut thief = holding(&proxy, planted.clone());
            for _ in 0..3 {
                let told = thiefs.ask(&mut thief, "/", &[]);
                assert!(!told.contains("principal"), "round {round}: {told}");
            }
            login.join().unwrap();
            let mut thief = holding(&proxy, planted.clone());
            assert_eq!(thiefs.ask(&mut thief, "/", &["X-Session-Set-Role: admin"]), "", "round {round}");
            assert_eq!(thief.ticket(), planted, "round {round}: no ticket is handed out");
            gate.open(round);
            under_way.join().unwrap();
        });
        assert_eq!(late, "a=1", "round {round}: what it was told before the login");
        assert_eq!(straggler.ticket(), planted, "round {round}: no ticket is handed out");
        assert_eq!(line.ask(&mut straggler, "/", &[]), "", "round {round}");
    }
}

#[test]
fn login_race_has_one_winner_and_no_stray_role() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, ENDLESS);
    let (mut line, mut other) = (Line::to(&proxy), Line::to(&proxy));
    for round in 0..300 {
        let mut visitor = proxy.browser();
        line.ask(&mut visitor, "/", &["X-Session-Set-A: 1"]);
        let mut second = visitor.clone();
        // A double click on Login: both are in, in sessions of their own.
        thread::scope(|scope| {
            scope.spawn(|| other.ask(&mut second, "/", &["X-Session-Principal: bob"]));
            line.ask(&mut visitor, "/", &["X-Session-Principal: alice"]);
        });
        let told = [line.ask(&mut visitor, "/", &[]), line.ask(&mut second, "/", &[])];
        let wins = ["a=1 principal=alice", "principal=bob"];
        let loses = ["principal=alice", "a=1 principal=bob"];
        // The second request may have come when the first was answered: then it came as nobody.
        assert!(told == wins || told == loses, "round {round}: {told:?}");
        assert_ne!(visitor.ticket(), second.ticket(), "round {round}");
    }
}

#[test]
fn global_logout_beats_two_hundred_logins_under_way() {
    let (gate, app) = gated();
    let proxy = Cloakroom::with(&app, ENDLESS);
    let mut line = Line::to(&proxy);
    let mut lates: Vec<_> = (0..8).map(|_| Line::to(&proxy)).collect();
    for round in 1..=25 {
        let principal = format!("X-Session-Principal: user-{round}");
        let mut inside = proxy.browser();
        line.ask(&mut inside, "/", &[&principal]);
        let mut visitors: Vec<_> = lates.iter().map(|_| proxy.browser()).collect();
        thread::scope(|scope| {
            for (late, visitor) in lates.iter_mut().zip(&mut visitors) {
                let principal = &principal;
                scope.spawn(move || late.ask(visitor, &format!("/held/{round}"), &[principal]));
            }
            gate.came(round * 8);
            line.ask(&mut inside, "/", &["X-Session-Action: destroy-principal"]);
            gate.open(round);
        });
        for visitor in visitors.iter_mut().chain([&mut inside]) {
            assert_eq!(line.ask(visitor, "/", &[]), "", "round {round}");
        }
    }
}

/// Clocks tick a thousand times a second, and a machine does more than that.
#[test]
fn tunnel_ends_by_a_login_of_the_same_millisecond() {
    let folder = tempfile::tempdir().unwrap();
    let travels = format!("[store]\nkind = \"cookie\"\n[keys]\ncurrent = {}\n", key(folder.path(), "key"));
    for toml in ["[store]\nkind = \"memory\"\n", &travels] {
        let desk = SessionBench::open(toml);
        let (sessions, begun) = (&desk.plan.sessions, desk.opened);
        let now = begun.plus(Duration::from_secs(1));
        let holds =
            |mut tunnel| at_once(sessions.holds(&mut tunnel, StreamActivity::default(), now)).unwrap();
        for own in [false, true] {
            let ticket = desk.visit(None, login("alice"), begun);
            let asked = desk.resolve(ticket.as_deref(), now);
            if own {
                desk.commit(&asked, renewal(), now).unwrap();
            }
            let tunnel = sessions.tunnel(&asked, own, now).unwrap();
            assert!(holds(tunnel), "{toml}: nothing happened, {own}");
            if !own {
                desk.visit(ticket.as_deref(), renewal(), now);
                assert!(!holds(tunnel), "{toml}");
            }
        }
    }
}

/// An answer that gives another ticket.
fn renewal() -> SessionChanges {
    SessionChanges { renew: true, ..SessionChanges::default() }
}
