//! Characters that are not seen, or make others be seen elsewhere: in a log they hide what was said.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a character is no visible one: controls, what turns the direction of a text (UAX 9), what has no width, and tags.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The same text with what is invisible written out, save the ends of its lines and the colours of a terminal.
pub fn visible(text: &str) -> Cow<'_, str> {
    let stays = |c: char| matches!(c, '\n' | '\t' | '\u{1b}') || !is_invisible(c);
    // Nearly every line: looked at once, and not copied.
    if text.is_ascii() || text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if stays(c) {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        for (text, wanted) in [
            ("plain\n", "plain\n"),
            ("zo\u{eb} \u{5f20} \u{1f600}", "zo\u{eb} \u{5f20} \u{1f600}"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}\u{feff}b", "a\\u{200b}\\u{feff}b"),
            ("\u{e0041}\u{9b}1m", "\\u{e0041}\\u{9b}1m"),
        ] {
            assert_eq!(visible(text), wanted, "{text:?}");
        }
    }
}
