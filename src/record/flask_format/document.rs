//! What is in a cookie: names and values. Whatever nobody changes stays as it was written, its type included.

use super::{
    json::{JsonNode, PythonText, members},
    tags,
};
use crate::record::FieldValue;

/// What Flask calls a session: a dict. Values are kept as the JSON that they were read from, tags and all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlaskDocument(Vec<(PythonText, Box<str>)>);

impl FlaskDocument {
    /// `None`: it is no object, or no JSON.
    pub(super) fn read(text: &str) -> Option<Self> {
        let all = members(text)?;
        if let [(name, value)] = all.as_slice()
            && tags::is_tag(name)
        {
            return Self::undisguised(name, value);
        }
        Some(Self(all.into_iter().map(|(name, value)| (name, value.into())).collect()))
    }

    /// A session of one value whose name is that of a type.
    fn undisguised(tag: &PythonText, value: &str) -> Option<Self> {
        match (tag == tags::OBJECT, members(value)?.as_slice()) {
            (true, [(name, value)]) => {
                Some(Self(vec![(name.shorter_by(tags::DISGUISE.len()), (*value).into())]))
            }
            _ => None,
        }
    }

    pub(super) fn write(&self) -> String {
        let mut out = String::new();
        match self.0.as_slice() {
            [(name, value)] if tags::is_tag(name) => {
                out.push_str("{\" di\":{");
                name.followed_by(tags::DISGUISE).write(&mut out);
                out.push(':');
                out.push_str(value);
                out.push_str("}}");
            }
            all => {
                out.push('{');
                for (place, (name, value)) in all.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    name.write(&mut out);
                    out.push(':');
                    out.push_str(value);
                }
                out.push('}');
            }
        }
        out
    }

    /// True without any value: Flask then takes the cookie back.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names; not those with half a surrogate pair, which are no text.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(name, _)| name.plain())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| known == name)
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(self.place(name)?).map(|(_, value)| &**value)
    }

    /// True if there is a value of this name, shown or not.
    pub fn contains(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// `_permanent`: the cookie outlives the browser. Python's idea of truth: anything but nothing.
    pub fn is_permanent(&self) -> bool {
        self.raw("_permanent").is_some_and(|value| match JsonNode::read(value) {
            Some(JsonNode::Text(literal)) => literal != "\"\"",
            Some(JsonNode::Plain(text)) => {
                let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
                !matches!(text, "false" | "null") && mantissa.bytes().any(|b| !b"-0.".contains(&b))
            }
            Some(JsonNode::List(all)) => !all.is_empty(),
            Some(JsonNode::Map(all)) => !all.is_empty(),
            None => false,
        })
    }

    /// A value as a session's field; `None` where there is none, or one that no field can hold: control characters,
    /// `NaN`, half a surrogate pair.
    pub fn get(&self, name: &str) -> Option<FieldValue> {
        let mut plain = String::new();
        tags::plain(&JsonNode::read(self.raw(name)?)?, &mut plain)?;
        FieldValue::from_json(&plain).ok()
    }

    /// Sets a value; `false` where Python could not read it, and nothing was set. A new name goes where the others'
    /// order, which is Flask's own unless the app says otherwise, has its place; else behind them.
    #[must_use]
    pub fn set(&mut self, name: &str, value: &FieldValue) -> bool {
        let mut written = String::new();
        match value {
            FieldValue::Text(text) => PythonText::from(&**text).write(&mut written),
            FieldValue::Json(json) => {
                if JsonNode::read(json).and_then(|node| tags::tagged(&node, &mut written)).is_none() {
                    return false;
                }
            }
        }
        let written = written.into_boxed_str();
        if let Some((_, there)) = self.place(name).and_then(|at| self.0.get_mut(at)) {
            *there = written;
            return true;
        }
        let name = PythonText::from(name);
        // Flask writes its keys sorted unless told otherwise: our cookie looks as if Flask had
        // written it.
        let at = if self.0.is_sorted_by(|(a, _), (b, _)| a < b) {
            self.0.partition_point(|(known, _)| *known < name)
        } else {
            self.0.len()
        };
        self.0.insert(at, (name, written));
        true
    }

    /// Takes a value out; `true` if there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.place(name).map(|at| self.0.remove(at)).is_some()
    }
}
