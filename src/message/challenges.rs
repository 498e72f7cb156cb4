//! Schemes of authentication that log in a connection, and not a request: NTLM, Negotiate (RFC 4559), and what Windows'
//! remote management has of the kind. They break the rule of RFC 9110 section 11.7 that each request stands for itself.

use crate::message::Fields;
use http::{HeaderValue, header};

const OF_CONNECTIONS: [&[u8]; 4] = [b"ntlm", b"negotiate", b"kerberos", b"credssp"];

fn is_of_connections(scheme: &[u8]) -> bool {
    OF_CONNECTIONS.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// The first word of credentials, or of a challenge.
fn scheme(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    text.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default()
}

/// Whether the credentials of a request (`Authorization`) log in its connection.
pub fn logs_in_connection(headers: &Fields) -> bool {
    headers.get_all(header::AUTHORIZATION).any(|value| is_of_connections(scheme(value.as_bytes())))
}

/// Whether an answer offers to log in its connection (`WWW-Authenticate`).
pub fn offers_to_log_in_connection(headers: &Fields) -> bool {
    let mut lines = headers.get_all(header::WWW_AUTHENTICATE);
    lines.any(|line| members(line.as_bytes()).any(|member| is_of_connections(scheme(member))))
}

/// Takes those offers out: on a connection that many requests share at a time none can be logged in.
pub fn remove_offers_of_connections(headers: &mut Fields) {
    if !offers_to_log_in_connection(headers) {
        return;
    }
    let left: Vec<HeaderValue> =
        headers.get_all(header::WWW_AUTHENTICATE).filter_map(|line| without(line.as_bytes())).collect();
    headers.remove(header::WWW_AUTHENTICATE);
    for line in left {
        headers.append(header::WWW_AUTHENTICATE, line);
    }
}

/// A line without the challenges of connections; none if nothing is left.
fn without(line: &[u8]) -> Option<HeaderValue> {
    let mut goes = false;
    let stays = members(line).filter(|member| {
        // `name=value` belongs to the challenge before it.
        if !is_parameter(member) {
            goes = is_of_connections(scheme(member));
        }
        !goes
    });
    let stays: Vec<&[u8]> = stays.map(<[u8]>::trim_ascii).collect();
    let line = stays.join(&b", "[..]);
    if line.is_empty() { None } else { HeaderValue::from_bytes(&line).ok() }
}

/// Whether a member of the list is a parameter, and begins no challenge: a name and `=` at once (RFC 9110 section 11.2).
fn is_parameter(member: &[u8]) -> bool {
    let member = member.trim_ascii();
    let name =
        member.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)));
    name.is_some_and(|end| member.get(end..).unwrap_or_default().trim_ascii_start().first() == Some(&b'='))
}

/// The members of a list; commas in quotes part nothing.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = line.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        !quoted && *byte == b','
    });
    parts.filter(|member| !member.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> Fields {
        lines.iter().map(|line| (header::WWW_AUTHENTICATE, line.parse().unwrap())).collect()
    }

    #[test]
    fn offers_of_connections_go_and_others_stay() {
        for (lines, left) in [
            (&["NTLM"][..], &[][..]),
            (&["Negotiate", "NTLM TlRMTVNT==", "Basic realm=\"a, NTLM\""], &["Basic realm=\"a, NTLM\""]),
            (
                &["negotiate,ntlm, Basic realm=\"x\", charset=\"UTF-8\""],
                &["Basic realm=\"x\", charset=\"UTF-8\""],
            ),
            (&["Digest realm=\"a\", nonce = b, NTLM , Bearer"], &["Digest realm=\"a\", nonce = b, Bearer"]),
            (&["Basic realm=\"NTLM\""], &["Basic realm=\"NTLM\""]),
            (&["NTLMv3, Negotiated x"], &["NTLMv3, Negotiated x"]),
            (&["Negotiate oY==, realm=\"x\", Basic realm=\"y\""], &["Basic realm=\"y\""]),
        ] {
            let mut all = headers(lines);
            assert_eq!(offers_to_log_in_connection(&all), lines != left, "{lines:?}");
            remove_offers_of_connections(&mut all);
            let all: Vec<_> = all.get_all(header::WWW_AUTHENTICATE).map(|v| v.to_str().unwrap()).collect();
            assert_eq!(all, left, "{lines:?}");
        }
    }

    #[test]
    fn credentials_of_connections_are_told_by_their_first_word() {
        for (line, wanted) in [
            ("NTLM TlRM", true),
            ("nEgOtIaTe YII=", true),
            ("Negotiate", true),
            ("Basic TlRM", false),
            ("NTLMx y", false),
        ] {
            let headers = std::iter::once((header::AUTHORIZATION, line.parse().unwrap())).collect();
            assert_eq!(logs_in_connection(&headers), wanted, "{line}");
        }
    }
}
