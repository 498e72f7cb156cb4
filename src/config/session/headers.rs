//! `[session.headers]`: how sessions are told to apps.

use std::collections::HashMap;

use super::super::{
    diagnostic::Diagnostic,
    is_token, scalar,
    value::{TableReader, ValueProblem},
};

/// `[session.headers]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderConfig {
    /// `prefix`, lower case, ends with `-`.
    pub prefix: String,
    /// `encoding` of values on the wire, save those of `fields`.
    pub encoding: ValueEncoding,
    /// `fields`: encodings of single fields, by name in normal form.
    pub fields: HashMap<String, ValueEncoding>,
    /// `preset`
    pub preset: HeaderPreset,
}

/// How a value stands on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ValueEncoding {
    /// `"percent"`: `%XX` for all but letters, digits and `- . _ ~ : / @ ! $ * ( )`.
    #[default]
    Percent,
    /// `"base64url"` of the UTF-8 (RFC 4648 section 5, without padding).
    Base64Url,
    /// `"raw"`: the UTF-8 as it is, where it can stand in a header.
    Raw,
    /// `"json"`: JSON text; a text stands in quotes, what is not ASCII is escaped.
    Json,
}

/// `preset`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeaderPreset {
    /// `"cloakroom"`: only the headers under the prefix.
    #[default]
    Cloakroom,
    /// `"apache"`: those of `mod_session` as well, `Session` and `X-Replace-Session`.
    Apache,
}

impl ValueEncoding {
    /// By its name in the configuration.
    pub(in crate::config) fn named(name: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(word, _)| *word == name).map(|(_, encoding)| *encoding)
    }

    const WORDS: [(&'static str, Self); 4] = [
        ("percent", Self::Percent),
        ("base64url", Self::Base64Url),
        ("raw", Self::Raw),
        ("json", Self::Json),
    ];
}

impl HeaderConfig {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let prefix = reader.parsed("prefix", "the begin of a header name, such as \"X-Session-\"", |text| {
            if !is_token(text) {
                return Err(ValueProblem::VALUE);
            }
            if text.len() < 2 || !text.ends_with('-') {
                return Err(ValueProblem::why("must end with -").help(format!("\"{text}-\"")));
            }
            let prefix = text.to_ascii_lowercase();
            // All fields under the prefix are taken out of requests and answers: under a common
            // one, real headers would be lost.
            if TAKEN.split(' ').any(|taken| prefix.starts_with(taken) || taken.starts_with(&prefix)) {
                let why = "begins headers that mean something else, and all under it are taken out";
                return Err(ValueProblem::why(why).help("\"X-Session-\""));
            }
            Ok(prefix)
        });
        let presets = [("cloakroom", HeaderPreset::Cloakroom), ("apache", HeaderPreset::Apache)];
        let headers = Self {
            prefix: prefix.unwrap_or_else(|| "x-session-".to_owned()),
            encoding: reader.choice("encoding", &ValueEncoding::WORDS, ValueEncoding::Percent),
            fields: fields(reader),
            preset: reader.choice("preset", &presets, HeaderPreset::Cloakroom),
        };
        reader.finish();
        headers
    }

    /// How the values of a field, in normal form, stand on the wire.
    pub fn encoding_of(&self, field: &str) -> ValueEncoding {
        self.fields.get(field).copied().unwrap_or(self.encoding)
    }
}

/// How names begin that visitors, apps and what stands between them give a meaning of their own (IANA's field name
/// registry, and what proxies added).
const TAKEN: &str = "accept access-control- age- allow- alt- authentication- authorization- cache- cdn- clear- client- \
    connection- content- cookie- cross- date- early- etag- expect- forwarded- host- http2- if- keep- last- link- \
    location- max- origin- permissions- proxy- range- referrer- retry- sec- server- set- strict- surrogate- transfer- \
    user- www- x-accel- x-client-cert- x-forwarded- x-real-";

fn fields(reader: &TableReader<'_>) -> HashMap<String, ValueEncoding> {
    const KEY: &str = "fields";
    let mut fields = HashMap::new();
    for entry in reader.entries(KEY, "a table such as { name = \"raw\" }") {
        let encoding = scalar::choice(entry.value.get_ref(), &ValueEncoding::WORDS).map_err(|mistake| {
            reader.refuse(KEY, entry.value, &scalar::words(&ValueEncoding::WORDS), mistake);
        });
        let name = crate::message::field::normal(entry.name).map_err(|why| {
            let message = format!("wrong name in `{}`", reader.dotted(KEY));
            reader.notes().push(Diagnostic::error(message, Some(entry.place.clone()), why));
        });
        let (Ok(name), Ok(encoding)) = (name, encoding) else { continue };
        if fields.insert(name, encoding).is_some() {
            let message = format!("a field twice in `{}`", reader.dotted(KEY));
            let label = "the same field again: `_` and `-`, capitals and small letters are one";
            reader.notes().push(Diagnostic::error(message, Some(entry.place), label));
        }
    }
    fields
}
