//! systemd, as a service sees it: sockets with names, credentials, a place for notes, and a watchdog.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;

use super::{App, PATIENCE};

/// TOML of a service before this app, with sessions kept so.
pub(crate) fn service_config(app: &App, store: &str) -> String {
    format!(
        "[process]\nworkers = 2\n[[listen]]\naddress = \"systemd:public\"\n[upstreams.app]\n\
         servers = [\"http://{}\"]\n[[routes]]\nupstream = \"app\"\n{store}\n",
        app.address
    )
}

/// In memory.
pub(crate) const MEMORY: &str = "[store]\nkind = \"memory\"";

/// What a unit says, and what systemd holds for it.
pub(crate) struct Manager {
    folder: TempDir,
    sockets: Vec<(String, TcpListener)>,
    variables: Vec<(String, String)>,
}

/// The process of a service. Killed when dropped; its log is printed if the test failed.
pub(crate) struct Service {
    child: Child,
    notes: UnixDatagram,
    log: PathBuf,
}

impl Manager {
    /// Of a service with this configuration.
    pub(crate) fn of(config: &str) -> Self {
        let manager =
            Self { folder: tempfile::tempdir().unwrap(), sockets: Vec::new(), variables: Vec::new() };
        manager.configure(config);
        manager
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.path("config.toml"), config).unwrap();
    }

    /// A file of its own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Holds a socket of this name (`FileDescriptorName=`); where it is.
    pub(crate) fn socket(&mut self, name: &str) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        self.sockets.push((name.to_owned(), listener));
        address
    }

    /// A variable of the service's environment.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it; does not wait until it is ready. The sockets stay open here, as systemd's do.
    pub(crate) fn start(&self) -> Service {
        let notify = self.path("notify");
        drop(fs::remove_file(&notify));
        let notes = UnixDatagram::bind(&notify).unwrap();
        notes.set_read_timeout(Some(PATIENCE)).unwrap();
        let log = self.path("log");
        let names: Vec<&str> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
        let mappings = self.sockets.iter().zip(3..).map(|((_, listener), child_fd)| FdMapping {
            parent_fd: listener.try_clone().unwrap().into(),
            child_fd,
        });
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                r#"LISTEN_PID=$$ exec "$@""#,
                "sh",
                env!("CARGO_BIN_EXE_cloakroom"),
                "run",
                "--config",
            ])
            .arg(self.path("config.toml"))
            .env("LISTEN_FDS", self.sockets.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env("NOTIFY_SOCKET", &notify)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log).unwrap())
            .fd_mappings(mappings.collect())
            .unwrap();
        Service { child: command.spawn().unwrap(), notes, log }
    }
}

impl Service {
    /// The next note that holds this; others before it are passed over.
    pub(crate) fn notes(&self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.note() {
                Some(note) if note.contains(wanted) => return note,
                Some(_) => {}
                None => break,
            }
        }
        panic!("systemd was not told {wanted:?} within {PATIENCE:?}")
    }

    /// Whether a note with this comes within so long.
    pub(crate) fn is_told(&self, wanted: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut told = false;
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            self.notes.set_read_timeout(Some(left)).unwrap();
            told |= self.note().is_some_and(|note| note.contains(wanted));
        }
        self.notes.set_read_timeout(Some(PATIENCE)).unwrap();
        told
    }

    fn note(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        match self.notes.recv(&mut bytes) {
            Ok(length) => Some(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("the notify socket: {error}"),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn exit(mut self) -> ExitStatus {
        self.ended()
    }

    /// The same.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Service {
    #[expect(clippy::print_stderr, reason = "what one would ask for after a failure")]
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
