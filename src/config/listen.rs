//! `[[listen]]`: where requests arrive.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::DeValue;

use super::{
    diagnostic::Diagnostic,
    process::TrustedProxies,
    scalar,
    tls::{ClientCertificates, ListenerTlsConfig},
    value::{TableReader, ValueProblem},
};
use crate::net::is_loopback;

/// `[[listen]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenConfig {
    /// `address`
    pub address: ListenAddress,
    /// `tls`: absent, http is spoken.
    pub tls: Option<ListenerTlsConfig>,
    /// `client_certificates`: absent, visitors are asked for none.
    pub client_certificates: Option<ClientCertificates>,
    /// `proxy_protocol`: every connection begins with the PROXY protocol, version 1 or 2, taken only from loopback, unix
    /// sockets and `trusted_proxies`.
    pub proxy_protocol: bool,
    /// `http2_prior_knowledge`: HTTP/2 also without TLS, for who begins with it unasked (RFC 9113 section 3.3).
    pub http2_prior_knowledge: bool,
    /// `redirect_to_https`: everything is answered with a 308 to this port, but for `/.well-known/acme-challenge/`. `true` is
    /// the port of the first listener with `tls`, where that has one, else 443.
    pub redirect_to_https: Option<u16>,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `"127.0.0.1:8080"`, `"[::]:80"`
    Tcp(SocketAddr),
    /// `"unix:/run/cloakroom/http.sock"`
    Unix(PathBuf),
    /// `"systemd:public"`: a socket that systemd passed on under that name (`FileDescriptorName=`).
    Systemd(String),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

const EXPECTED: &str =
    "\"127.0.0.1:8080\", \"[::]:80\", \"unix:/run/cloakroom/http.sock\" or \"systemd:NAME\"";

/// What to do about [`ListenConfig::is_in_the_clear`].
pub const IN_THE_CLEAR: &str = "speak https:\n\
    tls = { certificates = [{ certificate = \"cert.pem\", key = \"key.pem\" }] }\n\
    or name the load balancer that does, under [process]:\n\
    trusted_proxies = [\"ADDRESS\"]";

impl ListenConfig {
    pub(super) fn read_all(root: &TableReader<'_>, folder: &Path, trusted: &TrustedProxies) -> Vec<Self> {
        let readers = root.sections("listen");
        if readers.is_empty() {
            let help = "say where to listen:\n[[listen]]\naddress = \"127.0.0.1:8080\"";
            root.notes().push(Diagnostic::error("there is no `[[listen]]`", None, "").help(help));
        }
        let mut seen: Vec<(Self, Option<Range<usize>>)> = Vec::new();
        for reader in &readers {
            let Some(listen) = Self::read(reader, folder) else { continue };
            if matches!(listen.address, ListenAddress::Tcp(at) if listen.is_in_the_clear(at, trusted)) {
                let message = "visitors speak http over a network: whoever is on the way reads their tickets";
                let warning = Diagnostic::warning(message, reader.span("address"), "not only this machine");
                reader.notes().push(warning.help(IN_THE_CLEAR));
            }
            if let Some((_, first)) =
                seen.iter().find(|(other, _)| other.address == listen.address && !listen.takes_any_port())
            {
                let twice = reader.error("address", "two listeners on one address", "the same address again");
                reader.notes().push(twice.also(first.clone(), "first here"));
            }
            seen.push((listen, reader.span("address")));
        }
        // One whose own key is a mistake has been told so.
        let silent = |place: &Option<Range<usize>>| {
            readers.iter().any(|r| r.span("address") == *place && r.span("client_certificates").is_none())
        };
        other_doors(root, &seen, silent);
        let mut all: Vec<Self> = seen.into_iter().map(|(listen, _)| listen).collect();
        let port = all.iter().filter(|listen| listen.tls.is_some()).find_map(|listen| match listen.address {
            ListenAddress::Tcp(address) => Some(address.port()).filter(|port| *port != 0),
            ListenAddress::Unix(_) | ListenAddress::Systemd(_) => None,
        });
        // `true` is settled only now, since it means the port of a listener that may stand further
        // down.
        for listen in &mut all {
            if listen.redirect_to_https == Some(0) {
                listen.redirect_to_https = Some(port.unwrap_or(HTTPS));
            }
        }
        all
    }

    /// One section by itself; `None` without an address.
    fn read(reader: &TableReader<'_>, folder: &Path) -> Option<Self> {
        let address = reader.required("address", EXPECTED, parse);
        let tls = ListenerTlsConfig::read(reader, folder);
        let client_certificates = ClientCertificates::read(reader, folder);
        let proxy_protocol = reader.choice("proxy_protocol", &[("off", false), ("required", true)], false);
        let http2_prior_knowledge = reader.bool("http2_prior_knowledge", false);
        let redirect_to_https = redirect(reader);
        reader.finish();
        if tls.is_some() && redirect_to_https.is_some() {
            let message = "a listener that speaks https redirects to itself";
            let label = "belongs to the listener that speaks http";
            reader.notes().push(reader.error("redirect_to_https", message, label));
        }
        if client_certificates.is_some() && tls.is_none() {
            let message = "client certificates are shown by TLS, and this listener speaks none";
            reader.notes().push(reader.error("client_certificates", message, "needs `tls` beside it"));
        }
        let address = address?;
        Some(Self {
            address,
            tls,
            client_certificates,
            proxy_protocol,
            http2_prior_knowledge,
            redirect_to_https,
        })
    }

    /// Whether this listener, bound to that address, takes http from other machines, and not to send it to https. Behind a
    /// proxy that is trusted to say it, visitors come by https all the same.
    pub fn is_in_the_clear(&self, at: SocketAddr, trusted: &TrustedProxies) -> bool {
        let alone = trusted.networks.is_empty();
        self.tls.is_none() && self.redirect_to_https.is_none() && alone && !is_loopback(at.ip())
    }

    fn takes_any_port(&self) -> bool {
        matches!(self.address, ListenAddress::Tcp(address) if address.port() == 0)
    }
}

/// Every listener leads to the same routes: where one asks for a certificate, and another does not, nobody needs one.
fn other_doors(
    root: &TableReader<'_>,
    all: &[(ListenConfig, Option<Range<usize>>)],
    is_silent: impl Fn(&Option<Range<usize>>) -> bool,
) {
    let asks = |listen: &ListenConfig| {
        listen.tls.is_some() && listen.client_certificates.as_ref().is_some_and(|ours| ours.require)
    };
    let Some((_, guarded)) = all.iter().find(|(listen, _)| asks(listen)) else { return };
    let is_open = |listen: &ListenConfig, place: &Option<Range<usize>>| {
        let asked_for_less = listen.client_certificates.is_some();
        !asks(listen) && listen.redirect_to_https.is_none() && (asked_for_less || is_silent(place))
    };
    for (open, place) in all.iter().filter(|(listen, place)| is_open(listen, place)) {
        let message = format!("by {} whoever has no client certificate gets the same routes", open.address);
        let warning = Diagnostic::warning(message, place.clone(), "asks for none");
        let help = "ask for one here as well, send visitors to the other, or run another cloakroom for this one:\n\
                    redirect_to_https = true";
        root.notes().push(warning.also(guarded.clone(), "must be shown one").help(help));
    }
}

const HTTPS: u16 = 443;

/// `false`, `true` (0, until all listeners are known), or a port.
fn redirect(reader: &TableReader<'_>) -> Option<u16> {
    let read = reader.optional("redirect_to_https", "true, false or a port", |value| match value {
        DeValue::Boolean(wanted) => Ok(wanted.then_some(0)),
        value => scalar::number(value, &(1..=u64::from(u16::MAX))).map(|port| u16::try_from(port).ok()),
    });
    read.flatten()
}

fn parse(text: &str) -> Result<ListenAddress, ValueProblem> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() || path.contains('\0') {
            Err(ValueProblem::why("expected the path of a socket after `unix:`"))
        } else {
            Ok(ListenAddress::Unix(path.into()))
        };
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        return if name.is_empty() || name.contains(':') || name.contains(char::is_control) {
            Err(ValueProblem::why("expected the name of a socket after `systemd:` (FileDescriptorName=)"))
        } else {
            Ok(ListenAddress::Systemd(name.to_owned()))
        };
    }
    text.parse().map(ListenAddress::Tcp).map_err(|_| {
        if let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) {
            return ValueProblem::VALUE
                .help(format!("without the scheme: \"{}\"", rest.trim_end_matches('/')));
        }
        match text.rsplit_once(':') {
            Some(("", port)) => ValueProblem::VALUE.help(format!("for every address: \"[::]:{port}\"")),
            Some(("localhost", port)) => {
                ValueProblem::VALUE.help(format!("an address, not a name: \"127.0.0.1:{port}\""))
            }
            _ if text.parse::<IpAddr>().is_ok() => ValueProblem::VALUE.help("the port is missing"),
            _ => ValueProblem::VALUE,
        }
    })
}
