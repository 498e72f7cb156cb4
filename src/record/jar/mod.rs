//! The jar: cookies of the app that its session keeps, so that the browser never holds them.
//!
//! It stores and sends as a browser would (RFC 6265bis sections 5.6 to 5.8), to the upstream that set a cookie. Pure:
//! nothing here knows a request, a clock, or where records are kept. What an answer changes is a list of [`JarChange`]s,
//! applied to the jar as it is then; a jar is never written back whole.
//!
//! One thing is not as in a browser: there is no list of public suffixes. A cookie for `co.uk` is taken, and leads nowhere,
//! since it is sent to its own upstream only. Of a jar that is full the cookie goes that was used longest ago (section 5.7);
//! when that was is not kept over a restart.

mod kept;
mod read;

pub(crate) use kept::StoredCookie;
pub use read::{CookieRefusal, SettingScope};

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    clock::Timestamp,
    config::{JarLimits, is_session_like},
    message::cookie_scope::{domain_matches, path_matches},
};

/// `SameSite` of a kept cookie; without one browsers take `Lax` for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSiteRule {
    /// `Strict`
    Strict,
    /// `Lax`, or none.
    Lax,
    /// `None`
    None,
}

/// Where a request comes from: what it carries, and what its answer may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestSite {
    /// A page of this site, an address bar, a client that does not say.
    SameSite,
    /// A link of another site: a top-level navigation by a safe method.
    Link,
    /// A form of another site: a top-level navigation by an unsafe method, as logins by SAML and `form_post` end. It
    /// carries what a request of another site does, and its answer may set what an answer to this site's may (RFC 6265bis
    /// section 5.7).
    Form,
    /// Another site, in any other way.
    CrossSite,
}

/// One kept cookie.
#[derive(Clone, PartialEq, Eq)]
pub struct JarCookie {
    /// The upstream that set it; `None`: it is sent to all.
    pub owner: Option<Arc<str>>,
    /// May be empty.
    pub name: Arc<[u8]>,
    /// As the app wrote it, quotes and all.
    pub value: Arc<[u8]>,
    /// Lower case, without a dot before it.
    pub domain: Arc<str>,
    /// Sent to this very host only.
    pub host_only: bool,
    /// Where it is sent; begins with `/`.
    pub path: Arc<[u8]>,
    /// Sent by https only.
    pub secure: bool,
    /// Whether other sites' pages may make a browser send it.
    pub same_site: SameSiteRule,
    /// `None`: as long as the session lasts.
    pub expires: Option<Timestamp>,
    /// The session lasts as long as it does, and outlives the browser as it would: "remember me".
    pub outlives_browser: bool,
    /// When it was last sent or set.
    pub used: LastUse,
}

/// When a cookie was last used, in milliseconds since 1970. It makes no difference between two cookies.
#[derive(Debug, Default)]
pub struct LastUse(AtomicU64);

impl LastUse {
    fn now(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    fn at(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clone for LastUse {
    fn clone(&self) -> Self {
        Self(self.at().into())
    }
}

impl PartialEq for LastUse {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for LastUse {}

impl fmt::Debug for JarCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_ascii();
        let path = self.path.escape_ascii();
        write!(f, "Cookie({name}=MASKED; Domain={}; Path={path})", self.domain)
    }
}

impl JarCookie {
    /// The same cookie, whatever its value: what replaces what (RFC 6265bis section 5.7, last steps).
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.domain == other.domain
            && self.host_only == other.host_only
            && self.path == other.path
            && self.owner == other.owner
    }

    fn is_for(&self, upstream: &str) -> bool {
        self.owner.as_ref().is_none_or(|owner| **owner == *upstream)
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// What it counts for in `max_bytes`: all of its text.
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + self.domain.len() + self.path.len()
    }
}

/// What one `Set-Cookie` of an answer changes. A cookie whose time is over takes away what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JarChange {
    /// The cookie as it is from now on.
    pub cookie: JarCookie,
    /// It came by https: by plain http nobody overwrites a cookie that is Secure.
    pub https: bool,
    /// The ticket is replaced if this changes anything; of one that `ends`, if it leaves none of the cookie.
    pub renews: bool,
    /// It looks like a login by a form. Where the ticket that it came under was spent, so that nothing of its answer is
    /// kept, it begins a session of its own.
    pub begins: bool,
    /// It takes away what looks like the cookie of a session of the app's own: somebody is logged out.
    pub ends: bool,
}

impl JarChange {
    /// Whether it puts something into the jar, and does not only take out.
    pub fn keeps(&self) -> bool {
        // The time of what is to go lies at the very beginning.
        self.cookie.expires != Some(Timestamp(0))
    }

    /// What takes out the cookie that this one sets.
    #[must_use]
    pub fn removal(&self) -> Self {
        let cookie = JarCookie { expires: Some(Timestamp(0)), ..self.cookie.clone() };
        Self { cookie, begins: false, ends: true, ..self.clone() }
    }
}

/// Who asks for kept cookies.
#[derive(Debug, Clone, Copy)]
pub struct JarRequest<'a> {
    /// The host that the app is sent, lower case and without port.
    pub host: &'a str,
    /// The path that the visitor asks for, with the prefix that the app may not see.
    pub path: &'a str,
    /// The visitor came by https.
    pub https: bool,
    /// The upstream.
    pub upstream: &'a str,
    /// Where the request comes from.
    pub from: RequestSite,
}

/// What a change did to a jar.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct JarEffect {
    /// Anything is other than before.
    pub changed: bool,
    /// Cookies that went to make room.
    pub gone: Vec<EvictedCookie>,
}

/// The name of a cookie that went to make room, and what there was too little of.
pub type EvictedCookie = (Arc<[u8]>, JarFull);

/// Why a cookie was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JarFull {
    /// `max_cookies`
    Cookies,
    /// `max_bytes`
    Bytes,
    /// A cookie that is Secure stands under this name, and this one came by plain http.
    Overlaid,
}

impl JarFull {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cookies => "session.jar max_cookies",
            Self::Bytes => "session.jar max_bytes",
            Self::Overlaid => "by plain http nobody overwrites a cookie that is Secure",
        }
    }
}

/// The cookies of one session, oldest first. Empty, it is one word and costs nothing to copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jar(Option<Arc<Vec<JarCookie>>>);

impl Jar {
    /// A jar with these, oldest first: what a store read.
    pub fn new(cookies: Vec<JarCookie>) -> Self {
        Self((!cookies.is_empty()).then(|| Arc::new(cookies)))
    }

    /// All of them, oldest first, also those whose time is over.
    pub fn cookies(&self) -> &[JarCookie] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Roughly what it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        // Three texts of their own, each with two counts before it.
        self.cookies().iter().map(|cookie| cookie.bytes() + size_of::<JarCookie>() + 4 * 32).sum()
    }

    /// Applies a change. Where there is no room the cookies go that were used longest ago.
    ///
    /// # Errors
    /// The cookie is not kept, and the jar is as it was.
    pub fn apply(
        &mut self,
        change: &JarChange,
        limits: &JarLimits,
        now: Timestamp,
    ) -> Result<JarEffect, JarFull> {
        let cookie = &change.cookie;
        if !change.https
            && self.cookies().iter().any(|old| old.secure && !old.is_over(now) && overlays(cookie, old))
        {
            return Err(JarFull::Overlaid);
        }
        // One whose time is over is no more: what takes its name is as young as it is.
        let place = self.cookies().iter().position(|old| old.is(cookie) && !old.is_over(now));
        let old = place.and_then(|at| self.cookies().get(at));
        if cookie.is_over(now) {
            let was_there = old.is_some();
            if let Some(at) = place {
                self.edit(|all| drop(all.remove(at)));
            }
            return Ok(JarEffect { changed: was_there, gone: Vec::new() });
        }
        if let Some(old) = old.filter(|old| *old == cookie) {
            old.used.now(now);
            return Ok(JarEffect::default());
        }
        if cookie.bytes() > limits.max_bytes {
            return Err(JarFull::Bytes);
        }
        // What is replaced keeps its age (RFC 6265bis section 5.7): the order in which cookies are sent.
        let changed = old.is_none_or(|old| old.value != cookie.value);
        // A clone of one pointer: the list itself is shared until it is changed.
        let before = self.clone();
        self.edit(|all| {
            match place.and_then(|at| all.get_mut(at)) {
                Some(old) => *old = cookie.clone(),
                None => all.push(cookie.clone()),
            }
            all.retain(|cookie| !cookie.is_over(now));
            all.iter().filter(|one| one.is(cookie)).for_each(|one| one.used.now(now));
        });
        match self.make_room(change, limits) {
            Ok(gone) => Ok(JarEffect { changed, gone }),
            Err(full) => {
                *self = before;
                Err(full)
            }
        }
    }

    /// Lets cookies go until the rest is within the limits; not this one, and for one that came by plain http none that is
    /// Secure. They are those of the upstream that has the most, so that no app drives out another's; what looks like
    /// somebody's login goes last, then the one that was used longest ago.
    fn make_room(&mut self, change: &JarChange, limits: &JarLimits) -> Result<Vec<EvictedCookie>, JarFull> {
        let stays = &change.cookie;
        let mut gone = Vec::new();
        loop {
            let all = self.cookies();
            let bytes: usize = all.iter().map(JarCookie::bytes).sum();
            let full = match (all.len() > limits.max_cookies, bytes > limits.max_bytes) {
                (true, _) => JarFull::Cookies,
                (false, true) => JarFull::Bytes,
                (false, false) => return Ok(gone),
            };
            let may_go = |cookie: &JarCookie| !cookie.is(stays) && (change.https || !cookie.secure);
            let others = all.iter().enumerate().filter(|(_, cookie)| may_go(cookie));
            let share_of =
                |cookie: &JarCookie| all.iter().filter(|other| other.owner == cookie.owner).count();
            // All that one request was sent were used at the same moment: then the name decides, else the jar's order.
            let rank = |cookie: &JarCookie| {
                let share = (share_of(cookie), cookie.owner == stays.owner);
                (std::cmp::Reverse(share), is_session_like(&cookie.name), cookie.used.at())
            };
            let Some((at, cookie)) = others.min_by_key(|(_, cookie)| rank(cookie)) else {
                return Err(full);
            };
            gone.push((Arc::clone(&cookie.name), full));
            self.edit(|all| drop(all.remove(at)));
        }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Vec<JarCookie>)) {
        let mut all = self.0.take().unwrap_or_default();
        edit(Arc::make_mut(&mut all));
        self.0 = (!all.is_empty()).then_some(all);
    }

    /// Until when a browser would remember its visitor by one of them; `None`: until it closes.
    pub fn outlives_browser_until(&self) -> Option<Timestamp> {
        let lasting = self.cookies().iter().filter(|cookie| cookie.outlives_browser);
        lasting.filter_map(|cookie| cookie.expires).max()
    }

    /// Those that look like a login of the app's own, oldest first.
    pub fn logins(&self) -> impl Iterator<Item = &JarCookie> {
        self.cookies().iter().filter(|cookie| is_session_like(&cookie.name))
    }

    /// The cookie that one of this name, domain and path takes the place of.
    pub fn find(&self, cookie: &JarCookie) -> Option<&JarCookie> {
        self.cookies().iter().find(|kept| kept.is(cookie))
    }

    /// Whether this cookie is there, whatever its value.
    pub fn has(&self, cookie: &JarCookie) -> bool {
        self.find(cookie).is_some()
    }

    /// Whether there is a cookie of this name for the upstream, wherever it is sent.
    pub fn holds(&self, name: &[u8], upstream: &str, now: Timestamp) -> bool {
        let mut all = self.cookies().iter();
        all.any(|cookie| *cookie.name == *name && cookie.is_for(upstream) && !cookie.is_over(now))
    }

    /// What a browser would send, in its order: longer paths first, then older cookies (RFC 6265bis section 5.8.3).
    pub fn sent(&self, asking: &JarRequest<'_>, now: Timestamp) -> Vec<&JarCookie> {
        let mut sent: Vec<_> = self.cookies().iter().filter(|cookie| is_sent(cookie, asking, now)).collect();
        // Stable: of paths of one length the older cookie stays first.
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        for cookie in &sent {
            cookie.used.now(now);
        }
        sent
    }
}

fn is_sent(cookie: &JarCookie, asking: &JarRequest<'_>, now: Timestamp) -> bool {
    let host = if cookie.host_only {
        *cookie.domain == *asking.host
    } else {
        domain_matches(asking.host, &cookie.domain)
    };
    let site = match cookie.same_site {
        SameSiteRule::None => true,
        SameSiteRule::Lax => matches!(asking.from, RequestSite::SameSite | RequestSite::Link),
        SameSiteRule::Strict => asking.from == RequestSite::SameSite,
    };
    host && site
        && cookie.is_for(asking.upstream)
        && (asking.https || !cookie.secure)
        && !cookie.is_over(now)
        && path_matches(asking.path.as_bytes(), &cookie.path)
}

/// "Leave Secure cookies alone" (RFC 6265bis section 5.7, step 16).
fn overlays(new: &JarCookie, old: &JarCookie) -> bool {
    new.name == old.name
        && new.owner == old.owner
        && (domain_matches(&new.domain, &old.domain) || domain_matches(&old.domain, &new.domain))
        && path_matches(&new.path, &old.path)
}
