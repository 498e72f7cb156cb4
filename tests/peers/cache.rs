//! A shared cache before cloakroom: what it keeps for all holds nothing of one.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::thread;

use crate::harness::server::Server;
use crate::support::{App, Browser, Cloakroom, Port, Reply, Request, Response, Wire};

const USERS: usize = 100;
const REQUESTS: usize = 100;

/// Visitors at a time; each has a connection of its own.
const CROWD: usize = 8;

/// What an app says of a page's caching, and whether that page is the same for all.
struct Mark {
    page: &'static str,
    line: &'static str,
    same: bool,
}

const fn same(page: &'static str, line: &'static str) -> Mark {
    Mark { page, line, same: true }
}

const fn personal(page: &'static str, line: &'static str) -> Mark {
    Mark { page, line, same: false }
}

/// Apps mark for shared caches what is the same for all, and often say nothing of what is not.
const MARKS: &[Mark] = &[
    same("/public", "Cache-Control: public, max-age=60"),
    personal("/silent", "X-Nothing: said"),
    same("/shared", "Cache-Control: s-maxage=60"),
    same("/aged", "Cache-Control: max-age=60"),
    personal("/private", "Cache-Control: private, max-age=60"),
    same("/surrogate", "Surrogate-Control: max-age=60\r\nCache-Control: max-age=60"),
    personal("/expires", "Expires: Thu, 31 Dec 2099 23:59:59 GMT"),
    same("/cdn", "CDN-Cache-Control: max-age=60\r\nCache-Control: max-age=60, public"),
];

/// An app that says what it was told on its personal pages; `/first/…` keeps a field, `/login/…` logs in, whatever is said
/// there of caching.
fn app(marks: &'static [Mark]) -> App {
    App::start(move |request| {
        let (path, query) = request.path().split_once('?').unwrap_or((request.path(), ""));
        let mark = marks.iter().find(|mark| path.ends_with(mark.page)).expect("a known page");
        let reply = |text: String| Reply::text(text).with(mark.line);
        if path.starts_with("/login/") {
            reply(told(request)).with(format!("X-Session-Principal: {query}"))
        } else if path.starts_with("/first/") {
            reply(query.to_owned()).with(format!("X-Session-Set-Own: {query}"))
        } else if path.starts_with("/add/") {
            reply("kept".to_owned()).with(format!("X-Session-Set-Cart: {query}"))
        } else if mark.same {
            reply("the same for all".to_owned())
        } else {
            reply(told(request))
        }
    })
}

/// Whom the app was told it answers: principal and fields.
fn told(request: &Request) -> String {
    let read = |name| request.header(name).unwrap_or_else(|| "-".to_owned());
    format!("{} {} {}", read("x-session-principal"), read("x-session-own"), read("x-session-cart"))
}

/// nginx with a cache before this cloakroom.
fn cached(proxy: &Cloakroom, meanness: &str) -> (Server, Port) {
    let folder = Server::folder();
    let port = Port::reserve();
    let lines = format!(
        "proxy_cache_path {}/cache keys_zone=pages:10m;\n\
         server {{ listen {}; location / {{ proxy_pass http://{}; proxy_http_version 1.1;\n\
         proxy_set_header Host $http_host; proxy_set_header Connection \"\";\n\
         proxy_cache pages; proxy_cache_key $uri; {meanness}\n\
         add_header X-Cache $upstream_cache_status always; }} }}",
        folder.path().display(),
        port.address,
        proxy.address
    );
    (Server::nginx(folder, &port, &lines), port)
}

/// One visitor on one connection.
struct Visitor {
    browser: Browser,
    wire: Wire,
}

impl Visitor {
    fn at(port: &Port) -> Self {
        let stream = TcpStream::connect(port.address).expect("nginx listens");
        Self { browser: Browser::at(port.address), wire: Wire::patient(stream) }
    }

    fn get(&mut self, path: &str) -> Response {
        self.wire.send(format!("GET {path} HTTP/1.1\r\n{}\r\n", self.browser.lines()));
        let answer = self.wire.answer(false);
        self.browser.remember(&answer);
        answer
    }
}

/// What a visitor was given that is somebody else's, and how often the cache had the answer.
#[derive(Default)]
struct Findings {
    foreign: Vec<String>,
    tickets: Vec<String>,
    hits: usize,
}

impl Findings {
    /// Looks at an answer to the visitor of this name, who is logged in or not yet.
    fn look(&mut self, own: &str, path: &str, answer: &Response) {
        let hit = answer.header("x-cache").is_some_and(|status| status == "HIT");
        self.hits += usize::from(hit);
        let text = answer.text();
        let names_another = text.split(' ').any(|word| word.starts_with("user") && word != own);
        // What is in the cache is for all: no cookie may stand in it, and no one's name.
        if names_another || (hit && (text.contains("user") || !answer.set_cookies().is_empty())) {
            self.foreign.push(format!("{own} {path}: {text:?} {:?}", answer.set_cookies()));
        }
        let lines = answer.set_cookies().into_iter();
        self.tickets.extend(lines.filter_map(|line| Some(line.split(';').next()?.to_owned())));
    }
}

/// A visitor's whole visit: something is kept for a stranger, who then logs in, and looks around all the time.
fn visit(port: &Port, number: usize, marks: &[Mark]) -> Findings {
    let own = format!("user{number}");
    let mut findings = Findings::default();
    let mut visitor = Visitor::at(port);
    let page = |round: usize| marks.iter().cycle().nth((number + round) % marks.len()).expect("a page").page;
    for round in 0..REQUESTS - 1 {
        let page = page(round);
        let path = match round {
            0 => format!("/first{page}?{own}"),
            10 => format!("/login{page}?{own}"),
            _ if round % 10 == 5 => format!("/add{page}?{own}"),
            _ => page.to_owned(),
        };
        let answer = visitor.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        findings.look(&own, &path, &answer);
    }
    // Whatever a cache keeps, each asks for a page of one's own here.
    let answer =
        visitor.get(&format!("/{number}{}", marks.iter().find(|mark| !mark.same).expect("one").page));
    if !answer.text().starts_with(&format!("{own} {own} ")) {
        findings.foreign.push(format!("{own} is in the end {:?}", answer.text()));
    }
    findings
}

/// Everyone visits, some at a time.
fn everyone(port: &Port, marks: &[Mark]) -> Findings {
    let mut all = Findings::default();
    let crowds: Vec<Vec<Findings>> = thread::scope(|scope| {
        let part = |first: usize| (first..USERS).step_by(CROWD).map(|n| visit(port, n, marks)).collect();
        let crowds: Vec<_> = (0..CROWD).map(|first| scope.spawn(move || part(first))).collect();
        crowds.into_iter().map(|crowd| crowd.join().expect("a visit")).collect()
    });
    for findings in crowds.into_iter().flatten() {
        all.foreign.extend(findings.foreign);
        all.tickets.extend(findings.tickets);
        all.hits += findings.hits;
    }
    all
}

fn nobody_is_given_what_is_anothers(marks: &'static [Mark], meanness: &str) -> usize {
    let app = app(marks);
    let proxy = Cloakroom::before(app.address).config("[log]\naccess = \"off\"").start();
    let (_nginx, port) = cached(&proxy, meanness);
    let found = everyone(&port, marks);
    let first: Vec<_> = found.foreign.iter().take(8).collect();
    assert!(found.foreign.is_empty(), "{} foreign answers, such as {first:#?}", found.foreign.len());
    let mut seen = BTreeMap::<_, usize>::new();
    for ticket in &found.tickets {
        *seen.entry(ticket).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "tickets that two answers held: {twice:?}");
    assert_eq!(seen.len(), 2 * USERS, "everyone had one for the field, and one for the login");
    found.hits
}

#[test]
fn a_shared_cache_gives_nobody_what_is_anothers() {
    let hits = nobody_is_given_what_is_anothers(MARKS, "");
    assert!(hits > USERS * REQUESTS / 2, "the cache did its work: {hits} hits");
}

#[test]
fn cache_that_ignores_set_cookie_leaks_nothing() {
    let hits = nobody_is_given_what_is_anothers(MARKS, "proxy_ignore_headers Set-Cookie;");
    assert!(hits > USERS * REQUESTS / 2, "the cache did its work: {hits} hits");
}

#[test]
fn cache_that_keeps_unmarked_answers_leaks_nothing() {
    nobody_is_given_what_is_anothers(MARKS, "proxy_ignore_headers Set-Cookie; proxy_cache_valid 200 60s;");
}

#[test]
fn ticket_is_not_cached_by_x_accel_expires() {
    const ACCEL: &[Mark] = &[same("/accel", "X-Accel-Expires: 60"), personal("/silent", "X-Nothing: said")];
    nobody_is_given_what_is_anothers(ACCEL, "proxy_ignore_headers Set-Cookie;");
}
