//! Names of session fields, and patterns of them.

use super::value::{TableReader, ValueProblem};
use crate::message::{field::normal, glob};

const EXPECTED: &str = "a field's name such as \"role\"";
const EXPECTED_GLOB: &str = "a field's name, in which * and ? stand for others";

/// Globs of field names: which fields an app is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldGlobs(Vec<String>);

impl FieldGlobs {
    /// Whether a field, by its name in normal form, fits one of them.
    pub fn fits(&self, field: &str) -> bool {
        self.0.iter().any(|pattern| glob::fits(pattern.as_bytes(), field.as_bytes()))
    }

    /// Whether every field does.
    pub fn fit_all(&self) -> bool {
        self.0.iter().any(|pattern| pattern == "*")
    }

    /// Reads an array of them; `["*"]` unless it is there.
    pub(super) fn read(reader: &TableReader<'_>, key: &'static str) -> Self {
        let items = reader.array(key, "an array of names, in which * and ? stand for others");
        if reader.span(key).is_none() {
            return Self(vec!["*".to_owned()]);
        }
        let mut globs = Vec::new();
        for item in items {
            let text = item.get_ref().as_str().ok_or(ValueProblem::TYPE);
            match text.and_then(|text| pattern(text).map_err(ValueProblem::why)) {
                Ok(glob) => globs.push(glob),
                Err(mistake) => reader.refuse(key, item, EXPECTED_GLOB, mistake),
            }
        }
        Self(globs)
    }
}

fn pattern(text: &str) -> Result<String, &'static str> {
    let text = fold(text);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*?".contains(&b);
    if text.is_empty() || !text.bytes().all(plain) {
        return Err("letters, digits and `-` only, * for any run of them and ? for one");
    }
    Ok(text)
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Reads an array of names, each once.
pub(super) fn names(reader: &TableReader<'_>, key: &'static str) -> Vec<String> {
    let mut names = Vec::new();
    for item in reader.array(key, "an array of names of fields") {
        let text = item.get_ref().as_str().ok_or(ValueProblem::TYPE);
        match text.and_then(|text| normal(text).map_err(ValueProblem::why)) {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(mistake) => reader.refuse(key, item, EXPECTED, mistake),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        for (text, wanted) in [
            ("role", Some("role")),
            ("Cart_Id", Some("cart-id")),
            ("a", Some("a")),
            ("a1-", Some("a1-")),
            ("set", None),
            ("SET_role", None),
            ("meta-x", None),
            ("If_Version", None),
            ("idle", None),
            ("idler", Some("idler")),
            ("1a", None),
            ("-a", None),
            ("", None),
            ("a b", None),
            ("a.b", None),
            ("rôle", None),
        ] {
            assert_eq!(normal(text).ok().as_deref(), wanted, "{text}");
        }
        assert!(normal(&"a".repeat(63)).is_ok());
        assert!(normal(&"a".repeat(64)).is_err());
    }

    #[test]
    fn globs_fit_the_normal_form() {
        let globs = |list: &[&str]| FieldGlobs(list.iter().map(|text| pattern(text).unwrap()).collect());
        let some = globs(&["Cart_*", "rol?"]);
        assert!(some.fits("cart-id") && some.fits("role") && !some.fits("name") && !some.fit_all());
        assert!(globs(&["*"]).fits("anything") && globs(&["a", "*"]).fit_all());
        assert!(!globs(&[]).fits("a") && !globs(&[]).fit_all());
        for text in ["", "a b", "[a-z]", "ä*"] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }
}
