//! Where a message ends: what both directions read in the same way (RFC 9112 section 6.3).

use http::StatusCode;

use super::cookie::trim;

/// A `Content-Length`: digits and nothing else (RFC 9110 section 8.6), in bytes.
pub fn content_length(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The codings of a line of `Transfer-Encoding`; empty members of the list are passed over (RFC 9110 section 5.6.1.2).
pub fn transfer_codings(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(trim).filter(|coding| !coding.is_empty())
}

/// Whether it is the one that tells where a message ends.
pub fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

/// HTTP/1.2 and later are read as HTTP/1.1 (RFC 9110 section 2.5): makes it so in a line that says so, and tells whether it
/// did. `at` is where the version stands.
pub fn lower_version(line: &mut [u8], at: usize) -> bool {
    match line.get_mut(at..at + 8) {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9']) => {
            *minor = b'1';
            true
        }
        _ => false,
    }
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
    fn lists_of_codings() {
        let all = |text: &'static str| transfer_codings(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(all(", chunked"), [b"chunked"]);
        assert_eq!(all(" gzip ,, \tchunked , "), [&b"gzip"[..], b"chunked"]);
        assert_eq!(all(" , "), [&b""[..]; 0]);
        assert!(!is_chunked(all("\x0bchunked")[0]) && is_chunked(b"CHUNKED"));
    }

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
