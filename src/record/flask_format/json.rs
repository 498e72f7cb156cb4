//! JSON as Python's `json` reads and writes it (RFC 8259, and beyond it `NaN`, `Infinity` and halves of surrogate pairs).
//! Numbers and texts stay as they were written: none is rounded, and none is more than 64 bits long by accident.

use std::{collections::HashMap, fmt::Write as _};

/// So deep may it be. Flask itself gives up at about as much: Python ends a recursion at a thousand calls.
const DEEPEST: usize = 400;

/// The letters of a text, as Python counts them: code points, of which some may be half a surrogate pair. In the order
/// of its texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PythonText(Vec<u32>);

impl From<&str> for PythonText {
    fn from(text: &str) -> Self {
        Self(text.chars().map(u32::from).collect())
    }
}

impl PartialEq<str> for PythonText {
    fn eq(&self, other: &str) -> bool {
        self.0.iter().copied().eq(other.chars().map(u32::from))
    }
}

impl PythonText {
    /// As a text; `None` where half a pair is in it.
    pub fn plain(&self) -> Option<String> {
        self.0.iter().map(|letter| char::from_u32(*letter)).collect()
    }

    /// With this behind it.
    pub fn followed_by(&self, end: &str) -> Self {
        Self(self.0.iter().copied().chain(end.chars().map(u32::from)).collect())
    }

    /// Without its last letters.
    pub fn shorter_by(&self, letters: usize) -> Self {
        Self(self.0.iter().copied().take(self.0.len().saturating_sub(letters)).collect())
    }

    /// What a literal says; quotes included.
    pub fn of(literal: &str) -> Self {
        let mut letters = Vec::with_capacity(literal.len());
        let mut rest = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default().chars();
        while let Some(letter) = rest.next() {
            if letter != '\\' {
                letters.push(u32::from(letter));
                continue;
            }
            letters.push(match rest.next() {
                Some('b') => 8,
                Some('f') => 12,
                Some('n') => 10,
                Some('r') => 13,
                Some('t') => 9,
                Some('u') => {
                    let unit = hex(&mut rest);
                    let mut behind = rest.clone();
                    // A high surrogate counts together with the low one that follows; alone it
                    // stays half a pair, as Python keeps it.
                    let low = match (unit, behind.next(), behind.next()) {
                        (0xd800..0xdc00, Some('\\'), Some('u')) => hex(&mut behind),
                        _ => 0,
                    };
                    if (0xdc00..0xe000).contains(&low) {
                        rest = behind;
                        0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    } else {
                        unit
                    }
                }
                Some(other) => u32::from(other),
                None => break,
            });
        }
        Self(letters)
    }

    /// As a literal, in ASCII.
    pub fn write(&self, out: &mut String) {
        out.push('"');
        for letter in &self.0 {
            match letter {
                0x22 => out.push_str("\\\""),
                0x5c => out.push_str("\\\\"),
                8 => out.push_str("\\b"),
                9 => out.push_str("\\t"),
                10 => out.push_str("\\n"),
                12 => out.push_str("\\f"),
                13 => out.push_str("\\r"),
                0x20..0x7f => out.extend(char::from_u32(*letter)),
                0x1_0000.. => {
                    let above = letter - 0x1_0000;
                    escape(0xd800 + (above >> 10), out);
                    escape(0xdc00 + (above & 0x3ff), out);
                }
                _ => escape(*letter, out),
            }
        }
        out.push('"');
    }
}

fn escape(unit: u32, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\u{unit:04x}");
}

fn hex(letters: &mut std::str::Chars<'_>) -> u32 {
    letters.take(4).fold(0, |sum, letter| sum << 4 | letter.to_digit(16).unwrap_or(0))
}

/// A value, in the text that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum JsonNode<'a> {
    /// A literal, with its quotes.
    Text(&'a str),
    /// A number, `true`, `false`, `null`, and what only Python knows: `NaN`, `Infinity`, `-Infinity`.
    Plain(&'a str),
    List(Vec<JsonNode<'a>>),
    /// Each name once: the place of the first, the value of the last.
    Map(Vec<(PythonText, JsonNode<'a>)>),
}

impl<'a> JsonNode<'a> {
    /// All of a text.
    pub fn read(text: &'a str) -> Option<Self> {
        whole(text, JsonReader::value)
    }
}

/// The names of an object and what stands there, as it was written.
pub(super) fn members(text: &str) -> Option<Vec<(PythonText, &str)>> {
    whole(text, |reader| {
        reader.map(|reader| {
            reader.space();
            let from = reader.at;
            reader.value()?;
            reader.text.get(from..reader.at)
        })
    })
}

fn whole<'a, T>(text: &'a str, read: impl FnOnce(&mut JsonReader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = JsonReader { text, at: 0, deep: 0 };
    let found = read(&mut reader)?;
    reader.space();
    (reader.at == text.len()).then_some(found)
}

struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    deep: usize,
}

impl<'a> JsonReader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Past this one, if it is there.
    fn takes(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self) -> Option<JsonNode<'a>> {
        self.space();
        match self.peek()? {
            b'"' => self.literal().map(JsonNode::Text),
            b'[' => self.list().map(JsonNode::List),
            b'{' => self.map(Self::value).map(JsonNode::Map),
            _ => self.plain().map(JsonNode::Plain),
        }
    }

    fn deeper(&mut self) -> Option<()> {
        self.deep += 1;
        // SECURITY: a recursion per bracket: without a bound a signed cookie of an app that stores
        // what visitors send could end the process.
        (self.deep <= DEEPEST).then_some(())
    }

    fn list(&mut self) -> Option<Vec<JsonNode<'a>>> {
        self.deeper()?;
        self.at += 1;
        let mut all = Vec::new();
        self.space();
        if !self.takes(b']') {
            loop {
                all.push(self.value()?);
                self.space();
                if self.takes(b']') {
                    break;
                }
                self.takes(b',').then_some(())?;
            }
        }
        self.deep -= 1;
        Some(all)
    }

    fn map<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<(PythonText, T)>> {
        self.deeper()?;
        self.space();
        self.takes(b'{').then_some(())?;
        let mut all: Vec<(PythonText, T)> = Vec::new();
        let mut places = HashMap::new();
        self.space();
        if !self.takes(b'}') {
            loop {
                self.space();
                let name = PythonText::of(self.literal()?);
                self.space();
                self.takes(b':').then_some(())?;
                let value = item(self)?;
                if let Some((_, there)) = places.get(&name).and_then(|place: &usize| all.get_mut(*place)) {
                    *there = value;
                } else {
                    places.insert(name.clone(), all.len());
                    all.push((name, value));
                }
                self.space();
                if self.takes(b'}') {
                    break;
                }
                self.takes(b',').then_some(())?;
            }
        }
        self.deep -= 1;
        Some(all)
    }

    /// With its quotes; control characters only as escapes.
    fn literal(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.takes(b'"').then_some(())?;
        loop {
            let letter = self.peek()?;
            self.at += 1;
            match letter {
                b'"' => return self.text.get(from..self.at),
                b'\\' => {
                    let escaped = self.peek()?;
                    self.at += 1;
                    let digits = match escaped {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
                        b'u' => 4,
                        _ => return None,
                    };
                    for _ in 0..digits {
                        self.peek().filter(u8::is_ascii_hexdigit)?;
                        self.at += 1;
                    }
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn plain(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let word = ["true", "false", "null", "NaN", "Infinity", "-Infinity"];
        let length = word
            .iter()
            .find(|w| rest.starts_with(**w))
            .map_or_else(|| number(rest.as_bytes()), |w| Some(w.len()))?;
        self.at += length;
        rest.get(..length)
    }
}

/// How long the number is that this begins with.
fn number(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|b| wanted.contains(b));
    let mut at = usize::from(is(0, b"-"));
    at += if is(at, b"0") { 1 } else { Some(digits(at)).filter(|many| *many > 0)? };
    if is(at, b".") && digits(at + 1) > 0 {
        at += 1 + digits(at + 1);
    }
    if is(at, b"eE") {
        let sign = usize::from(is(at + 1, b"+-"));
        let many = digits(at + 1 + sign);
        at += if many > 0 { 1 + sign + many } else { 0 };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's `json.loads` says of each.
    #[test]
    fn it_reads_what_python_reads() {
        for (text, reads) in [
            (" [1, -0.5e+3 ,\"\\ud800\",NaN,-Infinity] ", true),
            ("1", true),
            ("-", false),
            ("01", false),
            ("1.", false),
            (".5", false),
            ("1e", false),
            ("+1", false),
            ("\"\\x\"", false),
            ("\"\\u12g4\"", false),
            ("\"\t\"", false),
            ("\"", false),
            ("[1,]", false),
            ("[,1]", false),
            ("{\"a\":1,}", false),
            ("{\"a\"}", false),
            ("{a:1}", false),
            ("{\"a\":1}{", false),
            ("[1 2]", false),
            ("nul", false),
            ("\u{feff}1", false),
            ("", false),
        ] {
            assert_eq!(JsonNode::read(text).is_some(), reads, "{text}");
        }
    }

    #[test]
    fn of_two_with_one_name_the_last_counts() {
        let found = members("{\"a\": 1 ,\"b\":[ 2 ],\"\\u0061\":3}").unwrap();
        assert_eq!(found, [(PythonText::from("a"), "3"), (PythonText::from("b"), "[ 2 ]")]);
    }

    #[test]
    fn it_is_bounded_in_depth() {
        for (depth, reads) in [(DEEPEST, true), (DEEPEST + 1, false), (100_000, false)] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(JsonNode::read(&text).is_some(), reads, "{depth}");
        }
        assert!(JsonNode::read(&format!("[{}]", vec!["[]"; 1000].join(","))).is_some(), "wide is not deep");
    }

    #[test]
    fn texts() {
        for (literal, written) in [
            ("\"Zoë\"", "\"Zo\\u00eb\""),
            ("\"\\ud83c\\udfa9\"", "\"\\ud83c\\udfa9\""),
            ("\"🎩\"", "\"\\ud83c\\udfa9\""),
            ("\"\\ud83cx\\udfa9\"", "\"\\ud83cx\\udfa9\""),
            ("\"\\ud83c\\ud83c\\udfa9\"", "\"\\ud83c\\ud83c\\udfa9\""),
            ("\"\\/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\u{7f}\"", "\"/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u007f\""),
        ] {
            assert_eq!(JsonNode::read(literal), Some(JsonNode::Text(literal)));
            let mut out = String::new();
            PythonText::of(literal).write(&mut out);
            assert_eq!(out, written);
        }
        // By code points, and not by UTF-16.
        let mut sorted = ["🎩", "\u{ffff}"].map(PythonText::from);
        sorted.sort();
        assert_eq!(sorted.map(|text| text.plain().unwrap()), ["\u{ffff}", "🎩"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back(text in ".*") {
            let mut out = String::new();
            PythonText::from(text.as_str()).write(&mut out);
            assert!(out.is_ascii());
            assert_eq!(PythonText::of(&out).plain().unwrap(), text);
            assert_eq!(JsonNode::read(&out), Some(JsonNode::Text(&out)));
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn never_panics(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\unabtrls \u{e9}🎩]*") {
            let _ = JsonNode::read(&text);
            let _ = members(&text);
        }
    }
}
