//! Streams: TCP, unix sockets, and TLS over either behind one type, on both sides of the proxy.

pub mod descriptors;
mod metered;
mod visitor_connection;

pub use metered::MeteredStream;
pub use visitor_connection::{VisitorConnection, VisitorOwnership};

use std::{
    io::{self, IoSlice},
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsStream;

/// What is to be read on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreadInput {
    /// Nothing.
    Nothing,
    /// Bytes.
    Bytes,
    /// The other side has closed, or the connection is broken; by TLS also anything else.
    End,
}

/// A connected stream.
#[derive(Debug)]
pub enum NetStream {
    /// TCP, with `TCP_NODELAY`.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over one of them. Boxed: it is large, and the others are not to pay for that.
    Tls(Box<TlsStream<NetStream>>),
}

impl NetStream {
    /// Waits until there is something to read, or the end, without taking it: what a parked connection does.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn peek(&mut self) -> io::Result<bool> {
        let mut byte = [0_u8; 1];
        match self {
            Self::Tcp(s) => Ok(s.peek(&mut byte).await? > 0),
            Self::Unix(s) => {
                let s = &*s;
                // tokio has no peek here; socket2 has, and readiness is told by the runtime.
                s.async_io(tokio::io::Interest::READABLE, || {
                    let mut byte = [std::mem::MaybeUninit::uninit()];
                    socket2::SockRef::from(s).peek(&mut byte)
                })
                .await
                .map(|n| n > 0)
            }
            // What comes is deciphered, and stays where it is.
            Self::Tls(s) => Ok(!s.fill_buf().await?.is_empty()),
        }
    }

    /// What the bytes go over.
    fn plain(&self) -> &Self {
        match self {
            Self::Tls(s) => s.get_ref().0.plain(),
            plain => plain,
        }
    }

    /// Closes it so that the other side sees a reset, and no end.
    pub fn reset(self) {
        self.closes_by_reset();
    }

    /// Whenever it is closed, the other side sees a reset, and what was not sent is thrown away: the kernel would keep
    /// it for who does not read.
    pub fn closes_by_reset(&self) {
        let now = Some(std::time::Duration::ZERO);
        // Where that cannot be had it is closed all the same.
        let _ = match self.plain() {
            Self::Tcp(s) => socket2::SockRef::from(s).set_linger(now),
            Self::Unix(s) => socket2::SockRef::from(s).set_linger(now),
            Self::Tls(_) => Ok(()),
        };
    }

    /// Ready if the runtime knows of something to read; it may be wrong either way, and asks nobody.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(s) => s.poll_read_ready(cx),
            Self::Unix(s) => s.poll_read_ready(cx),
            Self::Tls(s) => s.get_ref().0.poll_read_ready(cx),
        }
    }

    /// True if something came that was deciphered, and read by nobody yet: on the socket it is no longer to be seen.
    pub fn holds_unread(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            // A close is something that came, too.
            Self::Tls(s) => !s.get_ref().1.wants_read(),
        }
    }

    /// Acknowledges at once what was read. The system would wait up to 40 ms for something to send along; an app that does
    /// without `TCP_NODELAY` holds back all that follows its last write until then, and what it holds back would come as the
    /// answer to the next request.
    pub fn acknowledge(&self) {
        let tcp = match self {
            Self::Tcp(s) => s,
            Self::Tls(s) => return s.get_ref().0.acknowledge(),
            Self::Unix(_) => return,
        };
        // Where it fails the connection is broken, which is seen when it is used again.
        let _ = rustix::net::sockopt::set_tcp_quickack(tcp, true);
    }

    /// What the other side has said that was not read yet: of a connection that nobody is using, nothing. Asks the system.
    pub fn unread(&self) -> UnreadInput {
        // By the system call itself: each request asks this once.
        let peek = |socket: BorrowedFd<'_>| recv(socket, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        let peeked = match self {
            Self::Tcp(s) => peek(s.as_fd()),
            Self::Unix(s) => peek(s.as_fd()),
            Self::Tls(_) if self.holds_unread() => return UnreadInput::End,
            // What it is cannot be seen; as a rule it says that the other side closes.
            Self::Tls(s) => {
                return if s.get_ref().0.unread() == UnreadInput::Nothing {
                    UnreadInput::Nothing
                } else {
                    UnreadInput::End
                };
            }
        };
        match peeked {
            Err(Errno::AGAIN) => UnreadInput::Nothing,
            Ok((_, 1..)) => UnreadInput::Bytes,
            Ok((_, 0)) | Err(_) => UnreadInput::End,
        }
    }
}

impl AsFd for NetStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(s) => s.as_fd(),
            Self::Unix(s) => s.as_fd(),
            Self::Tls(s) => s.get_ref().0.as_fd(),
        }
    }
}

impl AsyncRead for NetStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for NetStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Unix(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Tls(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

/// Whether an address leads to this machine alone.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// One visitor's line: the address, or its /64 in IPv6.
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}
