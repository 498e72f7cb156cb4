//! The session headers, in and out: `X-Session-*`.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::{
    change::Changes,
    record::{Fields, Record},
    resolve::Resolved,
};
use crate::{config::Session, message::lines::Lines};

const RESERVED: [&str; 10] =
    ["id", "state", "principal", "set", "json", "unset", "action", "idle", "max", "if-version"];
const RESERVED_PREFIXES: [&str; 5] = ["meta-", "set-", "json-", "incr-", "flash-"];

/// The names under one prefix, made once.
#[derive(Debug)]
pub struct Wire {
    prefix: String,
    state: HeaderName,
    id: HeaderName,
    principal: HeaderName,
}

impl Wire {
    /// `prefix` in lower case, valid in a header's name.
    pub fn new(prefix: &str) -> Option<Self> {
        let name = |s: &str| HeaderName::try_from(format!("{prefix}{s}")).ok();
        Some(Self {
            prefix: prefix.to_owned(),
            state: name("state")?,
            id: name("id")?,
            principal: name("principal")?,
        })
    }

    /// The record's principal and fields as header lines to the app.
    pub fn lines(&self, record: &Record) -> Lines {
        let mut lines = Lines::default();
        if let Some(principal) = &record.principal {
            lines.push_text(&self.principal, &encode(principal));
        }
        for (name, value) in &record.fields {
            if let Ok(name) = HeaderName::try_from(format!("{}{name}", self.prefix)) {
                lines.push_text(&name, &encode(value));
            }
        }
        lines
    }

    /// Tells the app what its request comes under.
    pub fn tell(&self, resolved: &Resolved, lines: &mut Lines) {
        lines.push_text(&self.state, resolved.state().as_str());
        if let Some(id) = resolved.id() {
            lines.push_text(&self.id, id.hyphenated().encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH]));
        }
        if let Some(record) = resolved.record() {
            lines.append(&record.lines);
        }
    }

    /// The limit that this field breaks, if any.
    pub fn over_limit(
        &self,
        fields: &Fields,
        name: &str,
        value: &str,
        rules: &Session,
    ) -> Option<&'static str> {
        if fields.len() > rules.max_fields {
            return Some("max_fields");
        }
        if encode(value).len() > rules.max_value_bytes {
            return Some("max_value_bytes");
        }
        let bytes: usize = fields.iter().map(|(k, v)| k.len() + v.len()).sum();
        if bytes > rules.max_bytes {
            return Some("max_bytes");
        }
        // Name, ": ", value, CR LF, as they stand on the wire.
        let wire: usize = fields.iter().map(|(k, v)| self.prefix.len() + k.len() + encode(v).len() + 4).sum();
        (wire > rules.max_header_bytes && !name.is_empty()).then_some("max_header_bytes")
    }

    /// Takes every session header out of an answer and reads its instructions. A malformed line is logged and
    /// dropped, and takes no other with it.
    pub fn take(&self, headers: &mut HeaderMap) -> Changes {
        let mut changes = Changes::default();
        let ours = |n: &HeaderName| n.as_str().starts_with(&self.prefix);
        if !headers.keys().any(ours) {
            return changes;
        }
        let names: Vec<HeaderName> = headers.keys().filter(|n| ours(n)).cloned().collect();
        for name in names {
            let instruction = name.as_str().get(self.prefix.len()..).unwrap_or_default();
            for value in headers.get_all(&name) {
                if let Err(why) = read(instruction, value.as_bytes(), &mut changes) {
                    tracing::warn!(header = %name, why, "a session header of the app was dropped: malformed");
                }
            }
            headers.remove(&name);
        }
        changes
    }
}

fn read(instruction: &str, value: &[u8], changes: &mut Changes) -> Result<(), &'static str> {
    match instruction {
        "principal" => {
            let name = decode(value)?;
            changes.principal = Some((!name.is_empty()).then(|| name.into()));
        }
        "unset" => {
            for name in value.split(|b| *b == b',') {
                let name = std::str::from_utf8(name.trim_ascii()).map_err(|_| "not a field name")?;
                changes.unset.push(field_name(name)?);
            }
        }
        "action" => {
            for verb in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                act(verb, changes)?;
            }
        }
        _ => {
            let name = instruction.strip_prefix("set-").ok_or("no such instruction")?;
            let name: Arc<str> = field_name(name)?.into();
            changes.set.retain(|(n, _)| *n != name);
            changes.set.push((name, decode(value)?.into()));
        }
    }
    Ok(())
}

fn act(verb: &[u8], changes: &mut Changes) -> Result<(), &'static str> {
    match verb.to_ascii_lowercase().as_slice() {
        b"renew" => changes.renew = true,
        b"clear" => changes.clear = true,
        b"destroy" => changes.destroy = true,
        // `temporary` beats `permanent`, in whatever order they come.
        b"permanent" => changes.permanent = Some(changes.permanent.unwrap_or(true)),
        b"temporary" => changes.permanent = Some(false),
        _ => return Err("no such action"),
    }
    Ok(())
}

/// A field's normal form: lower case, `-` for `_`, not reserved.
fn field_name(name: &str) -> Result<String, &'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && name.len() <= 63
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !plain {
        return Err("not a field name");
    }
    if RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|p| name.starts_with(p)) {
        return Err("a reserved name");
    }
    Ok(name)
}

/// Percent-encoding of a value: what is safe in every header reader stands for itself.
pub fn encode(value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(value.len());
    for b in value.bytes() {
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

/// Lenient decoding: raw ASCII as it is, `+` is a plus, raw bytes are UTF-8 if valid, else Latin-1.
fn decode(value: &[u8]) -> Result<String, &'static str> {
    let raw: Vec<u8> = if std::str::from_utf8(value).is_ok() {
        value.to_vec()
    } else {
        value.iter().map(|b| char::from(*b)).collect::<String>().into_bytes()
    };
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_slice();
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
    let text =
        String::from_utf8(out).unwrap_or_else(|e| e.into_bytes().iter().map(|b| char::from(*b)).collect());
    if text.chars().any(char::is_control) { Err("a control character") } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        for text in ["", "plain", "Zoë 100% + \"quoted\"; ü", "a,b=c&d", "日本", "%41"] {
            assert_eq!(decode(encode(text).as_bytes()).unwrap(), text);
        }
        assert_eq!(encode("Zoë 1%"), "Zo%C3%AB%201%25");
        assert_eq!(decode(b"Zo\xeb").unwrap(), "Zoë");
        assert_eq!(decode("Zoë".as_bytes()).unwrap(), "Zoë");
        assert_eq!(decode(b"a+b").unwrap(), "a+b");
        for bad in [&b"%"[..], b"%4", b"%zz", b"%0A", b"%00"] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn instructions_are_read_and_taken_out() {
        let wire = Wire::new("x-session-").unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-session-set-role", "editor"),
            ("x-session-set-cart_id", "4%32"),
            ("x-session-set-id", "reserved"),
            ("x-session-set-bad", "%0"),
            ("x-session-unset", "a, b_c"),
            ("x-session-principal", "zo%C3%AB"),
            ("x-session-action", "permanent, renew"),
            ("content-type", "text/plain"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let changes = wire.take(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(changes.unset, ["a", "b-c"]);
        assert_eq!(changes.principal, Some(Some("zoë".into())));
        assert_eq!(changes.permanent, Some(true));
        assert!(changes.renew && !changes.destroy);
        let mut set: Vec<_> = changes.set.iter().map(|(k, v)| (&**k, &**v)).collect();
        set.sort_unstable();
        assert_eq!(set, [("cart-id", "42"), ("role", "editor")]);
    }
}
