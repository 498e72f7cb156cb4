//! The real binary before an app, started as systemd would: sockets handed over, readiness awaited.

use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::{Browser, PATIENCE, Wire};

/// What is about to be started.
#[derive(Default)]
pub(crate) struct Plan {
    /// Flags alone instead of a file.
    flags: Option<SocketAddr>,
    servers: String,
    listen: String,
    rules: String,
    extra: String,
    /// A program that it is started under, with its arguments.
    under: Vec<String>,
}

/// TOML for sessions that are kept in this folder.
pub(crate) fn on_disk(folder: &Path) -> String {
    format!("[store]\nkind = \"disk\"\npath = \"{}\"", folder.display())
}

/// A new key in a file of this folder, as `[keys]` names it.
pub(crate) fn key(folder: &Path, name: &str) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_cloakroom")).args(["key", "generate"]).output();
    let path = folder.join(name);
    fs::write(&path, made.unwrap().stdout).unwrap();
    format!("{{ file = \"{}\" }}", path.display())
}

/// Has bodies of requests passed on as they come, for tests that look on.
pub(crate) const STREAMED: &str = "request_buffer = \"off\"";

/// Says, in the environment of a run of these tests, where sessions are kept unless a test says it itself. See
/// `carried`.
pub(crate) const KIND: &str = "SESSIONS_KEPT";

/// A running cloakroom; killed when dropped, and its config and log are printed if the test failed.
pub(crate) struct Cloakroom {
    /// Where visitors connect.
    pub(crate) address: SocketAddr,
    child: Child,
    /// Its other end is closed when the process is gone.
    life: UnixStream,
    folder: TempDir,
}

impl Cloakroom {
    /// A cloakroom before the app at this address.
    pub(crate) fn before(upstream: SocketAddr) -> Plan {
        Self::before_servers(&format!("\"http://{upstream}\""))
    }

    /// A cloakroom with flags alone: `--listen` on a port that it chooses, `--upstream` at this address.
    pub(crate) fn by_flags(upstream: SocketAddr) -> Plan {
        Plan { flags: Some(upstream), ..Self::before(upstream) }
    }

    /// A cloakroom before an upstream of these servers, written as in TOML.
    pub(crate) fn before_servers(servers: &str) -> Plan {
        Plan { servers: servers.to_owned(), ..Plan::default() }
    }

    /// Exit code and log of a start that fails.
    pub(crate) fn refusal(store: &str) -> (Option<i32>, String) {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("config.toml");
        let text = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstreams.app]\nservers = [\"http://127.0.0.1:1\"]\n\
             [[routes]]\nupstream = \"app\"\n{store}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        let output = command.args(["run", "--config"]).arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A connection of a visitor.
    pub(crate) fn dial(&self) -> Wire {
        Wire::patient(TcpStream::connect_timeout(&self.address, PATIENCE).unwrap())
    }

    /// The same from an address of this machine.
    pub(crate) fn dial_from(&self, from: Ipv4Addr) -> Wire {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        Wire::patient(socket)
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// The lines of its access log so far.
    pub(crate) fn access(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("stdout")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// What it holds in memory just now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    /// How many files and connections it holds open just now.
    pub(crate) fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// The time that it has used of the processors: what it would have taken on a machine of its own.
    pub(crate) fn worked(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which is in parentheses; in hundredths of a second.
        let fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
        Duration::from_millis(fields.skip(11).take(2).map(|ticks| 10 * ticks.parse::<u64>().unwrap()).sum())
    }

    /// Asks it to stop, as systemd does.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Changes its configuration and has it read again; what came of that is the line of the log that is returned.
    pub(crate) fn reload(&self, edit: impl FnOnce(String) -> String) -> String {
        let file = self.folder.path().join("config.toml");
        fs::write(&file, edit(fs::read_to_string(&file).unwrap())).unwrap();
        let outcomes = || {
            let log = self.log();
            log.lines().filter(|line| line.contains("reloaded")).map(str::to_owned).collect::<Vec<_>>()
        };
        let before = outcomes().len();
        assert!(Command::new("kill").args(["-HUP", &self.pid().to_string()]).status().unwrap().success());
        super::eventually("the outcome of a reload is logged", || outcomes().len() > before);
        outcomes().swap_remove(before)
    }

    /// What a verb of the program comes to with this configuration: whether it succeeds, and all that it says.
    pub(crate) fn verb(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        let done = command.args(arguments).arg("-c").arg(self.file()).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    }

    /// Its configuration.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(&self) {
        assert!(Command::new("kill").args(["-KILL", &self.pid().to_string()]).status().unwrap().success());
    }

    /// Waits for the end of the process.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let read = self.life.read(&mut [0]);
        assert!(matches!(read, Ok(0)), "cloakroom did not end within {PATIENCE:?}");
        self.child.wait().unwrap()
    }

    /// A fresh visitor.
    pub(crate) fn browser(&self) -> Browser {
        Browser::at(self.address)
    }

    /// The configuration and the end of what was printed so far.
    pub(crate) fn story(&self) -> String {
        let read = |name| {
            let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
        };
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

    /// Adds keys to the listener.
    pub(crate) fn listen(mut self, toml: &str) -> Self {
        self.listen += toml;
        self.listen += "\n";
        self
    }

    /// Adds keys to the section of the upstream.
    pub(crate) fn upstream(mut self, toml: &str) -> Self {
        self.rules += toml;
        self.rules += "\n";
        self
    }

    /// Starts it under a program that keeps its process id and its descriptors.
    pub(crate) fn under(mut self, program: &[&str]) -> Self {
        self.under = program.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Starts the binary and waits until it says that it is ready.
    pub(crate) fn start(self) -> Cloakroom {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("config.toml"), self.toml(folder.path())).unwrap();
        let notify = UnixDatagram::bind(path("notify")).unwrap();
        notify.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (life, theirs) = UnixStream::pair().unwrap();
        life.set_read_timeout(Some(PATIENCE)).unwrap();
        // The shell knows the pid that exec keeps; nothing here could know it before the spawn.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"LISTEN_PID=$$ exec "$@""#, "sh"])
            .args(&self.under)
            .args([env!("CARGO_BIN_EXE_cloakroom"), "run"])
            .args(self.arguments(&path("config.toml")))
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "test")
            .env("NOTIFY_SOCKET", path("notify"))
            .env_remove("CLOAKROOM_CONFIG")
            .stdin(Stdio::null())
            .stdout(File::create(path("stdout")).unwrap())
            .stderr(File::create(path("stderr")).unwrap())
            .fd_mappings(vec![
                FdMapping { parent_fd: listener.into(), child_fd: 3 },
                FdMapping { parent_fd: theirs.into(), child_fd: 4 },
            ])
            .unwrap();
        let child = command.spawn().unwrap();
        // The command holds the listener; dropped here, a dead cloakroom refuses instead of hanging.
        drop(command);
        let mut proxy = Cloakroom { address, child, life, folder };
        let said = proxy.await_ready(&notify);
        if self.flags.is_some() {
            let told = said.lines().find_map(|line| line.strip_prefix("STATUS=listening on http://"));
            proxy.address = told.unwrap_or_else(|| panic!("no address in {said:?}")).parse().unwrap();
        }
        proxy
    }

    fn arguments(&self, file: &Path) -> Vec<String> {
        match self.flags {
            Some(upstream) => vec![
                "--listen".to_owned(),
                "127.0.0.1:0".to_owned(),
                "--upstream".to_owned(),
                format!("http://{upstream}"),
            ],
            None => vec!["--config".to_owned(), file.display().to_string()],
        }
    }

    fn toml(&self, folder: &Path) -> String {
        let mut toml = format!(
            "[[listen]]\naddress = \"systemd:test\"\n{}\n[upstreams.app]\nservers = [{}]\n{}",
            self.listen, self.servers, self.rules
        );
        if !self.extra.contains("[[routes]]") {
            toml += "\n[[routes]]\nupstream = \"app\"\n";
        }
        if !self.extra.contains("[store]") {
            let kind = env::var(KIND).ok().filter(|_| !self.extra.contains("[keys]"));
            let keys = kind.as_ref().map(|_| format!("[keys]\ncurrent = {}\n", key(folder, "key")));
            let kind = kind.as_deref().unwrap_or("memory");
            toml.extend(["\n[store]\nkind = \"", kind, "\"\n", keys.as_deref().unwrap_or_default()]);
        }
        toml + "\n" + &self.extra
    }
}

impl Cloakroom {
    fn await_ready(&mut self, notify: &UnixDatagram) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut message = [0; 4096];
        loop {
            match notify.recv(&mut message) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
                    if text.lines().any(|line| line == "READY=1") {
                        return text.into_owned();
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
