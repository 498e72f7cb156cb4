//! Servers and browsers from Debian's packages, each in a folder of its own, on ports that the kernel chose.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Port, eventually_within};

/// Starts a program, or says which of Debian's packages brings it.
pub(crate) fn spawn(command: &mut Command, package: &str) -> Child {
    match command.stdin(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!(
            "{} is not installed: `apt-get install {package}`, or run tests/run",
            command.get_program().display()
        ),
        Err(error) => panic!("{}: {error}", command.get_program().display()),
    }
}

/// Asks a program to end, as its own children do not when it is killed, and waits for it.
pub(crate) fn stop(child: &mut Child) {
    drop(Command::new("kill").args(["-TERM", &child.id().to_string()]).status());
    drop(child.wait());
}

/// Where the program says that it listens, by the first of its lines that names a port; the others are read and dropped,
/// so that it never blocks.
pub(crate) fn announced(
    lines: impl Read + Send + 'static,
    port: impl Fn(&str) -> Option<u16>,
) -> Option<SocketAddr> {
    let mut lines = BufReader::new(lines).lines();
    let found = lines.by_ref().map_while(Result::ok).find_map(|line| port(&line))?;
    thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Some((Ipv4Addr::LOCALHOST, found).into())
}

/// A running web server; stopped when dropped, and its log is printed if the test failed.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    /// A folder that the server's workers, who are not root, may read.
    pub(crate) fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        folder
    }

    /// Starts it, and waits until it listens everywhere.
    pub(crate) fn start(folder: TempDir, mut command: Command, package: &str, ports: &[SocketAddr]) -> Self {
        let log = File::create(folder.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Self { child: spawn(&mut command, package), folder };
        for port in ports {
            eventually_within(Duration::from_mins(1), "the server listens", || {
                assert_eq!(server.child.try_wait().unwrap(), None, "the server ended");
                TcpStream::connect(port).is_ok()
            });
        }
        server
    }

    /// Prometheus, which scrapes this address each second.
    pub(crate) fn prometheus(port: &Port, target: SocketAddr) -> Self {
        let folder = Self::folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: cloakroom\n  static_configs:\n  - targets: ['{target}']\n"
        );
        fs::write(path("prometheus.yml"), config).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address={}", port.address));
        Self::start(folder, command, "prometheus", &[port.address])
    }

    /// nginx with these lines in its `http` section.
    pub(crate) fn nginx(folder: TempDir, port: &Port, http: &str) -> Self {
        let path = folder.path().display();
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};"))
            .join(" ");
        let user = if is_root(folder.path()) { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; worker_processes 1; pid {path}/pid; error_log stderr;\n\
             events {{ worker_connections 1024; }}\nhttp {{ access_log off; {places}\n{http}\n}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-c"]).arg(folder.path().join("nginx.conf"));
        Self::start(folder, command, "nginx", &[port.address])
    }

    /// Apache with these lines after its modules; what it runs, and where it keeps its things, is the folder.
    pub(crate) fn apache(folder: TempDir, ports: &[&Port], modules: &[&str], lines: &str) -> Self {
        let path = folder.path().display();
        let mut config =
            format!("ServerRoot {path}\nPidFile {path}/pid\nErrorLog /dev/stderr\nServerName shop\n");
        for module in modules {
            writeln!(config, "LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so").unwrap();
        }
        for port in ports {
            writeln!(config, "Listen {}", port.address).unwrap();
        }
        if is_root(folder.path()) {
            config += "User www-data\nGroup www-data\n";
        }
        fs::write(folder.path().join("apache.conf"), config + lines).unwrap();
        let mut command = Command::new("/usr/sbin/apache2");
        // Its forking kind ends by a signal to the whole group, which would be these tests too.
        command.process_group(0).arg("-DFOREGROUND").arg("-f").arg(folder.path().join("apache.conf"));
        let addresses: Vec<_> = ports.iter().map(|port| port.address).collect();
        Self::start(folder, command, "apache2-bin", &addresses)
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "what one would ask for after a failure")]
    fn drop(&mut self) {
        stop(&mut self.child);
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

/// Whether it is root who runs these tests.
pub(crate) fn is_root(own: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(own).unwrap().uid() == 0
}
