//! The admin's own listener: a thread, a few connections, short times.

use std::{
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::unix::{fs::FileTypeExt, fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, request::Parts};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    runtime::{Builder, LocalOptions},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::{AdminSources, answer, api::ApiClient};
use crate::{clock, config::Config, tasks};

/// So many connections at once; others wait. More than can be asked for by accident, since those who say nothing hold one too.
const CONNECTIONS: usize = 512;
/// So many requests are answered at once; others wait, but for those that ask only whether it lives.
const REQUESTS: usize = 32;
/// A head, the first and any other, comes within this time.
const HEAD: Duration = Duration::from_secs(2);
/// The longest body that is read, in bytes: a request that is to be explained.
const MOST_BODY: usize = 256 * 1024;
/// A connection lasts no longer, whatever it does.
const LIFE: Duration = Duration::from_secs(30);

/// There is no admin address.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The system refuses it.
    #[error("[admin] address {address}: {why}")]
    Bind {
        /// Where.
        address: String,
        /// Why.
        why: io::Error,
    },
    /// Somebody else answers there.
    #[error("[admin] address unix:{}: another process listens there", .0.display())]
    Held(PathBuf),
}

/// What there is room for.
struct ConcurrencyLimits {
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

enum AdminSocket {
    Unix(std::os::unix::net::UnixListener, PathBuf),
    Tcp(std::net::TcpListener),
}

/// A bound admin address.
pub struct AdminListener {
    socket: AdminSocket,
    sources: Arc<AdminSources>,
}

impl AdminListener {
    /// Binds it, where the configuration wants one.
    ///
    /// # Errors
    /// It cannot be bound.
    pub fn open(config: &Config, sources: AdminSources) -> Result<Option<Self>, AdminError> {
        let socket = match config.admin.place() {
            None => return Ok(None),
            Some(Ok(path)) => AdminSocket::Unix(unix(&path, config.admin.group.as_deref())?, path),
            Some(Err(address)) => AdminSocket::Tcp(tcp(address)?),
        };
        match &socket {
            AdminSocket::Unix(_, path) => {
                tracing::info!(address = %format_args!("unix:{}", path.display()), "the admin address is open");
            }
            AdminSocket::Tcp(listener) => {
                let at = listener.local_addr().map_or_else(|_| "?".to_owned(), |at| at.to_string());
                tracing::info!(address = %format_args!("http://{at}"), "the admin address is open");
            }
        }
        Ok(Some(Self { socket, sources: Arc::new(sources) }))
    }

    /// Serves it until `stop`.
    ///
    /// # Errors
    /// The system has no event loop to give.
    pub fn serve(self, stop: &CancellationToken) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        let Self { socket, sources } = self;
        runtime.block_on(async {
            tasks::spawn(clock::drive());
            let places = ConcurrencyLimits {
                connections: Arc::new(Semaphore::new(CONNECTIONS)),
                requests: Arc::new(Semaphore::new(REQUESTS)),
            };
            tokio::select! {
                never = accept(&socket, &sources, &places) => match never? {},
                () = stop.cancelled() => Ok::<_, io::Error>(()),
            }
        })?;
        if let AdminSocket::Unix(_, path) = &socket {
            // Whoever comes next makes it anew.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

/// Accepts for as long as it is polled.
async fn accept(
    socket: &AdminSocket,
    sources: &Arc<AdminSources>,
    places: &ConcurrencyLimits,
) -> io::Result<std::convert::Infallible> {
    let (unix, tcp) = match socket {
        AdminSocket::Unix(listener, _) => (Some(UnixListener::from_std(listener.try_clone()?)?), None),
        AdminSocket::Tcp(listener) => (None, Some(TcpListener::from_std(listener.try_clone()?)?)),
    };
    loop {
        let failed = if let Some(listener) = &unix {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let user =
                        stream.peer_cred().map_or_else(|_| "?".to_owned(), |user| user.uid().to_string());
                    let client = ApiClient { by_tcp: false, name: format!("user {user}") };
                    begin(stream, client, sources, places).await;
                    continue;
                }
                Err(error) => error,
            }
        } else if let Some(listener) = &tcp {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let client = ApiClient { by_tcp: true, name: from.ip().to_string() };
                    begin(stream, client, sources, places).await;
                    continue;
                }
                Err(error) => error,
            }
        } else {
            io::Error::from(io::ErrorKind::NotConnected)
        };
        // Out of descriptors, or a connection that went before it was taken.
        tracing::warn!(error = %failed, "the admin address cannot accept a connection");
        clock::pause(clock::TICK).await;
    }
}

/// One connection, once there is a place for it.
async fn begin<S>(stream: S, client: ApiClient, sources: &Arc<AdminSources>, places: &ConcurrencyLimits)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // Waited for in the accept loop: the backlog holds the rest, and no task is made for them.
    let Ok(place) = Arc::clone(&places.connections).acquire_owned().await else { return };
    let (sources, requests) = (Arc::clone(sources), Arc::clone(&places.requests));
    tasks::spawn(async move {
        let asked = Rc::new((sources, client, requests));
        let service = service_fn(move |request: Request<Incoming>| {
            let asked = Rc::clone(&asked);
            async move {
                let (head, body) = request.into_parts();
                let body = whole(body, &head).await;
                let (sources, client, requests) = &*asked;
                // Thirty-two slow requests must not make a supervisor believe that the process is
                // dead.
                let waits = !matches!(head.uri.path(), "/livez" | "/readyz");
                let _request = if waits { requests.acquire().await.ok() } else { None };
                Ok::<_, std::convert::Infallible>(answer(sources, (&head, body), client).await)
            }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 * 1024).max_headers(64);
        let served = server.serve_connection(TokioIo::new(stream), service);
        if let Ok(Err(error)) = clock::timeout(Some(LIFE), served).await {
            tracing::debug!(%error, "a connection of the admin address ended early");
        }
        drop(place);
    });
}

/// The body, where one is wanted; empty where it is too long, or breaks off.
async fn whole(body: Incoming, head: &Parts) -> Bytes {
    if head.method != Method::POST {
        return Bytes::new();
    }
    let body = Limited::new(body, MOST_BODY).collect().await;
    body.map(Collected::to_bytes).unwrap_or_default()
}

fn tcp(address: SocketAddr) -> Result<std::net::TcpListener, AdminError> {
    let refused = |why| AdminError::Bind { address: address.to_string(), why };
    let listener = std::net::TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

/// The number of a group of this machine (group(5)).
fn number_of(group: &str) -> io::Result<u32> {
    let all = fs::read_to_string("/etc/group")?;
    let fields = all.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let number =
        fields.filter(|fields| fields.first() == Some(&group)).find_map(|fields| fields.get(2)?.parse().ok());
    number.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no group {group} in /etc/group"))
    })
}

/// A socket file that nobody answers on any more is replaced; nothing else is.
fn unix(path: &Path, group: Option<&str>) -> Result<std::os::unix::net::UnixListener, AdminError> {
    let refused = |why| AdminError::Bind { address: format!("unix:{}", path.display()), why };
    if fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket()) {
        if UnixStream::connect(path).is_ok() {
            return Err(AdminError::Held(path.to_owned()));
        }
        fs::remove_file(path).map_err(refused)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(refused)?;
    if let Some(group) = group {
        let number = number_of(group).map_err(refused)?;
        std::os::unix::fs::chown(path, None, Some(number)).map_err(refused)?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}
