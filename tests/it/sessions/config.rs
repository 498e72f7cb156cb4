//! What may be said about sessions and gates, and what `check` says to it.

use cloakroom::testing::config::{
    AliasValue, CacheRule, Config, CrossSite, HeaderPreset, OnConflict, OnTooMany, OnUnauthorized,
    PreflightRule, RequiredLogin, SecretSource, SessionStart, ValueEncoding,
};

/// What `check` says of these lines: errors and warnings by their first words, in the order of the file.
fn said(lines: &str) -> Vec<String> {
    let text = format!("listen = [{{ address = \"unix:/run/x\" }}]\n{lines}\n");
    let diagnostics = match Config::parse("x.toml", &text) {
        Ok((_, warnings)) => warnings,
        Err(mistakes) => mistakes,
    };
    diagnostics
        .list
        .into_iter()
        .map(|diagnostic| format!("{:?}: {}", diagnostic.severity, diagnostic.message))
        .collect()
}

const PRINCIPAL: &str = "require = \"principal\"";
const LOGIN: &str = "require = \"principal\", on_unauthorized = \"/login\"";

/// The same of these routes, before apps of which `a` and `c` share a server.
fn said_of_routes(routes: &str) -> Vec<String> {
    let apps = "upstreams.a.servers = [\"unix:/a\"]\nupstreams.b.servers = [\"unix:/b\"]\n\
                upstreams.c.servers = [\"unix:/c\", \"unix:/a\"]\n";
    let rights: String = ["a", "b", "c"]
        .map(|name| format!("upstreams.{name}.session_fields = []\nupstreams.{name}.session_write = false\nupstreams.{name}.session_login = true\n"))
        .concat();
    said(&format!("routes = [{routes}]\n{apps}{rights}"))
}

#[test]
fn routes_that_differ_in_case_alone_are_told() {
    let alike = "Warning: /Admin and /admin are one path to an app that ignores case";
    for (first, second, wanted) in [
        ("path = \"/Admin\"", "path = \"/admin\"", vec![alike]),
        ("path = \"/Admin\", ignore_case = false", "path = \"/admin\"", vec![alike]),
        ("path = \"/Admin\", ignore_case = false", "path = \"/admin\", ignore_case = false", vec![]),
        ("path = \"/Admin\"", "path = \"/admin/x\"", vec![]),
        ("path = \"/Admin\"", "path = \"/admin\", host = \"a.test\"", vec![]),
    ] {
        let routes = format!("{{ upstream = \"a\", {first} }}, {{ upstream = \"a\", {second} }}");
        assert_eq!(said_of_routes(&routes), wanted, "{routes}");
    }
}

#[test]
fn nobody_is_sent_round_in_circles() {
    let circle = "Error: `routes.on_unauthorized` leads into its own guarded route";
    let back = "Error: `routes.on_unauthorized` leads back to where it came from";
    for (routes, wanted) in [
        (format!("{{ upstream = \"a\", {LOGIN} }}"), vec![circle]),
        (format!("{{ upstream = \"a\", path = \"/login/\", {LOGIN} }}"), vec![circle]),
        (format!("{{ upstream = \"a\", path = \"/LOGIN\", ignore_case = true, {LOGIN} }}"), vec![circle]),
        (format!("{{ upstream = \"a\", path = \"/admin\", {LOGIN} }}"), vec![]),
        (format!("{{ upstream = \"a\", path = \"/log\", {LOGIN} }}"), vec![]),
        (format!("{{ upstream = \"a\", {LOGIN} }}, {{ upstream = \"a\", path = \"/login\" }}"), vec![]),
        (
            format!(
                "{{ upstream = \"a\", {LOGIN} }}, {{ upstream = \"a\", path = \"/login\", require = \"session\" }}"
            ),
            vec![],
        ),
        (
            "{ upstream = \"a\", path = \"/a\", require = \"session\", on_unauthorized = \"/b?x\" }, \
             { upstream = \"a\", path = \"/b\", require = \"session\", on_unauthorized = \"/%61/x\" }"
                .to_owned(),
            vec![back, back],
        ),
        // The open page is on another host: there it is of no use. Its own host's is.
        (
            format!(
                "{{ upstream = \"a\", host = \"x.y\", {LOGIN} }}, {{ upstream = \"b\", host = \"z.y\", path = \"/login\" }}"
            ),
            vec![circle],
        ),
        (
            format!(
                "{{ upstream = \"a\", host = \"*.y\", {LOGIN} }}, {{ upstream = \"b\", host = \"*.x.y\", path = \"/login\" }}"
            ),
            vec![circle],
        ),
        (
            format!(
                "{{ upstream = \"a\", host = \"x.y\", path = \"/a\", {LOGIN} }}, {{ upstream = \"b\", host = \"*.y\", path = \"/login\" }}"
            ),
            vec![],
        ),
    ] {
        assert_eq!(said_of_routes(&routes), wanted, "{routes}");
    }
}

#[test]
fn side_doors_are_told() {
    let door =
        |name: &str| format!("Warning: `upstreams.{name}` is guarded on one host, and less on another");
    for (routes, wanted) in [
        (
            format!("{{ upstream = \"a\", host = \"x.y\", {PRINCIPAL} }}, {{ upstream = \"a\" }}"),
            vec![door("a")],
        ),
        (format!("{{ upstream = \"a\", host = \"x.y\", {PRINCIPAL} }}, {{ upstream = \"b\" }}"), vec![]),
        (
            format!("{{ upstream = \"a\", host = \"x.y\", {PRINCIPAL} }}, {{ upstream = \"c\" }}"),
            vec![door("a")],
        ),
        (
            format!(
                "{{ upstream = \"a\", host = \"x.y\", {PRINCIPAL} }}, {{ upstream = \"a\", {PRINCIPAL} }}"
            ),
            vec![],
        ),
        (
            format!(
                "{{ upstream = \"a\", host = \"x.y\", {PRINCIPAL} }}, {{ upstream = \"a\", require = \"session\" }}"
            ),
            vec![door("a")],
        ),
        (format!("{{ upstream = \"a\", path = \"/admin\", {PRINCIPAL} }}, {{ upstream = \"a\" }}"), vec![]),
        (
            format!(
                "{{ upstream = \"a\", path = \"/admin\", {PRINCIPAL} }}, {{ upstream = \"a\" }}, {{ upstream = \"a\", host = \"x.y\" }}"
            ),
            vec![door("a")],
        ),
        (
            format!(
                "{{ upstream = \"a\", {PRINCIPAL} }}, {{ upstream = \"a\", host = \"x.y\", path = \"/static\" }}"
            ),
            vec![door("a")],
        ),
        (
            format!(
                "{{ upstream = \"a\", {PRINCIPAL} }}, {{ upstream = \"a\", host = \"x.y\", {LOGIN} }}, {{ upstream = \"a\", host = \"x.y\", path = \"/login\" }}"
            ),
            vec![],
        ),
    ] {
        assert_eq!(said_of_routes(&routes), wanted, "{routes}");
    }
}

#[test]
fn doors_that_open_where_a_prefix_is_taken_off_are_told() {
    let door = |strict: &str, lax: &str| {
        format!("Warning: `upstreams.a` is guarded under {strict}, and less under {lax}")
    };
    let strip = "upstream = \"a\", strip_prefix = true";
    for (routes, wanted) in [
        (
            format!("{{ upstream = \"a\", {PRINCIPAL} }}, {{ path = \"/public\", {strip} }}"),
            vec![door("/", "/public")],
        ),
        (
            format!("{{ upstream = \"a\" }}, {{ path = \"/admin\", {strip}, {PRINCIPAL} }}"),
            vec![door("/admin", "/")],
        ),
        (
            format!("{{ path = \"/s\", {strip} }}, {{ path = \"/s/admin\", {strip}, {PRINCIPAL} }}"),
            vec![door("/s/admin", "/s")],
        ),
        (
            format!("{{ path = \"/s\", {strip} }}, {{ upstream = \"a\", path = \"/admin\", {PRINCIPAL} }}"),
            vec![door("/admin", "/s")],
        ),
        (
            format!(
                "{{ path = \"/s\", host = \"x.y\", {strip}, {PRINCIPAL} }}, {{ path = \"/s\", {strip} }}"
            ),
            vec!["Warning: `upstreams.a` is guarded on one host, and less on another".to_owned()],
        ),
        (format!("{{ path = \"/s\", {strip}, {PRINCIPAL} }}, {{ upstream = \"b\" }}"), vec![]),
        (
            format!("{{ path = \"/s\", {strip}, {PRINCIPAL} }}, {{ path = \"/t\", {strip}, {PRINCIPAL} }}"),
            vec![],
        ),
        (
            format!("{{ {strip} }}"),
            vec!["Warning: `routes.strip_prefix` has no effect: there is nothing to take off".to_owned()],
        ),
    ] {
        assert_eq!(said_of_routes(&routes), wanted, "{routes}");
    }
}

#[test]
fn gates_that_undo_themselves_are_told() {
    for (routes, wanted) in [
        (
            "{ upstream = \"a\", on_unauthorized = \"/login\" }".to_owned(),
            vec!["Warning: `routes.on_unauthorized` has no effect: the route requires nothing"],
        ),
        (
            "{ upstream = \"a\", preflight = \"pass\" }".to_owned(),
            vec!["Warning: `routes.preflight` has no effect: the route requires nothing"],
        ),
        (
            "{ upstream = \"a\", trusted_origins = [\"https://x.y\"] }".to_owned(),
            vec!["Warning: `routes.trusted_origins` has no effect: requests from every site pass"],
        ),
        (
            format!("{{ upstream = \"a\", session = \"off\", {PRINCIPAL} }}"),
            vec!["Error: a route without sessions can let nobody in"],
        ),
        (format!("{{ upstream = \"a\", session = \"read_only\", {PRINCIPAL} }}"), vec![]),
    ] {
        assert_eq!(said_of_routes(&routes), wanted, "{routes}");
    }
}

#[test]
fn several_apps_are_asked_what_each_may_do() {
    let one = "upstreams.a.servers = [\"unix:/a\"]\nroutes = [{ upstream = \"a\" }]\n";
    assert_eq!(said(one), [""; 0]);
    let two = "upstreams.b = { servers = [\"unix:/b\"], session_write = true }\n";
    let warning = |name: &str, keys: &str| {
        format!("Warning: one of several upstreams, and `upstreams.{name}` does not say {keys}")
    };
    assert_eq!(
        said(&format!("{one}{two}")),
        [
            warning("a", "`session_fields`, `session_write`, `session_login`"),
            warning("b", "`session_fields`, `session_login`")
        ]
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let base = "listen = [{ address = \"unix:/run/x\" }]\nroutes = [{ upstream = \"a\" }]\n";
    for lines in [
        "upstreams.a = { servers = [\"unix:/a\"], proof = \"s3cret\" }",
        "upstreams.a.proof = \"s3cret\"\nupstreams.a.servers = [\"unix:/a\"]",
        "[upstreams.a]\nproof = [\"s3cret\"]\nservers = [\"unix:/a\"]",
    ] {
        let mistakes = Config::parse("x.toml", &format!("{base}{lines}\n")).unwrap_err();
        assert_eq!(mistakes.list.len(), 1, "{mistakes}");
        let text = mistakes.render(false);
        assert!(text.contains("upstreams.a.proof") && !text.contains("s3cret"), "{text}");
    }
}

#[test]
fn names_that_also_may_not_take_are_refused() {
    let also = |name: &str, more: &str| {
        said(&format!(
            "upstreams.a = {{ servers = [\"unix:/a\"], header_aliases = {{ \"{name}\" = \"principal\" }} }}\nroutes = [{{ upstream = \"a\" }}]\n{more}"
        ))
    };
    for name in [
        "X-Session-User",
        "x_session.user",
        "X-Session-",
        "Connection",
        "TE",
        "Proxy-Authorization",
        "Host",
        "Content_Length",
        "Content-Type",
        "Cookie",
        "Authorization",
        "X-Forwarded-User",
        "X_Real_IP",
        "X-Client-Cert-Subject",
        "Forwarded",
        "Origin",
        "Sec-Fetch-Site",
        "a b",
        "",
        "é",
    ] {
        assert_eq!(also(name, ""), ["Error: wrong name in `upstreams.a.header_aliases`"], "{name}");
    }
    for name in ["Remote-User", "X-Session", "X-User", "Session", "X-Forwarded"] {
        assert_eq!(also(name, ""), [""; 0], "{name}");
    }
    let apache = "session.headers.preset = \"apache\"";
    assert_eq!(also("SESSION", apache), ["Error: wrong name in `upstreams.a.header_aliases`"]);
    let prefix = "session.headers.prefix = \"Remote-\"";
    assert_eq!(also("remote_user", prefix), ["Error: wrong name in `upstreams.a.header_aliases`"]);
    assert_eq!(also("X-Session-User", prefix), [""; 0]);
}

#[test]
fn sessions_are_as_the_contract_says_and_as_the_file_does() {
    let base = "listen = [{ address = \"unix:/run/x\" }]\n";
    let text = "routes = [{ upstream = \"a\" }]\nupstreams.a.servers = [\"unix:/a\"]\n";
    let (config, _) = Config::parse("x.toml", &format!("{base}{text}")).unwrap();
    let (session, route, app) = (&config.session, &config.routes[0], &config.upstreams[0]);
    assert_eq!(
        (session.create, session.cache, session.on_conflict),
        (SessionStart::Visit, CacheRule::Private, OnConflict::Drop)
    );
    assert_eq!((session.renew_interval, session.max_sessions_per_principal), (None, Some(1000)));
    assert_eq!((session.on_too_many, session.privilege_fields.len()), (OnTooMany::EvictOldest, 0));
    assert_eq!(
        (session.headers.encoding_of("any"), session.headers.preset),
        (ValueEncoding::Percent, HeaderPreset::Cloakroom)
    );
    assert_eq!(
        (route.require, &route.on_unauthorized),
        (RequiredLogin::Nothing, &OnUnauthorized::Unauthorized)
    );
    assert_eq!(
        (route.preflight, route.cross_site, route.trusted_origins.len()),
        (PreflightRule::Require, CrossSite::Pass, 0)
    );
    assert!(app.session_fields.fit_all() && app.session_write && app.session_login);
    assert!(app.header_aliases.is_empty() && app.proof.is_none());
    let limits = &config.limits;
    assert_eq!((limits.new_sessions_per_second, limits.new_sessions_per_address), (Some(2000), Some(500)));

    let text = "routes = [{ upstream = \"a\", require = \"session\", on_unauthorized = 401, preflight = \"pass\", \
                cross_site = \"block\", trusted_origins = [\"HTTPS://X.y:443\"] }]\n\
                limits = { new_sessions_per_second = \"off\", new_sessions_per_address = 60 }\n\
                [upstreams.a]\nservers = [\"unix:/a\"]\nsession_fields = [\"Cart_*\"]\nsession_write = false\n\
                session_login = false\nproof = { env = \"PROOF\" }\nheader_aliases = { X-B = \"id\", X-A = \"User_Name\" }\n\
                [session]\ncreate = \"write\"\nrenew_interval = \"1m\"\nprivilege_fields = [\"Role\", \"is_admin\", \"role\"]\n\
                max_sessions_per_principal = 10_000\non_too_many = \"refuse\"\non_conflict = 409\ncache = \"no-store\"\n\
                headers = { encoding = \"base64url\", fields = { User_Name = \"raw\" }, preset = \"apache\" }\n";
    let (config, warnings) =
        Config::parse("x.toml", &format!("{base}{text}")).unwrap_or_else(|e| panic!("{e}"));
    assert!(warnings.is_empty(), "{warnings}");
    let (session, route, app) = (&config.session, &config.routes[0], &config.upstreams[0]);
    assert_eq!(
        (session.create, session.cache, session.on_conflict),
        (SessionStart::Write, CacheRule::NoStore, OnConflict::Refuse)
    );
    assert_eq!(session.renew_interval.map(|interval| interval.as_secs()), Some(60));
    assert_eq!(session.privilege_fields, ["role", "is-admin"]);
    assert_eq!((session.on_too_many, session.max_sessions_per_principal), (OnTooMany::Refuse, Some(10_000)));
    let encodings = ["user-name", "role"].map(|field| session.headers.encoding_of(field));
    assert_eq!(
        (encodings, session.headers.preset),
        ([ValueEncoding::Raw, ValueEncoding::Base64Url], HeaderPreset::Apache)
    );
    assert_eq!(
        (route.require, route.preflight, route.cross_site),
        (RequiredLogin::Session, PreflightRule::Pass, CrossSite::Block)
    );
    assert_eq!(route.trusted_origins[0].as_str(), "https://x.y");
    assert!(app.session_fields.fits("cart-id") && !app.session_fields.fits("role"));
    assert!(!app.session_write && !app.session_login);
    assert_eq!(app.proof, Some(SecretSource::Env("PROOF".to_owned())));
    let also: Vec<_> = app.header_aliases.iter().map(|also| (also.header.as_str(), &also.value)).collect();
    assert_eq!(also, [("x-b", &AliasValue::Id), ("x-a", &AliasValue::Field("user-name".to_owned()))]);
    assert_eq!(
        (config.limits.new_sessions_per_second, config.limits.new_sessions_per_address),
        (None, Some(60))
    );
}

/// Each attribute of the cookie, each way in, each place: what every browser refuses is told.
#[test]
fn a_cookie_that_works_nowhere_is_told() {
    let tls = "tls = { certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }] }";
    let plain = "[[listen]]\naddress = \"127.0.0.1:80\"\n";
    let secure = format!("[[listen]]\naddress = \"127.0.0.1:443\"\n{tls}\n");
    let both = format!("{plain}{secure}");
    let redirected = format!("{plain}redirect_to_https = true\n{secure}");
    let behind = format!("{plain}[process]\ntrusted_proxies = [\"10.0.0.1\"]\n");
    let told = |listen: &str, cookie: &str, route: &str| {
        let text = format!(
            "{listen}[session.cookie]\n{cookie}\n[[routes]]\nupstream = \"a\"\n{route}\n[upstreams.a]\nservers = [\"unix:/a\"]\n"
        );
        let (_, warnings) = Config::parse("x.toml", &text).unwrap_or_else(|e| panic!("{e}"));
        let all: Vec<_> = warnings.list.iter().map(|warning| warning.message.clone()).collect();
        all.join("; ")
    };
    let by_http = |what: &str| format!("by 127.0.0.1:80 visitors get no session: browsers refuse {what}");
    for (cookie, what) in [
        ("same_site = \"None\"", "a cookie that is SameSite=None and not Secure"),
        ("partitioned = true", "a cookie that is Partitioned and not Secure"),
        ("secure = true", "a Secure cookie by http"),
        ("same_site = \"None\"\nsecure = true", "a Secure cookie by http"),
    ] {
        for listen in [plain, &both] {
            assert_eq!(told(listen, cookie, ""), by_http(what), "{cookie}\n{listen}");
        }
        for listen in [&secure, &redirected, &behind] {
            assert_eq!(told(listen, cookie, ""), "", "{cookie}\n{listen}");
        }
    }
    for cookie in ["", "secure = false", "same_site = \"Strict\"", "http_only = false", "prefix = \"none\""] {
        for listen in [plain, &both, &secure, &redirected, &behind] {
            assert_eq!(told(listen, cookie, ""), "", "{cookie}\n{listen}");
        }
    }
    for (cookie, route, wanted) in [
        ("domain = \"shop.test\"", "host = \"www.shop.test\"", ""),
        ("domain = \"shop.test\"", "host = \"*.shop.test\"", ""),
        ("domain = \"shop.test\"", "", ""),
        (
            "domain = \"shop.test\"",
            "host = \"bank.test\"",
            "visitors of bank.test get no session: browsers refuse a cookie of another domain",
        ),
        ("domain = \"shop.test\"", "host = \"bank.test\"\nsession = \"off\"", ""),
        (
            "domain = \"shop.test\"",
            "host = \"eshop.test\"",
            "visitors of eshop.test get no session: browsers refuse a cookie of another domain",
        ),
        ("domain = \"localhost\"", "", "browsers refuse a cookie with Domain=localhost"),
        ("domain = \"10.0.0.1\"", "", "browsers refuse a cookie with Domain=10.0.0.1"),
        ("path = \"/shop\"", "path = \"/shop/in\"\nrequire = \"session\"", ""),
        ("path = \"/shop\"", "path = \"/shop\"\nrequire = \"session\"", ""),
        (
            "path = \"/shop\"",
            "path = \"/shopping\"\nrequire = \"session\"",
            "nobody passes the route /shopping: browsers send the cookie only below /shop",
        ),
        ("path = \"/shop\"", "path = \"/admin\"", ""),
    ] {
        assert_eq!(told(&secure, cookie, route), wanted, "{cookie} {route}");
    }
}
