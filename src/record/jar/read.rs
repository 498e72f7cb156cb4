//! From a `Set-Cookie` line to what a browser would store of it (RFC 6265bis sections 5.6 and 5.7).

use std::{sync::Arc, time::Duration};

use super::{JarCookie, LastUse, RequestSite, SameSiteRule};
use crate::{
    clock::Timestamp,
    config::is_session_like,
    message::{
        cookie_date::{self, max_age},
        cookie_scope::{default_path, domain_matches},
        set_cookie::name_value,
    },
};

/// Name and value together, in bytes.
const MOST_BYTES: usize = 4096;
/// What an attribute may say, in bytes; longer ones are overlooked.
const MOST_ATTRIBUTE: usize = 1024;
/// The longest life: 400 days, in seconds.
const LONGEST: i64 = 400 * 86_400;

/// Where a cookie is set.
#[derive(Debug, Clone, Copy)]
pub struct SettingScope<'a> {
    /// The host that the app was sent, lower case and without port.
    pub host: &'a str,
    /// The path that the visitor asked for: where a prefix is stripped, paths of cookies have it by then.
    pub path: &'a str,
    /// The visitor came by https.
    pub https: bool,
    /// Where the request came from.
    pub from: RequestSite,
    /// The upstream; `None`: the cookie is for all.
    pub owner: Option<&'a str>,
}

/// Why a browser would not store a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieRefusal(pub &'static str);

#[derive(Default)]
struct JarAttributes<'a> {
    age: Option<i64>,
    expires: Option<i64>,
    domain: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    secure: bool,
    http_only: bool,
    same_site: Option<SameSiteRule>,
}

impl JarCookie {
    /// Reads a line; a cookie that is to go has its time behind it.
    ///
    /// # Errors
    /// A browser would not store it.
    pub fn read(line: &[u8], setting: &SettingScope<'_>, now: Timestamp) -> Result<Self, CookieRefusal> {
        if line.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return Err(CookieRefusal("a control character"));
        }
        let (name, value) = name_value(line);
        if name.is_empty() && value.is_empty() {
            return Err(CookieRefusal("neither name nor value"));
        }
        if name.len() + value.len() > MOST_BYTES {
            return Err(CookieRefusal("name and value are longer than 4096 bytes"));
        }
        let said = attributes(line);
        let (domain, host_only) = domain(said.domain.unwrap_or_default(), setting.host)?;
        let path = said.path.filter(|path| path.first() == Some(&b'/'));
        let same_site = said.same_site.unwrap_or(SameSiteRule::Lax);
        // As browsers refuse it: over plain http anybody on the way could have written the line.
        if said.secure && !setting.https {
            return Err(CookieRefusal("Secure, and the visitor came by plain http"));
        }
        if same_site != SameSiteRule::None && setting.from == RequestSite::CrossSite {
            return Err(CookieRefusal("SameSite, and another site made the browser ask"));
        }
        prefixes(name, value, &said, host_only, path)?;
        let expires = expires(&said, now);
        Ok(Self {
            owner: setting.owner.map(Arc::from),
            name: name.into(),
            value: value.into(),
            domain: domain.into(),
            host_only,
            path: path.unwrap_or(default_path(setting.path).as_bytes()).into(),
            secure: said.secure,
            same_site,
            expires,
            // What scripts may read and looks like no login is a preference: nobody is remembered by it.
            outlives_browser: expires.is_some() && (said.http_only || is_session_like(name)),
            used: LastUse::default(),
        })
    }
}

/// Of several attributes of one name the last counts.
fn attributes(line: &[u8]) -> JarAttributes<'_> {
    let mut said = JarAttributes::default();
    for part in line.split(|byte| *byte == b';').skip(1) {
        let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        let name = part.get(..end).unwrap_or_default().trim_ascii();
        let value = part.get(end + 1..).unwrap_or_default().trim_ascii();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if value.len() > MOST_ATTRIBUTE {
            continue;
        }
        if is("Expires") {
            said.expires = cookie_date::parse(value).or(said.expires);
        } else if is("Max-Age") {
            said.age = max_age(value).or(said.age);
        } else if is("Domain") {
            said.domain = Some(value);
        } else if is("Path") {
            said.path = Some(value);
        } else if is("Secure") {
            said.secure = true;
        } else if is("HttpOnly") {
            said.http_only = true;
        } else if is("SameSite") {
            let words: [(&[u8], SameSiteRule); 3] = [
                (b"Strict", SameSiteRule::Strict),
                (b"Lax", SameSiteRule::Lax),
                (b"None", SameSiteRule::None),
            ];
            said.same_site =
                words.iter().find(|(word, _)| value.eq_ignore_ascii_case(word)).map(|(_, site)| *site);
        }
    }
    said
}

/// The domain, and whether it is this host only.
fn domain(said: &[u8], host: &str) -> Result<(String, bool), CookieRefusal> {
    let said = said.strip_prefix(b".").unwrap_or(said);
    if said.is_empty() {
        return Ok((host.to_owned(), true));
    }
    let domain = std::str::from_utf8(said).map(str::to_ascii_lowercase);
    match domain {
        Ok(domain) if domain_matches(host, &domain) => Ok((domain, false)),
        _ => Err(CookieRefusal("its Domain is not that of the host that the app was asked for")),
    }
}

fn prefixes(
    name: &[u8],
    value: &[u8],
    said: &JarAttributes<'_>,
    host_only: bool,
    path: Option<&[u8]>,
) -> Result<(), CookieRefusal> {
    let begins = |text: &[u8], prefix: &[u8]| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if begins(name, b"__Secure-") && !said.secure {
        return Err(CookieRefusal("__Secure- needs Secure"));
    }
    if begins(name, b"__Host-") && !(said.secure && host_only && path == Some(b"/")) {
        return Err(CookieRefusal("__Host- needs Secure, Path=/ and no Domain"));
    }
    if name.is_empty() && (begins(value, b"__Secure-") || begins(value, b"__Host-")) {
        return Err(CookieRefusal("a value that would be read as a name with a prefix"));
    }
    Ok(())
}

/// Max-Age wins. A time in the past is the end, however long ago.
fn expires(said: &JarAttributes<'_>, now: Timestamp) -> Option<Timestamp> {
    let left = match (said.age, said.expires) {
        (Some(age), _) => age,
        (None, Some(at)) => at.saturating_sub(i64::from(now.seconds())),
        (None, None) => return None,
    };
    // 400 days at most, as browsers cut it (RFC 6265bis section 5.5).
    let left = u64::try_from(left.clamp(0, LONGEST)).unwrap_or(0);
    Some(if left == 0 { Timestamp(0) } else { now.plus(Duration::from_secs(left)) })
}
