//! Types that JSON does not know, as Flask writes them: `{" t":[…]}` is a tuple. From these to JSON that any app reads,
//! and from an app's JSON to what Flask reads as the same.

use uuid::Uuid;

use super::json::{JsonNode, PythonText};

/// An object whose one name is itself a tag.
pub(super) const OBJECT: &str = " di";
const TUPLE: &str = " t";
const BYTES: &str = " b";
const MARKUP: &str = " m";
const UUID: &str = " u";
const DATE: &str = " d";

const ALL: [&str; 6] = [OBJECT, TUPLE, BYTES, MARKUP, UUID, DATE];

/// What stands behind such a name within [`OBJECT`].
pub(super) const DISGUISE: &str = "__";

/// Integers of more digits are an error to Python.
const MOST_DIGITS: usize = 4300;

/// True for the name of a type.
pub(super) fn is_tag(name: &PythonText) -> bool {
    ALL.iter().any(|tag| name == *tag)
}

/// As JSON without tags: a tuple is a list; bytes are their base64; markup and dates are texts; a UUID is written with
/// hyphens. `None`: there is a number that only Python knows, or a type whose value is none of it.
pub(super) fn plain(node: &JsonNode<'_>, out: &mut String) -> Option<()> {
    match node {
        JsonNode::Text(literal) => out.push_str(literal),
        JsonNode::Plain(text) if text.ends_with(['N', 'y']) => return None,
        JsonNode::Plain(text) => out.push_str(text),
        JsonNode::List(all) => list(all, out, plain)?,
        JsonNode::Map(all) => match all.as_slice() {
            [(name, value)] if is_tag(name) => typed(name, value, out)?,
            all => map(all.iter().map(|(name, value)| (name, value)), out, plain)?,
        },
    }
    Some(())
}

fn typed(tag: &PythonText, value: &JsonNode<'_>, out: &mut String) -> Option<()> {
    match value {
        JsonNode::List(all) if tag == TUPLE => list(all, out, plain),
        JsonNode::Map(all) if tag == OBJECT => match all.as_slice() {
            [(name, value)] => {
                let name = name.shorter_by(DISGUISE.len());
                map(std::iter::once((&name, value)), out, plain)
            }
            _ => None,
        },
        JsonNode::Text(literal) if tag == UUID => {
            let id = Uuid::try_parse(&PythonText::of(literal).plain()?).ok()?;
            PythonText::from(id.to_string().as_str()).write(out);
            Some(())
        }
        JsonNode::Text(literal) if [BYTES, MARKUP, DATE].iter().any(|known| tag == *known) => {
            out.push_str(literal);
            Some(())
        }
        _ => None,
    }
}

/// As Flask would write an app's JSON: names in their order, ASCII, no spaces; an object that looks like one of its types
/// is marked as none. `None`: Python does not read a number of so many digits.
pub(super) fn tagged(node: &JsonNode<'_>, out: &mut String) -> Option<()> {
    match node {
        JsonNode::Text(literal) => PythonText::of(literal).write(out),
        JsonNode::Plain(text) => {
            let is_long = text.len() > MOST_DIGITS && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            (!is_long).then_some(())?;
            out.push_str(text);
        }
        JsonNode::List(all) => list(all, out, tagged)?,
        JsonNode::Map(all) => match all.as_slice() {
            [(name, value)] if is_tag(name) => {
                out.push_str("{\" di\":");
                map(std::iter::once((&name.followed_by(DISGUISE), value)), out, tagged)?;
                out.push('}');
            }
            all => {
                let mut sorted: Vec<_> = all.iter().map(|(name, value)| (name, value)).collect();
                sorted.sort_by_key(|(name, _)| *name);
                map(sorted.into_iter(), out, tagged)?;
            }
        },
    }
    Some(())
}

type TaggedWriter = fn(&JsonNode<'_>, &mut String) -> Option<()>;

fn list(all: &[JsonNode<'_>], out: &mut String, writes: TaggedWriter) -> Option<()> {
    out.push('[');
    for (place, node) in all.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        writes(node, out)?;
    }
    out.push(']');
    Some(())
}

fn map<'n, 'a: 'n>(
    all: impl Iterator<Item = (&'n PythonText, &'n JsonNode<'a>)>,
    out: &mut String,
    writes: TaggedWriter,
) -> Option<()> {
    out.push('{');
    for (place, (name, node)) in all.enumerate() {
        if place > 0 {
            out.push(',');
        }
        name.write(out);
        out.push(':');
        writes(node, out)?;
    }
    out.push('}');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(writes: TaggedWriter, text: &str) -> Option<String> {
        let mut out = String::new();
        writes(&JsonNode::read(text).unwrap(), &mut out)?;
        Some(out)
    }

    #[test]
    fn types_as_any_app_reads_them() {
        for (text, wanted) in [
            (r#"{" t":[1,{" t":[]}]}"#, Some("[1,[]]")),
            (r#"{" b":"AAE="}"#, Some(r#""AAE=""#)),
            (r#"{" m":"<b>"}"#, Some(r#""<b>""#)),
            (
                r#"{" u":"0123456789abcdef0123456789abcdef"}"#,
                Some(r#""01234567-89ab-cdef-0123-456789abcdef""#),
            ),
            (r#"{" d":"Tue, 14 Nov 2023 22:13:20 GMT"}"#, Some(r#""Tue, 14 Nov 2023 22:13:20 GMT""#)),
            (r#"{" di":{" t__":{" b":"AA=="}}}"#, Some(r#"{" t":"AA=="}"#)),
            (r#"{" t":[1],"b":2}"#, Some(r#"{" t":[1],"b":2}"#)),
            (r#"{" od":[1]}"#, Some(r#"{" od":[1]}"#)),
            ("123456789012345678901234567890.10", Some("123456789012345678901234567890.10")),
            (r#"{" t":1}"#, None),
            (r#"{" u":"zoe"}"#, None),
            (r#"{" b":[]}"#, None),
            (r#"{" di":{}}"#, None),
            ("[NaN]", None),
            ("-Infinity", None),
        ] {
            assert_eq!(through(plain, text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn an_apps_json_as_flask_would_write_it() {
        let digits = "9".repeat(MOST_DIGITS + 1);
        for (text, wanted) in [
            (r#" { "b" : [ 1.50, true ], "a" : "é" } "#, Some(r#"{"a":"\u00e9","b":[1.50,true]}"#)),
            (r#"{" t":{" d":1}}"#, Some(r#"{" di":{" t__":{" di":{" d__":1}}}}"#)),
            (r#"{" od":1}"#, Some(r#"{" od":1}"#)),
            (r#"{" t":1," b":2}"#, Some(r#"{" b":2," t":1}"#)),
            (&digits, None),
        ] {
            assert_eq!(through(tagged, text).as_deref(), wanted, "{text}");
            if let Some(written) = wanted
                && !text.starts_with(' ')
            {
                let again = through(tagged, &through(plain, written).unwrap());
                assert_eq!(again.as_deref(), wanted, "there and back");
            }
        }
    }
}
