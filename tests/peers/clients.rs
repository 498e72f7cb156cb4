//! Clients as people have them, by https: what they ask for they get, and none of them complains.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cloakroom::testing::clock::Timestamp;
use rcgen::KeyUsagePurpose;
use serde_json::{Value, json};

use crate::harness::hints::hinting;
use crate::harness::webdriver::Chromium;
use crate::support::tunnel::echo;
use crate::support::{App, Authority, Cloakroom, Reply};

/// An app that counts visits, and says what it was sent.
fn counting() -> App {
    App::start(|request| {
        // Which browsers ask for when they like.
        if request.path() == "/favicon.ico" {
            return Reply::text("").status(404);
        }
        let visits =
            request.header("x-session-visits").and_then(|visits| visits.parse().ok()).unwrap_or(0) + 1;
        let page = match request.path() {
            "/large" => "x".repeat(3_000_000),
            _ => format!("<p>visit {visits}, {} bytes</p>", request.body.len()),
        };
        Reply::text(page).with(format!("x-session-set-visits: {visits}")).with("content-type: text/html")
    })
}

/// Before it, by https, with websockets that send back under `/ws`.
fn proxy(app: &App, authority: &Authority) -> Cloakroom {
    authority.issue("shop", &["localhost"]);
    Cloakroom::before(app.address)
        .listen(&authority.toml(&["shop"]))
        .config(&format!(
            "[upstreams.echo]\nservers = [\"http://{}\"]\nsession_write = false\nsession_login = false\n\
             session_fields = []\n[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/ws\"\nupstream = \"echo\"",
            echo()
        ))
        .start()
}

#[test]
fn python_requests_keeps_its_session_and_its_connection() {
    let (app, authority) = (counting(), Authority::new());
    let proxy = proxy(&app, &authority);
    let script = format!(
        "import requests\n\
         s = requests.Session()\n\
         s.trust_env, s.verify = False, {:?}\n\
         base = 'https://localhost:{}'\n\
         for n in range(1, 6):\n\
         \x20   r = s.get(base + '/')\n\
         \x20   assert r.status_code == 200 and f'visit {{n}},' in r.text, (n, r.text)\n\
         r = s.post(base + '/form', data=b'x' * 100_000)\n\
         assert '100000 bytes' in r.text, r.text\n\
         def pieces():\n\
         \x20   for _ in range(50): yield b'y' * 1000\n\
         r = s.post(base + '/stream', data=pieces())\n\
         assert '50000 bytes' in r.text, r.text\n\
         assert len(s.get(base + '/large').content) == 3_000_000\n\
         assert len(s.cookies) == 1 and s.cookies.keys()[0] == '__Host-cloakroom', s.cookies\n\
         try:\n\
         \x20   requests.get(base + '/')\n\
         \x20   raise SystemExit('an unknown certificate was taken')\n\
         except requests.exceptions.SSLError: pass\n\
         print('done')\n",
        authority.root().display().to_string(),
        proxy.address.port()
    );
    // Debian's own, which is where its packages are.
    let output = Command::new("/usr/bin/python3").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "done", "{output:?}");
}

#[test]
fn curl_uploads_resumes_and_keeps_a_jar_by_either_protocol() {
    let (app, authority) = (counting(), Authority::new());
    let proxy = proxy(&app, &authority);
    let base = format!("https://localhost:{}", proxy.address.port());
    let root = authority.root().display().to_string();
    let body = authority.path("body");
    std::fs::write(&body, "z".repeat(2_000_000)).unwrap();
    let body = format!("@{}", body.display());
    for (protocol, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let jar = authority.path(&format!("jar{version}")).display().to_string();
        let curl = |more: &[&str]| {
            let own = [
                "-sS",
                protocol,
                "--cacert",
                &root,
                "-c",
                &jar,
                "-b",
                &jar,
                "-w",
                " %{http_version} %{http_code}",
            ];
            let output = Command::new("curl").args(own).args(more).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        for visit in 1..=2 {
            assert_eq!(curl(&[&base]), format!("<p>visit {visit}, 0 bytes</p> {version} 200"));
        }
        // With `Expect: 100-continue`, since it is large.
        let told = curl(&["-X", "PUT", "-H", "expect: 100-continue", "--data-binary", &body, &base]);
        assert_eq!(told, format!("<p>visit 3, 2000000 bytes</p> {version} 200"));
        assert_eq!(curl(&["-I", "-o", "/dev/null", &base]).trim(), format!("{version} 200"));
    }
}

#[test]
fn chromium_shows_a_padlock_speaks_http2_and_opens_websockets() {
    let (app, authority) = (counting(), Authority::new());
    let proxy = proxy(&app, &authority);
    let base = format!("https://localhost:{}", proxy.address.port());
    let browser = Chromium::trusting(&authority.root());
    for visit in 1..=2 {
        browser.open(&format!("{base}/"));
        browser.shows("p", &format!("visit {visit}, 0 bytes"));
    }
    assert_eq!(browser.run("return window.isSecureContext && location.protocol"), json!("https:"));
    let spoken = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.run(spoken), json!("h2"));
    let cookies = browser.cookies();
    let names: Vec<_> = cookies.iter().map(|cookie| (cookie.get("name"), cookie.get("secure"))).collect();
    assert_eq!(names, [(Some(&json!("__Host-cloakroom")), Some(&json!(true)))]);
    browser.run(
        "document.body.innerHTML = '<p></p>'; const socket = new WebSocket(`wss://${location.host}/ws`); \
         socket.onopen = () => socket.send('zo\\u00eb'); \
         socket.onmessage = event => { document.querySelector('p').innerText = event.data; socket.close(1000, 'bye') }; \
         socket.onclose = event => { document.querySelector('p').innerText += ` ${event.code} ${event.wasClean}` }",
    );
    browser.shows("p", "zo\u{eb} 1000 true");
}

#[test]
fn chromium_follows_an_early_hint_while_the_app_still_thinks() {
    let authority = Authority::new();
    authority.issue("shop", &["localhost"]);
    let proxy = Cloakroom::before(hinting()).listen(&authority.toml(&["shop"])).start();
    let browser = Chromium::trusting(&authority.root());
    browser.open(&format!("https://localhost:{}/", proxy.address.port()));
    browser.shows("p", "hinted");
    let how = "return performance.getEntriesByName(location.origin + '/a.css')[0].initiatorType";
    assert_eq!(browser.run(how), json!("early-hints"));
}

/// Whoever looks for weaknesses of TLS finds none: by Mozilla's recommendations for servers of today, or, where that
/// tool is not to be had, by Debian's.
#[test]
fn scanners_of_tls_find_nothing() {
    let (app, authority) = (counting(), Authority::new());
    let (day, now) = (Duration::from_hours(24), Timestamp::now().system());
    authority.issue_with("shop", &["localhost", "127.0.0.1"], |params| {
        (params.not_before, params.not_after) = ((now - day).into(), (now + 90 * day).into());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
    });
    let proxy = Cloakroom::before(app.address).listen(&authority.toml(&["shop"])).start();
    let (target, root) = (format!("localhost:{}", proxy.address.port()), authority.root());
    let sslyze = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers-venv/bin/sslyze");
    if Path::new(sslyze).exists() {
        let output = Command::new(sslyze).arg("--certinfo_ca_file").arg(&root).arg(&target).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && told.contains("OK - Compliant"), "{told}");
        for weakness in ["VULNERABLE", "Supported, but", "NOT SUPPORTED - Secure"] {
            assert!(!told.contains(weakness), "{weakness}: {told}");
        }
        return;
    }
    let report = authority.path("report.json");
    let output = Command::new("testssl")
        .args(["--quiet", "--warnings", "off", "--protocols", "--server-defaults", "--vulnerable", "--fs"])
        .arg("--add-ca")
        .arg(&root)
        .arg("--jsonfile")
        .arg(&report)
        .arg(&target)
        .output()
        .unwrap_or_else(|_| {
            panic!(
                "neither sslyze (`target/peers-venv/bin/pip install sslyze`) nor `apt-get install testssl.sh`"
            )
        });
    let found: Vec<Value> = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert!(found.len() > 40, "{output:?}");
    for finding in found {
        // It wants to ask on the internet whether the certificate was revoked, which an authority of a test cannot say.
        let fine = ["OK", "INFO", "LOW", "WARN"].iter().any(|fine| finding["severity"] == *fine);
        assert!(fine || finding["id"] == "cert_revocation", "{finding}");
    }
}
