//! The part of the path that an app is not sent (`strip_prefix`): added again to what it says of paths.

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::message::set_cookie::SetCookieEditor;

/// The header that tells an app. Not standardised; Spring, Traefik and others agree on it.
pub const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What stands for itself in a path (RFC 3986 section 3.3).
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A prefix that is taken off on the way to the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrippedPrefix {
    path: String,
    ignore_case: bool,
    /// As it stands in a URL.
    shown: HeaderValue,
}

impl StrippedPrefix {
    /// The prefix of a route, decoded; `None` if there is nothing to take off.
    pub fn new(path: &str, ignore_case: bool) -> Option<Self> {
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return None;
        }
        // Nothing that is left by the encoding is unfit for a header.
        let shown = HeaderValue::try_from(utf8_percent_encode(path, IN_PATH).to_string()).ok()?;
        Some(Self { path: path.to_owned(), ignore_case, shown })
    }

    /// Decoded, without a trailing `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether other spellings in capitals are the same.
    pub fn ignore_case(&self) -> bool {
        self.ignore_case
    }

    /// As a header's value: percent-encoded.
    pub fn value(&self) -> &HeaderValue {
        &self.shown
    }

    /// Whether a request for this path, which has the prefix, is for the prefix alone, without a `/` behind it.
    pub fn is_all_of(&self, path: &str) -> bool {
        path.bytes().filter(|byte| *byte == b'/').count() == self.path.matches('/').count()
    }

    /// Whether a path has it already: an app that knows of it, or was told, says so itself.
    fn begins(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.shown.as_bytes())
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?' | b'#')))
    }

    /// A URL of the app (`Location`, `Content-Location`) as the visitor needs it; `None` if it stays. `is_own` tells the
    /// authority that the visitor asks for; `bare`: the request was [for the prefix alone](Self::is_all_of), and what is
    /// relative to it would be looked for beside it.
    pub fn url(&self, url: &[u8], is_own: impl Fn(&[u8]) -> bool, bare: bool) -> Option<Vec<u8>> {
        let (at, slash) = self.place(url, is_own, bare)?;
        let (before, after) = url.split_at_checked(at)?;
        Some([before, self.shown.as_bytes(), if slash { b"/" } else { b"" }, after].concat())
    }

    /// The same for `Refresh`, which has it after the seconds (HTML, section 4.2.4.3).
    pub fn refresh(&self, value: &[u8], is_own: impl Fn(&[u8]) -> bool, bare: bool) -> Option<Vec<u8>> {
        let mut at = value.iter().position(|byte| b";,".contains(byte))? + 1;
        let blanks =
            |at: usize| at + value.iter().skip(at).take_while(|byte| byte.is_ascii_whitespace()).count();
        at = blanks(at);
        if value.get(at..at + 3).is_some_and(|word| word.eq_ignore_ascii_case(b"url")) {
            let sign = blanks(at + 3);
            if value.get(sign) == Some(&b'=') {
                at = blanks(sign + 1);
            }
        }
        if matches!(value.get(at), Some(b'"' | b'\'')) {
            at += 1;
        }
        let (before, url) = value.split_at_checked(at)?;
        Some([before, &self.url(url, is_own, bare)?].concat())
    }

    /// Where it belongs in a URL, and whether a `/` follows it there.
    fn place(&self, url: &[u8], is_own: impl Fn(&[u8]) -> bool, bare: bool) -> Option<(usize, bool)> {
        let begins = |start: &[u8]| url.get(..start.len()).is_some_and(|u| u.eq_ignore_ascii_case(start));
        let starts: [&[u8]; 3] = [b"http://", b"https://", b"//"];
        let at = if let Some(start) = starts.into_iter().find(|start| begins(start)) {
            let rest = url.get(start.len()..)?;
            let length = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
            // A URL of another host: its paths are none of this route's.
            if !is_own(rest.get(..length)?) {
                return None;
            }
            start.len() + length
        } else if begins(b"/") {
            0
        } else {
            // A query or a fragment belongs to where the visitor is, another scheme leads elsewhere.
            let end = url.iter().position(|byte| b"/?#:".contains(byte));
            let relative = end.is_none_or(|end| end > 0 && url.get(end) != Some(&b':'));
            return (bare && relative && !url.is_empty()).then_some((0, true));
        };
        let path = url.get(at..)?;
        if self.begins(path) { None } else { Some((at, path.first() != Some(&b'/'))) }
    }

    /// A `Set-Cookie` line whose `Path` is the app's, for the visitor; `None` if it stays. Without a `Path` browsers take
    /// the visitor's own, which has the prefix, save where it is `bare`. `__Host-` promises `Path=/` (RFC 6265bis section
    /// 4.1.3.2).
    pub fn set_cookie(&self, line: &[u8], bare: bool) -> Option<Vec<u8>> {
        let mut editor = SetCookieEditor::new(line);
        let promised = editor.name_value().0.get(..7).is_some_and(|n| n.eq_ignore_ascii_case(b"__Host-"));
        if promised {
            return None;
        }
        let own = self.shown.as_bytes();
        let path = match editor.get("Path").filter(|path| path.first() == Some(&b'/')) {
            Some(path) if self.begins(path) => return None,
            Some(b"/") => own.to_vec(),
            Some(path) => [own, path].concat(),
            None if bare => own.to_vec(),
            None => return None,
        };
        editor.set("Path", path, |_| false);
        editor.into_changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Option<Vec<u8>>) -> Option<String> {
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn urls() {
        let prefix = StrippedPrefix::new("/shop", false).unwrap();
        let own = |host: &[u8]| host == b"a.test";
        for (url, wanted) in [
            ("/", Some("/shop/")),
            ("/x?y#z", Some("/shop/x?y#z")),
            ("/shopping", Some("/shop/shopping")),
            ("/shop", None),
            ("/shop/x", None),
            ("/shop?x", None),
            ("//a.test/x", Some("//a.test/shop/x")),
            ("//evil.test/x", None),
            ("http://a.test/x", Some("http://a.test/shop/x")),
            ("HTTPS://a.test", Some("HTTPS://a.test/shop/")),
            ("https://a.test?q", Some("https://a.test/shop/?q")),
            ("https://a.test/shop/x", None),
            ("https://evil.test/x", None),
            ("https://a.test\\@evil.test/", Some("https://a.test/shop/\\@evil.test/")),
            ("mailto:x@a.test", None),
            ("x/y", None),
            ("../x", None),
            ("?q", None),
            ("#f", None),
            ("", None),
        ] {
            assert_eq!(text(prefix.url(url.as_bytes(), own, false)).as_deref(), wanted, "{url}");
        }
        for (url, wanted) in [
            ("x/y", Some("/shop/x/y")),
            ("x?a:b", Some("/shop/x?a:b")),
            ("x", Some("/shop/x")),
            ("x:y", None),
            ("?q", None),
            ("", None),
        ] {
            assert_eq!(text(prefix.url(url.as_bytes(), own, true)).as_deref(), wanted, "{url}");
        }
        for (value, wanted) in [
            ("5; url=/x", Some("5; url=/shop/x")),
            ("0;URL = '/x'", Some("0;URL = '/shop/x'")),
            ("5, /x", Some("5, /shop/x")),
            ("5; url=http://a.test/x", Some("5; url=http://a.test/shop/x")),
            ("5; url=http://evil.test/x", None),
            ("5", None),
            ("5;", None),
        ] {
            assert_eq!(text(prefix.refresh(value.as_bytes(), own, false)).as_deref(), wanted, "{value}");
        }
    }

    #[test]
    fn cookies() {
        let prefix = StrippedPrefix::new("/shop/", false).unwrap();
        for (line, bare, wanted) in [
            ("a=b; Path=/", false, Some("a=b; Path=/shop")),
            ("a=b; path=/x; Secure", false, Some("a=b; path=/shop/x; Secure")),
            ("a=b; Path=/shop", false, None),
            ("a=b; Path=/shop/x", false, None),
            ("a=b; Path=/shops", false, Some("a=b; Path=/shop/shops")),
            ("a=b", false, None),
            ("a=b; Path=x", false, None),
            ("a=b", true, Some("a=b; Path=/shop")),
            ("__host-a=b; Path=/; Secure", false, None),
            ("a=b; Path=/; Max-Age=0", false, Some("a=b; Path=/shop; Max-Age=0")),
        ] {
            assert_eq!(text(prefix.set_cookie(line.as_bytes(), bare)).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn of_a_route() {
        assert_eq!(StrippedPrefix::new("/", false), None);
        let prefix = StrippedPrefix::new("/café a", true).unwrap();
        assert_eq!(prefix.value(), "/caf%C3%A9%20a");
        assert!(prefix.is_all_of("/caf%c3%a9%20a") && !prefix.is_all_of("/caf%c3%a9%20a/"));
    }
}
