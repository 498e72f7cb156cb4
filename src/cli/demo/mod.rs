//! The small legacy app of `cloakroom demo`: a shop that knows no cookie and keeps no session.
//!
//! Here live its server, its pages and what to try. It never sees a ticket and shares no code with the
//! proxy: all that it knows of its visitors are the request headers that cloakroom adds.

mod app;
mod pages;
mod text;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};

use crate::app::{self as process, RunOptions};
use crate::config::{AccessFormat, Config, LogLevel};
use crate::listen::BoundListener;
use crate::tasks;

/// A connection's own task, for whoever spawns.
pub type ConnectionTask = Pin<Box<dyn Future<Output = ()>>>;

/// The longest form that the app reads, in bytes.
const MAX_FORM: usize = 16 * 1024;

/// Serves the app until the listener fails in a way that is not one visitor's; `spawn` runs a connection.
pub async fn serve(listener: TcpListener, spawn: impl Fn(ConnectionTask)) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                tracing::error!(%error, "the demo app cannot accept");
                return;
            }
        };
        spawn(Box::pin(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handle));
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the demo app ended early");
            }
        }));
    }
}

/// Runs the app and cloakroom before it until Ctrl-C.
pub(super) fn run() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("the demo cannot run: {error}");
            ExitCode::from(super::FAILED)
        }
    }
}

fn start() -> anyhow::Result<()> {
    let app = std::net::TcpListener::bind("127.0.0.1:0")?;
    let upstream = format!("http://{}", app.local_addr()?);
    app.set_nonblocking(true)?;
    tasks::thread("demo-app", move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            serve(TcpListener::from_std(app)?, tasks::spawn).await;
            Ok::<_, std::io::Error>(())
        })
    })?;
    let front = std::net::TcpListener::bind("127.0.0.1:8080")
        .or_else(|_| std::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = front.local_addr()?.to_string();
    let mut config = Config::from_flags(&address, &upstream)?;
    config.log.access = AccessFormat::Off;
    process::start_logging(LogLevel::Warn);
    let front = BoundListener::Tcp(front);
    let listeners =
        (1..config.process.workers.get()).map(|_| front.share()).collect::<Result<Vec<_>, _>>()?;
    let listeners = listeners.into_iter().chain([front]).collect();
    process::run(&config, RunOptions { listeners: Some(listeners), ..RunOptions::default() }, |_| {
        anstream::println!("{}", instructions(&address));
    })?;
    Ok(())
}

/// What to try, for the terminal; `address` is where visitors connect, such as `127.0.0.1:8080`.
pub fn instructions(address: &str) -> String {
    format!(
        "A shop that knows no cookie runs behind cloakroom. Open it in a browser:

    http://{address}/

or try it here:

  1. Twice, and the visits are counted:
    curl -s -c jar -b jar http://{address}/
  2. Log in, then look again: same session, same cart, a new ticket in the jar:
    curl -s -c jar -b jar -L -d item=Umbrella http://{address}/cart/add
    curl -s -c jar -b jar -L --data-urlencode 'name=Zoë' http://{address}/login
  3. Log out: a stranger again, with a new id and an empty cart:
    curl -s -c jar -b jar -L -d '' http://{address}/logout

And a lie is not believed:
    curl -s -H 'X-Session-Principal: admin' http://{address}/

Ctrl-C ends it.
"
    )
}

async fn handle(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let answer = if let Ok(form) = Limited::new(body, MAX_FORM).collect().await {
        app::answer(&head, &form.to_bytes())
    } else {
        let mut refused = Response::new(Bytes::from_static(b"the form is too long, or broke off\n"));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        refused
    };
    Ok(answer.map(Full::new))
}

#[cfg(test)]
mod tests {
    use super::{instructions, serve};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_visit_over_a_real_connection_is_answered_with_the_instruction() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = tokio::task::LocalSet::new();
        let visit = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"GET / HTTP/1.1\r\nhost: a\r\nx-session-visits: 2\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let served = serve(listener, |task| drop(tasks.spawn_local(task)));
        let answer = tasks.run_until(async {
            tokio::select! { () = served => String::new(), answer = visit => answer }
        });
        let answer = answer.await;
        assert!(answer.contains("\r\nx-session-set-visits: 3\r\n"), "{answer}");
        assert!(answer.contains("visits: 3\n"), "{answer}");
    }

    #[test]
    fn the_instructions_name_the_address_in_every_command() {
        let text = instructions("127.0.0.1:8080");
        let mut commands = text.lines().map(str::trim).filter(|line| line.starts_with("curl"));
        assert!(commands.all(|line| line.contains(" http://127.0.0.1:8080/")));
    }
}
