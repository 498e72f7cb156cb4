//! Lines that no specification foresaw, and apps send all the same: they pass byte for byte, or with the one change that
//! a rule names.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, with the place")]

use cloakroom::testing::{
    config::{AttributeRule, CookieAction, CookieRule, RuleSecure, SameSite},
    cookies::{CookieRules, LineVerdict, SealedFor},
    crypto::KeySecrets,
    message::cookie::{RetainedLine, retain},
};
use cookie::Cookie;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use crate::support::{App, Cloakroom, Reply, scope};

/// What stands before the first `;`. `@` is 8 KiB.
const PAIRS: [&[u8]; 30] = [
    b"a=b",
    b"a=",
    b"=b",
    b"=",
    b"",
    b"a",
    b" a = b ",
    b"\ta\t=\tb",
    b"a==",
    b"a=b=c==",
    b"a=\"q\"",
    b"a=\"q, r\"",
    b"a=\"q\\\"r\"",
    b"a=\"open",
    b"a='x'",
    b"a=b,c",
    b"a b=c d",
    b"a,b=c",
    b"a={\"j\":[1,2]}",
    b"a=%00%zz%",
    b"a=@",
    "ü=é".as_bytes(),
    "a=日本語".as_bytes(),
    b"\xfc=\xe9\xff",
    b"a=\xc3\x28",
    b"$Version=1",
    b"__Host-a=b",
    b"__secure-A=b",
    b"a=b\x01c\x7f",
    b"Path=/x",
];

/// What stands after it.
const TAILS: [&[u8]; 14] = [
    b"",
    b";",
    b";;;",
    b"; Path=/; HttpOnly",
    b";path = /x ;PATH=/y;SECURE",
    b"; Secure=no; httponly=1",
    b"; Expires=Wed, 09 Jun 2027 10:18:14 GMT",
    b"; expires=Wednesday, 09-Jun-27 10:18:14 GMT; Max-Age=no",
    b"; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=-1",
    b"; Domain=.Example.COM; domain=b; Domain=",
    b"; Foo=Bar; foo; =x; = ;\tBar=\"1;2\"",
    b"; SameSite=Whatever; samesite=NONE; Partitioned; Priority=High",
    "; Kommentar=ü; Comment=\"a, b\"; Version=1".as_bytes(),
    b"; Path=/\xe9; Max-Age=99999999999999999999",
];

fn corpus() -> Vec<Vec<u8>> {
    let long = "x".repeat(8192);
    let pair = |pair: &[u8]| if pair == b"a=@" { [b"a=", long.as_bytes()].concat() } else { pair.to_vec() };
    PAIRS.iter().flat_map(|p| TAILS.iter().map(move |tail| [&pair(p), *tail].concat())).collect()
}

fn rules(rule: CookieRule) -> CookieRules {
    CookieRules::build(&[CookieRule { name: "*".into(), ..rule }], &KeySecrets::ephemeral())
}

/// Splits a line as a reader with a pencil would, and sets one attribute: the naive way, in the plainest code there is.
fn by_hand(line: &[u8], attribute: &str, value: Option<&[u8]>) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = line.split(|byte| *byte == b';').map(<[u8]>::to_vec).collect();
    let mut found = false;
    for part in parts.iter_mut().skip(1) {
        let equals = part.iter().position(|byte| *byte == b'=');
        let name = part.get(..equals.unwrap_or(part.len())).unwrap().to_vec();
        if !name.trim_ascii().eq_ignore_ascii_case(attribute.as_bytes()) {
            continue;
        }
        found = true;
        let Some(value) = value else { continue };
        let said = equals.map(|at| part.get(at + 1..).unwrap().trim_ascii().to_vec());
        if said.is_none_or(|said| !said.eq_ignore_ascii_case(value)) {
            *part = [name.trim_ascii_end(), b"=", value].concat();
        }
    }
    let mut whole = parts.join(&b';');
    if !found {
        let value = value.map(|value| [b"=", value].concat()).unwrap_or_default();
        whole.extend_from_slice(&[b"; ", attribute.as_bytes(), &value].concat());
    }
    whole
}

#[test]
fn odd_set_cookie_lines_change_only_as_the_rule_says() {
    let pass = rules(CookieRule { action: CookieAction::Pass, ..CookieRule::default() });
    let secure = rules(CookieRule {
        secure: Some(AttributeRule::Always(RuleSecure::Always)),
        ..CookieRule::default()
    });
    let http_only =
        rules(CookieRule { http_only: Some(AttributeRule::Always(true)), ..CookieRule::default() });
    let lax =
        rules(CookieRule { same_site: Some(AttributeRule::Always(SameSite::Lax)), ..CookieRule::default() });
    let lines = corpus();
    assert!(lines.len() >= 400);
    let (mut rewritten, mut judged) = (0, 0);
    for line in &lines {
        let shown = line.get(..line.len().min(80)).unwrap().escape_ascii();
        assert_eq!(
            pass.apply(line.as_slice(), &scope(), SealedFor::Later),
            LineVerdict::Untouched,
            "{shown}"
        );
        for (rules, attribute, value) in
            [(&secure, "Secure", None), (&http_only, "HttpOnly", None), (&lax, "SameSite", Some(&b"Lax"[..]))]
        {
            let wanted = by_hand(line, attribute, value);
            match rules.apply(line.as_slice(), &scope(), SealedFor::Later) {
                LineVerdict::Untouched => assert_eq!(&wanted, line, "{attribute}: {shown}"),
                LineVerdict::Rewritten(new) => {
                    assert_eq!(
                        new.escape_ascii().to_string(),
                        wanted.escape_ascii().to_string(),
                        "{attribute}"
                    );
                    rewritten += 1;
                    judged += u32::from(agrees(line, &new, attribute));
                }
                // What browsers would refuse passes as it is.
                LineVerdict::Refused(_) => {}
                other => panic!("{other:?}: {shown}"),
            }
        }
    }
    assert!(rewritten > 500 && judged > 250, "{rewritten} {judged}");
}

/// The `cookie` crate as a judge, where it can read the line: all that it sees is the same but for the one attribute.
fn agrees(old: &[u8], new: &[u8], attribute: &str) -> bool {
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else { return false };
    let (Ok(mut old), Ok(mut new)) = (Cookie::parse(old.to_owned()), Cookie::parse(new.to_owned())) else {
        return false;
    };
    for cookie in [&mut old, &mut new] {
        match attribute {
            "Secure" => cookie.set_secure(None),
            "HttpOnly" => cookie.set_http_only(None),
            _ => cookie.set_same_site(None),
        }
    }
    assert_eq!(old, new, "{attribute}");
    true
}

#[test]
fn odd_set_cookie_values_reach_the_browser_unchanged() {
    // Spaces around a field's value are no part of it, and an empty line says nothing.
    let text =
        |line: Vec<u8>| String::from_utf8(line).ok().filter(|line| line.trim() == line && !line.is_empty());
    let no_control = |line: &String| !line.chars().any(|c| c.is_control() && c != '\t');
    let lines: Vec<String> = corpus().into_iter().filter_map(text).filter(no_control).collect();
    assert!(lines.len() >= 200, "{}", lines.len());
    // Few of the longest fit into one head.
    let (short, long): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.len() < 1000);
    for chunk in short.chunks(60).chain(long.chunks(3)) {
        let sent = chunk.to_vec();
        let app = App::start(move |_| {
            sent.iter().fold(Reply::text(""), |reply, line| reply.with(format!("Set-Cookie: {line}")))
        });
        let rules =
            "[[cookies]]\nname = \"other\"\naction = \"drop\"\n[[cookies]]\nname = \"*\"\naction = \"pass\"";
        let proxy = Cloakroom::before(app.address).config(rules).start();
        let mut cookies = proxy.browser().get("/").set_cookies();
        cookies.retain(|line| !line.contains("cloakroom="));
        assert_eq!(cookies, chunk);
    }
}

#[test]
fn cookie_headers_lose_our_pair_and_nothing_else() {
    let piece = prop_oneof![
        "[ \t]{0,2}[a-z$\"\\\\]{0,3}[ ]?=[ ]?[ -:<-~\u{e9}]{0,6}",
        "[ -:<-~]{0,6}",
        Just(" ours=secret".to_owned()),
        Just("ours=".to_owned()),
        Just(" OURS=x".to_owned()),
    ];
    let config =
        proptest::test_runner::Config { cases: 100_000, failure_persistence: None, ..Default::default() };
    TestRunner::new(config)
        .run(&vec(piece, 0..8), |pieces| {
            let line = pieces.join(";");
            let is_ours = |piece: &str| {
                piece.split_once('=').is_some_and(|(name, _)| name.trim_matches([' ', '\t']) == "ours")
            };
            let is_blank = |piece: &str| piece.trim_matches([' ', '\t']).is_empty();
            // A piece with a `;` in it is two.
            let all: Vec<&str> = line.split(';').collect();
            let kept: Vec<&str> = all.iter().copied().filter(|piece| !is_ours(piece)).collect();
            let wanted = if kept.len() == all.len() {
                RetainedLine::Unchanged
            } else if kept.iter().all(|piece| is_blank(piece)) {
                RetainedLine::Empty
            } else {
                let mut joined = kept.join(";");
                // The space after a `;` goes with it.
                if is_ours(all.first().copied().unwrap_or_default()) {
                    joined = joined.trim_start_matches([' ', '\t']).to_owned();
                }
                RetainedLine::Changed(joined.into_bytes())
            };
            prop_assert_eq!(retain(line.as_bytes(), |name| name != b"ours"), wanted, "{:?}", line);
            Ok(())
        })
        .unwrap();
}
