//! What is malformed or can be read in two ways, after the grammar of RFC 9110 and 9112 and after published tricks, and
//! mutations of it from a seed: the same in every run.
#![expect(clippy::indexing_slicing, reason = "places that were drawn within the bounds")]

mod lists;

use lists::{CHUNKS, CODINGS, HOSTS, HOT, LENGTHS, LINES, ODD_LINES, STARTS, STATUS_LINES};

/// Random numbers that are the same in every run (`SplitMix64`).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    /// One of them.
    pub(crate) fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Changes a message in one to three places.
fn mutated(message: &[u8], random: &mut Seeded) -> Vec<u8> {
    let mut bytes = message.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let ends: Vec<_> =
            bytes.windows(2).enumerate().filter(|(_, w)| w == b"\r\n").map(|(at, _)| at + 2).collect();
        let line = ends.get(random.below(ends.len())).copied().unwrap_or(0);
        match random.below(9) {
            0 => drop(bytes.splice(at..at, random.one(&HOT).iter().copied())),
            1 => drop(bytes.splice(at..=at, random.one(&HOT).iter().copied())),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] ^= 1 << random.below(8),
            4 | 5 => drop(bytes.splice(line..line, random.one(&LINES).bytes())),
            // A line end that is only half of one.
            6 if line > 1 => drop(bytes.remove(line - 1 - random.below(2))),
            7 => {
                let end = (at + 1 + random.below(30)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => drop(bytes.splice(line..line, *b" ")),
        }
        if bytes.is_empty() {
            return b"\r\n".to_vec();
        }
    }
    bytes
}

/// So many of them: those written by hand, then mutations.
fn filled(by_hand: &[Vec<u8>], good: &[Vec<u8>], count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Seeded(seed);
    let mut all = by_hand.to_vec();
    while all.len() < count {
        // Every other one from what is valid: near misses are the more dangerous ones.
        let from = if all.len().is_multiple_of(2) { good } else { by_hand };
        let changed = mutated(&from[random.below(from.len())], &mut random);
        if !from.contains(&changed) {
            all.push(changed);
        }
    }
    all
}

/// The request that an attacker hides.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// Requests, at least `count`.
pub(crate) fn requests(count: usize) -> Vec<Vec<u8>> {
    let post =
        |lines: &str, body: &str| format!("POST /p HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}").into_bytes();
    let get = |lines: &str| format!("GET /g HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
    let mut all = Vec::new();
    // Which of the two counts: CL.TE, TE.CL, TE.TE (RFC 9112 section 11.2).
    for coding in CODINGS {
        all.push(post(&format!("Content-Length: 4\r\n{coding}\r\n"), &format!("0\r\n\r\n{HIDDEN}")));
        all.push(post(&format!("{coding}\r\nContent-Length: 5\r\n"), &format!("0\r\n\r\n{HIDDEN}")));
        all.push(post(&format!("{coding}\r\n"), &format!("0\r\n\r\n{HIDDEN}")));
        all.push(post(&format!("{coding}\r\nTransfer-Encoding: chunked\r\n"), &format!("0\r\n\r\n{HIDDEN}")));
        all.push(post(&format!("Transfer-Encoding: chunked\r\n{coding}\r\n"), &format!("0\r\n\r\n{HIDDEN}")));
    }
    for length in LENGTHS {
        all.push(post(&format!("{length}\r\n"), HIDDEN));
        all.push(post(&format!("{length}\r\nContent-Length: 5\r\n"), HIDDEN));
        all.push(post(&format!("Content-Length: 5\r\n{length}\r\n"), HIDDEN));
        all.push(get(&format!("{length}\r\n")));
    }
    for chunks in CHUNKS {
        all.push(post("Transfer-Encoding: chunked\r\n", &format!("{chunks}{HIDDEN}")));
    }
    for line in ODD_LINES {
        all.push(get(&format!("{line}\r\n")));
        all.push(post(&format!("{line}\r\nContent-Length: 2\r\n"), &format!("hi{HIDDEN}")));
        all.push(format!("GET /g HTTP/1.1\r\n{line}\r\nHost: a\r\n\r\n{HIDDEN}").into_bytes());
    }
    for start in STARTS {
        all.push(format!("{start}\r\nHost: a\r\n\r\n{HIDDEN}").into_bytes());
        all.push(format!("{start}\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi{HIDDEN}").into_bytes());
    }
    for host in HOSTS {
        all.push(format!("GET /g HTTP/1.1\r\n{host}\r\n\r\n{HIDDEN}").into_bytes());
    }
    // Without a body where one is expected, with one where none is, and the hidden one in it.
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "CONNECT", "PUT", "PATCH", "PRI", "QUERY"] {
        for lines in [
            format!("Content-Length: {}\r\n", HIDDEN.len()),
            "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n".to_owned(),
            "Expect: 100-continue\r\nContent-Length: 0\r\n".to_owned(),
            "Expect: 100-continue\r\nContent-Length: 9\r\n".to_owned(),
        ] {
            all.push(format!("{method} /m HTTP/1.1\r\nHost: a\r\n{lines}\r\n{HIDDEN}").into_bytes());
        }
    }
    let good = [
        get(""),
        get("Cookie: a=b; c=d\r\nAccept: */*\r\n"),
        post("Content-Length: 5\r\n", "hello"),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", "5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
        post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
        get(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
        ),
        b"GET http://a/abs?x=y HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n".to_vec(),
        b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(),
        [post("Content-Length: 5\r\n", "hello"), get("")].concat(),
    ];
    filled(&all, &good, count, 0x0c10_a6f0)
}

/// Answers, at least `count`. Many hold a second one that nobody asked for.
pub(crate) fn answers(count: usize) -> Vec<Vec<u8>> {
    const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let ok = |lines: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}").into_bytes();
    let mut all = Vec::new();
    for coding in CODINGS {
        all.push(ok(&format!("{coding}\r\n"), &format!("2\r\nok\r\n0\r\n\r\n{EVIL}")));
        all.push(ok(&format!("Content-Length: 2\r\n{coding}\r\n"), &format!("2\r\nok\r\n0\r\n\r\n{EVIL}")));
    }
    for length in LENGTHS {
        all.push(ok(&format!("{length}\r\n"), &format!("hello{EVIL}")));
        all.push(ok(&format!("{length}\r\nContent-Length: 5\r\n"), &format!("hello{EVIL}")));
    }
    for chunks in CHUNKS {
        all.push(ok("Transfer-Encoding: chunked\r\n", &format!("{chunks}{EVIL}")));
    }
    for line in ODD_LINES {
        all.push(ok(&format!("{line}\r\nContent-Length: 2\r\n"), &format!("ok{EVIL}")));
    }
    for start in STATUS_LINES {
        all.push(format!("{start}\r\nContent-Length: 2\r\n\r\nok{EVIL}").into_bytes());
        all.push(
            format!("{start}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{EVIL}").into_bytes(),
        );
    }
    for interim in [
        "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.0 100 Continue\r\n\r\n",
    ] {
        all.push(format!("{interim}{EVIL}").into_bytes());
        all.push(format!("{}{EVIL}", interim.repeat(40)).into_bytes());
    }
    let good = [
        ok("Content-Length: 2\r\n", "ok"),
        ok("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"),
        ok("Connection: close\r\n", "until the end"),
        ok(
            "Content-Length: 2\r\nSet-Cookie: a=b; Path=/\r\nX-Session-Set-A: 1\r\nX-Session-Principal: eve\r\n",
            "ok",
        ),
        [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec(), ok("Content-Length: 2\r\n", "ok")]
            .concat(),
    ];
    filled(&all, &good, count, 0xa115_3e75)
}
