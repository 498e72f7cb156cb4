//! Which rule a cookie falls under.

use std::time::SystemTime;

use crate::{config::CookieRule, message::set_cookie::name};

use super::rewrite::{Verdict, rewrite};

/// The rules of the configuration, first match wins.
#[derive(Debug, Clone, Default)]
pub struct CookieRules {
    rules: Vec<CookieRule>,
}

impl CookieRules {
    /// Takes the rules over.
    pub fn build(rules: &[CookieRule]) -> Self {
        Self { rules: rules.to_vec() }
    }

    /// Whether no cookie is ever touched.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What becomes of one `Set-Cookie` line of a visitor who came by https or not.
    pub fn apply(&self, line: &[u8], https: bool, now: SystemTime) -> Verdict {
        if self.rules.is_empty() {
            return Verdict::Untouched;
        }
        let name = name(line);
        match self.rules.iter().find(|rule| glob(rule.name.as_bytes(), name)) {
            Some(rule) => rewrite(rule, line, https, now),
            None => Verdict::Untouched,
        }
    }
}

/// `*` is any run of bytes, `?` one; never goes back further than the last `*`.
fn glob(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                star = Some((rest, text));
                pattern = rest;
            }
            ([p, rest @ ..], [t, tail @ ..]) if *p == b'?' || p == t => (pattern, text) = (rest, tail),
            ([], []) => return true,
            _ => match star {
                Some((after, [_, tail @ ..])) => {
                    star = Some((after, tail));
                    (pattern, text) = (after, tail);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*b", "abab", true),
            ("*b*c", "abab", false),
            ("", "", true),
            ("", "a", false),
            ("A", "a", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), wanted, "{pattern} {text}");
        }
    }
}
