//! What became of a line, in words: names of attributes and what they were set to, never the cookie's value.

use super::LineVerdict;

/// What the rule did, or would have done, to this line.
pub fn describe(line: &[u8], verdict: &LineVerdict<'_>) -> String {
    match verdict {
        LineVerdict::Untouched => "passes as it is".to_owned(),
        LineVerdict::Rewritten(new) => {
            let differences = differences(line, new);
            if differences.is_empty() { "its value is sealed".to_owned() } else { differences.join(", ") }
        }
        LineVerdict::Refused(why) => format!("passes as it is: {why}"),
        LineVerdict::Dropped => "dropped".to_owned(),
        LineVerdict::Unsealable(why) => format!("dropped, since it cannot be sealed: {why}"),
        LineVerdict::Bound => "its value is sealed for the session".to_owned(),
        LineVerdict::Kept(_) => "kept in the session".to_owned(),
        LineVerdict::Reported(verdict) => describe(line, verdict),
    }
}

fn differences(old: &[u8], new: &[u8]) -> Vec<String> {
    let parts = |line: &[u8]| -> Vec<(String, String)> {
        let attributes = line.split(|byte| *byte == b';').skip(1);
        attributes
            .map(|part| {
                let text = String::from_utf8_lossy(part);
                let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                (name.trim().to_owned(), value.trim().to_owned())
            })
            .collect()
    };
    let name = |line: &[u8]| String::from_utf8_lossy(crate::message::set_cookie::name(line)).into_owned();
    let (before, after) = (parts(old), parts(new));
    let mut told = Vec::new();
    if name(old) != name(new) {
        told.push(format!("named {}", name(new)));
    }
    let gone = before.iter().filter(|(name, _)| !after.iter().any(|(n, _)| n == name));
    told.extend(gone.map(|(name, _)| format!("without {name}")));
    for (name, value) in after.iter().filter(|part| !before.contains(part)) {
        // The moment changes with every answer.
        let moment = name.eq_ignore_ascii_case("expires") || value.is_empty();
        told.push(if moment { format!("with {name}") } else { format!("with {name}={value}") });
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_told() {
        let line = b"sid=secret; Path=/x; Max-Age=9";
        for (verdict, wanted) in [
            (
                LineVerdict::Rewritten(
                    b"__Host-sid=secret; Path=/; Secure; Expires=Thu, 01 Jan 1970 00:00:00 GMT".to_vec(),
                ),
                "named __Host-sid, without Max-Age, with Path=/, with Secure, with Expires",
            ),
            (LineVerdict::Rewritten(b"sid=hidden; Path=/x; Max-Age=9".to_vec()), "its value is sealed"),
            (LineVerdict::Reported(Box::new(LineVerdict::Dropped)), "dropped"),
        ] {
            assert_eq!(describe(line, &verdict), wanted);
        }
    }
}
