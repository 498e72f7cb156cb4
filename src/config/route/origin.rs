//! Origins, as browsers name them (RFC 6454).

use std::net::Ipv6Addr;

use super::super::{
    authority, is_host_name,
    value::{TableReader, ValueProblem},
};

/// An origin in the one form that browsers send: scheme and host in lower case, no default port
/// (RFC 6454 section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebOrigin(String);

const KEY: &str = "trusted_origins";
const EXPECTED: &str = "an origin such as \"https://example.com\"";

impl WebOrigin {
    /// As it stands in the header `Origin`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn read_all(reader: &TableReader<'_>) -> Vec<Self> {
        let mut origins = Vec::new();
        for item in reader.array(KEY, "an array of origins") {
            match item.get_ref().as_str().ok_or(ValueProblem::TYPE).and_then(parse) {
                Ok(origin) => origins.push(origin),
                Err(mistake) => reader.refuse(KEY, item, EXPECTED, mistake),
            }
        }
        origins
    }
}

fn parse(text: &str) -> Result<WebOrigin, ValueProblem> {
    if text == "null" {
        return Err(ValueProblem::why("\"null\" is what any page may send that hides where it comes from"));
    }
    if text.contains('*') {
        return Err(ValueProblem::why("each origin is written out, without *"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let is_host = !text.is_empty() && text.split(':').next().is_some_and(is_host_name);
        return Err(if is_host {
            ValueProblem::VALUE.help(format!("with the scheme: \"https://{text}\""))
        } else {
            ValueProblem::VALUE
        });
    };
    let scheme = scheme.to_ascii_lowercase();
    // RFC 3986, section 3.1.
    let plain = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    if !plain {
        return Err(ValueProblem::VALUE);
    }
    if let Some((authority, _)) = rest.split_once(['/', '?', '#']) {
        let help = format!("leave it out: \"{scheme}://{authority}\"");
        return Err(ValueProblem::why("an origin has no path").help(help));
    }
    if rest.contains('@') {
        return Err(ValueProblem::why("an origin has no user"));
    }
    let (host, port) = authority(rest).ok_or(ValueProblem::VALUE)?;
    // As browsers write it.
    let host = match host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_ascii_lowercase(),
    };
    let default = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    Ok(WebOrigin(match port.filter(|port| Some(*port) != default) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_one_form() {
        for (text, wanted) in [
            ("https://example.com", Some("https://example.com")),
            ("HTTPS://Example.COM:443", Some("https://example.com")),
            ("http://example.com:80", Some("http://example.com")),
            ("http://example.com:443", Some("http://example.com:443")),
            ("https://127.0.0.1:8443", Some("https://127.0.0.1:8443")),
            ("https://[2001:DB8:0::1]:443", Some("https://[2001:db8::1]")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("https://example.com/", None),
            ("https://example.com?x", None),
            ("https://user@example.com", None),
            ("https://example.com:0", None),
            ("https://example.com:", None),
            ("https://example.com:65536", None),
            ("https://example.com:+1", None),
            ("https://*.example.com", None),
            ("https://[::1", None),
            ("https://", None),
            ("://a", None),
            ("1http://a", None),
            ("example.com", None),
            ("null", None),
            ("*", None),
            ("", None),
            ("https://ex ample.com", None),
            ("https://ü.example", None),
        ] {
            assert_eq!(parse(text).ok().as_ref().map(WebOrigin::as_str), wanted, "{text}");
        }
    }
}
