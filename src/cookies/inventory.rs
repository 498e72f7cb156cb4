//! Every cookie that the apps were seen to set: its attributes, and what a cautious eye finds about them.
//!
//! On the way of an answer this costs one hash: what a thread has noted already it knows by that, and only something new
//! takes the lock. Bounded: names past [`MOST_NAMES`] are counted and not kept.

use std::{
    cell::RefCell,
    collections::{BTreeMap, btree_map::Entry},
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use crate::{
    config::is_session_like,
    crypto,
    message::{
        cookie_date::{self, max_age},
        set_cookie::{SetCookieLine, name_value},
    },
};

use super::{
    CookieRules, CookieScope, KnownNames,
    rewrite::MOST_BYTES,
    rule::{NamePrefix, promise},
};

/// So many cookies are kept, by upstream and name.
pub const MOST_NAMES: usize = 1000;
/// What is kept of a name, in bytes.
const NAME_BYTES: usize = 128;
/// What is kept of the attributes, in bytes.
const ATTRIBUTE_BYTES: usize = 256;
/// So many lines each thread remembers to have noted; a power of two.
const KNOWN: usize = 256;
/// So many of them share a place.
const PLACE: usize = 8;
const LONGEST: i64 = 400 * 86_400;
const LONG_FOR_A_SESSION: i64 = 31 * 86_400;

/// What is wrong with a cookie of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CookieFinding {
    /// Set by https without Secure.
    NotSecure,
    /// Scripts can read what looks like a session's.
    NotHttpOnly,
    /// No SameSite: browsers differ in what they take for granted.
    NoSameSite,
    /// Longer than 400 days, or than 31 where it looks like a session's.
    LongLived,
    /// Sent to other hosts than the one that set it.
    WideDomain,
    /// Over 4096 bytes: browsers drop it.
    TooLong,
    /// The prefix of its name promises what its attributes do not keep: browsers drop it.
    BrokenPrefix,
}

impl CookieFinding {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSecure => "no Secure: it travels over plain http too",
            Self::NotHttpOnly => "no HttpOnly: scripts can read what looks like a session's",
            Self::NoSameSite => "no SameSite: browsers differ in what they take for granted",
            Self::LongLived => "it lives longer than it should",
            Self::WideDomain => "its Domain is wider than the host that set it",
            Self::TooLong => "name and value are over 4096 bytes: browsers drop it",
            Self::BrokenPrefix => {
                "its attributes break what the prefix of its name promises: browsers drop it"
            }
        }
    }
}

/// One cookie of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSighting {
    /// The attributes of the latest new line, as the app wrote them; without the cookie's value.
    pub attributes: String,
    /// What the rules do with it: an `action`, `"report"`, or `"none"`.
    pub action: &'static str,
    /// All that was ever found, in order.
    pub findings: Vec<CookieFinding>,
    /// When it was first seen, in seconds since 1970.
    pub first_seen: u64,
    domain: String,
    path: String,
}

/// What browsers know a cookie by beside its name; a text is empty where the app did not say.
#[derive(Debug, Default)]
pub(super) struct SeenScope {
    pub(super) domain: String,
    pub(super) path: String,
    pub(super) partitioned: bool,
    pub(super) same_site: Option<String>,
}

impl From<&CookieSighting> for SeenScope {
    fn from(sighting: &CookieSighting) -> Self {
        let all = || sighting.attributes.split("; ").map(|text| text.split_once('=').unwrap_or((text, "")));
        // Of several the last counts.
        let find = |wanted: &str| {
            let named = all().filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
            named.last().map(|(_, value)| value.trim())
        };
        Self {
            domain: sighting.domain.clone(),
            path: sighting.path.clone(),
            partitioned: find("Partitioned").is_some(),
            same_site: find("SameSite").map(str::to_owned),
        }
    }
}

/// What was seen so far.
#[derive(Debug)]
pub struct CookieInventory {
    seen: Mutex<BTreeMap<(String, String), CookieSighting>>,
    hasher: foldhash::quality::RandomState,
    id: u64,
    beyond: AtomicU64,
    /// Of whichever run: what scripts write is told from what the apps set.
    pub known: KnownNames,
}

thread_local! {
    static NOTED: RefCell<Vec<u64>> = RefCell::new(vec![0; KNOWN]);
}

impl Default for CookieInventory {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            hasher: foldhash::quality::RandomState::default(),
            id: u64::from_ne_bytes(crypto::random()),
            beyond: AtomicU64::new(0),
            known: KnownNames::default(),
        }
    }
}

/// What there is to know of one line.
struct SetCookieReading<'a> {
    name: &'a [u8],
    attributes: &'a [u8],
    domain: &'a [u8],
    path: &'a [u8],
    http_only: bool,
    findings: u8,
}

const ALL: [CookieFinding; 7] = [
    CookieFinding::NotSecure,
    CookieFinding::NotHttpOnly,
    CookieFinding::NoSameSite,
    CookieFinding::LongLived,
    CookieFinding::WideDomain,
    CookieFinding::TooLong,
    CookieFinding::BrokenPrefix,
];

impl CookieInventory {
    /// Notes a line of an app; what is found for the first time is returned.
    pub fn note<'l>(
        &self,
        line: impl Into<SetCookieLine<'l>>,
        scope: &CookieScope<'_>,
        rules: &CookieRules,
    ) -> Vec<CookieFinding> {
        let line = line.into();
        // One hash for each line of nearly every answer: the lock below is for lines that this
        // thread has not met.
        if !is_news(self.shape(line, scope)) {
            return Vec::new();
        }
        let read = read(line.bytes(), scope);
        // What is left to scripts is the browser's own, whoever set it.
        let rule = rules.find(read.name, scope);
        if !rule.is_some_and(|rule| rule.leaves_to_scripts && !read.http_only) {
            self.known.add(line.sent_name());
        }
        let action = rule.map_or("none", |rule| if rule.report { "report" } else { rule.action.as_str() });
        let key = (scope.upstream.to_owned(), text(read.name, NAME_BYTES));
        let mut seen = self.seen.lock();
        let full = seen.len() >= MOST_NAMES;
        let sighting = match seen.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if full => {
                if self.beyond.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::info!(MOST_NAMES, "the apps set more cookies than the inventory keeps");
                }
                return Vec::new();
            }
            Entry::Vacant(entry) => entry.insert(CookieSighting {
                attributes: String::new(),
                action,
                findings: Vec::new(),
                first_seen: seconds(scope.now),
                domain: String::new(),
                path: String::new(),
            }),
        };
        sighting.attributes = known(read.attributes);
        sighting.action = action;
        sighting.domain = text(read.domain, ATTRIBUTE_BYTES);
        sighting.path = text(read.path, ATTRIBUTE_BYTES);
        let found = ALL.into_iter().enumerate().filter(|(bit, _)| read.findings & (1 << bit) != 0);
        let new: Vec<_> = found.map(|(_, f)| f).filter(|f| !sighting.findings.contains(f)).collect();
        sighting.findings.extend(&new);
        sighting.findings.sort_unstable();
        new
    }

    /// Whether this was never told of this cookie before, as far as this thread knows.
    pub fn is_new(&self, name: &[u8], told: &str) -> bool {
        is_news(self.hasher.hash_one((self.id, name, told)))
    }

    /// Tells of a cookie that passes because a script wrote it, once.
    pub(super) fn tell_of_script(&self, upstream: &str, name: &[u8]) {
        // Asked first: it takes no lock, and such a cookie comes with each request.
        if self.is_new(name, "written by a script") {
            self.known.tell(upstream, name);
        }
    }

    /// What a cookie is known by in a browser, as the app set it last.
    pub(super) fn seen(&self, upstream: &str, name: &[u8]) -> Option<SeenScope> {
        let all = self.seen.lock();
        all.get(&(upstream.to_owned(), text(name, NAME_BYTES))).map(SeenScope::from)
    }

    /// The same of every cookie that this upstream's app was seen to set, by name; names that were cut are left out.
    pub(super) fn seen_of(&self, upstream: &str) -> Vec<(String, SeenScope)> {
        let all = self.seen.lock();
        let of_it = all.iter().filter(|((owner, name), _)| owner == upstream && name.len() < NAME_BYTES);
        of_it.map(|((_, name), sighting)| (name.clone(), SeenScope::from(sighting))).collect()
    }

    /// Everything seen, by upstream and name.
    pub fn list(&self) -> BTreeMap<(String, String), CookieSighting> {
        self.seen.lock().clone()
    }

    /// Lines that were not noted, since there were too many names.
    pub fn beyond(&self) -> u64 {
        self.beyond.load(Ordering::Relaxed)
    }

    /// A hash of all that matters of a line: not of the cookie's value, nor of moments that change with every answer.
    fn shape(&self, line: SetCookieLine<'_>, scope: &CookieScope<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let flags = u64::from(scope.https) | u64::from(line.pair().len() > MOST_BYTES) << 1;
        hasher.write_u64(self.id ^ flags);
        hasher.write(scope.upstream.as_bytes());
        hasher.write(line.name());
        let attributes = line.attributes();
        // Both attributes that tell of a moment have an x in their names; most lines have none anywhere.
        if memchr::memchr2(b'x', b'X', attributes).is_none() {
            hasher.write(attributes);
            return hasher.finish();
        }
        for part in attributes.split(|byte| *byte == b';') {
            let begins = |name: &[u8]| {
                part.trim_ascii_start().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(name))
            };
            let left = if begins(b"expires") {
                cookie_date::parse(part).map(|end| end - now(scope))
            } else if begins(b"max-age") {
                max_age(name_or_flag(part).1)
            } else {
                hasher.write(part);
                continue;
            };
            hasher.write_i64(left.map_or(-1, |left| left.clamp(0, LONGEST + 1) / LONG_FOR_A_SESSION));
        }
        hasher.finish()
    }
}

/// Whether this thread has not met it of late; it has from now on. Two that fall in one place do not push each other out,
/// as two that an app sets in turn would do with each answer, and both be told each time: a place has room for eight.
fn is_news(shape: u64) -> bool {
    NOTED.with_borrow_mut(|noted| {
        let place = usize::try_from(shape % (KNOWN / PLACE) as u64).unwrap_or(0) * PLACE;
        let Some(place) = noted.get_mut(place..place + PLACE) else { return true };
        let known = place.iter().position(|known| *known == shape);
        // The one that was met longest ago stands last, and goes.
        place.get_mut(..=known.unwrap_or(PLACE - 1)).unwrap_or_default().rotate_right(1);
        if let Some(first) = place.first_mut() {
            *first = shape;
        }
        known.is_none()
    })
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn now(scope: &CookieScope<'_>) -> i64 {
    i64::try_from(seconds(scope.now)).unwrap_or(i64::MAX)
}

/// The attributes that browsers know, as they stand there. Of what else stands there, such as the end of a quoted value
/// with a `;` in it, nothing is kept.
fn known(attributes: &[u8]) -> String {
    const NAMES: [&[u8]; 9] = [
        b"Expires",
        b"Max-Age",
        b"Domain",
        b"Path",
        b"Secure",
        b"HttpOnly",
        b"SameSite",
        b"Partitioned",
        b"Priority",
    ];
    let parts = attributes.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let parts = parts.filter(|part| NAMES.iter().any(|name| name_or_flag(part).0.eq_ignore_ascii_case(name)));
    let mut all: Vec<u8> = parts.collect::<Vec<_>>().join(&b"; "[..]);
    all.truncate(ATTRIBUTE_BYTES);
    text(&all, ATTRIBUTE_BYTES)
}

fn text(bytes: &[u8], most: usize) -> String {
    String::from_utf8_lossy(bytes.get(..most).unwrap_or(bytes)).into_owned()
}

fn read<'a>(line: &'a [u8], scope: &CookieScope<'_>) -> SetCookieReading<'a> {
    let (name, value) = name_value(line);
    let pair = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let attributes = line.get(pair + 1..).unwrap_or_default().trim_ascii();
    let find = |wanted: &str| {
        let mut parts = attributes.split(|byte| *byte == b';').map(name_or_flag);
        parts.rfind(|(n, _)| n.eq_ignore_ascii_case(wanted.as_bytes())).map(|(_, value)| value)
    };
    let session_like = is_session_like(name);
    let domain = find("Domain").unwrap_or_default();
    let domain = domain.strip_prefix(b".").unwrap_or(domain);
    let secure = find("Secure").is_some();
    let http_only = find("HttpOnly").is_some();
    let path = find("Path").unwrap_or_default();
    let age = find("Max-Age").and_then(max_age);
    let age = age.or_else(|| find("Expires").and_then(cookie_date::parse).map(|end| end - now(scope)));
    let gone = age.is_some_and(|age| age <= 0);
    let longest = if session_like { LONG_FOR_A_SESSION } else { LONGEST };
    let broken = match promise(name) {
        Some(NamePrefix::Host) => !secure || path != b"/" || !domain.is_empty(),
        Some(NamePrefix::Secure) => !secure,
        None => false,
    };
    let found = [
        scope.https && !secure,
        session_like && !http_only,
        find("SameSite").is_none(),
        age.is_some_and(|age| age > longest),
        !domain.is_empty() && !domain.eq_ignore_ascii_case(scope.host.as_bytes()),
        name.len() + value.len() > MOST_BYTES,
        broken,
    ];
    // A cookie that is taken back need not be careful.
    let bits = found.iter().enumerate().map(|(bit, found)| u8::from(*found) << bit);
    let findings = if gone { 0 } else { bits.sum() };
    SetCookieReading { name, attributes, domain, path, http_only, findings }
}

fn name_or_flag(part: &[u8]) -> (&[u8], &[u8]) {
    let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
    let value = part.get(end + 1..).unwrap_or_default();
    (part.get(..end).unwrap_or_default().trim_ascii(), value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn scope(https: bool) -> CookieScope<'static> {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        CookieScope {
            host: "shop.x.test",
            path: "/",
            request_paths: &[],
            upstream: "a",
            https,
            realm: (b'h', "shop.x.test"),
            now,
        }
    }

    fn rules() -> CookieRules {
        CookieRules::build(&[], &crypto::KeySecrets::ephemeral())
    }

    #[test]
    fn what_falls_in_one_place_is_news_once() {
        let places = (KNOWN / PLACE) as u64;
        let shapes: Vec<u64> = (1..=PLACE as u64).map(|turn| turn * places + 3).collect();
        assert!(shapes.iter().all(|shape| is_news(*shape)));
        assert!(!shapes.iter().rev().any(|shape| is_news(*shape)));
        assert!(is_news(1000 * places + 3) && is_news(shapes[PLACE - 1]), "the one met longest ago has gone");
        assert!(!is_news(shapes[0]));
    }

    #[test]
    fn what_is_found_is_told_once() {
        use CookieFinding::{
            BrokenPrefix, LongLived, NoSameSite, NotHttpOnly, NotSecure, TooLong, WideDomain,
        };
        let long = format!("big={}; SameSite=Lax; Secure", "x".repeat(4096));
        for (https, line, wanted) in [
            (true, "lang=fr; Secure; SameSite=Lax", vec![]),
            (false, "lang=fr; SameSite=Lax", vec![]),
            (true, "lang=fr", vec![NotSecure, NoSameSite]),
            (false, "PHPSESSID=1; path=/; SameSite=Lax", vec![NotHttpOnly]),
            (true, "__Host-a=1; Secure; SameSite=Lax", vec![BrokenPrefix]),
            (true, "__Host-a=1; Secure; SameSite=Lax; path=/", vec![]),
            (false, "a=1; SameSite=Lax; Max-Age=34560001", vec![LongLived]),
            (false, "a=1; SameSite=Lax; Max-Age=34560000", vec![]),
            (false, "a=1; SameSite=Lax; Expires=Fri, 31 Dec 9999 23:59:59 GMT", vec![LongLived]),
            (false, "sid=1; HttpOnly; SameSite=Lax; Max-Age=2678401", vec![LongLived]),
            (false, "sid=; Max-Age=0", vec![]),
            (false, "a=1; SameSite=Lax; Domain=.x.test", vec![WideDomain]),
            (false, "a=1; SameSite=Lax; Domain=Shop.X.test", vec![]),
            (true, &long, vec![TooLong]),
        ] {
            let inventory = CookieInventory::default();
            assert_eq!(inventory.note(line.as_bytes(), &scope(https), &rules()), wanted, "{line}");
            assert_eq!(inventory.note(line.as_bytes(), &scope(https), &rules()), [], "{line}");
            let list = inventory.list();
            assert_eq!((list.len(), &list.values().next().unwrap().findings), (1, &wanted), "{line}");
        }
    }

    #[test]
    fn it_holds_no_value_and_no_more_than_so_many_names() {
        let inventory = CookieInventory::default();
        for number in 0..MOST_NAMES + 50 {
            inventory.note(
                format!("c{number}=\"secret; more of the secret\"; Path=/; X=1").as_bytes(),
                &scope(false),
                &rules(),
            );
        }
        assert_eq!((inventory.list().len(), inventory.beyond()), (MOST_NAMES, 50));
        assert!(!format!("{inventory:?}").contains("secret"));
        assert_eq!(inventory.list().values().next().unwrap().attributes, "Path=/");
    }
}
