//! Reads a table key by key: a mistake is noted with its place and the default used, so that all are told at once.

use std::{
    cell::RefCell,
    ops::{Range, RangeInclusive},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Config, diagnostic::Diagnostic, scalar};

pub(super) use super::problem::{DiagnosticSink, ValueProblem};

/// One table, and where it is.
pub(super) struct TableReader<'a> {
    notes: &'a DiagnosticSink,
    /// As it is shown.
    path: String,
    /// As it is known, with NAME where the name is the operator's choice.
    pattern: String,
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
    /// Where the table stands, if it is there.
    pub(super) place: Option<Range<usize>>,
}

/// A key of the operator's choice, and its value.
pub(super) struct TableEntry<'a> {
    pub(super) name: &'a str,
    /// Where the key stands.
    pub(super) place: Range<usize>,
    pub(super) value: &'a Spanned<DeValue<'a>>,
}

impl<'a> TableReader<'a> {
    /// A reader of a whole file.
    pub(super) fn new(notes: &'a DiagnosticSink, table: &'a DeTable<'a>) -> Self {
        Self::at(notes, String::new(), Some(table), None)
    }

    fn at(
        notes: &'a DiagnosticSink,
        path: String,
        table: Option<&'a DeTable<'a>>,
        place: Option<Range<usize>>,
    ) -> Self {
        Self { notes, pattern: path.clone(), path, table, asked: RefCell::default(), place }
    }

    /// Where mistakes go.
    pub(super) fn notes(&self) -> &'a DiagnosticSink {
        self.notes
    }

    /// The dotted name of a key.
    pub(super) fn dotted(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn below(
        &self,
        key: &str,
        table: Option<&'a DeTable<'a>>,
        place: Option<Range<usize>>,
    ) -> TableReader<'a> {
        TableReader {
            pattern: join(&self.pattern, key),
            ..Self::at(self.notes, self.dotted(key), table, place)
        }
    }

    /// Asks for a key.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.notes.known.borrow_mut().insert(join(&self.pattern, key));
        self.table?.get(key)
    }

    /// The keys that are there.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.table.into_iter().flat_map(DeTable::iter).map(|(key, _)| {
            let key: &str = key.get_ref();
            key
        })
    }

    /// Where the value of a key stands.
    pub(super) fn span(&self, key: &str) -> Option<Range<usize>> {
        self.table?.get(key).map(Spanned::span)
    }

    /// Whether the key is there with something else than an array, which was already refused.
    pub(super) fn is_not_array(&self, key: &str) -> bool {
        self.table.and_then(|table| table.get(key)).is_some_and(|value| !value.get_ref().is_array())
    }

    /// Whether the key is there with this very text.
    pub(super) fn says(&self, key: &str, text: &str) -> bool {
        self.table.and_then(|table| table.get(key)).and_then(|value| value.get_ref().as_str()) == Some(text)
    }

    /// Notes an error at the value of a key, or at the table if the key is not there.
    pub(super) fn error(
        &self,
        key: &str,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(message, self.span(key).or_else(|| self.place.clone()), label)
    }

    /// Notes why a value was not taken.
    pub(super) fn refuse(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        mistake: ValueProblem,
    ) {
        let name = self.dotted(key);
        let (message, label, help) = match mistake {
            ValueProblem::Type { help } => {
                let found = scalar::found(value.get_ref());
                (format!("wrong type for `{name}`"), format!("expected {expected}, found {found}"), help)
            }
            ValueProblem::Value { why, help } => {
                let why = why.unwrap_or_else(|| format!("expected {expected}"));
                (format!("wrong value for `{name}`"), why, help)
            }
        };
        let mut diagnostic = Diagnostic::error(message, Some(value.span()), label);
        diagnostic.help = help;
        self.notes.push(diagnostic);
    }

    /// Reads a key, if it is there and right.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Result<T, ValueProblem>,
    ) -> Option<T> {
        let value = self.value(key)?;
        read(value.get_ref()).map_err(|mistake| self.refuse(key, value, expected, mistake)).ok()
    }

    /// Reads a text that `read` understands, if it is there and right.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Result<T, ValueProblem>,
    ) -> Option<T> {
        self.optional(key, expected, |value| read(value.as_str().ok_or(ValueProblem::TYPE)?))
    }

    /// Like [`TableReader::parsed`], and says so when the key is not there.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Result<T, ValueProblem>,
    ) -> Option<T> {
        if self.table.is_some_and(|table| !table.contains_key(key)) {
            let message = format!("`{}` is missing", self.dotted(key));
            self.notes.push(self.error(key, message, format!("needs `{key}`: {expected}")));
        }
        self.parsed(key, expected, read)
    }

    /// `true` or `false`.
    pub(super) fn bool(&self, key: &'static str, default: bool) -> bool {
        self.optional_bool(key).unwrap_or(default)
    }

    /// `true`, `false`, or nothing.
    pub(super) fn optional_bool(&self, key: &'static str) -> Option<bool> {
        self.optional(key, "true or false", scalar::bool)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)], default: T) -> T {
        self.optional_choice(key, choices).unwrap_or(default)
    }

    /// One of a few words, or nothing.
    pub(super) fn optional_choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let expected = scalar::words(choices);
        self.optional(key, &expected, |value| scalar::choice(value, choices))
    }

    /// `"auto"`, `true` or `false`, or nothing.
    pub(super) fn optional_auto<T: Copy>(&self, key: &'static str, auto: T, yes: T, no: T) -> Option<T> {
        self.optional(key, "\"auto\", true or false", |value| match value {
            DeValue::Boolean(set) => Ok(if *set { yes } else { no }),
            value => scalar::choice(value, &[("auto", auto), ("true", yes), ("false", no)]),
        })
    }

    /// A number within a range.
    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let expected = scalar::number_expected(&range);
        self.optional(key, &expected, |value| scalar::number(value, &range)).unwrap_or(default)
    }

    /// The tables within this one, by name: a section that is not there reads as an empty one.
    pub(super) fn section(&self, key: &'static str) -> TableReader<'a> {
        let table = self.value(key).and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                let help = format!("begin the section with `[{}]`", self.dotted(key));
                self.refuse(key, value, "a table", ValueProblem::TYPE.help(help));
            }
            table
        });
        self.below(key, table, self.span(key))
    }

    /// `[key.NAME]`, in the order of the file: the name, where it stands, and its table.
    pub(super) fn named_sections(&self, key: &'static str) -> Vec<(String, TableReader<'a>)> {
        let outer = self.section(key);
        let mut found: Vec<_> = outer.table.into_iter().flat_map(DeTable::iter).collect();
        // The order of a table is that of its names.
        found.sort_by_key(|(name, _)| name.span().start);
        let mut sections = Vec::new();
        for (name, value) in found {
            let text = name.get_ref().to_string();
            if let Some(table) = value.get_ref().as_table() {
                let section = outer.below(&text, Some(table), Some(name.span()));
                sections.push((text, TableReader { pattern: join(key, "NAME"), ..section }));
            } else {
                let help = format!("write `[{key}.NAME]`, where NAME is a name of your choice");
                outer.refuse(&text, value, "a table", ValueProblem::TYPE.help(help));
            }
        }
        sections
    }

    /// `[[key]]`: each table.
    pub(super) fn sections(&self, key: &'static str) -> Vec<TableReader<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let help = format!("write `[[{key}]]`, with two brackets: there may be several");
            self.refuse(key, value, "an array of tables", ValueProblem::TYPE.help(help));
            // Its keys are read all the same, so that their mistakes are told now and not in the next run.
            let table = value.get_ref().as_table();
            return vec![self.below(key, table, Some(value.span()))];
        };
        array.iter().filter_map(|item| self.item(key, item)).collect()
    }

    /// A table in an array.
    pub(super) fn item(&self, key: &str, item: &'a Spanned<DeValue<'a>>) -> Option<TableReader<'a>> {
        let Some(table) = item.get_ref().as_table() else {
            self.refuse(key, item, "a table", ValueProblem::TYPE);
            return None;
        };
        Some(self.below(key, Some(table), Some(item.span())))
    }

    /// The items of an array; a single value is not taken for one.
    pub(super) fn array(&self, key: &'static str, expected: &str) -> Vec<&'a Spanned<DeValue<'a>>> {
        let items = self.optional(key, expected, |value| {
            let help = "put it in brackets: there may be several";
            value.as_array().ok_or_else(|| ValueProblem::TYPE.help(help))
        });
        items.into_iter().flat_map(|array| array.iter()).collect()
    }

    /// A table of which the operator chose the keys, in the order of the file: key, where it stands, value.
    pub(super) fn entries(&self, key: &'static str, expected: &str) -> Vec<TableEntry<'a>> {
        let table = self.optional(key, expected, |value| value.as_table().ok_or(ValueProblem::TYPE));
        let mut found: Vec<_> = table
            .into_iter()
            .flat_map(DeTable::iter)
            .map(|(name, value)| TableEntry { name: name.get_ref(), place: name.span(), value })
            .collect();
        found.sort_by_key(|entry| entry.place.start);
        found
    }

    /// Says which keys nobody asked for.
    pub(super) fn finish(&self) {
        // What the reader asked for is what there is: no second list of keys that could differ from
        // the code.
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flat_map(DeTable::iter) {
            let name: &str = key.get_ref();
            if asked.contains(&name) {
                continue;
            }
            let place = match self.path.as_str() {
                "" => "at the top of the file".to_owned(),
                path => format!("in `{path}`"),
            };
            let called = RENAMED.iter().find(|(old, new, _)| *old == name && asked.contains(new));
            if let Some((_, new, value)) = called {
                let message = format!("`{name}` {place} is now called `{new}`");
                self.notes.push(Diagnostic::error(message, Some(key.span()), "the old name").help(*value));
                continue;
            }
            let diagnostic =
                Diagnostic::error(format!("unknown key `{name}` {place}"), Some(key.span()), "no such key");
            let help = if let Some(home) = home_of(name) {
                // Written in full, it is meant, and stands in the wrong place.
                format!("`{name}` belongs to {home}")
            } else if let Some(near) = scalar::nearest(name, asked.iter().copied()) {
                format!("did you mean `{near}`?")
            } else {
                // A section may have been asked for more than once.
                let once = |(at, name): &(usize, &&str)| !asked.iter().take(*at).any(|other| other == *name);
                let known: Vec<&str> = asked.iter().enumerate().filter(once).map(|(_, name)| *name).collect();
                format!("there are: {}", known.join(", "))
            };
            self.notes.push(diagnostic.help(help));
        }
    }
}

/// Keys that had another name in 0.1: the old one, the new one, and what to write.
const RENAMED: [(&str, &str, &str); 5] = [
    ("also", "header_aliases", "its value stays as it is"),
    ("otherwise", "on_unauthorized", "its value stays as it is"),
    (
        "mint",
        "cross_site_sessions",
        "write `cross_site_sessions = true` for \"always\"; for \"visit\", leave it out",
    ),
    ("answer_idle_timeout", "response_idle_timeout", "its value stays as it is"),
    ("ended", "revocations", "its value stays as it is"),
];

/// A key has a home where it is one of at most so many sections; else the guess would be one.
const MOST_HOMES: usize = 2;

/// The sections that have a key of this name, as they are written in a file.
fn home_of(name: &str) -> Option<String> {
    let section = |key: &String| {
        let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
        (last == name).then(|| match path {
            "" => "the top of the file".to_owned(),
            "listen" | "routes" | "cookies" => format!("`[[{path}]]`"),
            _ => format!("`[{path}]`"),
        })
    };
    let homes: Vec<_> = Config::known_keys().iter().filter_map(section).collect();
    (1..=MOST_HOMES).contains(&homes.len()).then(|| homes.join(" or "))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
