//! Malformed and ambiguous messages, by the thousand, between requests of somebody else: nobody gets another's answer,
//! nothing is asked of the app that the access log does not know, and the process lives.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use crate::support::corpus::{answers, requests};
use crate::support::strict::{Asked, Strict};
use crate::support::wire::{Framing, framing, header, parse};
use crate::support::{Cloakroom, Wire, eventually};

/// How many speak at once, each with a victim of its own.
const THREADS: usize = 6;

/// An answer, as far as it can be understood.
struct Heard {
    status: u16,
    who: Option<String>,
    text: String,
}

fn heard(wire: &mut Wire) -> Option<Heard> {
    loop {
        let (start, headers) = parse(&wire.head().ok()??);
        let status = start.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let empty =
            header(&headers, "x-method").as_deref() == Some("HEAD") || matches!(status, 101 | 204 | 304);
        let told = if empty { Framing::Length(0) } else { framing(&headers, Framing::Close) };
        let body = wire.body(told).ok()?;
        let text = String::from_utf8_lossy(&body).into_owned();
        return Some(Heard { status, who: header(&headers, "x-who"), text });
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Somebody whose connection is kept and who minds their own business.
struct Victim {
    wire: Wire,
    address: Ipv4Addr,
}

impl Victim {
    fn new(proxy: &Cloakroom, number: usize) -> Self {
        let address = Ipv4Addr::new(127, 2, 0, u8::try_from(number).unwrap() + 1);
        Self { wire: proxy.dial_from(address), address }
    }

    fn asks(&mut self, target: &str, beside: &[u8]) {
        self.wire.send(get(target));
        let answer = heard(&mut self.wire);
        let told = answer.map(|answer| (answer.status, answer.who, answer.text));
        let wanted = Some((200, Some(self.address.to_string()), target.to_owned()));
        assert_eq!(told, wanted, "the victim of {:?}", String::from_utf8_lossy(beside));
    }
}

fn proxy(app: &Strict) -> Cloakroom {
    // One worker, so that all share its connections to the app. What waits for more is given up soon.
    Cloakroom::before(app.address)
        .upstream("first_byte_timeout = \"300ms\"")
        .config(
            "[process]\nworkers = 1\n[limits]\nrequest_head_timeout = \"300ms\"\nbody_idle_timeout = \"300ms\"\n\
             [[routes]]\nupstream = \"app\"\nresponse_idle_timeout = \"300ms\"",
        )
        .start()
}

/// Nothing was asked of the app that the access log does not know, nothing could be read in two ways, nothing broke.
fn settle(app: &Strict, proxy: &mut Cloakroom) {
    let logged = || {
        let mut all = BTreeMap::<Asked, usize>::new();
        for line in proxy.access() {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let part =
                |name: &str| line.get(name).and_then(|part| part.as_str()).unwrap_or_default().to_owned();
            *all.entry((part("client"), part("method"), part("target"))).or_default() += 1;
        }
        all
    };
    let asked = app.seen.lock().unwrap().requests.clone();
    eventually("the access log knows all that the app was asked", || {
        let logged = logged();
        let unknown = asked.iter().find(|(asked, count)| logged.get(asked).is_none_or(|known| known < count));
        unknown.is_none()
    });
    let seen = app.seen.lock().unwrap();
    assert!(seen.faults.is_empty(), "of {} faults the first: {:?}", seen.faults.len(), seen.faults.first());
    drop(seen);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn what_is_malformed_reaches_nobody_and_mixes_up_nothing() {
    let app = Strict::start(|_| None);
    let mut proxy = proxy(&app);
    let cases = requests(1_800);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (proxy, cases) = (&proxy, &cases);
            scope.spawn(move || {
                let mine = cases.iter().enumerate().skip(number).step_by(THREADS);
                attack(proxy, number, mine);
            });
        }
    });
    settle(&app, &mut proxy);
}

fn attack<'a>(proxy: &Cloakroom, number: usize, cases: impl Iterator<Item = (usize, &'a Vec<u8>)>) {
    let mut victim = Victim::new(proxy, number);
    let address = Ipv4Addr::new(127, 1, 0, u8::try_from(number).unwrap() + 1);
    let mut kept = None;
    for (case, bytes) in cases {
        let mut wire = kept.take().unwrap_or_else(|| proxy.dial_from(address));
        wire.stream().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let (before, after) = (format!("/before-{case}"), format!("/after-{case}"));
        wire.send_if_heard(&[get(&before).as_bytes(), bytes, get(&after).as_bytes()].concat());
        victim.asks(&format!("/victim-{case}"), bytes);
        let mut first = true;
        while let Some(answer) = heard(&mut wire) {
            let story = || format!("{:?}: {} {}", String::from_utf8_lossy(bytes), answer.status, answer.text);
            if answer.status == 200 {
                assert_eq!(answer.who, Some(address.to_string()), "{}", story());
            } else {
                assert!(answer.status >= 400 || answer.status == 204, "{}", story());
            }
            if first {
                assert_eq!(answer.text, before, "{}", story());
            }
            first = false;
            if answer.text == after {
                kept = Some(wire);
                break;
            }
        }
        victim.asks(&format!("/victim-{case}-later"), bytes);
    }
}

#[test]
fn what_an_app_says_amiss_is_told_to_nobody_else() {
    let script = answers(300);
    let cases = script.len();
    let app = Strict::start(move |target| {
        let (case, close) = target.strip_prefix("/amiss-")?.split_once('-')?;
        Some((script.get(case.parse::<usize>().ok()?)?.clone(), close == "close"))
    });
    let mut proxy = proxy(&app);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut victim = Victim::new(proxy, number);
                let address = Ipv4Addr::new(127, 1, 0, u8::try_from(number).unwrap() + 1);
                for case in (0..cases).skip(number).step_by(THREADS) {
                    for end in ["close", "open"] {
                        let mut wire = proxy.dial_from(address);
                        let target = format!("/amiss-{case}-{end}");
                        wire.send(get(&target));
                        let whole = heard(&mut wire).is_some();
                        victim.asks(&format!("/victim-{case}-{end}"), target.as_bytes());
                        if whole {
                            let after = format!("/after-{case}-{end}");
                            wire.send_if_heard(get(&after).as_bytes());
                            if let Some(answer) = heard(&mut wire) {
                                assert_eq!((answer.status, answer.text), (200, after), "{target}");
                                assert_eq!(answer.who, Some(address.to_string()), "{target}");
                            }
                        }
                        victim.asks(&format!("/victim-{case}-{end}-later"), target.as_bytes());
                    }
                }
            });
        }
    });
    settle(&app, &mut proxy);
}
