//! What an app's answer says about the session: response headers to [`SessionChanges`]. Pure.

use std::{sync::Arc, time::Duration};

use http::HeaderName;

use super::{change::SessionChanges, session_headers::SessionHeaders};
use crate::{
    message::{Fields, field::normal as field_name},
    record::{FieldName, FieldValue, decode_text, form_pairs},
};

impl SessionHeaders {
    /// Takes every session header out of an answer and reads its instructions. A malformed line is logged, counted
    /// and dropped, and takes no other with it.
    pub fn take(&self, headers: &mut Fields) -> Option<Box<SessionChanges>> {
        let mut changes: Option<Box<SessionChanges>> = None;
        if let Some(name) = &self.replace
            && headers.contains(name)
        {
            let changes = changes.get_or_insert_default();
            for value in headers.get_all(name) {
                self.replace_session(value.as_bytes(), changes);
            }
            headers.remove(name);
        }
        // Nearly all answers have none: one pass over the names, and nothing is allocated.
        let ours = |n: &HeaderName| n.as_str().starts_with(&self.prefix);
        if !headers.names().any(ours) {
            return changes;
        }
        let mut said = changes.unwrap_or_default();
        for (name, value) in headers.iter().filter(|(name, _)| ours(name)) {
            let instruction = name.as_str().get(self.prefix.len()..).unwrap_or_default();
            if let Err(why) = self.read(instruction, value.as_bytes(), &mut said) {
                self.events.malformed(&name, why);
            }
        }
        // SECURITY: out even if malformed. What the app tells the session is nothing for the
        // visitor.
        headers.retain(|name| !ours(name));
        Some(said)
    }

    fn read(
        &self,
        instruction: &str,
        value: &[u8],
        changes: &mut SessionChanges,
    ) -> Result<(), &'static str> {
        match instruction {
            "principal" => {
                if value.len() > self.max_value_bytes {
                    return Err("longer than max_value_bytes");
                }
                let name = decode_text(value, self.encoding)?;
                if FieldValue::Text(name.as_str().into())
                    .encode(self.encoding)
                    .is_none_or(|v| v.len() > self.max_value_bytes)
                {
                    return Err("longer than max_value_bytes, or no header can carry it");
                }
                changes.principal = Some((!name.is_empty()).then(|| name.into()));
            }
            "unset" => {
                let names = list(value).map(|name| {
                    field_name(std::str::from_utf8(name).map_err(|_| "not a field name")?)
                        .map(FieldName::from)
                });
                changes.unset.extend(names.collect::<Result<Vec<_>, _>>()?);
            }
            "action" => {
                // A line counts as a whole or not at all.
                let mut all = changes.clone();
                for verb in list(value) {
                    act(verb, &mut all)?;
                }
                *changes = all;
            }
            "idle" => changes.idle = Some(seconds(value)?),
            "max" => changes.max = Some(seconds(value)?),
            "if-version" => changes.if_version = Some(number(value)?),
            "set" => {
                for (name, value) in form_pairs(value) {
                    match (name.and_then(|n| field_name(&n)), value) {
                        (Ok(name), Ok(value)) => {
                            last(&mut changes.set, name.into(), FieldValue::Text(value.into()));
                        }
                        (Err(why), _) | (_, Err(why)) => self.events.malformed(&"set", why),
                    }
                }
            }
            _ => self.read_field(instruction, value, changes)?,
        }
        Ok(())
    }

    /// Instructions that name their field.
    fn read_field(
        &self,
        instruction: &str,
        value: &[u8],
        changes: &mut SessionChanges,
    ) -> Result<(), &'static str> {
        let named =
            |verb: &str| instruction.strip_prefix(verb).map(|name| field_name(name).map(FieldName::from));
        // Before `set-`, which it begins with; no field's name begins with `json-`.
        if let Some(name) = named("set-json-") {
            let name = name?;
            let value = FieldValue::from_json(&decode_text(value, self.encoding_of(&name))?)?;
            last(&mut changes.set, name, value);
        } else if let Some(name) = named("set-") {
            let name = name?;
            let value = FieldValue::decode(value, self.encoding_of(&name))?;
            last(&mut changes.set, name, value);
        } else if let Some(name) = named("incr-") {
            last(&mut changes.incr, name?, number(value)?);
        } else if let Some(name) = named("flash-") {
            let name = name?;
            let text: Arc<str> = decode_text(value, self.encoding_of(&name))?.into();
            last(&mut changes.flash, name, text);
        } else {
            return Err("no such instruction");
        }
        Ok(())
    }

    /// `X-Replace-Session: a=1&b=` of `mod_session`: merged key by key, an empty value deletes. Its keys are any text, and
    /// come back to the app as it wrote them.
    fn replace_session(&self, value: &[u8], changes: &mut SessionChanges) {
        for (name, value) in form_pairs(value) {
            match (name, value) {
                (Ok(name), Ok(_)) if name.is_empty() => {}
                (Ok(name), Ok(value)) if value.is_empty() => changes.unset.push(name.into()),
                (Ok(name), Ok(value)) => last(&mut changes.set, name.into(), FieldValue::Text(value.into())),
                (Err(why), _) | (_, Err(why)) => self.events.malformed(&"x-replace-session", why),
            }
        }
    }
}

/// Of two lines of one kind for one field the last counts.
fn last<T>(all: &mut Vec<(FieldName, T)>, name: FieldName, value: T) {
    all.retain(|(n, _)| *n != name);
    all.push((name, value));
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Result<T, &'static str> {
    std::str::from_utf8(value.trim_ascii())
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or("not a whole number")
}

fn seconds(value: &[u8]) -> Result<Duration, &'static str> {
    number(value).map(Duration::from_secs)
}

fn act(verb: &[u8], changes: &mut SessionChanges) -> Result<(), &'static str> {
    match verb.to_ascii_lowercase().as_slice() {
        b"renew" => changes.renew = true,
        b"clear" => changes.clear = true,
        b"logout" => changes.logout = true,
        b"destroy" => changes.destroy = true,
        b"destroy-principal" => changes.destroy_principal = true,
        // `temporary` beats `permanent`, in whatever order they come.
        b"permanent" => changes.permanent = Some(changes.permanent.unwrap_or(true)),
        b"temporary" => changes.permanent = Some(false),
        _ => return Err("no such action"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::Config;

    fn session_headers(toml: &str) -> SessionHeaders {
        let base = "listen = [{ address = \"127.0.0.1:1\" }]\nupstreams.a.servers = [\"http://127.0.0.1:2\"]\n\
                    routes = [{ upstream = \"a\" }]\n";
        let (config, _) = Config::parse("x.toml", &format!("{base}{toml}")).unwrap();
        SessionHeaders::new(&config.session).unwrap()
    }

    /// The changes of these lines, and how many were malformed.
    fn read(headers: &SessionHeaders, lines: &[(&str, &str)]) -> (SessionChanges, u64) {
        let before = headers.events.malformed.get();
        let mut fields = Fields::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            fields.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        fields.append(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let changes = headers.take(&mut fields).map(|changes| *changes).unwrap_or_default();
        assert_eq!(fields.len(), 1, "nothing else is taken out, and all of ours is");
        (changes, headers.events.malformed.get() - before)
    }

    #[test]
    fn every_instruction() {
        let text = |t: &str| FieldValue::Text(t.into());
        let none = SessionChanges::default;
        let rows: [(&str, &str, SessionChanges); 20] = [
            (
                "x-session-set-role",
                "editor",
                SessionChanges { set: vec![("role".into(), text("editor"))], ..none() },
            ),
            (
                "x-session-set-cart_id",
                "4%32",
                SessionChanges { set: vec![("cart-id".into(), text("42"))], ..none() },
            ),
            ("x-session-set-a", "", SessionChanges { set: vec![("a".into(), text(""))], ..none() }),
            (
                "x-session-set",
                "a=1&B_c=x+y",
                SessionChanges { set: vec![("a".into(), text("1")), ("b-c".into(), text("x y"))], ..none() },
            ),
            (
                "x-session-set-json-a",
                "%5B1%2C2%5D",
                SessionChanges { set: vec![("a".into(), FieldValue::Json("[1,2]".into()))], ..none() },
            ),
            (
                "x-session-set-json-a",
                "\"x\"",
                SessionChanges { set: vec![("a".into(), text("x"))], ..none() },
            ),
            (
                "x-session-unset",
                "a, b_c,",
                SessionChanges { unset: vec!["a".into(), "b-c".into()], ..none() },
            ),
            (
                "x-session-principal",
                "zo%C3%AB",
                SessionChanges { principal: Some(Some("zoë".into())), ..none() },
            ),
            ("x-session-principal", "", SessionChanges { principal: Some(None), ..none() }),
            ("x-session-action", "renew, Clear", SessionChanges { renew: true, clear: true, ..none() }),
            ("x-session-action", "logout", SessionChanges { logout: true, ..none() }),
            ("x-session-action", "destroy", SessionChanges { destroy: true, ..none() }),
            ("x-session-action", "destroy-principal", SessionChanges { destroy_principal: true, ..none() }),
            ("x-session-action", "temporary,permanent", SessionChanges { permanent: Some(false), ..none() }),
            ("x-session-idle", "600", SessionChanges { idle: Some(Duration::from_mins(10)), ..none() }),
            ("x-session-max", " 3600 ", SessionChanges { max: Some(Duration::from_hours(1)), ..none() }),
            ("x-session-incr-n", "-1", SessionChanges { incr: vec![("n".into(), -1)], ..none() }),
            ("x-session-incr-n", "+2", SessionChanges { incr: vec![("n".into(), 2)], ..none() }),
            (
                "x-session-flash-note",
                "Saved%21",
                SessionChanges { flash: vec![("note".into(), "Saved!".into())], ..none() },
            ),
            ("x-session-if-version", "7", SessionChanges { if_version: Some(7), ..none() }),
        ];
        let session_headers = session_headers("");
        for (name, value, wanted) in rows {
            assert_eq!(read(&session_headers, &[(name, value)]), (wanted, 0), "{name}: {value}");
        }
    }

    #[test]
    fn every_malformed_line_is_dropped_alone() {
        let session_headers = session_headers("");
        let long = format!("x-session-set-{}", "a".repeat(64));
        let rows = [
            ("x-session-set-id", "1"),
            ("x-session-set-state", "1"),
            ("x-session-set-principal", "1"),
            ("x-session-set-set", "1"),
            ("x-session-set-json", "1"),
            ("x-session-set-unset", "1"),
            ("x-session-set-action", "1"),
            ("x-session-set-idle", "1"),
            ("x-session-set-max", "1"),
            ("x-session-set-if-version", "1"),
            ("x-session-set-meta-x", "1"),
            ("x-session-set-set-x", "1"),
            ("x-session-set-incr-x", "1"),
            ("x-session-set-flash-x", "1"),
            ("x-session-incr-id", "1"),
            ("x-session-flash-meta-x", "1"),
            ("x-session-set-json-id", "1"),
            (&long, "1"),
            ("x-session-set-1a", "1"),
            ("x-session-set-", "1"),
            ("x-session-set-a.b", "1"),
            ("x-session-set-a", "%0"),
            ("x-session-set-a", "%zz"),
            ("x-session-set-a", "%00"),
            ("x-session-set", "id=1"),
            ("x-session-set", "a=%"),
            ("x-session-set-json-a", "{"),
            ("x-session-set-json-a", ""),
            ("x-session-unset", "id"),
            ("x-session-unset", "a b"),
            ("x-session-unset", "fine, not!"),
            ("x-session-action", "explode"),
            ("x-session-action", "destroy, explode"),
            ("x-session-idle", "ten"),
            ("x-session-idle", "-1"),
            ("x-session-max", "1.5"),
            ("x-session-incr-n", "1.5"),
            ("x-session-incr-n", ""),
            ("x-session-incr-n", "9223372036854775808"),
            ("x-session-flash-a", "%07"),
            ("x-session-if-version", "-1"),
            ("x-session-principal", "%0d%0a"),
            ("x-session-meta-version", "1"),
            ("x-session-state", "active"),
            ("x-session-id", "1"),
            ("x-session-colour", "red"),
        ];
        for row in rows {
            let (changes, malformed) = read(&session_headers, &[row, ("x-session-set-good", "1")]);
            assert_eq!(malformed, 1, "{row:?}");
            let good = SessionChanges {
                set: vec![("good".into(), FieldValue::Text("1".into()))],
                ..SessionChanges::default()
            };
            assert_eq!(changes, good, "{row:?}");
        }
    }

    #[test]
    fn of_two_lines_for_one_field_the_last_counts() {
        let session_headers = session_headers("");
        let lines = [
            ("x-session-set-a", "1"),
            ("x-session-set-A", "2"),
            ("x-session-incr-n", "1"),
            ("x-session-incr-n", "5"),
            ("x-session-principal", "a"),
            ("x-session-principal", "b"),
        ];
        let (changes, _) = read(&session_headers, &lines);
        assert_eq!(changes.set, [("a".into(), FieldValue::Text("2".into()))]);
        assert_eq!(changes.incr, [("n".into(), 5)]);
        assert_eq!(changes.principal, Some(Some("b".into())));
    }

    #[test]
    fn of_two_spellings_of_one_name_the_last_counts() {
        let lines = [("x-session-set-a_b", "first"), ("x-session-set-a-b", "last")];
        let (changes, _) = read(&session_headers(""), &lines);
        assert_eq!(changes.set, [("a-b".into(), FieldValue::Text("last".into()))]);
    }

    #[test]
    fn a_principal_is_no_longer_than_a_value() {
        let session_headers = session_headers("session.max_value_bytes = 12");
        assert_eq!(read(&session_headers, &[("x-session-principal", "zo%C3%AB")]).1, 0);
        assert_eq!(
            read(&session_headers, &[("x-session-principal", "zo\u{eb}-zo\u{eb}")]).1,
            1,
            "18 bytes on the rules_of"
        );
        assert_eq!(read(&session_headers, &[("x-session-principal", &"a".repeat(13))]).1, 1);
    }

    #[test]
    fn mod_sessions_own_header() {
        let session_headers = session_headers("session.headers.preset = \"apache\"");
        let (changes, _) =
            read(&session_headers, &[("x-replace-session", "a=1&b=&c=x%20y"), ("x-session-set-d", "4")]);
        let text = |t: &str| FieldValue::Text(t.into());
        assert_eq!(
            changes.set,
            [("a".into(), text("1")), ("c".into(), text("x y")), ("d".into(), text("4"))]
        );
        assert_eq!(changes.unset, ["b".into()]);
    }
}
