//! New connections to a server: until it listens, shakes hands, and speaks what it is to speak.

use std::{cell::RefCell, io, rc::Rc, time::Duration};

use tokio::net::{TcpStream, UnixStream};

use super::{Endpoint, UpstreamError, http2, tls::ALPN_HTTP2};
use crate::{
    clock::{self, TICK},
    config::ServerAddress,
    net::{NetStream, descriptors::are_too_few_for_apps},
};

/// What a refused connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectRetry {
    /// That this server is not to be had.
    None,
    /// That its app may be restarting: it is tried again until the time is up.
    Restart,
}

impl ConnectRetry {
    /// An app that restarts refuses for a moment: the last server that is left to try gets until the time is up.
    pub(super) fn for_server(is_last: bool) -> Self {
        if is_last { Self::Restart } else { Self::None }
    }
}

/// A new connection that speaks HTTP/2.
pub(super) async fn connect_http2(
    endpoint: &Endpoint,
    limit: Option<Duration>,
    retry: ConnectRetry,
    idle_ticks: u64,
) -> Result<Rc<http2::Http2Connection>, UpstreamError> {
    let stream = connect(endpoint, limit, retry).await?;
    // In clear text there is no negotiation: the operator has said that it speaks HTTP/2, and its
    // first frame will show.
    if let NetStream::Tls(tls) = &stream
        && tls.get_ref().1.alpn_protocol() != Some(ALPN_HTTP2)
    {
        return Err(UpstreamError::NoHttp2 { endpoint: endpoint.name.clone() });
    }
    let name = || endpoint.name.clone();
    match clock::timeout(limit, http2::Http2Connection::open(stream, idle_ticks)).await {
        Ok(opened) => opened.map_err(|e| UpstreamError::Exchange { endpoint: name(), source: e.into() }),
        Err(_) => Err(UpstreamError::ConnectTimeout { endpoint: name() }),
    }
}

/// A new connection, by TLS where that is spoken.
pub(super) async fn connect(
    endpoint: &Endpoint,
    limit: Option<Duration>,
    retry: ConnectRetry,
) -> Result<NetStream, UpstreamError> {
    let name = || endpoint.name.clone();
    let refused = RefCell::new(None);
    let attempts = async {
        loop {
            match open(&endpoint.address).await {
                Err(e) if retry == ConnectRetry::Restart && is_refusal(&e) => {
                    // Kept for the log: "connection refused" says more than that the time was up.
                    drop(refused.replace(Some(e)));
                }
                Err(source) if is_shortage(&source) => {
                    return Err(UpstreamError::Descriptors { endpoint: name() });
                }
                Err(source) => return Err(UpstreamError::Connect { endpoint: name(), source }),
                // The last descriptors are for the log, the store and the admin page: without these
                // nobody would learn what is wrong.
                Ok(stream) if are_too_few_for_apps(&stream) => {
                    return Err(UpstreamError::Descriptors { endpoint: name() });
                }
                Ok(stream) => return secure(endpoint, stream).await,
            }
            clock::pause(TICK).await;
        }
    };
    match clock::timeout(limit, attempts).await {
        Ok(result) => result,
        Err(_) => Err(match refused.take() {
            Some(source) => UpstreamError::Connect { endpoint: name(), source },
            None => UpstreamError::ConnectTimeout { endpoint: name() },
        }),
    }
}

async fn open(address: &ServerAddress) -> io::Result<NetStream> {
    match address {
        ServerAddress::Tcp { host, port, .. } => TcpStream::connect((host.as_str(), *port)).await.map(|s| {
            // Without it the last piece of a request waits for an acknowledgement.
            let _ = s.set_nodelay(true);
            NetStream::Tcp(s)
        }),
        ServerAddress::Unix(path) => UnixStream::connect(path).await.map(NetStream::Unix),
    }
}

/// The TLS handshake, where there is one.
async fn secure(endpoint: &Endpoint, stream: NetStream) -> Result<NetStream, UpstreamError> {
    let Some(tls) = &endpoint.tls else { return Ok(stream) };
    // Boxed: every request would be as large as a handshake.
    Box::pin(tls.connect(stream))
        .await
        .map_err(|source| UpstreamError::Handshake { endpoint: endpoint.name.clone(), source })
}

/// No descriptor is left, of the process or of the system (EMFILE, ENFILE).
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|no| error.raw_os_error() == Some(no.raw_os_error()))
}

/// Nobody listens there just now.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}
