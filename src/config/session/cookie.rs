//! `[session.cookie]`: the ticket in the browser.

use std::cell::Cell;

use super::super::{
    is_token,
    value::{TableReader, ValueProblem},
};

/// `[session.cookie]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCookie {
    /// `name`, an RFC 6265 token without a `__Host-` or `__Secure-` prefix.
    pub name: String,
    /// `path`
    pub path: String,
    /// `domain`, lower case, without a leading dot; `None` is `""`: this host only.
    pub domain: Option<String>,
    /// `secure`
    pub secure: SecureRule,
    /// `prefix`
    pub prefix: CookiePrefix,
    /// `http_only`
    pub http_only: bool,
    /// `same_site`
    pub same_site: SameSite,
    /// `partitioned`
    pub partitioned: bool,
}

/// `secure`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecureRule {
    /// `"auto"`: when the visitor came by https.
    #[default]
    Auto,
    /// `true`
    Always,
    /// `false`
    Never,
}

/// `prefix`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CookiePrefix {
    /// `"auto"`: `__Host-` or `__Secure-` where the cookie is Secure.
    #[default]
    Auto,
    /// `"none"`
    None,
}

/// `same_site`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameSite {
    /// `"Strict"`
    Strict,
    /// `"Lax"`
    #[default]
    Lax,
    /// `"None"`
    None,
}

impl SameSite {
    /// The words for it.
    pub(in crate::config) const WORDS: [(&'static str, Self); 3] =
        [("Strict", Self::Strict), ("Lax", Self::Lax), ("None", Self::None)];
}

impl SessionCookie {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        // The name as it was written, also where it was refused: it tells which prefix was meant.
        let written = Cell::new("");
        let name = reader.optional("name", "a cookie name such as \"cloakroom\"", |value| {
            let text = value.as_str().ok_or(ValueProblem::TYPE)?;
            written.set(text);
            cookie_name(text)
        });
        let cookie = Self {
            name: name.unwrap_or_else(|| "cloakroom".to_owned()),
            path: reader
                .parsed("path", "a path such as \"/\"", cookie_path)
                .unwrap_or_else(|| "/".to_owned()),
            domain: reader.parsed("domain", "a name such as \"example.com\"", cookie_domain).flatten(),
            secure: reader
                .optional_auto("secure", SecureRule::Auto, SecureRule::Always, SecureRule::Never)
                .unwrap_or_default(),
            prefix: reader.choice(
                "prefix",
                &[("auto", CookiePrefix::Auto), ("none", CookiePrefix::None)],
                CookiePrefix::Auto,
            ),
            http_only: reader.bool("http_only", true),
            same_site: reader.choice("same_site", &SameSite::WORDS, SameSite::Lax),
            partitioned: reader.bool("partitioned", false),
        };
        cookie.check(reader, written.get());
        reader.finish();
        cookie
    }

    /// What browsers would refuse, and so nobody would ever be logged in.
    fn check(&self, reader: &TableReader<'_>, written: &str) {
        if let Some((prefix, name)) = prefixed(written) {
            let (key, what) = match (&self.domain, self.path.as_str()) {
                (Some(_), _) => ("domain", "a domain"),
                (None, "/") => ("", ""),
                (None, _) => ("path", "a path other than \"/\""),
            };
            let help = format!("name = \"{name}\": cloakroom adds the prefix that fits by itself");
            let diagnostic = if key.is_empty() || prefix != "__Host-" {
                let message = format!("the cookie's name begins with `{prefix}`");
                reader.error("name", message, "cloakroom adds the prefix by itself").help(help)
            } else {
                let message = format!("browsers refuse a `__Host-` cookie with {what}");
                reader
                    .error(key, message, "not with that name")
                    .also(reader.span("name"), "this one")
                    .help(help)
            };
            reader.notes().push(diagnostic);
        }
        let needs = [
            ("same_site", self.same_site == SameSite::None, "SameSite=None"),
            ("partitioned", self.partitioned, "Partitioned"),
        ];
        for (key, set, what) in needs {
            if set && self.secure == SecureRule::Never {
                let message = format!("browsers refuse a cookie that is {what} and not Secure");
                let label = "needs secure = true or \"auto\"";
                let error =
                    reader.error(key, message, label).also(reader.span("secure"), "not Secure by this");
                reader.notes().push(error.help("leave `secure` out: its default is \"auto\""));
            }
        }
    }
}

/// A name that begins as browsers' prefixes do, which ignore case: the prefix, and the rest.
pub(in crate::config) fn prefixed(name: &str) -> Option<(&'static str, &str)> {
    ["__Host-", "__Secure-"].into_iter().find_map(|prefix| {
        let (begin, rest) = name.split_at_checked(prefix.len())?;
        begin.eq_ignore_ascii_case(prefix).then_some((prefix, rest))
    })
}

fn cookie_name(text: &str) -> Result<String, ValueProblem> {
    if text.len() > 128 {
        return Err(ValueProblem::why("at most 128 characters"));
    }
    if !is_token(text) {
        return Err(ValueProblem::why("letters, digits and !#$%&'*+-.^_`|~ only"));
    }
    Ok(text.to_owned())
}

/// RFC 6265, section 4.1.1: no `;`, no control character; a browser ignores a path without the `/`.
pub(in crate::config) fn cookie_path(text: &str) -> Result<String, ValueProblem> {
    let fits = text.starts_with('/') && text.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b';');
    if fits { Ok(text.to_owned()) } else { Err(ValueProblem::why("begins with /, is ASCII and has no `;`")) }
}

/// Lower case, without a leading dot; none if empty.
pub(in crate::config) fn cookie_domain(text: &str) -> Result<Option<String>, ValueProblem> {
    let name = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    if text.is_empty() {
        return Ok(None);
    }
    if crate::config::is_host_name(&name) { Ok(Some(name)) } else { Err(ValueProblem::VALUE) }
}
