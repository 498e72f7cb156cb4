//! The apps of `tests/apps`, each in the server that its language brings along.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::thread;

/// A running app; killed when dropped.
pub(crate) struct Legacy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Legacy {
    /// `app.php` in PHP's own server, which says its port on stderr.
    pub(crate) fn php() -> Self {
        let mut command = Command::new("php");
        command.args(["-S", "127.0.0.1:0", &file("app.php")]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = child.stderr.take().unwrap();
        Self::announced(child, lines, |line| line.split_once("http://127.0.0.1:")?.1.split(')').next())
    }

    /// `app.py` in wsgiref.
    pub(crate) fn python() -> Self {
        Self::script("app.py")
    }

    /// `app.cgi`, in Perl, behind the CGI server of `cgi_server.py`.
    pub(crate) fn perl() -> Self {
        Self::script("cgi_server.py")
    }

    fn script(name: &str) -> Self {
        let mut command = Command::new("python3");
        command.args(["-u", &file(name)]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = child.stdout.take().unwrap();
        Self::announced(child, lines, |line| Some(line.trim()))
    }

    /// Waits for the line that holds the port, and reads on so that the app never blocks.
    fn announced(
        child: Child,
        lines: impl std::io::Read + Send + 'static,
        port: impl Fn(&str) -> Option<&str>,
    ) -> Self {
        let mut legacy = Self { address: (Ipv4Addr::LOCALHOST, 0).into(), child };
        let mut lines = BufReader::new(lines).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| port(&line)?.parse().ok());
        legacy.address.set_port(found.unwrap_or_else(|| panic!("the app ended without naming its port")));
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        legacy
    }
}

impl Drop for Legacy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn file(name: &str) -> String {
    format!("{}/tests/apps/{name}", env!("CARGO_MANIFEST_DIR"))
}
