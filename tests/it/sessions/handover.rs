//! A ticket that is handed over because a kept cookie changed in answer to a script, under a time that is wound forward.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cloakroom::testing::{
    clock::Timestamp,
    record::jar::{JarChange, JarCookie, RequestSite, SettingScope},
    session::{SessionChanges, StreamActivity},
    tasks::at_once,
};

use crate::support::SessionBench;

const HOME: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8)));
const ELSEWHERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

fn nothing() -> SessionChanges {
    SessionChanges::default()
}

/// What a script got: the app's cookie with another value.
fn script(value: &str) -> SessionChanges {
    let setting =
        SettingScope { host: "shop.test", path: "/", https: false, from: RequestSite::SameSite, owner: None };
    let cookie = JarCookie::read(format!("sid={value}").as_bytes(), &setting, Timestamp(0)).unwrap();
    let change = JarChange { cookie, https: false, renews: true, begins: false, ends: false };
    SessionChanges { jar: vec![change], keeps_old_ticket: true, ..nothing() }
}

fn form(value: &str) -> SessionChanges {
    SessionChanges { keeps_old_ticket: false, ..script(value) }
}

fn bench(toml: &str) -> (SessionBench, impl Fn(u64) -> Timestamp) {
    let mut desk = SessionBench::open(toml);
    desk.client = HOME;
    let opened = desk.opened;
    (desk, move |seconds| opened.plus(Duration::from_secs(seconds)))
}

/// The app's cookie, as a request with this ticket brings it.
fn seen(desk: &SessionBench, ticket: &str, now: Timestamp) -> Option<String> {
    let resolved = desk.resolve(Some(ticket), now);
    let cookie = resolved.record()?.jar.cookies().first()?;
    Some(String::from_utf8_lossy(&cookie.value).into_owned())
}

#[test]
fn old_ticket_leads_on_at_home_until_the_new_one_was_shown() {
    let (mut desk, at) = bench("");
    let old = desk.visit(None, form("before"), at(0)).unwrap();
    let new = desk.visit(Some(&old), script("after"), at(1)).unwrap();
    assert_ne!(new, old);
    for seconds in [2, 40, 900] {
        assert_eq!(seen(&desk, &old, at(seconds)).as_deref(), Some("after"), "{seconds}");
        let again = desk.visit(Some(&old), nothing(), at(seconds)).unwrap();
        assert_ne!(again, old, "each answer brings the new one");
    }
    assert_eq!(seen(&desk, &new, at(900)).as_deref(), Some("after"));
    for (seconds, wanted) in [(901, Some("before")), (929, Some("before")), (930, None)] {
        assert_eq!(seen(&desk, &old, at(seconds)).as_deref(), wanted, "{seconds}");
        desk.client = ELSEWHERE;
        assert_eq!(seen(&desk, &old, at(seconds)).as_deref(), wanted, "{seconds}, elsewhere");
        assert_eq!(seen(&desk, &new, at(seconds)).as_deref(), Some("after"), "{seconds}: roaming");
        desk.client = HOME;
    }
}

#[test]
fn who_has_no_address_is_nobodys_neighbour() {
    let (mut desk, at) = bench("");
    desk.client = None;
    let old = desk.visit(None, form("before"), at(0)).unwrap();
    let new = desk.visit(Some(&old), script("after"), at(1)).unwrap();
    assert_eq!(seen(&desk, &old, at(2)).as_deref(), Some("before"));
    assert_eq!(desk.visit(Some(&old), nothing(), at(3)).unwrap(), old, "it is given nothing");
    assert_eq!(seen(&desk, &new, at(4)).as_deref(), Some("after"));
}

#[test]
fn ticket_shown_for_a_while_gives_way_at_the_next_change() {
    let (desk, at) = bench("");
    let old = desk.visit(None, form("1"), at(0)).unwrap();
    let new = desk.visit(Some(&old), script("2"), at(1)).unwrap();
    // Shown at two seconds: whatever else is under way then brings no further one.
    assert_eq!(desk.visit(Some(&new), script("3"), at(2)).unwrap(), new);
    assert_eq!(desk.visit(Some(&new), script("4"), at(6)).unwrap(), new);
    let next = desk.visit(Some(&new), script("5"), at(7)).unwrap();
    assert_ne!(next, new);
    assert_eq!(seen(&desk, &old, at(8)), None);
    assert_eq!(seen(&desk, &next, at(9)).as_deref(), Some("5"));
}

#[test]
fn ending_from_before_the_first_record_ends_no_login() {
    let (desk, at) = bench("");
    let first = desk.visit(None, nothing(), at(0)).unwrap();
    let late = desk.resolve(Some(&first), at(1));
    let new = desk.visit(Some(&first), script("alices"), at(2)).unwrap();
    desk.commit(&late, SessionChanges { destroy: true, ..nothing() }, at(3)).unwrap();
    assert_eq!(seen(&desk, &new, at(4)).as_deref(), Some("alices"));
}

#[test]
fn of_two_tickets_of_one_session_the_newer_counts() {
    let (mut desk, at) = bench("");
    let old = desk.visit(None, form("before"), at(0)).unwrap();
    let new = desk.visit(Some(&old), script("after"), at(1)).unwrap();
    // At home the old one leads on, and stands first: all the same the new one was shown.
    assert_eq!(seen(&desk, &format!("{old}; cloakroom={new}"), at(2)).as_deref(), Some("after"));
    assert_eq!(seen(&desk, &old, at(3)).as_deref(), Some("before"));
    for client in [ELSEWHERE, HOME] {
        desk.client = client;
        for both in [format!("{old}; cloakroom={new}"), format!("{new}; cloakroom={old}")] {
            assert_eq!(seen(&desk, &both, at(4)).as_deref(), Some("after"), "{client:?}");
        }
    }
}

#[test]
fn rotated_ticket_that_was_shown_is_not_taken_away() {
    let (desk, at) = bench("[session]\nrenew_interval = \"1m\"\n");
    let old = desk.visit(None, form("1"), at(0)).unwrap();
    let new = desk.visit(Some(&old), nothing(), at(60)).unwrap();
    assert_eq!(seen(&desk, &new, at(61)).as_deref(), Some("1"));
    desk.visit(Some(&old), script("2"), at(62)).unwrap();
    assert_eq!(seen(&desk, &new, at(63)).as_deref(), Some("2"));
}

#[test]
fn tunnel_from_before_a_renewal_ends_though_a_handover_follows() {
    let (desk, at) = bench("");
    let sessions = &desk.plan.sessions;
    let holds =
        |mut tunnel, now| at_once(sessions.holds(&mut tunnel, StreamActivity::default(), now)).unwrap();
    let old = desk.visit(None, form("1"), at(0)).unwrap();
    let of_before = sessions.tunnel(&desk.resolve(Some(&old), at(1)), false, at(1)).unwrap();
    let new = desk.visit(Some(&old), form("2"), at(2)).unwrap();
    let own = sessions.tunnel(&desk.resolve(Some(&new), at(3)), false, at(3)).unwrap();
    let next = desk.visit(Some(&new), script("3"), at(4)).unwrap();
    assert_ne!(next, new);
    assert!(!holds(of_before, at(5)) && holds(own, at(5)));
}
