//! Fields that end at this connection (RFC 9110 section 7.6.1).

use http::{
    HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE},
};

use crate::message::{Fields, name::folded_eq, steps::step};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const CLOSE: HeaderName = HeaderName::from_static("close");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields about one connection, whether nominated or not.
const OWN: [HeaderName; 6] = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];

/// What trailers may not hold besides (RFC 9110 section 6.5.1): framing, routing, who asks, what is asked for and how it is
/// to be answered, what may be kept of the answer, how to read the content. An app that joins trailers with the head would
/// obey them, and nothing here has looked at them.
const NO_TRAILER: [&str; 39] = [
    "age",
    "allow",
    "authorization",
    "cache-control",
    "clear-site-data",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "cookie2",
    "date",
    "depth",
    "destination",
    "expect",
    "expires",
    "host",
    "if",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "origin",
    "overwrite",
    "pragma",
    "proxy-authorization",
    "range",
    "refresh",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "trailer",
    "vary",
    "www-authenticate",
];

/// By these a request may be one of another method to its app.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// What a message said of its connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// What it would upgrade to, if it asks for that (RFC 9110 section 7.8).
    pub upgrade: Option<HeaderValue>,
    /// The fields that end here, in trailers as well.
    pub names: NominatedNames,
    /// Who sent it takes trailers (`TE: trailers`, RFC 9110 section 10.1.4).
    pub trailers: bool,
}

/// What `Connection` nominates: fields that end here as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NominatedNames(Vec<HeaderName>);

impl FromIterator<HeaderName> for NominatedNames {
    fn from_iter<I: IntoIterator<Item = HeaderName>>(names: I) -> Self {
        let mut names: Vec<HeaderName> = names.into_iter().collect();
        // Sorted once: a visitor may nominate a thousand fields, and each field is asked about.
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        Self(names)
    }
}

impl NominatedNames {
    /// Whether this is one; visitors choose how many there are.
    fn contains(&self, name: &HeaderName) -> bool {
        self.0.binary_search_by(|other| other.as_str().cmp(name.as_str())).is_ok()
    }
}

/// Takes out of trailers what ends here, what the head's `Connection` nominated, and what has no meaning or no business
/// there (RFC 9110 section 6.5.1).
pub fn strip_trailers(headers: &mut Fields, nominated: &NominatedNames) {
    strip_hop_by_hop(headers);
    headers.retain(|name| !nominated.contains(name) && !overrides_method(name) && !is_no_trailer(name));
}

/// In whichever spelling that an app takes for the same name.
fn is_no_trailer(name: &HeaderName) -> bool {
    NO_TRAILER.iter().any(|other| folded_eq(name.as_str().as_bytes(), other.as_bytes()))
}

/// Whether by a field of this name some apps take a request for one of another method.
pub fn overrides_method(name: &HeaderName) -> bool {
    METHOD_OVERRIDES.iter().any(|other| folded_eq(name.as_str().as_bytes(), other.as_bytes()))
}

/// Takes out of a request or an answer what ends here and what `Connection` nominates (RFC 9110 section 7.6.1); returns
/// what that was.
pub fn strip_hop_by_hop(headers: &mut Fields) -> ConnectionOptions {
    // One pass over the names costs less than looking each of them up.
    let there = headers
        .names()
        // Most names are told by their length already.
        .filter(|name| matches!(name.as_str().len(), 2 | 7 | 10 | 16 | 17))
        .filter_map(|name| OWN.iter().position(|own| own == name))
        .fold(0, |all, at| all | 1 << at);
    if there == 0 {
        return ConnectionOptions::default();
    }
    let is_there = |at: usize| there & 1_u8 << at != 0;
    let has = |name: HeaderName| OWN.iter().position(|own| *own == name).is_some_and(is_there);
    let trailers =
        has(TE) && headers.get_all(TE).flat_map(tokens).any(|it| it.eq_ignore_ascii_case(b"trailers"));
    let said = if has(CONNECTION) { nominated(headers) } else { ConnectionOptions::default() };
    for (at, name) in OWN.iter().enumerate() {
        if is_there(at) {
            headers.remove(name);
        }
    }
    ConnectionOptions { trailers, ..said }
}

/// Honours the nominations.
fn nominated(headers: &mut Fields) -> ConnectionOptions {
    let (mut upgrade, mut others) = (false, false);
    for token in headers.get_all(CONNECTION).flat_map(tokens) {
        if token.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        } else if !token.eq_ignore_ascii_case(b"keep-alive") && !token.eq_ignore_ascii_case(b"close") {
            others = true;
        }
    }
    let upgrade = if upgrade { headers.get(UPGRADE).cloned() } else { None };
    let mut names = NominatedNames::default();
    if others {
        let ends_here = |name: &HeaderName| {
            // SECURITY: a visitor must not have Host or the framing taken out by naming it in
            // `Connection`.
            ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CLOSE].contains(name) && !OWN.contains(name)
        };
        let said = headers.get_all(CONNECTION).flat_map(tokens);
        names = said.filter_map(|token| HeaderName::from_bytes(token).ok()).filter(ends_here).collect();
        headers.retain(|name| !names.contains(name));
    }
    ConnectionOptions { upgrade, names, trailers: false }
}

fn tokens(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    step(line.len());
    line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::steps::assert_linear;

    #[test]
    fn the_lengths_are_those_of_the_names() {
        assert!(OWN.iter().all(|name| [2, 7, 10, 16, 17].contains(&name.as_str().len())));
    }

    type Line = (&'static str, &'static str);

    fn map(lines: &[Line]) -> Fields {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn hostile_nominations_cost_no_more_than_their_bytes() {
        for unit in ["a,", ",", "close,", "upgrade,", "te,", " ", "@,", "connection,", "x-a, x-b, "] {
            assert_linear(unit, 4, |text| {
                let mut headers = map(&[("upgrade", "websocket"), ("te", "trailers"), ("x-a", "1")]);
                headers.insert(CONNECTION, HeaderValue::from_str(text).unwrap());
                let nominated = strip_hop_by_hop(&mut headers);
                strip_trailers(&mut headers, &nominated.names);
            });
        }
    }

    #[test]
    fn requests() {
        let rows: [(&[Line], &[&str], Option<&str>); 7] = [
            (&[("host", "a"), ("te", "x"), ("trailer", "x")], &["host", "trailer"], None),
            (&[("connection", "close, X-A"), ("x-a", "1"), ("x-b", "1")], &["x-b"], None),
            (&[("connection", "upgrade"), ("upgrade", "websocket")], &[], Some("websocket")),
            (&[("connection", "keep-alive"), ("upgrade", "h2c"), ("keep-alive", "1")], &[], None),
            (
                &[
                    ("connection", "host, content-length,, \u{20}cookie"),
                    ("host", "a"),
                    ("content-length", "1"),
                    ("cookie", "x"),
                ],
                &["host", "content-length"],
                None,
            ),
            (&[("connection", "@, (, x-a"), ("x-a", "1"), ("proxy-connection", "x")], &[], None),
            (
                &[("proxy-authenticate", "Basic"), ("transfer-encoding", "chunked")],
                &["proxy-authenticate"],
                None,
            ),
        ];
        for (lines, left, upgrade) in rows {
            let mut headers = map(lines);
            let found = strip_hop_by_hop(&mut headers);
            assert_eq!(
                found.upgrade.as_ref().map(HeaderValue::as_bytes),
                upgrade.map(str::as_bytes),
                "{lines:?}"
            );
            let mut names: Vec<_> = headers.names().map(HeaderName::as_str).collect();
            names.sort_unstable_by_key(|name| left.iter().position(|other| other == name));
            assert_eq!(names, left, "{lines:?}");
        }
        let mut headers = Fields::new();
        headers.append(CONNECTION, HeaderValue::from_static("close"));
        headers.append(CONNECTION, HeaderValue::from_static("x-a"));
        headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static("1"));
        assert_eq!(strip_hop_by_hop(&mut headers).names.0, ["x-a"]);
        assert!(headers.is_empty());
        for (te, wanted) in
            [("trailers", true), ("gzip, Trailers", true), ("trailers;q=1", false), ("", false)]
        {
            let mut headers = map(&[("te", te), ("connection", "te")]);
            assert_eq!(strip_hop_by_hop(&mut headers).trailers, wanted, "{te}");
            assert!(headers.is_empty());
        }
    }

    #[test]
    fn trailers() {
        let mut headers = map(&[
            ("set-cookie", "a"),
            ("host", "a"),
            ("authorization", "a"),
            ("x-sum", "1"),
            ("x-hop", "1"),
            ("content-length", "1"),
            ("destination", "/admin"),
            ("expect", "100-continue"),
            ("x-http-method-override", "DELETE"),
            ("cache-control", "public"),
        ]);
        headers.append(HeaderName::from_static("x_http_method"), HeaderValue::from_static("PUT"));
        headers.append(HeaderName::from_static("content_type"), HeaderValue::from_static("a/b"));
        strip_trailers(&mut headers, &NominatedNames::from_iter([HeaderName::from_static("x-hop")]));
        assert_eq!(headers.names().collect::<Vec<_>>(), ["x-sum"]);
    }
}
