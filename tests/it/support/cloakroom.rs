//! The real binary before an app, started as systemd would: sockets handed over, readiness awaited.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;

use super::{Browser, PATIENCE};

/// What is about to be started.
pub(crate) struct Plan {
    upstream: SocketAddr,
    extra: String,
}

/// A running cloakroom; killed when dropped, and its config and log are printed if the test failed.
pub(crate) struct Cloakroom {
    /// Where visitors connect.
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Cloakroom {
    /// A cloakroom before the app at this address.
    pub(crate) fn before(upstream: SocketAddr) -> Plan {
        Plan { upstream, extra: String::new() }
    }

    /// A fresh visitor.
    pub(crate) fn browser(&self) -> Browser {
        Browser::at(self.address)
    }

    /// The configuration and everything that was printed so far.
    pub(crate) fn story(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let (config, out, log) = (read("config.toml"), read("stdout"), read("stderr"));
        format!("--- config\n{config}\n--- stdout\n{out}\n--- stderr\n{log}\n---")
    }
}

impl Plan {
    /// Adds TOML. Whoever brings `[store]` or `[[routes]]` replaces the harness's own.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.extra += toml;
        self.extra += "\n";
        self
    }

    /// Starts the binary and waits until it says that it is ready.
    pub(crate) fn start(self) -> Cloakroom {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("config.toml"), self.toml()).unwrap();
        let notify = UnixDatagram::bind(path("notify")).unwrap();
        notify.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        // The shell knows the pid that exec keeps; nothing here could know it before the spawn.
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                r#"LISTEN_PID=$$ exec "$0" "$@""#,
                env!("CARGO_BIN_EXE_cloakroom"),
                "run",
                "--config",
            ])
            .arg(path("config.toml"))
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "test")
            .env("NOTIFY_SOCKET", path("notify"))
            .env_remove("CLOAKROOM_CONFIG")
            .stdin(Stdio::null())
            .stdout(File::create(path("stdout")).unwrap())
            .stderr(File::create(path("stderr")).unwrap())
            .fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: 3 }])
            .unwrap();
        let child = command.spawn().unwrap();
        // The command holds the listener; dropped here, a dead cloakroom refuses instead of hanging.
        drop(command);
        let mut house = Cloakroom { address, child, folder };
        house.await_ready(&notify);
        house
    }

    fn toml(&self) -> String {
        let mut toml = format!(
            "[[listen]]\naddress = \"systemd:test\"\n\n[upstreams.app]\nservers = [\"http://{}\"]\n",
            self.upstream
        );
        if !self.extra.contains("[[routes]]") {
            toml += "\n[[routes]]\nupstream = \"app\"\n";
        }
        if !self.extra.contains("[store]") {
            toml += "\n[store]\nkind = \"memory\"\n";
        }
        toml + "\n" + &self.extra
    }
}

impl Cloakroom {
    fn await_ready(&mut self, notify: &UnixDatagram) {
        let deadline = Instant::now() + PATIENCE;
        let mut message = [0; 4096];
        loop {
            match notify.recv(&mut message) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
                    if text.lines().any(|line| line == "READY=1") {
                        return;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("the notify socket: {error}"),
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("cloakroom ended before it was ready: {status}");
            }
            assert!(Instant::now() < deadline, "cloakroom was not ready within {PATIENCE:?}");
        }
    }
}

impl Drop for Cloakroom {
    #[expect(clippy::print_stderr, reason = "what one would ask for after a failure")]
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("{}", self.story());
        }
    }
}
