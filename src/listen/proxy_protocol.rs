//! The PROXY protocol, versions 1 and 2: who the visitor is, told by a load balancer before anything else
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).

use std::{io, net::IpAddr};

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// The largest header of version 2 after its first 16 bytes; what balancers add to the addresses takes some hundreds.
const LARGEST: usize = 4096;

/// Why a connection is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum PreambleError {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("it does not begin with the PROXY protocol")]
    None,
    #[error("a PROXY header that cannot be read")]
    Malformed,
}

/// Reads the header, and not a byte more; `None`: the balancer speaks for itself (a health check), or does not know.
pub(super) async fn read<R: AsyncRead + Unpin>(from: &mut R) -> Result<Option<IpAddr>, PreambleError> {
    let mut header = vec![0; SIGNATURE.len()];
    from.read_exact(&mut header).await?;
    if header == SIGNATURE {
        let mut rest = [0; 4];
        from.read_exact(&mut rest).await?;
        header.extend(rest);
        let [_, _, high, low] = rest;
        let length = usize::from(u16::from_be_bytes([high, low]));
        // Checked before anything of that length is made room for.
        if length > LARGEST {
            return Err(PreambleError::Malformed);
        }
        let begin = header.len();
        header.resize(begin + length, 0);
        from.read_exact(header.get_mut(begin..).unwrap_or_default()).await?;
    } else if header.starts_with(b"PROXY ") {
        // Byte by byte: what follows belongs to somebody else.
        while !header.ends_with(b"\n") {
            if header.len() >= LONGEST_LINE {
                return Err(PreambleError::Malformed);
            }
            header.push(from.read_u8().await?);
        }
    } else {
        return Err(PreambleError::None);
    }
    parse(&header)
}

fn parse(header: &[u8]) -> Result<Option<IpAddr>, PreambleError> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(header, config) {
        Ok((parsed, length)) if length == header.len() => match parsed.proxied_address() {
            Some(told) if told.protocol == Protocol::Stream => Ok(Some(told.source.ip().to_canonical())),
            Some(_) => Err(PreambleError::Malformed),
            None => Ok(None),
        },
        _ => Err(PreambleError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tasks;

    fn told(bytes: &[u8]) -> (Result<Option<IpAddr>, PreambleError>, usize) {
        let mut rest = bytes;
        let found = tasks::at_once(read(&mut rest)).unwrap();
        (found, rest.len())
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, payload].concat()
    }

    #[test]
    fn both_versions_are_read_to_their_end_and_no_further() {
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 0, 90];
        let six: Vec<u8> =
            [[0x20, 1, 0xd, 0xb8].as_slice(), &[0; 11], &[7], &[0; 16], &[0, 1, 0, 2]].concat();
        let more = [four.as_slice(), &[4, 0, 3, 1, 2, 3]].concat();
        for (header, wanted) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 80 90\r\n".to_vec(), Some("192.0.2.1")),
            (b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n".to_vec(), Some("2001:db8::7")),
            (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".to_vec(), Some("192.0.2.1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ::1 ::1 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &four), Some("192.0.2.1")),
            (v2(0x21, 0x21, &six), Some("2001:db8::7")),
            (v2(0x21, 0x11, &more), Some("192.0.2.1")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &four), None),
        ] {
            let (found, left) = told(&[&header, b"GET / HTTP/1.1\r\n".as_slice()].concat());
            assert_eq!(found.unwrap(), wanted.map(|ip| ip.parse().unwrap()), "{header:?}");
            assert_eq!(left, 16, "{header:?}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for header in [
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 80\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 80 99999\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.256 10.0.0.1 80 90\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 80 90\n".to_vec(),
            b"PROXY TCP9 192.0.2.1 10.0.0.1 80 90\r\n".to_vec(),
            b"proxy TCP4 192.0.2.1 10.0.0.1 80 90\r\n".to_vec(),
            [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(),
            v2(0x21, 0x11, &[1, 2, 3]),
            v2(0x31, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x12, &[0; 12]),
            [SIGNATURE.as_slice(), &[0x21, 0x11, 0xff, 0xff], &vec![0; 0xffff]].concat(),
            b"PROXY".to_vec(),
            Vec::new(),
        ] {
            assert!(told(&header).0.is_err(), "{:?}", header.get(..40.min(header.len())));
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for begin in [b"PROXY ".as_slice(), b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, b""] {
                let _ = told(&[begin, &bytes].concat());
            }
        }
    }
}
