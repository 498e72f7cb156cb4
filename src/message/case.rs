//! Letters without their case, as apps compare them that tell `/Admin` and `/admin` not apart.

use std::borrow::Cow;

use super::steps::step;

/// The text with each letter in one case. Where it is UTF-8 that is so beyond ASCII as well: two characters that any
/// upper or lower case makes alike are alike (the Kelvin sign is a `k`).
pub fn fold(text: &[u8]) -> Cow<'_, [u8]> {
    step(text.len());
    if text.is_ascii() {
        return if text.iter().any(u8::is_ascii_uppercase) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    let text = String::from_utf8_lossy(text);
    let folded: String = text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    Cow::Owned(folded.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_alike_whatever_their_case() {
        for (a, b) in
            [("/Admin", "/aDMIN"), ("/ÉTÉ", "/été"), ("/\u{212a}", "/k"), ("/\u{17f}", "/s"), ("ς", "σ")]
        {
            assert_eq!(fold(a.as_bytes()), fold(b.as_bytes()), "{a} {b}");
        }
        assert_ne!(fold(b"/a_b"), fold(b"/a-b"));
        assert!(matches!(fold(b"/plain"), Cow::Borrowed(_)));
        assert!(!fold(b"/\xff").is_empty());
    }
}
