//! Rotation, under a time that is wound forward: nobody is ever logged out by it.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{SessionBench, login};
use cloakroom::testing::{
    clock::Timestamp,
    record::FieldValue,
    session::{ResolvedSession, SessionChanges, StreamActivity},
    tasks::at_once,
};

const EACH_MINUTE: &str = "[session]\nrenew_interval = \"1m\"\nidle_timeout = \"2h\"\nabsolute_timeout = \"31d\"\n\
                           permanent = { idle_timeout = \"31d\", absolute_timeout = \"180d\" }";

fn nothing() -> SessionChanges {
    SessionChanges::default()
}

/// Alice, with her ticket, and the time at so many seconds from then.
fn alice() -> (SessionBench, String, impl Fn(u64) -> Timestamp) {
    let desk = SessionBench::open(EACH_MINUTE);
    let opened = desk.opened;
    let first = desk.visit(None, nothing(), opened);
    let ticket = desk.visit(first.as_deref(), login("alice"), opened).unwrap();
    (desk, ticket, move |seconds| opened.plus(Duration::from_secs(seconds)))
}

#[test]
fn rotation_keeps_the_old_ticket_for_thirty_seconds() {
    let (desk, old, at) = alice();
    assert_eq!(desk.visit(Some(&old), nothing(), at(59)).unwrap(), old, "not yet");
    let new = desk.visit(Some(&old), nothing(), at(60)).unwrap();
    assert_ne!(new, old);
    for seconds in [61, 100, 1000] {
        assert_eq!(desk.principal(&old, at(seconds)).as_deref(), Some("alice"), "{seconds}");
        let again = desk.visit(Some(&old), nothing(), at(seconds)).unwrap();
        assert_ne!(again, old, "each answer offers the new one again");
    }
    let shown = desk.visit(Some(&old), nothing(), at(1010)).unwrap();
    assert_eq!(desk.principal(&shown, at(1010)).as_deref(), Some("alice"));
    // Resolving alone has shown it; the old one has its thirty seconds now.
    for (seconds, who) in [(1011, Some("alice")), (1039, Some("alice")), (1040, None), (2000, None)] {
        assert_eq!(desk.principal(&old, at(seconds)).as_deref(), who, "{seconds}");
    }
    let late = desk.resolve(Some(&old), at(1041));
    assert_eq!(
        desk.commit(&late, nothing(), at(1041)).unwrap(),
        None,
        "a spent ticket's holder gets none at once"
    );
    assert_eq!(
        desk.principal(&new, at(1041)).as_deref(),
        Some("alice"),
        "every copy of the new one is as good"
    );
}

#[test]
fn spent_ticket_gets_no_other_for_a_while() {
    let (desk, old, at) = alice();
    let renew = SessionChanges { renew: true, ..nothing() };
    let new = desk.visit(Some(&old), renew, at(1)).unwrap();
    // For a page, which a person waits for, five seconds; for what scripts ask, thirty.
    for (seconds, page, other) in [
        (2, None, None),
        (5, None, None),
        (6, Some(()), None),
        (30, Some(()), None),
        (31, Some(()), Some(())),
    ] {
        let given = |resolved| desk.commit(&resolved, nothing(), at(seconds)).unwrap().map(drop);
        assert_eq!(given(desk.resolve(Some(&old), at(seconds))), page, "{seconds}: a page");
        assert_eq!(given(desk.resolve_quietly(Some(&old), at(seconds))), other, "{seconds}: a script");
    }
    // Whoever begins anew has lost a session, unless the browser is known to have its new ticket.
    let lost = || desk.plan.sessions.headers.events.lost.get();
    assert_eq!(lost(), 4, "all that were given a ticket");
    assert_eq!(desk.principal(&new, at(32)).as_deref(), Some("alice"));
    desk.resolve(Some(&old), at(40));
    assert_eq!(lost(), 4);
}

#[test]
fn the_new_ticket_was_shown_wherever_it_was_shown() {
    let (desk, old, at) = alice();
    let new = desk.visit(Some(&old), nothing(), at(60)).unwrap();
    assert!(desk.resolve_reading(Some(&new), at(70)).has_principal());
    for (seconds, who) in [(99, Some("alice")), (100, None)] {
        assert_eq!(desk.principal(&old, at(seconds)).as_deref(), who, "{seconds}");
    }
}

#[test]
fn what_is_stored_right_after_an_idle_end_is_kept() {
    let desk = SessionBench::open("");
    let at = |seconds| desk.opened.plus(Duration::from_secs(seconds));
    for late in [0, 5, 31] {
        let first = desk.visit(None, login("alice"), at(0)).unwrap();
        let now = at(1800 + late);
        let next = desk.visit(Some(&first), login("bob"), now).unwrap();
        assert_ne!(next, first);
        assert_eq!(desk.principal(&next, now).as_deref(), Some("bob"), "{late} s after it was over");
        let fields = SessionChanges { set: vec![("a".into(), FieldValue::Text("1".into()))], ..nothing() };
        let visitor = desk.visit(Some(&first), fields, now).unwrap();
        assert!(desk.resolve(Some(&visitor), now).has_data(), "{late} s after it was over");
    }
}

#[test]
fn rotation_overlap_outlasts_the_next_rotation() {
    let (desk, old, at) = alice();
    // Its answer is lost, and the next one comes much later.
    let new = desk.visit(Some(&old), nothing(), at(60)).unwrap();
    // The new one is shown; the next renewal has been due for long.
    let newest = desk.visit(Some(&new), nothing(), at(600)).unwrap();
    assert_eq!(
        desk.principal(&old, at(601)).as_deref(),
        Some("alice"),
        "a request that was under way under the old one"
    );
    assert_eq!(desk.principal(&new, at(601)).as_deref(), Some("alice"));
    assert_eq!(desk.principal(&newest, at(601)).as_deref(), Some("alice"));
}

#[test]
fn an_answer_that_was_under_way_never_puts_the_old_ticket_back() {
    let set = || SessionChanges { set: vec![("a".into(), FieldValue::Text("1".into()))], ..nothing() };
    let permanent = || SessionChanges { permanent: Some(true), ..nothing() };
    for (what, changes) in
        [("nothing", nothing as fn() -> SessionChanges), ("a field", set), ("permanent", permanent)]
    {
        let (desk, old, at) = alice();
        let under_way = desk.resolve(Some(&old), at(59));
        let new = desk.visit(Some(&old), nothing(), at(60)).unwrap();
        assert_eq!(desk.visit(Some(&new), nothing(), at(61)).unwrap(), new, "shown");
        let given = desk.commit(&under_way, changes(), at(62)).unwrap();
        let jar = given.unwrap_or(new);
        assert_eq!(
            desk.principal(&jar, at(120)).as_deref(),
            Some("alice"),
            "{what}: logged out by the late answer"
        );
    }
}

#[test]
fn rotation_offers_the_new_ticket_until_it_comes_back() {
    let (desk, old, at) = alice();
    let permanent = SessionChanges { permanent: Some(true), ..nothing() };
    let sent_before = desk.visit(Some(&old), permanent, at(59)).unwrap();
    let new = desk.visit(Some(&old), nothing(), at(60)).unwrap();
    desk.visit(Some(&new), nothing(), at(61));
    // The answer of second 59 arrives now.
    let jar = desk.visit(Some(&sent_before), nothing(), at(62)).unwrap();
    assert_eq!(desk.principal(&jar, at(120)).as_deref(), Some("alice"), "logged out by the late answer");
}

#[test]
fn privilege_change_spends_both_tickets_of_a_rotation() {
    let (desk, old, at) = alice();
    let new = desk.visit(Some(&old), nothing(), at(60)).unwrap();
    let renewed = desk.visit(Some(&new), SessionChanges { renew: true, ..nothing() }, at(61)).unwrap();
    assert_eq!(
        [&old, &new, &renewed].map(|ticket| desk.principal(ticket, at(61)).is_some()),
        [false, false, true]
    );
}

/// A generator that needs no more than to be uneven (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// A request that is under way: at which round its answer is committed and, once it is, at which it arrives.
struct UnderWay {
    due: u64,
    resolved: ResolvedSession,
    committed: bool,
    given: Option<String>,
}

/// What became of a browser.
#[derive(Default)]
struct Story {
    logged_out: AtomicU64,
    renewals: AtomicU64,
}

/// A browser with a jar that its tabs share, on a network that loses so many of a hundred answers and is slow enough
/// for answers to overtake each other: up to sixteen seconds there and back.
struct Network<'a> {
    desk: &'a SessionBench,
    lost: u64,
    jar: Mutex<String>,
    millis: AtomicU64,
    story: Story,
}

impl Network<'_> {
    /// One round of one tab: answers arrive, answers are committed, and the next request begins.
    fn round(&self, round: u64, dice: &mut Dice, under_way: &mut Vec<UnderWay>) {
        let now = Timestamp(self.millis.load(Ordering::Relaxed));
        for request in under_way.extract_if(.., |request| request.due <= round && request.committed) {
            if let Some(given) = request.given
                && dice.below(100) >= self.lost
            {
                self.story.renewals.fetch_add(1, Ordering::Relaxed);
                *self.jar.lock().unwrap() = given;
            }
        }
        for request in under_way.iter_mut().filter(|request| request.due <= round && !request.committed) {
            let changes = match dice.below(16) {
                0..4 => SessionChanges { incr: vec![("n".into(), 1)], ..nothing() },
                4 => SessionChanges { permanent: Some(true), ..nothing() },
                _ => nothing(),
            };
            request.given = self.desk.commit(&request.resolved, changes, now).unwrap();
            request.committed = true;
            request.due = round + dice.below(4);
        }
        let ticket = self.jar.lock().unwrap().clone();
        let resolved = self.desk.resolve(Some(&ticket), now);
        self.story.logged_out.fetch_add(u64::from(!resolved.has_principal()), Ordering::Relaxed);
        under_way.push(UnderWay { due: round + dice.below(4), resolved, committed: false, given: None });
    }
}

/// Requests that came as a stranger's, and tickets that arrived.
fn bad_network(lost: u64, tabs: usize, rounds: u64) -> (u64, u64) {
    let (desk, first, _) = alice();
    let millis = AtomicU64::new(desk.opened.0 + 1000);
    let network = Network { desk: &desk, lost, jar: Mutex::new(first), millis, story: Story::default() };
    let together = Barrier::new(tabs);
    thread::scope(|scope| {
        for tab in 0..tabs {
            let (network, together) = (&network, &together);
            scope.spawn(move || {
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (tab as u64 + 1));
                let mut under_way = Vec::new();
                for round in 0..rounds {
                    if together.wait().is_leader() {
                        network.millis.fetch_add(300 + dice.below(1700), Ordering::Relaxed);
                    }
                    together.wait();
                    network.round(round, &mut dice, &mut under_way);
                }
            });
        }
    });
    (network.story.logged_out.into_inner(), network.story.renewals.into_inner())
}

#[test]
fn on_a_bad_network_nobody_is_ever_logged_out_by_the_clock() {
    for (lost, tabs) in [(0, 1), (50, 1), (90, 1), (99, 1), (0, 4), (50, 4), (90, 4), (97, 4)] {
        let (logged_out, renewals) = bad_network(lost, tabs, 1500);
        assert_eq!(logged_out, 0, "of 1500 rounds, {lost} % of the answers lost, {tabs} tabs");
        assert!(renewals > 5, "{renewals} tickets arrived, {lost} % of the answers lost, {tabs} tabs");
    }
}

/// What a visitor reads counts as their activity where that is asked for; what they send does so everywhere.
#[test]
fn tunnel_keeps_a_session_alive_as_configured() {
    let sent = StreamActivity { from_visitor: true, from_app: false };
    let read = StreamActivity { from_visitor: false, from_app: true };
    let (off, on) = ("", "stream_activity = true\n");
    let ends = "close_tunnels = false\n";
    for (keys, came, lives) in [
        (off, sent, true),
        (off, read, false),
        (on, read, true),
        (on, StreamActivity::default(), false),
        (&format!("{on}{ends}"), read, true),
    ] {
        let desk = SessionBench::open(&format!("[session]\nidle_timeout = \"10m\"\n{keys}"));
        let (sessions, at) = (&desk.plan.sessions, |minutes| desk.opened.plus(Duration::from_mins(minutes)));
        let ticket = desk.visit(None, login("alice"), at(0)).unwrap();
        let asked = desk.resolve(Some(&ticket), at(0));
        let mut tunnel = sessions.tunnel(&asked, false, at(0)).unwrap();
        for minute in 1..15 {
            at_once(sessions.holds(&mut tunnel, came, at(minute))).unwrap();
        }
        assert_eq!(desk.principal(&ticket, at(15)).is_some(), lives, "{keys}: {came:?}");
    }
}

/// A tunnel that somebody opened before a login, with a ticket that they planted, keeps nothing alive, and neither does one
/// of a route that reads only.
#[test]
fn only_its_visitors_tunnel_keeps_a_session_alive() {
    let toml = "[session]\nidle_timeout = \"10m\"\nstream_activity = true\nclose_tunnels = false\n";
    let both = StreamActivity { from_visitor: true, from_app: true };
    for reading in [false, true] {
        let desk = SessionBench::open(toml);
        let (sessions, at) = (&desk.plan.sessions, |minutes| desk.opened.plus(Duration::from_mins(minutes)));
        let field = SessionChanges { set: vec![("a".into(), FieldValue::Text("1".into()))], ..nothing() };
        let planted = desk.visit(None, field, at(0)).unwrap();
        let before = desk.resolve(Some(&planted), at(0));
        let ticket = desk.visit(Some(&planted), login("alice"), at(1)).unwrap();
        let asked = if reading { desk.resolve_reading(Some(&ticket), at(1)) } else { before };
        let mut tunnel = sessions.tunnel(&asked, false, at(0)).unwrap();
        tunnel.outlives_renewals();
        for minute in 2..15 {
            at_once(sessions.holds(&mut tunnel, both, at(minute))).unwrap();
        }
        assert_eq!(desk.principal(&ticket, at(15)), None, "reading: {reading}");
    }
}
