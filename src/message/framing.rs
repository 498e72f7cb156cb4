//! Where a message ends: what both directions read in the same way (RFC 9112 section 6.3).

use http::StatusCode;

/// A `Content-Length`: digits and nothing else (RFC 9110 section 8.6), in bytes.
pub fn content_length(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether an answer of this status, to a HEAD or not, ends with its head whatever it says.
pub fn ends_with_head(status: StatusCode, to_head: bool) -> bool {
    to_head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (text, wanted) in [("0", Some(0)), ("007", Some(7)), ("18446744073709551615", Some(u64::MAX))] {
            assert_eq!(content_length(text.as_bytes()), wanted);
        }
        for text in ["", "+5", "-5", "0x5", "5, 5", " 5", "5 ", "18446744073709551616", "\u{0665}"] {
            assert_eq!(content_length(text.as_bytes()), None, "{text}");
        }
    }
}
