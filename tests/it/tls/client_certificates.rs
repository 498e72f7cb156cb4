//! Certificates of visitors: whose are taken, what the app is told of them, and what nobody can say instead.

use http::Request;
use rcgen::DnType;

use cloakroom::testing::config::Config;

use crate::support::http2::Http2;
use crate::support::{App, Authority, Caller, Cloakroom, Ending, Reply, eventually};

/// A CA for servers, one for visitors, and one that nobody trusts; each has issued something.
fn authorities() -> [Authority; 3] {
    let all = [Authority::new(), Authority::new(), Authority::new()];
    all[0].issue("shop", &["shop.example"]);
    for issuer in &all[1..] {
        issuer.issue_with("zoe", &["zoe.example"], |params| {
            params.distinguished_name.push(DnType::OrganizationName, "Shop, Ltd");
            params.distinguished_name.push(DnType::CommonName, "Zo\u{eb}");
        });
    }
    all
}

/// RFC 4514: from its end, commas and what is no ASCII escaped.
const SUBJECT: &str = "O=Shop\\, Ltd,CN=Zo\\C3\\AB";

/// With a second listener, for those without a certificate.
fn proxy(app: &App, [servers, visitors, _]: &[Authority; 3], require: bool) -> Cloakroom {
    let ca = visitors.root().display().to_string();
    let listen = servers.toml(&["shop"]);
    let listen = format!("{listen}\nclient_certificates = {{ ca = \"{ca}\", require = {require} }}");
    let second = format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{}", servers.toml(&["shop"]));
    Cloakroom::before(app.address).listen(&listen).config(&second).start()
}

/// What the app is told of who asks with this header of their own; nothing if they are not served.
fn told(app: &App, proxy: &Cloakroom, caller: &Caller) -> Option<Vec<String>> {
    let before = app.received().len();
    let mut wire = caller.dial(proxy.address, "shop.example").ok()?;
    for _ in 0..2 {
        let ask = "GET / HTTP/1.1\r\nhost: shop.example\r\nX-Client-Cert-Subject: CN=root\r\nx_client_cert_subject: CN=root\r\n\r\n";
        if std::io::Write::write_all(wire.stream(), ask.as_bytes()).is_err() {
            return None;
        }
        let Ok(Some(_)) = wire.head() else {
            assert_eq!(
                (wire.ending(), app.received().len()),
                (Ending::Over, before),
                "cut, and nobody was asked"
            );
            return None;
        };
        drop(wire.exactly(2));
    }
    let last = app.last();
    Some([last.all("x-client-cert-subject"), last.all("x_client_cert_subject")].concat())
}

#[test]
fn client_certificate_subject_reaches_the_app() {
    let app = App::start(|_| Reply::text("ok"));
    let all = authorities();
    let [servers, visitors, strangers] = &all;
    for require in [true, false] {
        let proxy = proxy(&app, &all, require);
        let zoe = servers.caller_showing(visitors, "zoe");
        // The second time by a ticket, which brings the subject along.
        for _ in 0..3 {
            assert_eq!(told(&app, &proxy, &zoe), Some(vec![SUBJECT.to_owned()]), "{require}");
        }
        assert_eq!(told(&app, &proxy, &servers.caller_showing(strangers, "zoe")), None, "of another CA");
        let nothing = (!require).then(Vec::new);
        assert_eq!(told(&app, &proxy, &servers.caller()), nothing, "none: {require}");
        assert_eq!(told(&app, &proxy, &servers.old_caller()), nothing, "none, by TLS 1.2: {require}");
        let mut visitor = Http2::dial_tls(proxy.address, &zoe, "shop.example");
        for _ in 0..2 {
            let forged = Request::get("https://shop.example/").header("x-client-cert-subject", "CN=root");
            assert_eq!(visitor.ask(forged.body(()).unwrap(), None).unwrap().status, 200);
            assert_eq!(app.last().all("x-client-cert-subject"), [SUBJECT]);
        }
    }
}

#[test]
fn on_one_connection_every_name_is_under_the_same_rule() {
    let app = App::start(|_| Reply::text("ok"));
    let all = authorities();
    let [servers, visitors, _] = &all;
    let proxy = proxy(&app, &all, true);
    let mut visitor =
        Http2::dial_tls(proxy.address, &servers.caller_showing(visitors, "zoe"), "shop.example");
    for name in ["shop.example", "other.example", "127.0.0.1"] {
        let request = Request::get(format!("https://{name}/")).body(()).unwrap();
        assert_eq!(visitor.ask(request, None).unwrap().status, 200);
        let asked = app.last();
        assert_eq!(asked.all("host"), [name]);
        assert_eq!(asked.all("x-client-cert-subject"), [SUBJECT], "{name}");
    }
}

#[test]
fn a_ticket_of_a_listener_that_asks_for_nothing_opens_no_other() {
    let app = App::start(|_| Reply::text("ok"));
    let all = authorities();
    let proxy = proxy(&app, &all, true);
    let mut second = None;
    eventually("the log tells where the second one is", || {
        let log = proxy.log();
        let ports = log
            .split("://127.0.0.1:")
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        second =
            ports.map(|port: u16| ([127, 0, 0, 1], port).into()).find(|address| *address != proxy.address);
        second.is_some()
    });
    for caller in [all[0].caller(), all[0].old_caller()] {
        let ask = |resumed| {
            let mut wire = caller.dial(second.unwrap(), "shop.example").unwrap();
            wire.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
            assert_eq!((wire.answer(false).status, wire.is_resumed()), (200, resumed));
        };
        ask(false);
        ask(true);
        assert_eq!(told(&app, &proxy, &caller), None);
    }
}

/// Every listener leads to the same routes.
#[test]
fn another_listener_without_them_is_told() {
    let tls = "tls = { certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }] }";
    for (guard, other, wanted) in [
        ("client_certificates = { ca = \"ca.pem\" }", "", true),
        ("client_certificates = { ca = \"ca.pem\" }", "redirect_to_https = true", false),
        ("client_certificates = { ca = \"ca.pem\", require = false }", "", false),
        ("", "", false),
    ] {
        let toml = format!(
            "[[listen]]\naddress = \"127.0.0.1:1\"\n{tls}\n{guard}\n[[listen]]\naddress = \"127.0.0.1:2\"\n{other}\n\
             [[routes]]\nupstream = \"a\"\n[upstreams.a]\nservers = [\"unix:/a\"]\n"
        );
        let (_, warnings) = Config::parse("x.toml", &toml).unwrap();
        let told = warnings.list.iter().any(|warning| {
            warning.message == "by 127.0.0.1:2 whoever has no client certificate gets the same routes"
        });
        assert_eq!(told, wanted, "{warnings}{toml}");
    }
}
