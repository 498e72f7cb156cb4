//! From the payload to its text and back: base64, and zlib (RFC 1950) where a dot stands before it.

use base64::Engine as _;
use miniz_oxide::{deflate::compress_to_vec_zlib, inflate::decompress_to_vec_zlib_with_limit};

use super::signature::BASE64;

/// What may come out of a cookie, in bytes. Browsers keep 4 KiB of it; text that deflates to that and inflates to more
/// than this is none that anybody stored on purpose.
const MOST_INFLATED: usize = 256 << 10;

/// What Python's zlib does unless it is told otherwise.
const LEVEL: u8 = 6;

pub(super) fn read(payload: &[u8]) -> Option<String> {
    let (deflated, text) = match payload.split_first() {
        Some((b'.', rest)) => (true, rest),
        _ => (false, payload),
    };
    let mut bytes = BASE64.decode(text).ok()?;
    if deflated {
        // SECURITY: the limit is what keeps a cookie of 4 KiB from becoming 4 MiB with each request.
        bytes = decompress_to_vec_zlib_with_limit(&bytes, MOST_INFLATED).ok()?;
    }
    String::from_utf8(bytes).ok()
}

pub(super) fn write(text: &[u8]) -> String {
    let deflated = compress_to_vec_zlib(text, LEVEL);
    let mut payload = String::new();
    // Only where it saves two bytes: the dot is one.
    if deflated.len() + 1 < text.len() {
        payload.push('.');
        BASE64.encode_string(deflated, &mut payload);
    } else {
        BASE64.encode_string(text, &mut payload);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_inflates_without_end_is_not_read() {
        for (length, reads) in [(MOST_INFLATED, true), (MOST_INFLATED + 1, false), (16 << 20, false)] {
            let payload = write(" ".repeat(length).as_bytes());
            assert!(payload.starts_with('.') && payload.len() < 32 << 10);
            assert_eq!(read(payload.as_bytes()).is_some(), reads, "{length}");
        }
    }

    #[test]
    fn what_is_cut_short_or_no_text_is_not_read() {
        let payload = write("ab".repeat(100).as_bytes());
        assert_eq!(read(payload.as_bytes()).unwrap(), "ab".repeat(100));
        for length in 1..payload.len() - 1 {
            assert_eq!(read(&payload.as_bytes()[..length]), None, "{length} of {}", payload.len());
        }
        for odd in [&b"."[..], b"!", b".e30", b"_w", b"e30.e30"] {
            assert_eq!(read(odd), None, "{}", odd.escape_ascii());
        }
    }

    #[test]
    fn it_is_deflated_only_where_that_saves_two_bytes() {
        for (text, deflates) in [("{}", false), ("{\"a\":\"bcdefghijklmnop\"}", false)] {
            assert_eq!(write(text.as_bytes()).starts_with('.'), deflates, "{text}");
        }
        // Each length, so that the border is among them.
        for length in 1..60 {
            let text = "a".repeat(length);
            let saves = compress_to_vec_zlib(text.as_bytes(), LEVEL).len() + 2 <= length;
            assert_eq!(write(text.as_bytes()).starts_with('.'), saves, "{length}");
        }
    }
}
