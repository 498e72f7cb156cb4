//! `MariaDB`, for apps that want a database.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::packaged::{PASSWORD, USER};
use crate::harness::server::{Server, spawn, stop};
use crate::support::eventually;

const PACKAGES: &str = "mariadb-server-core mariadb-client-core";

/// A running server with one user who may do everything; stopped when dropped.
pub(crate) struct Database {
    child: Child,
    folder: TempDir,
}

impl Database {
    /// With one empty database of this name.
    pub(crate) fn with(name: &str) -> Self {
        let folder = Server::folder();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("mariadb-install-db");
        command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data]);
        command
            .args(as_root(folder.path()))
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap());
        assert!(spawn(&mut command, PACKAGES).wait().unwrap().success(), "mariadb-install-db");
        let mut command = Command::new("mariadbd");
        let socket = format!("--socket={}", folder.path().join("socket").display());
        command.args(["--no-defaults", "--skip-networking", "--pid-file=own", &data, &socket]);
        command.args(as_root(folder.path())).stdout(log.try_clone().unwrap()).stderr(log);
        let database = Self { child: spawn(&mut command, PACKAGES), folder };
        eventually("the database answers", || database.takes("SELECT 1"));
        let grant = format!(
            "CREATE DATABASE {name}; CREATE USER {USER}@localhost IDENTIFIED BY '{PASSWORD}'; \
             GRANT ALL ON *.* TO {USER}@localhost"
        );
        assert!(database.takes(&grant));
        database
    }

    /// Runs SQL as root; whether that succeeded.
    pub(crate) fn takes(&self, sql: &str) -> bool {
        let socket = format!("--socket={}", self.socket().display());
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-uroot", &socket, "-e", sql]);
        spawn(command.stdout(Stdio::null()).stderr(Stdio::null()), PACKAGES).wait().unwrap().success()
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }
}

/// What it wants to be told where root starts it.
fn as_root(own: &Path) -> &'static [&'static str] {
    if crate::harness::server::is_root(own) { &["--user=root"] } else { &[] }
}

impl Drop for Database {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}
