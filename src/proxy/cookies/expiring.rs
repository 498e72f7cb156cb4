//! The browser's copies of the app's cookies that an answer takes back.
//!
//! A browser tells a cookie's name and not where it has it, so that one takes a line for each place. Proxies before us
//! read heads into small buffers (nginx: 4 KiB): what is sent is bounded, and begins with what matters most.

use bytes::Bytes;
use http::{HeaderValue, header};

use super::{super::Call, CookieContext};
use crate::{
    config::is_session_like,
    cookies::CookieScope,
    message::{Fields, set_cookie},
    session::make_private,
};

/// So many lines in one answer.
const MOST_LINES: usize = 40;
/// So long together, in bytes: half of such a buffer, since the rest of the head has to find room too.
const MOST_BYTES: usize = 2048;
/// `Set-Cookie: ` and the end of its line, in bytes.
const AROUND: usize = 14;

/// Lines that take cookies back, by cookie: of each, the likeliest first.
#[derive(Debug, Default)]
pub struct ExpiringLines {
    sessions: Vec<Vec<Vec<u8>>>,
    others: Vec<Vec<Vec<u8>>>,
}

impl ExpiringLines {
    /// The lines for one cookie.
    pub fn add(&mut self, name: &[u8], lines: Vec<Vec<u8>>) {
        if !lines.is_empty() {
            // Logins first: if there is no room for all lines, the ones that matter for a logout
            // are sent.
            let group = if is_session_like(name) { &mut self.sessions } else { &mut self.others };
            group.push(lines);
        }
    }

    /// Adds them to the answer: first of all cookies that look like a session's, of each the likeliest place before the
    /// next one of any.
    pub fn go(self, headers: &mut Fields) {
        if self.sessions.is_empty() && self.others.is_empty() {
            return;
        }
        let mut left = MOST_BYTES;
        let (mut sent, mut kept_back) = (0_usize, 0_usize);
        for line in [self.sessions, self.others].into_iter().flat_map(in_turns) {
            if sent == MOST_LINES || line.len() + AROUND > left {
                kept_back += 1;
            } else if let Ok(line) = HeaderValue::from_maybe_shared(Bytes::from(line)) {
                left -= line.len() + AROUND;
                sent += 1;
                headers.append(header::SET_COOKIE, line);
            }
        }
        if kept_back > 0 {
            tracing::warn!(
                kept_back,
                MOST_LINES,
                MOST_BYTES,
                "not all cookies could be expired in the browser: the response has no room for more Set-Cookie lines"
            );
        }
        // Lines of ours are for one visitor.
        make_private(headers);
    }
}

/// The first of each, the second of each, and so on.
fn in_turns(groups: Vec<Vec<Vec<u8>>>) -> impl Iterator<Item = Vec<u8>> {
    let mut groups: Vec<_> = groups.into_iter().map(Vec::into_iter).collect();
    let longest = groups.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let mut turns = Vec::new();
    for _ in 0..longest {
        turns.extend(groups.iter_mut().filter_map(Iterator::next));
    }
    turns.into_iter()
}

impl Call<'_> {
    /// What goes with a session that ended.
    pub fn expire_cookies(
        &self,
        cookie_context: &CookieContext,
        scope: &CookieScope<'_>,
        headers: &Fields,
        expiring: &mut ExpiringLines,
    ) {
        let (rules, seen) = (&self.plan.cookies, &self.plan.inventory);
        // What this very answer sets is not taken back.
        let is_set = |name: &[u8]| {
            let mut set = headers.get_all(header::SET_COOKIE);
            set.any(|line| set_cookie::name(line.as_bytes()) == name)
        };
        for name in cookie_context.expiring.iter().filter(|name| !is_set(name)) {
            expiring.add(name, rules.expire(name, scope, seen));
        }
        if rules.expires() {
            for (name, line) in rules.expire_elsewhere(scope, seen) {
                if !is_set(&name) && !cookie_context.expiring.contains(&name) {
                    expiring.add(&name, vec![line]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_goes_first_and_all_of_it_is_bounded() {
        let lines = |name: &str, count: usize| -> Vec<Vec<u8>> {
            (0..count).map(|number| format!("{name}=; Path=/{number}").into_bytes()).collect()
        };
        let mut expiring = ExpiringLines::default();
        for name in ["lang", "theme", "PHPSESSID", "my.sid"] {
            expiring.add(name.as_bytes(), lines(name, 15));
        }
        let mut headers = Fields::new();
        expiring.go(&mut headers);
        let all: Vec<_> = headers.get_all(header::SET_COOKIE).filter_map(|v| v.to_str().ok()).collect();
        assert_eq!(all.len(), MOST_LINES);
        assert_eq!(all[..3], ["PHPSESSID=; Path=/0", "my.sid=; Path=/0", "PHPSESSID=; Path=/1"]);
        assert_eq!(all[30..33], ["lang=; Path=/0", "theme=; Path=/0", "lang=; Path=/1"]);
        assert_eq!(headers.get(header::CACHE_CONTROL).unwrap(), "private");

        let mut expiring = ExpiringLines::default();
        expiring.add(b"long", vec![vec![b'x'; MOST_BYTES - AROUND], b"x=".to_vec(), vec![b'y'; 10]]);
        let mut headers = Fields::new();
        expiring.go(&mut headers);
        assert_eq!(headers.get_all(header::SET_COOKIE).count(), 1);
    }
}
