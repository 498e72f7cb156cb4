//! Headers that only cloakroom may write, and addresses that the visitor is to see.

use crate::support::{App, Cloakroom, RawUpstream, Reply, Request};

const TRUSTED: &str = "[process]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";

/// An app that says nothing; what it was sent is what matters.
fn silent() -> App {
    App::start(|_| Reply::text(""))
}

/// What the app is sent when a visitor asks `Host: shop.test` with these header lines.
fn sent(house: &Cloakroom, app: &App, lines: &str) -> Request {
    let mut browser = house.browser();
    let answer = browser.send_raw(format!("GET / HTTP/1.1\r\nhost: shop.test\r\n{lines}\r\n").as_bytes());
    assert_eq!(answer.status, 200, "{lines}");
    app.last()
}

/// The X-Forwarded-* that the app was sent: for, proto, host.
fn forwarded(request: &Request) -> [String; 3] {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| request.all(name).join(" | "))
}

const FORGED: &str = "X-Forwarded-For: 9.9.9.9\r\nx_forwarded_for: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n\
                      X-Forwarded-Host: evil.test\r\nX-Forwarded-Port: evil\r\nX.Forwarded.Server: evil\r\n\
                      X-Forwarded-Prefix: /evil\r\nForwarded: for=9.9.9.9;proto=https;host=evil.test\r\n\
                      X-Real-IP: 9.9.9.9\r\nX-Client-Cert-Subject: CN=evil\r\n";

#[test]
fn forwarded_headers_of_untrusted_peers_are_dropped() {
    let app = silent();
    let house = Cloakroom::before(app.address).start();
    let request = sent(&house, &app, FORGED);
    assert_eq!(forwarded(&request), ["127.0.0.1", "http", "shop.test"]);
    let head = String::from_utf8_lossy(&request.head).to_lowercase();
    for word in ["9.9.9.9", "evil", "https", "\r\nforwarded:"] {
        assert!(!head.contains(word), "{word}: {head}");
    }
    // Nor can Connection take away what is written here.
    let request = sent(&house, &app, "Connection: X-Forwarded-For, X-Forwarded-Proto, Via, Host\r\n");
    assert_eq!(forwarded(&request), ["127.0.0.1", "http", "shop.test"]);
    assert_eq!((request.all("via").len(), request.all("host").len()), (1, 1));
}

#[test]
fn a_trusted_proxy_is_believed_from_the_right() {
    let app = silent();
    let house = Cloakroom::before(app.address).config(TRUSTED).start();
    for (lines, wanted) in [
        ("", ["127.0.0.1", "http", "shop.test"]),
        ("X-Forwarded-For: 203.0.113.7\r\n", ["203.0.113.7, 127.0.0.1", "http", "shop.test"]),
        ("X-Forwarded-For: 9.9.9.9, 203.0.113.7\r\n", ["203.0.113.7, 127.0.0.1", "http", "shop.test"]),
        (
            "X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\n",
            ["203.0.113.7, 10.0.0.1, 127.0.0.1", "http", "shop.test"],
        ),
        (
            "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 203.0.113.7, 10.0.0.1\r\n",
            ["203.0.113.7, 10.0.0.1, 127.0.0.1", "http", "shop.test"],
        ),
        ("X-Forwarded-For: 203.0.113.7, unknown\r\n", ["127.0.0.1", "http", "shop.test"]),
        ("X-Forwarded-For: [2001:db8::7]:443\r\n", ["2001:db8::7, 127.0.0.1", "http", "shop.test"]),
        (
            "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: seen.test:8443\r\n",
            ["203.0.113.7, 127.0.0.1", "https", "seen.test:8443"],
        ),
        ("X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\r\n", ["127.0.0.1", "http", "shop.test"]),
    ] {
        assert_eq!(forwarded(&sent(&house, &app, lines)), wanted, "{lines}");
    }
    // The family that the proxies do not write comes from the visitor.
    let request = sent(&house, &app, "Forwarded: for=9.9.9.9;proto=https\r\n");
    assert_eq!((forwarded(&request)[1].as_str(), request.header("forwarded")), ("http", None));
    // The true visitor is the one of the access log.
    crate::support::eventually("the log names the visitor", || {
        house.access().iter().any(|line| line.contains("\"client\":\"203.0.113.7\""))
    });
}

#[test]
fn forwarded_family_is_trusted_as_configured() {
    let app = silent();
    let house =
        Cloakroom::before(app.address).config(&format!("{TRUSTED}\nforwarded = \"forwarded\"")).start();
    for (lines, family, rest) in [
        (
            "Forwarded: for=9.9.9.9, For=203.0.113.7;Proto=https;host=\"seen.test:1\"\r\n",
            "for=203.0.113.7;host=\"seen.test:1\";proto=https, for=127.0.0.1",
            ["203.0.113.7, 127.0.0.1", "https", "seen.test:1"],
        ),
        (
            "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n",
            "for=127.0.0.1;host=\"shop.test\";proto=http",
            ["127.0.0.1", "http", "shop.test"],
        ),
        (
            "Forwarded: for=203.0.113.7, for=\"unclosed\r\n",
            "for=127.0.0.1;host=\"shop.test\";proto=http",
            ["127.0.0.1", "http", "shop.test"],
        ),
    ] {
        let request = sent(&house, &app, lines);
        assert_eq!(
            (request.all("forwarded"), forwarded(&request)),
            (vec![family.into()], rest.map(str::to_owned))
        );
    }
}

#[test]
fn rewriting_headers_are_dropped() {
    let app = silent();
    let house = Cloakroom::before(app.address).config(TRUSTED).start();
    let request = sent(
        &house,
        &app,
        "X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nx_original_url: /admin\r\nX.Rewrite.Url: /admin\r\n\
         Proxy: http://evil.test\r\nX-Original-Thing: kept\r\nProxy-Authorization: kept\r\n",
    );
    let head = String::from_utf8_lossy(&request.head).into_owned();
    assert!(!head.contains("/admin") && !head.contains("evil"), "{head}");
    assert_eq!(head.matches("kept").count(), 2, "{head}");
}

#[test]
fn the_app_gets_the_host_that_is_configured() {
    let app = silent();
    let own = app.address.to_string();
    for (rule, wanted) in [
        ("", "Shop.Test:8080"),
        ("host = \"visitor\"", "Shop.Test:8080"),
        ("host = \"server\"", own.as_str()),
        ("host = \"inner.test\"", "inner.test"),
    ] {
        let house = Cloakroom::before(app.address).upstream(rule).start();
        let answer = house.browser().send_raw(b"GET / HTTP/1.1\r\nhost: Shop.Test:8080\r\n\r\n");
        assert_eq!((answer.status, app.last().all("host")), (200, vec![wanted.to_owned()]), "{rule}");
        assert_eq!(app.last().all("x-forwarded-host"), ["Shop.Test:8080"], "{rule}");
    }
}

/// An app that answers with the header line that it is sent, `{own}` being its own address.
fn redirecting() -> App {
    App::start(|request| {
        let line = request.header("x-answer").unwrap_or_default();
        Reply::text("").status(302).with(line.replace("{own}", &request.header("x-own").unwrap_or_default()))
    })
}

#[test]
fn redirects_to_the_server_lead_to_the_visitors_host() {
    let app = redirecting();
    let proxied = format!("{TRUSTED}\n");
    let house = Cloakroom::before(app.address).upstream("host = \"server\"").config(&proxied).start();
    let (own, port) = (app.address.to_string(), app.address.port().to_string());
    for (name, value, plain, secure) in [
        (
            "location",
            "http://{own}/home?a=b#c",
            "http://shop.test:8080/home?a=b#c",
            "https://seen.test/home?a=b#c",
        ),
        ("location", "http://{own}", "http://shop.test:8080", "https://seen.test"),
        ("content-location", "http://{own}/x", "http://shop.test:8080/x", "https://seen.test/x"),
        ("refresh", "0; url=http://{own}/x", "0; url=http://shop.test:8080/x", "0; url=https://seen.test/x"),
        ("location", "//{own}/x", "//shop.test:8080/x", "//seen.test/x"),
        ("location", "https://{own}/x", "http://shop.test:8080/x", "https://seen.test/x"),
        ("location", "http://localhost:{port}/x", "http://shop.test:8080/x", "https://seen.test/x"),
        ("content-location", "//[::1]:{port}/x", "//shop.test:8080/x", "//seen.test/x"),
        ("refresh", "0;URL='//localhost:{port}/x'", "0;URL='//shop.test:8080/x'", "0;URL='//seen.test/x'"),
        ("location", "http://localhost/x", "http://localhost/x", "http://localhost/x"),
        ("location", "/home", "/home", "/home"),
        ("location", "http://else.test/", "http://else.test/", "http://else.test/"),
        ("location", "http://{own}0/", "http://OWN0/", "http://OWN0/"),
        ("location", "http://{own}.evil.test/", "http://OWN.evil.test/", "http://OWN.evil.test/"),
        (
            "location",
            "http://else.test/?to=http://{own}/",
            "http://else.test/?to=http://OWN/",
            "http://else.test/?to=http://OWN/",
        ),
        ("x-else", "http://{own}/", "http://OWN/", "http://OWN/"),
    ] {
        let proxy = "x-forwarded-proto: https\r\nx-forwarded-host: seen.test\r\n";
        let value = value.replace("{port}", &port);
        for (lines, wanted) in [("", plain), (proxy, secure)] {
            let answer = house.browser().send_raw(
                format!(
                    "GET / HTTP/1.1\r\nhost: shop.test:8080\r\nx-own: {own}\r\nx-answer: {name}: {value}\r\n{lines}\r\n"
                )
                .as_bytes(),
            );
            assert_eq!(answer.header(name), Some(wanted.replace("OWN", &own)), "{value}");
        }
    }
    let house = Cloakroom::before(app.address).upstream("rewrite_redirects = false").start();
    let lines = format!("x-own: {own}\r\nx-answer: location: http://{own}/home\r\n");
    let answer = house.browser().get_with("/", &lines);
    assert_eq!(answer.header("location"), Some(format!("http://{own}/home")), "switched off");
}

#[test]
fn a_request_that_goes_round_in_a_circle_is_let_out() {
    let app = App::start(|_| Reply::text("ok"));
    let house = Cloakroom::before(app.address).start();
    let via = |times: usize| format!("Via: 1.0 fred, {}\r\n", vec!["1.1 cloakroom"; times].join(", "));
    assert_eq!(house.browser().get_with("/", &via(7)).status, 200, "a chain of them is fine");
    assert_eq!(house.browser().get_with("/", &via(8)).status, 508);
    assert_eq!(app.received().len(), 1);
}

#[test]
fn what_connection_names_ends_here_in_trailers_as_well() {
    let stage = RawUpstream::open();
    let house = Cloakroom::before(stage.address()).start();
    let mut visitor = house.dial();
    let trailers = "1\r\na\r\n0\r\nX-Hop: 1\r\nX-Sum: 1\r\n\r\n";
    visitor.send(format!(
        "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: x-hop, te\r\n\
         transfer-encoding: chunked\r\n\r\n{trailers}"
    ));
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(format!("HTTP/1.1 200 OK\r\nconnection: x-hop\r\ntransfer-encoding: chunked\r\n\r\n{trailers}"));
    visitor.answer(false);
    for (side, got) in [("the app", &app.trailers), ("the visitor", &visitor.trailers)] {
        let names: Vec<_> = got.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert!(!names.contains(&"x-hop".to_owned()), "to {side}: {names:?}");
    }
}

#[test]
fn untrusted_https_claim_is_logged_once() {
    let app = App::start(|_| Reply::text(""));
    let house = Cloakroom::before(app.address).start();
    let lines = "x-forwarded-proto: https\r\n";
    house.browser().get("/");
    assert!(!house.log().contains("trusted_proxies"));
    for _ in 0..3 {
        let answer = house.browser().get_with("/", lines);
        assert!(!answer.set_cookies().swap_remove(0).contains("Secure"));
    }
    assert_eq!(house.log().matches("trusted_proxies = ['127.0.0.1']").count(), 1, "{}", house.log());
    let trusting = Cloakroom::before(app.address).config(TRUSTED).start();
    trusting.browser().get_with("/", lines);
    assert!(!trusting.log().contains("trusted_proxies"));
}

/// MOVE and COPY of `WebDAV` (RFC 4918 section 9.8), below a prefix that the app does not know.
#[test]
fn where_a_copy_goes_is_told_as_the_app_knows_itself() {
    let app = App::start(|request| Reply::text(request.header("destination").unwrap_or_default()));
    let own = app.address.to_string();
    for (rules, sent, wanted) in [
        ("", "http://shop.test/dav/b%20c%3Fx", "http://shop.test/b%20c%3Fx"),
        ("", "https://SHOP.test/dav", "https://SHOP.test/"),
        ("", "/dav/b", "/b"),
        ("", "http://else.test/dav/b", "http://else.test/dav/b"),
        ("host = \"server\"", "https://shop.test/dav/b", "http://OWN/b"),
        ("host = \"inner.test\"", "http://shop.test/dav/b", "http://inner.test/b"),
        ("rewrite_redirects = false", "http://shop.test/dav/b", "http://shop.test/dav/b"),
    ] {
        let house = Cloakroom::before(app.address)
            .upstream(rules)
            .config("[[routes]]\npath = \"/dav\"\nstrip_prefix = true\nupstream = \"app\"\n")
            .start();
        let head = format!("COPY /dav/a HTTP/1.1\r\nhost: shop.test\r\ndestination: {sent}\r\n\r\n");
        let answer = house.browser().send_raw(head.as_bytes());
        assert_eq!(answer.text(), wanted.replace("OWN", &own), "{rules}: {sent}");
    }
}

/// The gate of a route is not walked around by what is copied into it.
#[test]
fn where_a_copy_goes_is_on_the_same_route() {
    let app = App::start(|_| Reply::text("done"));
    let config = "[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/dav\"\nstrip_prefix = true\nupstream = \"app\"\n\
                  [[routes]]\npath = \"/admin\"\nrequire = \"principal\"\nupstream = \"app\"\n\
                  [[routes]]\nhost = \"b.test\"\nupstream = \"app\"\n\
                  [[routes]]\nhost = \"b.test\"\npath = \"/secret\"\nrequire = \"principal\"\nupstream = \"app\"";
    let house = Cloakroom::before(app.address).config(config).start();
    for (path, destination, status) in [
        ("/a", "http://b.test/secret/1", 403),
        ("/a", "http://else.test/b", 200),
        ("/a", "admin", 403),
        ("/a", "/b", 200),
        ("/a", "http://shop.test", 200),
        ("/a", "http://shop.test/b%3Fx=/admin", 200),
        // Some take what follows for a part of the name, and resolve it.
        ("/a", "http://shop.test/b?x=/admin", 403),
        ("/a", "/b?/../admin", 403),
        ("/a", "/b#/../admin", 403),
        ("/a", "http://shop.test?/../admin", 403),
        ("/a", "/b\r\ndestination: /admin", 403),
        ("/a", "/b\r\nDestination: /b", 403),
        ("/a", "http://shop.test/admin/b", 403),
        ("/a", "http://shop.test//admin", 403),
        ("/a", "http://shop.test/%61dmin/b", 403),
        ("/a", "/ADMIN/b", 403),
        ("/a", "/x/../admin", 403),
        ("/a", "//else.test/admin/b", 403),
        ("/a", "http://else.test/admin/b", 403),
        ("/a", "http:/admin/b", 403),
        ("/a", "HTTP:/admin/b", 403),
        ("/a", "https:/admin", 403),
        ("/a", "x:/admin", 403),
        ("/a", "ftp://shop.test/admin", 403),
        ("/a", "http:\\\\shop.test\\admin", 403),
        ("/a", "http:/\\admin", 403),
        ("/a", "http://shop.test'/admin", 403),
        ("/a", "admin/b", 403),
        ("/a", "/dav/b", 403),
        ("/dav/a", "/dav/b", 200),
        ("/dav/a", "/b", 403),
        ("/dav/a", "http://shop.test/dav/../admin", 403),
    ] {
        for method in ["MOVE", "COPY"] {
            let head =
                format!("{method} {path} HTTP/1.1\r\nhost: shop.test\r\ndestination: {destination}\r\n\r\n");
            assert_eq!(
                house.browser().send_raw(head.as_bytes()).status,
                status,
                "{method} {path}: {destination}"
            );
        }
        // An app that is told the method elsewhere, or does not mind its case, obeys it as well.
        for begin in ["move {}", "POST {}", "GET {}"] {
            let line = begin.replace("{}", path);
            let head = format!(
                "{line} HTTP/1.1\r\nhost: shop.test\r\nx-http-method-override: MOVE\r\ndestination: {destination}\r\n\r\n"
            );
            assert_eq!(house.browser().send_raw(head.as_bytes()).status, status, "{line}: {destination}");
        }
    }
    let head = "GET /a HTTP/1.1\r\nhost: shop.test\r\ndestination: Paris\r\ndestination: Rome\r\n\r\n";
    assert_eq!(house.browser().send_raw(head.as_bytes()).status, 200, "a field of the app's own");
}

#[test]
fn what_the_operator_names_no_visitor_may_say() {
    let app = App::start(|_| Reply::text("ok"));
    let house = Cloakroom::before(app.address)
        .config("[process]\nstrip = [\"Client-IP\", \"True-Client-IP\"]\n")
        .start();
    for name in ["Client-IP", "client_ip", "CLIENT.IP", "True-Client-Ip", "true_client-ip"] {
        house.browser().get_with("/", &format!("{name}: 10.0.0.1\r\nX-Client-IP: kept\r\n"));
        let head = String::from_utf8_lossy(&app.last().head).into_owned();
        assert!(!head.contains("10.0.0.1") && head.contains("kept"), "{name}: {head}");
    }
}
