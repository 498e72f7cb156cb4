//! Single values: durations, sizes, numbers, words.

use std::{ops::RangeInclusive, time::Duration};

use bytesize::ByteSize;
use jiff::{Span, SpanRelativeTo};
use toml::de::DeValue;

use super::value::{TableReader, ValueProblem};

/// No timeout needs more, and sums of times stay far from any overflow.
const LONGEST: Duration = Duration::from_hours(24 * 3660);
const DURATION: &str = "a duration such as \"30s\", \"1h 30m\" or \"31d\"";
const DURATION_OR_OFF: &str = "a duration such as \"30s\", or \"off\"";
const SIZE: &str = "a size such as \"16 KiB\"";
const SIZE_OR_OFF: &str = "a size such as \"16 KiB\", or \"off\"";

impl TableReader<'_> {
    /// A duration of more than nothing.
    pub(super) fn duration(&self, key: &'static str, default: Duration) -> Duration {
        self.optional_duration(key).unwrap_or(default)
    }

    /// A duration of more than nothing, or no such key.
    pub(super) fn optional_duration(&self, key: &'static str) -> Option<Duration> {
        self.optional(key, DURATION, |value| more_than_nothing(duration(value)?))
    }

    /// A duration that may be `"0s"`.
    pub(super) fn duration_or_zero(&self, key: &'static str, default: Duration) -> Duration {
        self.optional(key, DURATION, duration).unwrap_or(default)
    }

    /// A duration, or `"off"`.
    pub(super) fn limit_duration(&self, key: &'static str, default: Option<Duration>) -> Option<Duration> {
        let read = |value: &_| unless_off(value, |value| more_than_nothing(duration(value)?));
        self.optional(key, DURATION_OR_OFF, read).unwrap_or(default)
    }

    /// A duration of at least so much, or `"off"`.
    pub(super) fn limit_duration_from(
        &self,
        key: &'static str,
        least: Duration,
        default: Option<Duration>,
    ) -> Option<Duration> {
        let read = |value: &_| {
            unless_off(value, |value| match duration(value)? {
                short if short < least => {
                    Err(ValueProblem::why(format!("must be at least {} seconds", least.as_secs())))
                }
                duration => Ok(duration),
            })
        };
        self.optional(key, DURATION_OR_OFF, read).unwrap_or(default)
    }

    /// A size in bytes.
    pub(super) fn size(&self, key: &'static str, range: &RangeInclusive<u64>, default: u64) -> u64 {
        self.optional(key, SIZE, |value| size(value, range)).unwrap_or(default)
    }

    /// A size in bytes, or `"off"`, or no such key.
    #[expect(clippy::option_option, reason = "no such key, and no limit, are two things")]
    pub(super) fn optional_limit_size(
        &self,
        key: &'static str,
        range: &RangeInclusive<u64>,
    ) -> Option<Option<u64>> {
        self.optional(key, SIZE_OR_OFF, |value| unless_off(value, |value| size(value, range)))
    }

    /// A number, or `"off"`.
    pub(super) fn limit_number(
        &self,
        key: &'static str,
        range: &RangeInclusive<u64>,
        default: Option<u64>,
    ) -> Option<u64> {
        let expected = format!("{}, or \"off\"", number_expected(range));
        let read = |value: &_| unless_off(value, |value| number(value, range));
        self.optional(key, &expected, read).unwrap_or(default)
    }
}

fn unless_off<T>(
    value: &DeValue<'_>,
    read: impl FnOnce(&DeValue<'_>) -> Result<T, ValueProblem>,
) -> Result<Option<T>, ValueProblem> {
    if value.as_str() == Some("off") { Ok(None) } else { read(value).map(Some) }
}

fn more_than_nothing(duration: Duration) -> Result<Duration, ValueProblem> {
    if duration.is_zero() { Err(ValueProblem::why("must be longer than nothing")) } else { Ok(duration) }
}

/// What a person calls the type of a value.
pub(super) fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// `true` or `false`.
pub(super) fn bool(value: &DeValue<'_>) -> Result<bool, ValueProblem> {
    value.as_bool().ok_or_else(|| match value.as_str() {
        Some("true" | "false") => ValueProblem::TYPE.help("leave the quotes out"),
        _ => ValueProblem::TYPE,
    })
}

/// `"30s"`, `"1h 30m"`, `"31d"`; a day has 24 hours.
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, ValueProblem> {
    let text = value.as_str().ok_or_else(|| match value.as_integer() {
        Some(number) => ValueProblem::TYPE.help(format!("with its unit and in quotes: \"{number}s\"")),
        None => ValueProblem::TYPE,
    })?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueProblem::VALUE.help(format!("with its unit: \"{text}s\"")));
    }
    let span: Span = text.parse().map_err(|_| ValueProblem::VALUE)?;
    let long = || ValueProblem::why("at most ten years, in days or smaller units");
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| long())?;
    let duration = Duration::try_from(signed).map_err(|_| ValueProblem::why("must not be negative"))?;
    if duration > LONGEST { Err(long()) } else { Ok(duration) }
}

fn size(value: &DeValue<'_>, range: &RangeInclusive<u64>) -> Result<u64, ValueProblem> {
    let bytes = match value {
        DeValue::String(text) => text.parse::<ByteSize>().map_err(|_| ValueProblem::VALUE)?.as_u64(),
        DeValue::Integer(_) => number(value, &(0..=u64::MAX))?,
        _ => return Err(ValueProblem::TYPE),
    };
    if bytes < *range.start() {
        return Err(ValueProblem::why(format!("must be at least {}", show(*range.start()))));
    }
    if bytes > *range.end() {
        return Err(ValueProblem::why(format!("must be at most {}", show(*range.end()))));
    }
    Ok(bytes)
}

fn show(bytes: u64) -> String {
    if bytes < 1024 { format!("{bytes} bytes") } else { ByteSize(bytes).display().iec().to_string() }
}

/// A number within a range, as it is asked for.
pub(super) fn number_expected(range: &RangeInclusive<u64>) -> String {
    match (*range.start(), *range.end()) {
        (0, u64::MAX) => "a number".to_owned(),
        (start, u64::MAX) => format!("a number, at least {start}"),
        (start, end) => format!("a number from {start} to {end}"),
    }
}

/// A number within a range.
pub(super) fn number(value: &DeValue<'_>, range: &RangeInclusive<u64>) -> Result<u64, ValueProblem> {
    let integer = value.as_integer().ok_or_else(|| match value.as_str() {
        Some(text) if text.parse::<u64>().is_ok() => ValueProblem::TYPE.help("leave the quotes out"),
        _ => ValueProblem::TYPE,
    })?;
    let number = u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| ValueProblem::VALUE)?;
    if range.contains(&number) { Ok(number) } else { Err(ValueProblem::VALUE) }
}

/// `"a", "b" or "c"`.
pub(super) fn words<T>(choices: &[(&str, T)]) -> String {
    let quoted: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(value: &DeValue<'_>, choices: &[(&str, T)]) -> Result<T, ValueProblem> {
    let text = value.as_str().ok_or(ValueProblem::TYPE)?;
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        match nearest(text, choices.iter().map(|(word, _)| *word)) {
            Some(near) => ValueProblem::VALUE.help(format!("did you mean \"{near}\"?")),
            None => ValueProblem::VALUE,
        }
    })
}

/// The word that was probably meant.
pub(super) fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let text = text.to_lowercase().replace('-', "_");
    words
        .map(|word| (strsim::jaro_winkler(&text, &word.to_lowercase().replace('-', "_")), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> DeValue<'_> {
        DeValue::String(text.into())
    }

    #[test]
    fn durations_are_what_people_write() {
        for (written, seconds) in [
            ("30s", 30),
            ("1h 30m", 5400),
            ("31d", 31 * 86400),
            ("2w", 14 * 86400),
            ("5 minutes", 300),
            ("0s", 0),
        ] {
            assert_eq!(duration(&text(written)), Ok(Duration::from_secs(seconds)), "{written}");
        }
        assert_eq!(duration(&text("500ms")), Ok(Duration::from_millis(500)));
        for written in ["", "30", "-30s", "30s ago", "s", "1 year", "1 month", "9999w", "soon"] {
            assert!(duration(&text(written)).is_err(), "{written}");
        }
    }

    #[test]
    fn sizes_are_what_people_write() {
        for (written, bytes) in [("16 KiB", 16384), ("16KiB", 16384), ("1 kB", 1000), ("512 MiB", 512 << 20)]
        {
            assert_eq!(size(&text(written), &(0..=u64::MAX)), Ok(bytes), "{written}");
        }
        for written in ["", "-1", "KiB", "much"] {
            assert!(size(&text(written), &(0..=u64::MAX)).is_err(), "{written}");
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("idle_timout", ["idle_timeout", "name"].into_iter()), Some("idle_timeout"));
        assert_eq!(nearest("lax", ["Strict", "Lax"].into_iter()), Some("Lax"));
        assert_eq!(nearest("tls", ["address", "name"].into_iter()), None);
    }
}
