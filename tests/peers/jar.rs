//! The jar against a client's: whatever an app sets, it gets back through `keep` what it gets back from curl's own jar.
//!
//! Where the two differ on purpose (RFC 6265bis; each is left out of what is rolled here):
//! - order: "Among cookies that have equal-length path fields, cookies with earlier creation-times are listed before
//!   cookies with later creation-times" (section 5.8.3); curl asks for the length of domain and name before that. So
//!   what is compared has no order.
//! - a Path that does not begin with `/`: "let cookie-path be the default-path" (section 5.6.4); curl takes `/`.
//! - a Path that ends with `/`: a prefix "and the last character of the cookie-path is `/`" (section 5.1.4), so `/x` does
//!   not match `/x/`; curl cuts the `/` off.
//! - a Max-Age that is no number: "ignore the cookie-av" (section 5.6.2); curl takes it for the end.
//! - an Expires that is no date, after one that is: "ignore the cookie-av" (section 5.6.1); curl forgets the first.
//! - a Domain that is the very host: "the same name, domain, host-only-flag, and path" (section 5.7) are one cookie; in
//!   curl's file the one with and the one without such a Domain take each other's place.
//! - two Domains: the last counts (section 5.7); curl refuses if either is foreign.
//! - nameless cookies: only those without a value as well are ignored (section 5.6); curl takes none.
//! - public suffixes: "user agents SHOULD" know them (section 5.7); nothing here does.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::server::spawn;
use crate::support::{App, Cloakroom};

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % sides
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all.get(self.roll(all.len())).copied().unwrap_or_default()
    }
}

const HOSTS: [&str; 4] = ["shop.test", "a.shop.test", "b.shop.test", "x.a.shop.test"];
const PATHS: [&str; 8] = ["/", "/x", "/x/", "/x/y", "/x/y/z?q=/x", "/xy", "/x/yz", "/z/x"];

/// One `Set-Cookie` line, odd as often as not.
fn line(dice: &mut Dice, host: &str) -> String {
    let names = ["a", "b", "c", "a b", "__Host-a", "__Secure-b", "$d", "\"e\""];
    let values = ["1", "2", "", "x=y", "\"quoted, 1\"", "with space", "a,b", "%00"];
    let mut line = format!("{}={}", dice.pick(&names), dice.pick(&values));
    let parts = [
        "; Path=/",
        "; path=/x",
        "; PATH = /x/y",
        "; Path=/; Path=/x",
        "; Domain=shop.test",
        "; domain=.shop.test",
        "; Domain=a.shop.test",
        "; Domain=SHOP.test",
        "; Domain=b.shop.test",
        "; Domain=op.test",
        "; Domain=other.test",
        "; Domain=x.a.shop.test",
        "; Domain=",
        "; Max-Age=0",
        "; Max-Age=-1",
        "; Max-Age=1000",
        "; Max-Age=99999999999",
        "; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "; Expires=Fri, 31 Dec 2100 23:59:59 GMT",
        "; expires=Fri, 31-Dec-2100 23:59:59 GMT",
        "; Expires=no date",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Lax",
        "; SameSite=Strict; HttpOnly",
        "; Foo=Bar",
        ";",
        "; =; ;",
    ];
    for _ in 0..dice.roll(4) {
        let part = dice.pick(&parts);
        let own = part.to_lowercase().ends_with(&format!("={host}")) || part.ends_with(&format!("=.{host}"));
        if !own && !["omain", "xpires"].iter().any(|name| part.contains(name) && line.contains(name)) {
            line += part;
        }
    }
    line
}

fn takes_back(line: &str) -> bool {
    ["=0", "=-1", "1970"].iter().any(|end| line.contains(end))
}

/// Asks as curl does, with its jar in this file.
fn curl(at: SocketAddr, jar: &Path, url: &str, lines: &[String]) {
    let mut command = Command::new("curl");
    command
        .args(["-sS", "-o", "/dev/null", "--connect-to", &format!("::{at}"), "-b"])
        .arg(jar)
        .arg("-c")
        .arg(jar);
    for line in lines {
        command.args(["-H", &format!("x-line: {line}")]);
    }
    command.args(["--noproxy", "*", url]);
    assert!(spawn(&mut command, "curl").wait().is_ok_and(|status| status.success()), "{url}");
}

/// The pairs that the app got with its last request, in no order.
fn got(app: &App) -> Vec<String> {
    let line = app.last().all("cookie").join("; ");
    let mut pairs: Vec<_> = line.split("; ").filter(|pair| !pair.is_empty()).map(str::to_owned).collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn an_app_gets_from_the_jar_what_it_gets_from_curls() {
    let (plain, kept) = (App::setting(), App::setting());
    let config = "[session.cookie]\ndomain = \"shop.test\"\n[session]\njar = { max_cookies = 1000, max_bytes = \"1 MiB\" }\n\
                  [[cookies]]\npreset = \"vault\"";
    let proxy = Cloakroom::before(kept.address).config(config).start();
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for seed in 1..=8 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
        let (own, ticket) =
            (folder.path().join(format!("own{seed}")), folder.path().join(format!("ticket{seed}")));
        let mut story = String::new();
        for _ in 0..25 {
            let host = dice.pick(&HOSTS);
            let url = format!("http://{host}{}", dice.pick(&PATHS));
            let mut lines: Vec<String> = (0..dice.roll(4)).map(|_| line(&mut dice, host)).collect();
            // curl reads its file once more before it writes it, and so finds again what it took out before the last line.
            let (gone, mut stays): (Vec<_>, _) = lines.drain(..).partition(|line| takes_back(line));
            stays.extend(gone.into_iter().take(1));
            let lines = stays;
            curl(plain.address, &own, &url, &lines);
            curl(proxy.address, &ticket, &url, &lines);
            assert_eq!(got(&kept), got(&plain), "seed {seed}, at {url}, after:\n{story}");
            compared += got(&plain).len();
            writeln!(story, "{url} {lines:#?}").unwrap();
        }
    }
    assert!(compared > 200, "too little came back to mean anything: {compared}");
}
