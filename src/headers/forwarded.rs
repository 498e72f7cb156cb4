//! Who the visitor is, and how the app is told: X-Forwarded-* and `Forwarded` (RFC 7239).

use std::{
    fmt::Write as _,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderName, HeaderValue, header::FORWARDED};
use ipnet::IpNet;

use crate::{
    config::{ForwardedFamily, TrustedProxies},
    message::{Fields, authority::HostPort, lines::HeaderLines, steps::step},
};

use super::element::{address, put, split, unquote};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Who is at the other end of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAddress {
    /// By TCP.
    Ip(IpAddr),
    /// By a unix socket.
    Unix,
}

/// The visitor, as far as is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// None: behind a unix socket whose peer said nothing.
    pub address: Option<IpAddr>,
    /// Whether the visitor came by https.
    pub https: bool,
    /// The host that the visitor sees, told by a trusted proxy; not for routing.
    pub host: Option<HeaderValue>,
    /// A proxy that is believed has told so: its connection carries the requests of many.
    pub by_proxy: bool,
    /// The believed proxies between the visitor and our peer, nearest to the visitor first.
    chain: Vec<IpAddr>,
}

/// Whose forwarding fields are believed, and which.
#[derive(Debug, Clone)]
pub struct ForwardingRules {
    trusted: TrustedProxies,
    family: ForwardedFamily,
    /// Somebody who is not believed said https, and that was told.
    has_warned: Arc<AtomicBool>,
}

impl ForwardingRules {
    /// Believes these proxies and this family.
    pub fn new(trusted: &TrustedProxies, family: ForwardedFamily) -> Self {
        Self { trusted: trusted.clone(), family, has_warned: Arc::default() }
    }

    /// Those that it believes.
    pub fn networks(&self) -> &[IpNet] {
        &self.trusted.networks
    }

    fn trusts(&self, address: &IpAddr) -> bool {
        self.trusted.networks.iter().any(|network| network.contains(address))
    }

    /// The visitor of a request that came from `peer`, by https or not (RFC 7239 section 7.1).
    pub fn client(&self, peer: &PeerAddress, https: bool, headers: &Fields) -> ClientInfo {
        let (address, trusted) = match peer {
            PeerAddress::Ip(address) => {
                let address = address.to_canonical();
                (Some(address), self.trusts(&address))
            }
            PeerAddress::Unix => (None, self.trusted.unix),
        };
        let mut client = ClientInfo { address, https, host: None, by_proxy: trusted, chain: Vec::new() };
        if trusted {
            match self.family {
                ForwardedFamily::XForwarded => self.read_x(&mut client, headers),
                ForwardedFamily::Forwarded => self.read_forwarded(&mut client, headers),
            }
            // It was collected from our side outwards, and is written from the visitor inwards.
            client.chain.reverse();
        } else if !https && !self.has_warned.load(Ordering::Relaxed) {
            self.tell(peer, headers);
        }
        client
    }

    /// Says once that somebody who is not believed spoke of https: it may well be the operator's own load balancer.
    fn tell(&self, peer: &PeerAddress, headers: &Fields) {
        // A pass over the few names costs less than to look one up, and it is seldom there.
        let is_told = headers.names().any(|name| *name == PROTO);
        if is_told
            && last(headers, &PROTO).and_then(is_https) == Some(true)
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            let peer = match peer {
                PeerAddress::Ip(address) => address.to_canonical().to_string(),
                PeerAddress::Unix => "unix".to_owned(),
            };
            tracing::warn!(
                %peer,
                help = format!("if it is your load balancer, set under [process]: trusted_proxies = ['{peer}']"),
                "X-Forwarded-Proto: https was ignored: its sender is not in trusted_proxies"
            );
        }
    }

    /// One step towards the visitor; whether to go on.
    fn step(&self, client: &mut ClientInfo, address: IpAddr, first: &mut bool) -> bool {
        if let (false, Some(nearer)) = (*first, client.address) {
            client.chain.push(nearer);
        }
        *first = false;
        client.address = Some(address);
        self.trusts(&address)
    }

    fn read_x(&self, client: &mut ClientInfo, headers: &Fields) {
        let mut first = true;
        // SECURITY: from the right, since each proxy appends. What stands left of the first address
        // that is not trusted was written by the visitor, and is worth nothing.
        for text in headers.get_all(FOR).rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            step(1 + text.len());
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            // Something that is no address: whoever stands behind it is not known, so the last
            // known one is the visitor.
            let Some(address) = address(text) else { break };
            if !self.step(client, address, &mut first) {
                break;
            }
        }
        if let Some(proto) = last(headers, &PROTO) {
            set_proto(client, proto);
        }
        client.host = last(headers, &HOST).and_then(host);
        see_port(client, headers);
    }

    fn read_forwarded(&self, client: &mut ClientInfo, headers: &Fields) {
        let mut first = true;
        for line in headers.get_all(FORWARDED).rev() {
            let Some(elements) = split(line.as_bytes(), b',') else { return };
            for element in elements.into_iter().rev().filter(|element| !element.trim_ascii().is_empty()) {
                let mut found = None;
                for pair in split(element, b';').unwrap_or_default() {
                    let mut parts = pair.splitn(2, |byte| *byte == b'=');
                    let name = parts.next().unwrap_or_default().trim_ascii();
                    let value = unquote(parts.next().unwrap_or_default().trim_ascii());
                    if name.eq_ignore_ascii_case(b"for") {
                        found = address(value);
                    } else if name.eq_ignore_ascii_case(b"proto") {
                        set_proto(client, value);
                    } else if name.eq_ignore_ascii_case(b"host") {
                        client.host = host(value);
                    }
                }
                let Some(address) = found else { return };
                if !self.step(client, address, &mut first) {
                    return;
                }
            }
        }
    }

    /// Tells the app: X-Forwarded-*, and `Forwarded` where that family is configured. Whatever the visitor said under
    /// these names is gone by then.
    pub fn write(
        &self,
        client: &ClientInfo,
        peer: &PeerAddress,
        host: &HeaderValue,
        lines: &mut HeaderLines,
    ) {
        let peer = match peer {
            PeerAddress::Ip(address) => {
                Some(address.to_canonical()).filter(|peer| Some(*peer) != client.address)
            }
            PeerAddress::Unix => None,
        };
        let hops = || client.address.iter().chain(&client.chain).chain(&peer);
        if hops().next().is_some() {
            lines.push_with(&FOR, |out| {
                for (place, hop) in hops().enumerate() {
                    if place > 0 {
                        out.extend_from_slice(b", ");
                    }
                    put_address(out, *hop);
                }
            });
        }
        let proto = if client.https { "https" } else { "http" };
        lines.push_fixed(if client.https {
            "x-forwarded-proto: https\r\n"
        } else {
            "x-forwarded-proto: http\r\n"
        });
        let seen = client.host.as_ref().unwrap_or(host);
        if self.family == ForwardedFamily::Forwarded {
            let mut buffer = String::with_capacity(96);
            let mut hops = hops();
            put(&mut buffer, hops.next());
            if let Ok(text) = seen.to_str() {
                let _ = write!(buffer, ";host=\"{}\"", text.replace(['"', '\\'], ""));
            }
            let _ = write!(buffer, ";proto={proto}");
            for hop in hops {
                buffer.push_str(", ");
                put(&mut buffer, Some(hop));
            }
            lines.push_text(&FORWARDED, &buffer);
        }
        lines.push(&HOST, seen);
    }
}

/// An address as text; by hand for IPv4, which is what nearly every request needs.
fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (place, octet) in v4.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => drop(io::Write::write_fmt(out, format_args!("{v6}"))),
    }
}

fn set_proto(client: &mut ClientInfo, proto: &[u8]) {
    client.https = is_https(proto).unwrap_or(client.https);
}

/// What a proxy says that the visitor came by; Traefik says `wss` and `ws` of each WebSocket.
fn is_https(proto: &[u8]) -> Option<bool> {
    let is = |scheme: &str| proto.eq_ignore_ascii_case(scheme.as_bytes());
    if is("https") || is("wss") {
        Some(true)
    } else if is("http") || is("ws") {
        Some(false)
    } else {
        None
    }
}

/// A proxy that takes the port out of `Host` says it beside. What it says of plain http where the visitor came by https, or
/// the other way round, is about another connection.
fn see_port(client: &mut ClientInfo, headers: &Fields) {
    let digits = |text: &&[u8]| text.iter().all(u8::is_ascii_digit);
    let port = last(headers, &PORT)
        .filter(digits)
        .and_then(|text| std::str::from_utf8(text).ok()?.parse::<u16>().ok());
    let Some(port) = port.filter(|port| ![0, 80, 443].contains(port)) else { return };
    let Some(host) = client.host.as_ref().or_else(|| headers.get(http::header::HOST)) else { return };
    if let Some(HostPort { host, port: None }) = HostPort::parse(host.as_bytes()) {
        client.host = HeaderValue::try_from(format!("{host}:{port}")).ok().or(client.host.take());
    }
}

fn host(text: &[u8]) -> Option<HeaderValue> {
    HostPort::parse(text).and_then(|_| HeaderValue::from_bytes(text).ok())
}

/// The last element of a list: what the nearest proxy said.
fn last<'a>(headers: &'a Fields, name: &HeaderName) -> Option<&'a [u8]> {
    let line = headers.get_all(name).next_back()?.as_bytes();
    line.rsplit(|byte| *byte == b',').next().map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::steps::assert_linear;

    type Line<'a> = (&'a str, &'a str);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn run(family: ForwardedFamily, peer: &str, lines: &[Line<'_>]) -> (ClientInfo, String) {
        let trusted = TrustedProxies { networks: vec!["10.0.0.0/8".parse().unwrap()], unix: true };
        let forwarding = ForwardingRules::new(&trusted, family);
        let mut headers = Fields::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let peer = if peer == "unix" { PeerAddress::Unix } else { PeerAddress::Ip(ip(peer)) };
        let client = forwarding.client(&peer, false, &headers);
        let mut lines = HeaderLines::default();
        forwarding.write(&client, &peer, &HeaderValue::from_static("h.test"), &mut lines);
        let lines = String::from_utf8(lines.as_bytes().to_vec()).unwrap();
        let text = |name: &str| {
            let mut lines = lines.lines();
            lines.find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default().to_owned()
        };
        let all = format!(
            "{}|{}|{}|{}",
            text("x-forwarded-for"),
            text("x-forwarded-proto"),
            text("x-forwarded-host"),
            text("forwarded")
        );
        (client, all)
    }

    #[test]
    fn hostile_fields_cost_no_more_than_their_bytes() {
        for unit in
            ["for=10.0.0.2,", "for=10.0.0.2;", ";", ",", "\"", "\\\"", "for=\"a,b\";x=", "=", "for=1,"]
        {
            assert_linear(unit, 4, |text| {
                drop(run(ForwardedFamily::Forwarded, "10.0.0.1", &[("forwarded", text)]));
            });
        }
        for unit in ["10.0.0.2,", ",", " ", "10.0.0.2", "[::1],"] {
            assert_linear(unit, 4, |text| {
                drop(run(ForwardedFamily::XForwarded, "10.0.0.1", &[("x-forwarded-for", text)]));
            });
        }
    }

    #[test]
    fn x_forwarded() {
        let f = "x-forwarded-for";
        let rows: [(&str, &[Line<'_>], &str); 13] = [
            ("10.0.0.1", &[("x-forwarded-proto", "WSS")], "10.0.0.1|https|h.test|"),
            ("10.0.0.1", &[("x-forwarded-proto", "https, ws")], "10.0.0.1|http|h.test|"),
            ("1.2.3.4", &[(f, "9.9.9.9"), ("x-forwarded-proto", "https")], "1.2.3.4|http|h.test|"),
            ("10.0.0.1", &[], "10.0.0.1|http|h.test|"),
            (
                "10.0.0.1",
                &[(f, "8.8.8.8, 9.9.9.9"), ("x-forwarded-proto", "HTTPS")],
                "9.9.9.9, 10.0.0.1|https|h.test|",
            ),
            (
                "10.0.0.1",
                &[(f, "9.9.9.9"), (f, "10.0.0.3,10.0.0.2")],
                "9.9.9.9, 10.0.0.3, 10.0.0.2, 10.0.0.1|http|h.test|",
            ),
            ("::ffff:10.0.0.1", &[(f, "::ffff:9.9.9.9")], "9.9.9.9, 10.0.0.1|http|h.test|"),
            ("10.0.0.1", &[(f, "9.9.9.9, bad, 10.0.0.2")], "10.0.0.2, 10.0.0.1|http|h.test|"),
            ("10.0.0.1", &[(f, "[2001:db8::1]:443")], "2001:db8::1, 10.0.0.1|http|h.test|"),
            (
                "10.0.0.1",
                &[(f, "9.9.9.9:1"), ("x-forwarded-host", "Shop.test:8443")],
                "9.9.9.9, 10.0.0.1|http|Shop.test:8443|",
            ),
            (
                "10.0.0.1",
                &[("x-forwarded-host", "a b"), ("x-forwarded-proto", "gopher")],
                "10.0.0.1|http|h.test|",
            ),
            ("unix", &[(f, "9.9.9.9")], "9.9.9.9|http|h.test|"),
            ("unix", &[("forwarded", "for=9.9.9.9")], "|http|h.test|"),
        ];
        for (peer, lines, wanted) in rows {
            assert_eq!(run(ForwardedFamily::XForwarded, peer, lines).1, wanted, "{peer} {lines:?}");
        }
    }

    #[test]
    fn forwarded() {
        let rows: [(&str, &str); 5] = [
            (
                "for=9.9.9.9;proto=https;host=\"a.test:1\"",
                "9.9.9.9, 10.0.0.1|https|a.test:1|for=9.9.9.9;host=\"a.test:1\";proto=https, for=10.0.0.1",
            ),
            (
                "for=8.8.8.8, For=\"[2001:db8::1]:4\";by=\"x,;y\"",
                "2001:db8::1, 10.0.0.1|http|h.test|for=\"[2001:db8::1]\";host=\"h.test\";proto=http, for=10.0.0.1",
            ),
            ("for=unknown;proto=https", "10.0.0.1|https|h.test|for=10.0.0.1;host=\"h.test\";proto=https"),
            ("for=9.9.9.9, for=\"", "10.0.0.1|http|h.test|for=10.0.0.1;host=\"h.test\";proto=http"),
            (
                "for=9.9.9.9,for=10.0.0.2",
                "9.9.9.9, 10.0.0.2, 10.0.0.1|http|h.test|for=9.9.9.9;host=\"h.test\";proto=http, for=10.0.0.2, for=10.0.0.1",
            ),
        ];
        for (line, wanted) in rows {
            assert_eq!(
                run(ForwardedFamily::Forwarded, "10.0.0.1", &[("forwarded", line)]).1,
                wanted,
                "{line}"
            );
        }
        let (client, _) = run(ForwardedFamily::Forwarded, "unix", &[("x-forwarded-for", "9.9.9.9")]);
        assert_eq!(client.address, None);
    }
}
