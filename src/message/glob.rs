//! Globs: `*` is any run of bytes, `?` one.

use super::steps::step;

/// Whether the pattern fits all of the text; never goes back further than the last `*`.
pub fn fits(pattern: &[u8], text: &[u8]) -> bool {
    fits_folded(pattern, text, |byte| byte)
}

/// The same, where two bytes are equal that fold to the same one.
pub fn fits_folded(mut pattern: &[u8], mut text: &[u8], fold: impl Fn(u8) -> u8) -> bool {
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        step(1);
        match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                star = Some((rest, text));
                pattern = rest;
            }
            ([p, rest @ ..], [t, tail @ ..]) if *p == b'?' || fold(*p) == fold(*t) => {
                (pattern, text) = (rest, tail);
            }
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
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), wanted, "{pattern} {text}");
        }
        let folded = |pattern: &str, text: &str| {
            fits_folded(pattern.as_bytes(), text.as_bytes(), |byte| byte.to_ascii_lowercase())
        };
        assert!(folded("A*c", "abC") && !folded("A?", "abc"));
    }
}
