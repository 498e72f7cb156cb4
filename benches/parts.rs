//! What the pure parts of a request's path cost: no socket, no system call, one thread.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends, with the place")]

use std::{hint::black_box, time::Duration};

use cloakroom::testing::{
    clock::Timestamp,
    config::Config,
    cookies::{CookieScope, LineVerdict, NameWork, PairContext, SealedFor},
    message::{
        Fields,
        cookie::{self, RetainedLine},
    },
    plan::{Plan, RoutePlan},
    record::{FieldValue, Realm},
    session::{
        CookieForm, FetchContext, PresentedCookies, ResolveRequest, ResolvedSession, SessionAnswer,
        SessionChanges, SessionState, UpstreamAccess,
    },
    tasks::at_once,
};
use criterion::{BatchSize, BenchmarkGroup, Criterion, measurement::WallTime};
use http::{HeaderName, HeaderValue};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

const HOST: &str = "shop.example.com";
const REALM: Realm<'static> = Realm::Host(HOST);

const CONFIG: &str = r#"
[[listen]]
address = "127.0.0.1:0"
[upstreams.app]
servers = ["http://127.0.0.1:1"]
[upstreams.other]
servers = ["http://127.0.0.1:2"]
[[routes]]
upstream = "app"
[[routes]]
path = "/admin"
upstream = "other"
[[routes]]
host = "shop.example.com"
upstream = "app"
[[routes]]
host = "shop.example.com"
path = "/admin"
upstream = "other"
[[routes]]
host = "*.example.com"
path = "/static"
upstream = "other"
[[cookies]]
name = "PHPSESSID"
secure = true
http_only = true
same_site = "Lax"
[[cookies]]
name = "track_*"
max_age_limit = "30d"
"#;

/// What a browser sends with a page's request.
const BROWSER: [(&str, &str); 14] = [
    ("host", HOST),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://shop.example.com/hats"),
    ("cookie", "theme=dark; lang=en"),
    ("connection", "keep-alive"),
    ("upgrade-insecure-requests", "1"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-user", "?1"),
    ("priority", "u=0, i"),
];

/// A plan, and somebody who is logged in and has five fields.
struct House {
    plan: Plan,
    ticket: String,
    view: UpstreamAccess,
    cookie: CookieForm,
    now: Timestamp,
}

fn main() {
    let house = House::open();
    let criterion = Criterion::default().warm_up_time(Duration::from_secs(1));
    let mut criterion = criterion.measurement_time(Duration::from_secs(2)).configure_from_args();
    sessions(&mut criterion.benchmark_group("session"), &house);
    router(&mut criterion.benchmark_group("router"), &house);
    cookies(&mut criterion.benchmark_group("cookies"), &house);
    disguises(&mut criterion.benchmark_group("disguises"), &house);
    headers(&mut criterion.benchmark_group("headers"), &house);
    criterion.final_summary();
}

impl House {
    fn open() -> Self {
        let (config, warnings) = Config::parse("bench", CONFIG).unwrap();
        drop(warnings);
        let mut house = Self {
            plan: Plan::build(&config).unwrap(),
            ticket: String::new(),
            view: UpstreamAccess::default(),
            cookie: CookieForm::new(&config.session.cookie, None, &[]),
            now: Timestamp::now(),
        };
        let fields = ["cart", "lang", "role", "seen", "theme"]
            .map(|name| (name.into(), FieldValue::Text("42 and more".into())));
        let login = SessionChanges {
            principal: Some(Some("alice".into())),
            set: fields.into(),
            ..SessionChanges::default()
        };
        house.ticket = ticket(&house.commit(&house.resolve(None, REALM), &login).unwrap());
        assert_eq!(house.resolve(Some(&house.ticket), REALM).state(), SessionState::Active);
        house
    }

    fn resolve(&self, ticket: Option<&str>, realm: Realm<'_>) -> ResolvedSession {
        let name = self.cookie.name(false);
        let line = ticket.map(|ticket| format!("{name}={ticket}"));
        let request = ResolveRequest {
            cookie: &self.cookie,
            shown: PresentedCookies::read(&self.cookie, false, line.iter().map(String::as_bytes)),
            realm,
            https: false,
            client: None,
            visit: || FetchContext {
                may_mint: ticket.is_none(),
                is_same_site_withheld: false,
                may_have_unseen_session: false,
                is_document: true,
            },
            read_only: false,
            id_filter: None,
            now: self.now,
            is_rehearsal: false,
        };
        at_once(self.plan.sessions.resolve(request)).unwrap().unwrap()
    }

    fn commit(&self, resolved: &ResolvedSession, changes: &SessionChanges) -> Option<HeaderValue> {
        let answer = SessionAnswer {
            changes: changes.clone(),
            realm: REALM,
            cookie: &self.cookie,
            view: &self.view,
            shared: || false,
            shows_nothing: false,
            client: None,
            id_filter: None,
            now: self.now,
        };
        at_once(self.plan.sessions.commit(resolved, answer)).unwrap().unwrap().set_cookies.pop()
    }
}

fn ticket(set_cookie: &HeaderValue) -> String {
    let line = set_cookie.to_str().unwrap();
    line.split_once('=').and_then(|(_, rest)| rest.split_once(';')).unwrap().0.to_owned()
}

/// Resolve and commit together, as each request has them once.
fn sessions(group: &mut Group<'_>, house: &House) {
    let nothing = SessionChanges::default();
    let field = SessionChanges {
        set: vec![("cart".into(), FieldValue::Text("43 hats".into()))],
        ..SessionChanges::default()
    };
    group.bench_function("known, nothing changes", |b| {
        b.iter(|| house.commit(&house.resolve(Some(black_box(&house.ticket)), REALM), &nothing));
    });
    group.bench_function("known, a field is set", |b| {
        b.iter(|| house.commit(&house.resolve(Some(black_box(&house.ticket)), REALM), &field));
    });
    group.bench_function("a stranger gets a ticket", |b| {
        b.iter(|| house.commit(&house.resolve(black_box(None), REALM), &nothing));
    });
    // The ticket is read and its MAC is found wrong; no store, no minting.
    let foreign = Realm::Host("other.example.com");
    assert_eq!(house.resolve(Some(&house.ticket), foreign).state(), SessionState::None);
    group.bench_function("a foreign ticket is refused", |b| {
        b.iter(|| house.resolve(Some(black_box(&house.ticket)), foreign));
    });
}

fn router(group: &mut Group<'_>, house: &House) {
    for (name, path) in [
        ("plain path", "/hats/42/sizes"),
        ("plain path of a deeper route", "/admin/users"),
        ("odd path, one reading", "/hats/a%20b/c"),
        ("odd path, many readings", "/hats/..;/x/%2e%2e/a%2fb"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| house.plan.router.find(HOST, black_box(path), RoutePlan::differs).is_ok());
        });
    }
}

/// A cookie of the app, by https.
fn scope(house: &House) -> CookieScope<'static> {
    CookieScope {
        host: HOST,
        path: "/",
        request_paths: &[],
        upstream: "app",
        https: true,
        realm: (b'h', HOST),
        now: house.now.system(),
    }
}

fn cookies(group: &mut Group<'_>, house: &House) {
    let scope = scope(house);
    let rules = &house.plan.cookies;
    let apply = |line| rules.apply(line, &scope, SealedFor::Later);
    let named = &b"PHPSESSID=9f3ca0c2d7b14e11; path=/"[..];
    let other = &b"lang=en; Path=/; Max-Age=31536000; SameSite=Lax"[..];
    assert!(matches!(apply(named), LineVerdict::Rewritten(_)));
    assert_eq!(apply(other), LineVerdict::Untouched);
    group.bench_function("Set-Cookie that a rule rewrites", |b| {
        b.iter(|| apply(black_box(named)));
    });
    group.bench_function("Set-Cookie that no rule names", |b| {
        b.iter(|| apply(black_box(other)));
    });

    let form = &house.cookie;
    let line = format!("theme=dark; cloakroom={}; lang=en; _ga=GA1.2.1234567890.1700000000", house.ticket);
    let keep = |name: &[u8]| !form.is_ours(name);
    assert!(matches!(cookie::retain(line.as_bytes(), keep), RetainedLine::Changed(_)));
    group.bench_function("Cookie without ours", |b| {
        b.iter(|| cookie::retain(black_box(line.as_bytes()), keep));
    });
}

/// What becomes of a request's cookies where a rule keeps some: the work is to grow with their length, whatever they are.
fn disguises(group: &mut Group<'_>, house: &House) {
    let config = CONFIG.replace("secure = true\nhttp_only = true\nsame_site = \"Lax\"", "action = \"keep\"");
    let (config, warnings) = Config::parse("bench", &config).unwrap();
    drop(warnings);
    let plan = Plan::build(&config).unwrap();
    let scope = scope(house);
    let work = NameWork::default();
    let sent = PairContext::alone(&scope, &work);
    for (name, line) in [
        ("a browser's", "theme=dark; lang=en; _ga=GA1.2.1234567890.1700000000".to_owned()),
        ("16 KB of one value", ["x=", &"a".repeat(15_900)].concat()),
        ("16 KB of names in disguise", ["x ", &"{a=".repeat(5_300)].concat()),
    ] {
        let read = |line: &str| cookie::edit(line.as_bytes(), |pair| plan.cookies.read(pair, &sent));
        assert_eq!(read(&line), RetainedLine::Unchanged);
        group.bench_function(name, |b| {
            b.iter(|| read(black_box(&line)));
        });
    }
}

fn headers(group: &mut Group<'_>, house: &House) {
    let guard = &house.plan.guard;
    let fields = |lines: &[(&'static str, &'static str)]| -> Fields {
        let pair = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().copied().map(pair).collect()
    };
    let honest = fields(&BROWSER);
    let forged: Vec<_> =
        [&BROWSER[..], &[("x_session_principal", "admin"), ("x-forwarded-for", "10.0.0.1")]].concat();
    let forged = fields(&forged);
    for (name, headers, gone) in
        [("strip an honest request", honest, 0), ("strip a forged request", forged, 2)]
    {
        assert_eq!(guard.strip_request(&mut headers.clone()), gone);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || headers.clone(),
                |headers| guard.strip_request(black_box(headers)),
                BatchSize::SmallInput,
            );
        });
    }
}
