//! How long a cookie lives, read as leniently as browsers do (RFC 6265 section 5.1.1 and 5.2.2).

/// Max-Age in seconds; none if browsers ignore it.
pub fn max_age(value: &[u8]) -> Option<i64> {
    let (negative, digits) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: i64, digit: &u8| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    let number = digits.iter().fold(0, add);
    Some(if negative { -number } else { number })
}

/// Expires, in seconds since 1970.
pub fn parse(text: &[u8]) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let delimiter = |b: &u8| matches!(b, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e);
    for token in text.split(delimiter).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = clock(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some((found, _)) = digits(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some((found, _)) = digits(token, 2, 4)
        {
            year = Some(found);
        }
    }
    let ((hour, minute, second), day, month, year) = (time?, day?, month?, year?);
    let year = match year {
        0..=69 => year + 2000,
        70..=99 => year + 1900,
        _ => year,
    };
    if !(1..=31).contains(&day) || year < 1601 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A number of so many digits, then the end or no digit; and what follows.
fn digits(token: &[u8], least: usize, most: usize) -> Option<(i64, &[u8])> {
    let count = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = token.split_at_checked(count)?;
    let value = number.iter().take(5).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    (least..=most).contains(&count).then_some((value, rest))
}

fn clock(token: &[u8]) -> Option<(i64, i64, i64)> {
    let (hour, rest) = digits(token, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 1, 2)?;
    let (second, _) = digits(rest.strip_prefix(b":")?, 1, 2)?;
    Some((hour, minute, second))
}

fn month_of(token: &[u8]) -> Option<i64> {
    let start = token.get(..3)?;
    let names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    (1..).zip(names).find(|(_, name)| start.eq_ignore_ascii_case(name.as_bytes())).map(|(number, _)| number)
}

/// Days from 1970 to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        for (text, wanted) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("1 jan 2000 0:0:0", Some(946_684_800)),
            ("29 Feb 2024 00:00:00", Some(1_709_164_800)),
            ("0", None),
            ("", None),
            ("01 Jan 1500 00:00:00", None),
            ("01 Jan 2000 24:00:00", None),
        ] {
            assert_eq!(super::parse(text.as_bytes()), wanted, "{text}");
        }
    }
}
