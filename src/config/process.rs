//! `[process]`: the process as a whole.

use std::{net::IpAddr, num::NonZeroUsize, time::Duration};

use http::{HeaderName, header};
use ipnet::{IpNet, Ipv4Net};

use super::{
    scalar,
    value::{TableReader, ValueProblem},
};

/// `[process]`
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessConfig {
    /// `workers`: threads, each with an event loop of its own; `"auto"` is one per core.
    pub workers: NonZeroUsize,
    /// `shutdown_timeout`: how long requests under way may take after SIGTERM.
    pub shutdown_timeout: Duration,
    /// `trusted_proxies`: whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// `strip`: further headers that visitors may not say, lower case.
    pub strip: Vec<HeaderName>,
    /// `forwarded`: the family of forwarding headers that trusted proxies write.
    pub forwarded: ForwardedFamily,
}

/// The peers whose forwarding headers are believed; by default nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Addresses and networks.
    pub networks: Vec<IpNet>,
    /// `"unix"`: every peer on a unix socket.
    pub unix: bool,
}

/// `forwarded`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedFamily {
    /// `"x-forwarded"`: X-Forwarded-For, -Proto, -Host.
    #[default]
    XForwarded,
    /// `"forwarded"`: Forwarded (RFC 7239).
    Forwarded,
}

impl ProcessConfig {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let workers =
            reader.optional("workers", "\"auto\" or a number from 1 to 1024", |value| match value.as_str() {
                Some("auto") => Ok(None),
                Some(_) => Err(ValueProblem::VALUE),
                None => scalar::number(value, &(1..=1024)).map(|number| NonZeroUsize::new(number as usize)),
            });
        let process = Self {
            workers: workers.flatten().unwrap_or_else(cores),
            shutdown_timeout: reader.duration_or_zero("shutdown_timeout", Duration::from_secs(30)),
            trusted_proxies: TrustedProxies::read(reader),
            strip: strip(reader),
            forwarded: reader.choice(
                "forwarded",
                &[("x-forwarded", ForwardedFamily::XForwarded), ("forwarded", ForwardedFamily::Forwarded)],
                ForwardedFamily::XForwarded,
            ),
        };
        reader.finish();
        process
    }
}

/// Names of headers that proxies before this one, or nobody, may say; what a request cannot do without stays.
fn strip(reader: &TableReader<'_>) -> Vec<HeaderName> {
    const KEY: &str = "strip";
    const EXPECTED: &str = "the name of a header, such as \"True-Client-IP\"";
    const NEEDED: [HeaderName; 6] = [
        header::HOST,
        header::COOKIE,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let mut names = Vec::new();
    for item in reader.array(KEY, "an array of names of headers") {
        let name = item.get_ref().as_str().ok_or(ValueProblem::TYPE);
        match name.and_then(|text| HeaderName::from_bytes(text.as_bytes()).map_err(|_| ValueProblem::VALUE)) {
            Ok(name) if NEEDED.contains(&name) => {
                reader.refuse(KEY, item, EXPECTED, ValueProblem::why("no request can do without it"));
            }
            Ok(name) => names.push(name),
            Err(mistake) => reader.refuse(KEY, item, EXPECTED, mistake),
        }
    }
    names
}

impl TrustedProxies {
    fn read(reader: &TableReader<'_>) -> Self {
        const KEY: &str = "trusted_proxies";
        const EXPECTED: &str =
            "an address such as \"10.0.0.1\", a network such as \"10.0.0.0/8\", or \"unix\"";
        let mut trusted = Self::default();
        for item in reader.array(KEY, "an array of addresses and networks") {
            let Some(text) = item.get_ref().as_str() else {
                reader.refuse(KEY, item, EXPECTED, ValueProblem::TYPE);
                continue;
            };
            if text == "unix" {
                trusted.unix = true;
            } else if let Ok(network) = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                trusted.networks.push(canonical(network));
            } else {
                reader.refuse(KEY, item, EXPECTED, ValueProblem::VALUE);
            }
        }
        trusted
    }
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`: peers are known by their IPv4 address, however they came.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => {
            v6.addr().to_ipv4_mapped().and_then(|v4| Ipv4Net::new(v4, v6.prefix_len() - 96).ok())
        }
        _ => None,
    };
    mapped.map_or(network, IpNet::V4).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_known_by_one_name() {
        for (text, wanted) in [
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
            ("::ffff:0.0.0.0/95", "::fffe:0:0/95"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
        ] {
            assert_eq!(canonical(text.parse().unwrap()).to_string(), wanted);
        }
    }
}
