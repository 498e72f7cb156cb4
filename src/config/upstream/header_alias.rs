//! `header_aliases` of an upstream: the session under names that an app already reads.

use http::HeaderName;
use toml::{Spanned, de::DeValue};

use super::super::{
    diagnostic::Diagnostic,
    scalar,
    session::{HeaderConfig, HeaderPreset, ValueEncoding},
    value::{TableEntry, TableReader, ValueProblem},
};
use crate::message::name::{folded_eq, folded_starts_with};

/// One line of `header_aliases`: `"Remote-User" = "principal"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderAlias {
    /// The further name.
    pub header: HeaderName,
    /// What stands under it.
    pub value: AliasValue,
    /// How: as it is, unless something else is said, since apps read these names as they read those of others.
    pub encoding: ValueEncoding,
}

/// What an app is told under a further name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasValue {
    /// `"principal"`
    Principal,
    /// `"id"`
    Id,
    /// `"state"`
    State,
    /// The name of a field, in normal form.
    Field(String),
}

const KEY: &str = "header_aliases";
const EXPECTED: &str = "\"principal\", \"id\", \"state\" or a field's name, or a table such as \
                        { field = \"principal\", encoding = \"percent\" }";

impl HeaderAlias {
    pub(super) fn read_all(reader: &TableReader<'_>, headers: &HeaderConfig) -> Vec<Self> {
        let mut all: Vec<(Self, TableEntry<'_>)> = Vec::new();
        for entry in reader.entries(KEY, "a table such as { \"Remote-User\" = \"principal\" }") {
            let read = match entry.value.get_ref().as_str() {
                Some(text) => value(text).map(|value| (value, ValueEncoding::Raw)),
                None => table(entry.value),
            };
            let value = read.map_err(|mistake| reader.refuse(KEY, entry.value, EXPECTED, mistake));
            let name = header(entry.name, headers).map_err(|(why, help)| {
                let message = format!("wrong name in `{}`", reader.dotted(KEY));
                let mut diagnostic = Diagnostic::error(message, Some(entry.place.clone()), why);
                diagnostic.help = help;
                reader.notes().push(diagnostic);
            });
            let (Ok((value, encoding)), Ok(header)) = (value, name) else { continue };
            let same = |(other, _): &&(Self, TableEntry<'_>)| {
                folded_eq(other.header.as_str().as_bytes(), header.as_str().as_bytes())
            };
            if let Some((_, first)) = all.iter().find(same) {
                let message = format!("two names in `{}` that apps read as one", reader.dotted(KEY));
                let twice = Diagnostic::error(message, Some(entry.place.clone()), "the same to an app");
                reader.notes().push(twice.also(Some(first.place.clone()), "first here"));
            }
            all.push((Self { header, value, encoding }, entry));
        }
        all.into_iter().map(|(alias, _)| alias).collect()
    }
}

/// `{ field = "principal", encoding = "percent" }`
fn table(item: &Spanned<DeValue<'_>>) -> Result<(AliasValue, ValueEncoding), ValueProblem> {
    let table = item.get_ref().as_table().ok_or(ValueProblem::TYPE)?;
    let text = |key: &str| {
        table.get(key).map(|value| value.get_ref().as_str().ok_or(ValueProblem::TYPE)).transpose()
    };
    if let Some(other) = table.keys().find(|key| !["field", "encoding"].contains(&key.get_ref().as_ref())) {
        let near = scalar::nearest(other.get_ref().as_ref(), ["field", "encoding"].into_iter());
        let mistake = ValueProblem::why(format!("no such key: `{}`", other.get_ref()));
        return Err(match near {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake,
        });
    }
    let field = text("field")?.ok_or(ValueProblem::why("`field` is missing"))?;
    let encoding = match text("encoding")? {
        None => ValueEncoding::Raw,
        Some(name) => ValueEncoding::named(name).ok_or(ValueProblem::why("no such encoding"))?,
    };
    Ok((value(field)?, encoding))
}

fn value(text: &str) -> Result<AliasValue, ValueProblem> {
    Ok(match text {
        "principal" => AliasValue::Principal,
        "id" => AliasValue::Id,
        "state" => AliasValue::State,
        name => {
            AliasValue::Field(crate::message::field::normal(name).map_err(|why| {
                match scalar::nearest(name, ["principal", "state"].into_iter()) {
                    Some(near) => ValueProblem::why(why).help(format!("did you mean \"{near}\"?")),
                    None => ValueProblem::why(why),
                }
            })?)
        }
    })
}

type AliasRefusal = (String, Option<String>);

/// A header's name that may be taken from what a client says.
fn header(text: &str, headers: &HeaderConfig) -> Result<HeaderName, AliasRefusal> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        let why = "a header's name: letters, digits and !#$%&'*+-.^_`|~ only";
        return Err((why.to_owned(), None));
    };
    let folded = name.as_str().as_bytes();
    let prefix = &headers.prefix;
    if folded_starts_with(folded, prefix.as_bytes()) {
        let help = "every app gets its session under these names anyway: choose another one";
        return Err((format!("stands under the prefix `{prefix}`"), Some(help.to_owned())));
    }
    if headers.preset == HeaderPreset::Apache
        && ["session", "x-replace-session"].iter().any(|own| folded_eq(folded, own.as_bytes()))
    {
        return Err(("belongs to the preset \"apache\"".to_owned(), None));
    }
    for (names, why) in REFUSED {
        let begins = |own: &&str| own.ends_with('-') && folded_starts_with(folded, own.as_bytes());
        if names.iter().any(|own| folded_eq(folded, own.as_bytes()) || begins(own)) {
            return Err(((*why).to_owned(), None));
        }
    }
    Ok(name)
}

/// Names that have a meaning of their own; with a `-` at its end: all that begin so.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "connection",
            "keep-alive",
            "proxy-",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
        ],
        "belongs to a connection (RFC 9110, section 7.6.1)",
    ),
    (
        &["host", "expect", "max-forwards", "via", "range", "content-", "if-"],
        "says what the request is, or how it is to be read",
    ),
    (&["cookie", "set-cookie", "authorization"], "carries what visitor and app tell each other"),
    (
        &[
            "forwarded",
            "x-forwarded-",
            "x-real-ip",
            "x-client-cert-",
            "x-original-url",
            "x-rewrite-url",
            "proxy",
        ],
        "cloakroom makes it anew, or drops it",
    ),
    (&["origin", "referer", "sec-"], "says where a request comes from, and gates rely on it"),
];
