//! An app that the test itself plays, byte by byte; and doors that hold an app back until the test opens them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::PATIENCE;
use super::wire::Wire;

/// A port that belongs to the test, whether anyone listens on it or not: until then connections are refused.
pub(crate) struct Port {
    /// Where.
    pub(crate) address: SocketAddr,
    _held: Socket,
}

impl Port {
    /// A free one.
    pub(crate) fn reserve() -> Self {
        let held = bound((Ipv4Addr::LOCALHOST, 0).into());
        let address = held.local_addr().unwrap().as_socket().unwrap();
        Self { address, _held: held }
    }

    /// Begins to listen; when the stage is dropped, connections are refused again.
    pub(crate) fn open(&self) -> RawUpstream {
        RawUpstream::listening(bound(self.address))
    }
}

fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

/// A listening app without a will of its own.
pub(crate) struct RawUpstream {
    listener: Socket,
}

impl RawUpstream {
    /// On a free port.
    pub(crate) fn open() -> Self {
        Self::listening(bound((Ipv4Addr::LOCALHOST, 0).into()))
    }

    /// On a unix socket.
    pub(crate) fn on(path: &Path) -> Self {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(path).unwrap()).unwrap();
        Self::listening(socket)
    }

    fn listening(listener: Socket) -> Self {
        listener.listen(128).unwrap();
        listener.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { listener }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Wire {
        Wire::patient(self.listener.accept().unwrap().0)
    }

    /// Whether a connection is waiting to be accepted.
    pub(crate) fn has_guests(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        let found = self.listener.accept().is_ok();
        self.listener.set_nonblocking(false).unwrap();
        found
    }
}

/// A door in an app: whoever comes to it waits until the test opens it.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    /// A closed door.
    pub(crate) fn closed() -> Arc<Self> {
        Arc::default()
    }

    /// The app's side: says that it is here, and goes on once the door is open.
    pub(crate) fn pass(&self) {
        self.state.lock().unwrap().0 += 1;
        self.changed.notify_all();
        self.wait("a door that was never opened", |(_, open)| open);
    }

    /// Waits until so many stand before the door.
    pub(crate) fn reached(&self, by: usize) {
        self.wait("not everyone came to the door", |(waiting, _)| waiting >= by);
    }

    /// Closes it again, for those who are still to come.
    pub(crate) fn close(&self) {
        *self.state.lock().unwrap() = (0, false);
    }

    /// Opens it for good, or until it is closed.
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn wait(&self, complaint: &str, done: impl Fn((usize, bool)) -> bool) {
        let guard = self.state.lock().unwrap();
        let twice: Duration = PATIENCE * 2;
        let (guard, _) = self.changed.wait_timeout_while(guard, twice, |state| !done(*state)).unwrap();
        assert!(done(*guard), "{complaint}");
    }
}
