//! Names of session fields: their normal form, and those that mean something else.

const RESERVED: [&str; 10] =
    ["id", "state", "principal", "set", "json", "unset", "action", "idle", "max", "if-version"];
const RESERVED_PREFIXES: [&str; 5] = ["meta-", "set-", "json-", "incr-", "flash-"];
const LONGEST: usize = 63;

/// A field's normal form: lower case, `-` for `_`, `[a-z][a-z0-9-]{0,62}`, not reserved.
///
/// # Errors
/// Why it is none.
pub fn normal(name: &str) -> Result<String, &'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && name.len() <= LONGEST
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !plain {
        return Err("a field's name is a letter, then at most 62 letters, digits and `-`");
    }
    if RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|p| name.starts_with(p)) {
        return Err("a reserved name");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, wanted) in [
            ("Cart_Id", Ok("cart-id")),
            ("a", Ok("a")),
            ("idle-time", Ok("idle-time")),
            ("ids", Ok("ids")),
            ("metal", Ok("metal")),
        ] {
            assert_eq!(normal(name).as_deref().map_err(|e| *e), wanted);
        }
        for name in RESERVED.into_iter().chain(["meta-x", "set-x", "json-x", "incr-x", "flash-x", "SET_x"]) {
            assert_eq!(normal(name), Err("a reserved name"), "{name}");
        }
        for name in ["", "1a", "-a", "a b", "é", "a.b", &"a".repeat(64)] {
            assert_eq!(
                normal(name),
                Err("a field's name is a letter, then at most 62 letters, digits and `-`"),
                "{name}"
            );
        }
    }
}
