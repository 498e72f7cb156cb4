//! The id of a request: the same in both logs, to the app, and in answers of our own (`X-Request-Id`).

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher, RandomState},
};

use http::{HeaderName, HeaderValue};
use uuid::{Builder, Uuid};

use crate::{
    clock::Timestamp,
    message::{Fields, lines::HeaderLines},
};

/// The header that carries it.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken from a proxy, in letters.
const LONGEST: usize = 128;

thread_local! {
    /// How many ids this thread has made.
    static MADE: Cell<u64> = const { Cell::new(0) };
    /// What hides that number: of two ids nobody can tell how many requests lay between them.
    static HIDDEN_BY: RandomState = RandomState::new();
}

/// The id of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestId {
    /// Made here: the time, and random bits (RFC 9562 section 5.7).
    Made(Uuid),
    /// Of the proxy in front, which is trusted.
    Given(HeaderValue),
}

impl RequestId {
    /// For a request that came then.
    pub fn make(now: Timestamp) -> Self {
        let number = MADE.get();
        MADE.set(number.wrapping_add(1));
        let random = HIDDEN_BY.with(|hash| [hash.hash_one(number), hash.hash_one((number, 1))]);
        let [_, _, _, _, _, _, random @ ..] =
            (u128::from(random[0]) << 64 | u128::from(random[1])).to_be_bytes();
        Self::Made(Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
    }

    /// What a trusted proxy says, where that is one id, in letters that mean nothing to logs and pages.
    pub fn given(fields: &Fields) -> Option<Self> {
        let mut lines = fields.get_all(X_REQUEST_ID);
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
        let bytes = line.as_bytes();
        let is_one = (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(is_plain);
        is_one.then(|| Self::Given(line.clone()))
    }

    /// Adds the line that tells it.
    pub fn tell(&self, lines: &mut HeaderLines) {
        match self {
            Self::Made(id) => {
                let mut text = Uuid::encode_buffer();
                lines.push_text(&X_REQUEST_ID, id.as_hyphenated().encode_lower(&mut text));
            }
            Self::Given(value) => lines.push(&X_REQUEST_ID, value),
        }
    }

    /// As a header says it.
    pub fn value(&self) -> HeaderValue {
        match self {
            Self::Made(id) => {
                let mut text = Uuid::encode_buffer();
                let text = id.as_hyphenated().encode_lower(&mut text);
                HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
            }
            Self::Given(value) => value.clone(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made(id) => id.as_hyphenated().fmt(f),
            // It was looked at, and is plain.
            Self::Given(value) => f.write_str(value.to_str().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_is_another_and_says_its_time() {
        let now = Timestamp::from_seconds(1_700_000_000);
        let made: HashSet<String> = (0..1000).map(|_| RequestId::make(now).to_string()).collect();
        assert_eq!(made.len(), 1000);
        for id in made {
            let id: Uuid = id.parse().unwrap();
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_timestamp().map(|time| time.to_unix().0), Some(1_700_000_000));
        }
    }

    #[test]
    fn what_is_taken_from_a_proxy() {
        let longest = "a".repeat(LONGEST);
        let longer = "a".repeat(LONGEST + 1);
        for (lines, taken) in [
            (&["abc-1.2_3~"][..], true),
            (&["session=evil"], false),
            (&[longest.as_str()], true),
            (&[longer.as_str()], false),
            (&[""], false),
            (&["a b"], false),
            (&["a\"b"], false),
            (&["<b>"], false),
            (&["a,b"], false),
            (&["a", "b"], false),
            (&[], false),
        ] {
            let fields = lines.iter().map(|line| (X_REQUEST_ID, HeaderValue::from_str(line).unwrap()));
            let given = RequestId::given(&fields.collect());
            assert_eq!(given.map(|id| id.to_string()).as_deref(), taken.then(|| lines[0]), "{lines:?}");
        }
    }
}
