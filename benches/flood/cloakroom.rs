//! The real binary as an operator runs it, on a socket that was handed over as systemd does it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ::cloakroom::testing::clock;
use command_fds::{CommandFdExt as _, FdMapping};
use tempfile::TempDir;

/// A running cloakroom; killed when dropped.
pub(crate) struct Cloakroom {
    /// Where visitors connect.
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Cloakroom {
    /// Starts it before the app; everything but `extra` is by default.
    pub(crate) fn before(app: SocketAddr, extra: &str) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let config = format!(
            "[[listen]]\naddress = \"systemd:flood\"\n[upstreams.app]\nservers = [\"http://{app}\"]\n\
             [[routes]]\nupstream = \"app\"\n{extra}"
        );
        fs::write(path("config.toml"), config)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        // The shell knows the pid that exec keeps; nothing here could know it before the spawn.
        let mut command = Command::new("sh");
        let run = [r#"LISTEN_PID=$$ exec "$0" "$@""#, env!("CARGO_BIN_EXE_cloakroom"), "run", "--config"];
        command
            .arg("-c")
            .args(run)
            .arg(path("config.toml"))
            .envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "flood")])
            .env_remove("CLOAKROOM_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log"))?)
            .fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: 3 }])
            .map_err(io::Error::other)?;
        // Visitors wait in the socket's queue until it is up. The command holds the socket too, and goes here: a
        // cloakroom that died refuses instead of hanging.
        let child = command.spawn()?;
        Ok(Self { address, child, folder })
    }

    /// The most memory that it took so far, in MiB.
    pub(crate) fn peak_mib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok().map(|kib: u64| kib / 1024)
    }

    /// Asks it to stop, and returns how many sessions it says were stored at the end.
    pub(crate) fn stop(mut self) -> io::Result<u64> {
        let pid = self.child.id().to_string();
        Command::new("sh").args(["-c", r#"kill -TERM "$0""#, &pid]).status()?;
        let asked = clock::instant();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > Duration::from_secs(40) {
                return Err(io::Error::other("cloakroom did not stop"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(self.folder.path().join("log"))?;
        let count = log.lines().rev().find_map(|line| {
            let (_, count) = line.split_once("stored_sessions=")?;
            count.split_whitespace().next()?.parse().ok()
        });
        count.ok_or_else(|| io::Error::other(format!("no count of stored sessions in the log:\n{log}")))
    }
}

impl Drop for Cloakroom {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
