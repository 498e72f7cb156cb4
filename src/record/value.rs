//! Values of fields: text, or JSON that is no string; and how they stand in a header. Pure.

use std::sync::Arc;

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::config::ValueEncoding;

/// With or without padding, as apps write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldValue {
    /// Text without control characters.
    Text(Arc<str>),
    /// A number, list, object, boolean or null, as JSON text (RFC 8259).
    Json(Arc<str>),
}

impl FieldValue {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }

    /// From JSON; a string becomes text.
    ///
    /// # Errors
    /// It is no JSON, or the string has control characters.
    pub fn from_json(text: &str) -> Result<Self, &'static str> {
        let raw: &serde_json::value::RawValue = serde_json::from_str(text).map_err(|_| "not JSON")?;
        if raw.get().starts_with('"') {
            let text: String = serde_json::from_str(raw.get()).map_err(|_| "not JSON")?;
            // A JSON string is text, so that both forms of one value are equal, and an app that
            // asks for text gets no quotes.
            return Ok(Self::Text(printable(text)?.into()));
        }
        Ok(Self::Json(raw.get().into()))
    }

    /// This many more; a missing one counts from 0. `None`: it is no whole number, or grows out of 64 bits.
    pub fn plus(before: Option<&Self>, more: i64) -> Option<Self> {
        let Some(before) = before else { return Some(Self::Json(more.to_string().into())) };
        let sum: Arc<str> = before.text().parse::<i64>().ok()?.checked_add(more)?.to_string().into();
        Some(match before {
            Self::Text(_) => Self::Text(sum),
            Self::Json(_) => Self::Json(sum),
        })
    }

    /// As it stands in a header; `None` where `raw` cannot carry it (RFC 9110 section 5.5).
    pub fn encode(&self, encoding: ValueEncoding) -> Option<Vec<u8>> {
        let text = self.text();
        Some(match encoding {
            ValueEncoding::Percent => percent(text).into_bytes(),
            ValueEncoding::Base64Url => BASE64.encode(text).into_bytes(),
            ValueEncoding::Json => match self {
                Self::Text(text) => json_string(text).into_bytes(),
                Self::Json(text) => ascii(text).into_bytes(),
            },
            ValueEncoding::Raw => {
                // Blanks at the ends would be lost: whoever reads a header trims them (RFC 9110
                // section 5.5).
                let plain = text.bytes().all(|b| b >= b' ' && b != 0x7f) && text.trim_ascii() == text;
                return plain.then(|| text.as_bytes().to_vec());
            }
        })
    }

    /// From a header, leniently: raw bytes are UTF-8 if valid, else Latin-1 (Node and WSGI send that).
    ///
    /// # Errors
    /// Why it is malformed.
    pub fn decode(bytes: &[u8], encoding: ValueEncoding) -> Result<Self, &'static str> {
        Ok(match encoding {
            ValueEncoding::Json => return Self::from_json(&lenient(bytes)),
            other => Self::Text(decode_text(bytes, other)?.into()),
        })
    }
}

/// The text that a header's value carries.
///
/// # Errors
/// Why it is malformed.
pub fn decode_text(bytes: &[u8], encoding: ValueEncoding) -> Result<String, &'static str> {
    match encoding {
        ValueEncoding::Percent => printable(utf8_or_latin1(unescape(lenient(bytes).as_bytes())?)),
        ValueEncoding::Base64Url => {
            let decoded = BASE64.decode(bytes.trim_ascii()).map_err(|_| "not base64url")?;
            printable(String::from_utf8(decoded).map_err(|_| "not UTF-8")?)
        }
        ValueEncoding::Raw => printable(lenient(bytes)),
        // A number or list is a text here, as it is written.
        ValueEncoding::Json => Ok(FieldValue::from_json(&lenient(bytes))?.text().to_owned()),
    }
}

/// The pairs of a form (application/x-www-form-urlencoded), where `+` is a space.
pub fn form_pairs(
    bytes: &[u8],
) -> impl Iterator<Item = (Result<String, &'static str>, Result<String, &'static str>)> {
    bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = match pair.iter().position(|b| *b == b'=') {
            Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default()),
            None => (pair, &b""[..]),
        };
        let text = |part: &[u8]| {
            let spaced: Vec<u8> = part.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
            decode_text(&spaced, ValueEncoding::Percent)
        };
        (text(name), text(value))
    })
}

/// Percent-encoding: what is safe in every header reader stands for itself.
pub fn percent(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~:/@!$*()".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push('%');
            for nibble in [b >> 4, b & 15] {
                out.push(char::from(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0')));
            }
        }
    }
    out
}

fn unescape(raw: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((b, tail)) = rest.split_first() {
        rest = tail;
        if *b != b'%' {
            out.push(*b);
            continue;
        }
        let digit = |b: &u8| char::from(*b).to_digit(16);
        let [high, low, tail @ ..] = tail else { return Err("a % without two hex digits") };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return Err("a % without two hex digits");
        };
        out.push((high * 16 + low) as u8);
        rest = tail;
    }
    Ok(out)
}

fn lenient(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes)
        .map_or_else(|_| bytes.iter().map(|b| char::from(*b)).collect(), ToOwned::to_owned)
}

fn utf8_or_latin1(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().iter().map(|b| char::from(*b)).collect())
}

fn printable(text: String) -> Result<String, &'static str> {
    // SECURITY: a line break in a value would begin a header of its own with an app that decodes
    // before it writes.
    if text.chars().any(char::is_control) { Err("a control character") } else { Ok(text) }
}

fn json_string(text: &str) -> String {
    ascii(&serde_json::Value::from(text).to_string())
}

/// JSON in ASCII: what is not stands in a string, and can be escaped there (RFC 8259 section 7).
fn ascii(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ValueEncoding; 4] =
        [ValueEncoding::Percent, ValueEncoding::Base64Url, ValueEncoding::Raw, ValueEncoding::Json];

    #[test]
    fn values_come_back_as_they_went() {
        for text in ["", "plain", "Zoë 100% + \"quoted\"; ü", "a,b=c&d", "日本 🎩", "%41", "\\u0041"] {
            for encoding in ALL {
                let value = FieldValue::Text(text.into());
                let wire = value.encode(encoding).unwrap();
                assert_eq!(FieldValue::decode(&wire, encoding), Ok(value), "{text} {encoding:?}");
            }
        }
        assert_eq!(percent("Zoë 1%"), "Zo%C3%AB%201%25");
        assert_eq!(
            FieldValue::Text("é🎩".into()).encode(ValueEncoding::Json).unwrap(),
            b"\"\\u00e9\\ud83c\\udfa9\""
        );
        assert_eq!(FieldValue::Text(" a".into()).encode(ValueEncoding::Raw), None);
        assert_eq!(FieldValue::Text("a\r\nb".into()).encode(ValueEncoding::Raw), None);
    }

    #[test]
    fn what_apps_send_is_read_leniently() {
        for (bytes, wanted) in [
            (&b"Zo\xeb"[..], Ok("Zoë")),
            ("Zoë".as_bytes(), Ok("Zoë")),
            (b"a+b", Ok("a+b")),
            (b"a \"b\"; c", Ok("a \"b\"; c")),
            (b"%e9", Ok("é")),
            (b"%", Err("a % without two hex digits")),
            (b"%4", Err("a % without two hex digits")),
            (b"%zz", Err("a % without two hex digits")),
            (b"%0A", Err("a control character")),
            (b"%00", Err("a control character")),
            (b"a\tb", Err("a control character")),
        ] {
            assert_eq!(decode_text(bytes, ValueEncoding::Percent).as_deref().map_err(|e| *e), wanted);
        }
        assert_eq!(decode_text(b"Wm_Dqw==", ValueEncoding::Base64Url).as_deref(), Ok("Zoë"));
        assert!(decode_text(b"Wm_D!", ValueEncoding::Base64Url).is_err());
    }

    #[test]
    fn json() {
        for (text, wanted) in [
            ("[1, 2]", Ok(FieldValue::Json("[1, 2]".into()))),
            (" 12345678901234567890.10 ", Ok(FieldValue::Json("12345678901234567890.10".into()))),
            ("\"a\\u00e9\"", Ok(FieldValue::Text("aé".into()))),
            ("\"\\n\"", Err("a control character")),
            ("{\"a\":null}", Ok(FieldValue::Json("{\"a\":null}".into()))),
            ("{a:1}", Err("not JSON")),
            ("1 2", Err("not JSON")),
            ("", Err("not JSON")),
        ] {
            assert_eq!(FieldValue::from_json(text), wanted, "{text}");
        }
        assert!(FieldValue::from_json(&"[".repeat(100_000)).is_err(), "bounded in depth");
    }

    #[test]
    fn sums() {
        let text = |t: &str| FieldValue::Text(t.into());
        let json = |t: &str| FieldValue::Json(t.into());
        for (before, more, wanted) in [
            (None, -1, Some(json("-1"))),
            (Some(text("41")), 1, Some(text("42"))),
            (Some(json("41")), 1, Some(json("42"))),
            (Some(text("4.1")), 1, None),
            (Some(text("")), 1, None),
            (Some(json("[1]")), 1, None),
            (Some(text("9223372036854775807")), 1, None),
        ] {
            assert_eq!(FieldValue::plus(before.as_ref(), more), wanted);
        }
    }

    #[test]
    fn forms() {
        let pairs: Vec<_> =
            form_pairs(b"a=1&b=x+y%2B&&c&=d&e=%").map(|(n, v)| (n.unwrap(), v.ok())).collect();
        let wanted = [("a", Some("1")), ("b", Some("x y+")), ("c", Some("")), ("", Some("d")), ("e", None)];
        assert_eq!(pairs, wanted.map(|(n, v)| (n.to_owned(), v.map(str::to_owned))));
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back(text in "[^\\p{Cc}]*") {
            for encoding in [ValueEncoding::Percent, ValueEncoding::Base64Url, ValueEncoding::Json] {
                let value = FieldValue::Text(text.as_str().into());
                assert_eq!(FieldValue::decode(&value.encode(encoding).unwrap(), encoding), Ok(value));
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(0_u8.., 0..60)) {
            for encoding in ALL {
                let _ = FieldValue::decode(&bytes, encoding);
            }
            form_pairs(&bytes).for_each(drop);
        }
    }
}
