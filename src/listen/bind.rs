//! Sockets: bound here, or passed on by systemd.

use std::{
    fs::Permissions,
    io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net;

use super::PeerName;
use crate::{config::ListenAddress, net::NetStream};

const BACKLOG: i32 = 4096;

/// No socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refuses.
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Bind {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// systemd passed no such socket.
    #[error(
        "cannot listen on systemd:{0}: no socket of that name was passed on (FileDescriptorName= in the .socket unit)"
    )]
    NotPassed(String),
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse if source.raw_os_error().is_some() => {
            "; another process listens there (`ss -lntp` shows which)"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE, a socket's folder must be writable"
        }
        _ => "",
    }
}

/// A listening socket before it belongs to a loop.
#[derive(Debug)]
pub enum BoundListener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl BoundListener {
    /// Another handle on the same socket, for another worker.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(l) => Self::Tcp(l.try_clone()?),
            Self::Unix(l) => Self::Unix(l.try_clone()?),
        })
    }

    /// Where it listens, for the log; by https or not.
    pub fn name(&self, https: bool) -> String {
        let scheme = if https { "https" } else { "http" };
        match self {
            Self::Tcp(l) => l.local_addr().map_or_else(|_| "?".into(), |a| format!("{scheme}://{a}")),
            Self::Unix(l) => l
                .local_addr()
                .ok()
                .and_then(|a| a.as_pathname().map(|p| format!("unix:{}", p.display())))
                .unwrap_or_else(|| "unix".into()),
        }
    }
}

/// Sockets for one address, one for each of `workers`: with `SO_REUSEPORT` for TCP, so that the kernel spreads the
/// connections; shared otherwise.
///
/// # Errors
/// The system refuses the address.
pub fn bind(address: &ListenAddress, workers: usize) -> Result<Vec<BoundListener>, BindError> {
    let named = |source| BindError::Bind { address: address.to_string(), source };
    match address {
        ListenAddress::Tcp(address) => {
            alone(*address).map_err(named)?;
            // Only now with SO_REUSEPORT: the check above has shown that nobody else is there.
            let first = tcp(*address).map_err(named)?;
            // Port 0 is chosen by the first; the others join it.
            let chosen = first.local_addr().map_err(named)?;
            let rest = (1..workers).map(|_| tcp(chosen).map(BoundListener::Tcp).map_err(named));
            std::iter::once(Ok(BoundListener::Tcp(first))).chain(rest).collect()
        }
        ListenAddress::Unix(path) => {
            let first = BoundListener::Unix(unix(path).map_err(named)?);
            let mut all: Vec<_> =
                (1..workers).map(|_| first.share().map_err(named)).collect::<Result<_, _>>()?;
            all.push(first);
            Ok(all)
        }
        ListenAddress::Systemd(name) => Err(BindError::NotPassed(name.clone())),
    }
}

/// Whether the address is free. With `SO_REUSEPORT` the kernel would let a second process in, and half of the visitors
/// would meet a store that knows nothing of them.
fn alone(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last connections are still winding down is free.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// As other servers leave theirs: whoever can enter the folder can connect.
const SOCKET_MODE: u32 = 0o666;

fn unix(path: &Path) -> io::Result<UnixListener> {
    let listener = bind_unix(path)?;
    // After binding: the process's umask would otherwise decide who can connect.
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        // Left over by a process that was killed: only if nobody answers there.
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(io::Error::new(e.kind(), "there is a file of that name, and it is no socket"));
            }
            // Somebody answers: another process is alive there, and its socket must not be taken
            // away.
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(e);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

/// What the kernel holds for a visitor beyond what it could send just now. By itself it takes megabytes of an answer for
/// each of those who read nothing, out of what all connections of the machine have in common.
const UNSENT: u32 = 128 * 1024;

/// The same socket, in a loop.
pub(super) enum AcceptSocket {
    Tcp(net::TcpListener),
    Unix(net::UnixListener),
}

impl AcceptSocket {
    pub(super) fn new(listener: BoundListener) -> io::Result<Self> {
        Ok(match listener {
            BoundListener::Tcp(l) => {
                l.set_nonblocking(true)?;
                // Its connections inherit that; where it cannot be had they are served all the same.
                let _ = socket2::SockRef::from(&l).set_tcp_notsent_lowat(UNSENT);
                Self::Tcp(net::TcpListener::from_std(l)?)
            }
            BoundListener::Unix(l) => {
                l.set_nonblocking(true)?;
                Self::Unix(net::UnixListener::from_std(l)?)
            }
        })
    }

    pub(super) async fn accept(&self) -> io::Result<(NetStream, PeerName)> {
        match self {
            Self::Tcp(l) => {
                let (stream, address) = l.accept().await?;
                // Without it the last piece of an answer waits for an acknowledgement.
                let _ = stream.set_nodelay(true);
                Ok((NetStream::Tcp(stream), PeerName::Ip(address.ip().to_canonical())))
            }
            Self::Unix(l) => Ok((NetStream::Unix(l.accept().await?.0), PeerName::Unix)),
        }
    }
}
