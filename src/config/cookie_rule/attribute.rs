//! One attribute of a rule: set always, or only where the app said nothing.

use toml::de::DeValue;

use super::super::{
    scalar,
    value::{TableReader, ValueProblem},
};

/// What a rule wants of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeRule<T> {
    /// A plain value: whatever the app said.
    Always(T),
    /// `{ default = … }`: only where the app did not say.
    Default(T),
}

impl<T> AttributeRule<T> {
    /// What is wanted, whenever it is.
    pub fn value(&self) -> &T {
        let (Self::Always(value) | Self::Default(value)) = self;
        value
    }

    /// What is wanted where the app said something, or did not.
    pub fn when(&self, said: bool) -> Option<&T> {
        match self {
            Self::Default(_) if said => None,
            Self::Always(value) | Self::Default(value) => Some(value),
        }
    }
}

/// `secure` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleSecure {
    /// `"auto"`: added when the visitor came by https, never removed.
    Auto,
    /// `true`
    Always,
    /// `false`: removed.
    Never,
}

impl RuleSecure {
    pub(super) fn read(value: &DeValue<'_>) -> Result<Self, ValueProblem> {
        match value {
            DeValue::Boolean(set) => Ok(if *set { Self::Always } else { Self::Never }),
            value => {
                scalar::choice(value, &[("auto", Self::Auto), ("true", Self::Always), ("false", Self::Never)])
            }
        }
    }
}

/// `priority`: which cookies Chromium evicts last (draft-west-cookie-priority).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookiePriority {
    /// `"Low"`
    Low,
    /// `"Medium"`
    Medium,
    /// `"High"`
    High,
}

impl CookiePriority {
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("Low", Self::Low), ("Medium", Self::Medium), ("High", Self::High)];

    /// As it stands in the line.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, priority)| *priority == self).map_or("", |(word, _)| *word)
    }
}

/// A plain value, or `{ default = … }`.
pub(super) fn read<T>(
    reader: &TableReader<'_>,
    key: &'static str,
    expected: &str,
    read: impl Fn(&DeValue<'_>) -> Result<T, ValueProblem>,
) -> Option<AttributeRule<T>> {
    reader.optional(key, expected, |value| match value.as_table() {
        None => read(value).map(AttributeRule::Always),
        Some(table) => match (table.get("default"), table.len()) {
            (Some(value), 1) => read(value.get_ref()).map(AttributeRule::Default),
            _ => Err(ValueProblem::why("a table has `default` alone: { default = … }")),
        },
    })
}
