//! Percent-encoding and HTML escaping, as a legacy app would bring its own.

use std::fmt::Write as _;

/// Encodes every byte that is not a letter, a digit or one of `- . _ ~`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Decodes `%XX`; what is no valid escape stays, what is no UTF-8 becomes U+FFFD.
pub(super) fn decode(text: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, tail @ ..]) => hex(*high, *low).map_or((first, after), |byte| (byte, tail)),
            _ => (first, after),
        };
        decoded.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// One field of a form (`application/x-www-form-urlencoded`), trimmed; empty if it is missing.
pub(super) fn form_field(form: &[u8], name: &str) -> String {
    let mut pairs = form.split(|byte| *byte == b'&');
    let value = pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    let spaced: Vec<u8> =
        value.unwrap_or_default().iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    decode(&spaced).trim().to_owned()
}

/// Escapes text for HTML, attribute values in double quotes included.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, escape, form_field};

    #[test]
    fn what_is_encoded_is_plain_ascii_and_comes_back() {
        for text in ["", "Zoë 100% + \"quoted\"; ü", "a,b", "plain-._~", "\u{1f9e5}"] {
            let wire = encode(text);
            assert!(wire.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%-._~".contains(&byte)));
            assert_eq!(decode(wire.as_bytes()), text);
        }
        assert_eq!(encode("Zoë b"), "Zo%C3%AB%20b");
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(decode(b"100%"), "100%");
        assert_eq!(decode(b"%4"), "%4");
        assert_eq!(decode(b"%zz%41%+1"), "%zzA%+1");
        assert_eq!(decode(b"%ff"), "\u{fffd}");
    }

    #[test]
    fn a_form_field_is_found_by_its_whole_name() {
        assert_eq!(form_field(b"surname=x&name=Zo%C3%AB+M%2B&name=y", "name"), "Zoë M+");
        assert_eq!(form_field(b"names=x", "name"), "");
    }

    #[test]
    fn nothing_escaped_can_open_a_tag_or_end_an_attribute() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
