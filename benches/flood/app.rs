//! The app behind cloakroom. It has no sessions of its own, and all that it does with its visitors' is in [`answer`].

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use cloakroom::testing::tasks;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};

/// Starts the app on a port that the kernel chose, on a thread that ends with the bench.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    tasks::thread("app", move || runtime()?.block_on(serve(listener)))?;
    Ok(address)
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tasks::spawn(async { drop(converse(stream).await) });
    }
}

/// Answers the requests of one connection until cloakroom is done with it.
async fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut read, mut out) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    while stream.read_buf(&mut read).await? > 0 {
        while let Some(end) = memmem::find(&read, b"\r\n\r\n") {
            answer(&String::from_utf8_lossy(&read[..end]), &mut out)?;
            read.drain(..end + 4);
        }
        stream.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}

/// `/in/NAME` logs NAME in, `/visit` keeps a field, `/me` says who is logged in, all else keeps nothing.
fn answer(head: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (says, body) = match (path, path.strip_prefix("/in/")) {
        (_, Some(name)) => (format!("X-Session-Principal: {name}\r\n"), name),
        ("/visit", _) => ("X-Session-Set-Visits: 1\r\n".to_owned(), "welcome"),
        ("/me", _) => (String::new(), principal(head).unwrap_or("nobody")),
        _ => (String::new(), "hello"),
    };
    write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{says}\r\n{body}", body.len())
}

fn principal(head: &str) -> Option<&str> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-session-principal").then_some(value.trim())
    })
}
