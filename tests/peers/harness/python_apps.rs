//! Apps from Python's index, in the environment that `tests/run` makes.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use crate::harness::packaged::PASSWORD;
use crate::harness::server::Server;
use crate::support::Port;

const BIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/apps-venv/bin");

/// A running app; stopped when dropped.
pub(crate) struct PythonApp {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _server: Server,
}

/// A program of the environment, or a word on how to get it.
fn program(name: &str) -> Command {
    let path = format!("{BIN}/{name}");
    assert!(fs::exists(&path).unwrap(), "no {name} here: run tests/run, which brings it from Python's index");
    Command::new(path)
}

/// `JupyterLab` with a password.
pub(crate) fn jupyterlab() -> PythonApp {
    let folder = Server::folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["home", "notes"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let hashed = format!("from jupyter_server.auth import passwd; print(passwd('{PASSWORD}'))");
    let hash = program("python").args(["-c", &hashed]).output().unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    // What the recipe for it says: it is asked by another name than its own.
    let config = format!(
        "c.PasswordIdentityProvider.hashed_password = '{}'\nc.ServerApp.allow_remote_access = True\n\
         c.ServerApp.open_browser = False\nc.ServerApp.allow_root = True\nc.ServerApp.root_dir = '{}'\n\
         c.ServerApp.terminals_enabled = False\nc.LabApp.news_url = None\n",
        hash.trim(),
        path("notes")
    );
    fs::write(path("config.py"), config).unwrap();
    let port = Port::reserve();
    let mut command = program("jupyter-lab");
    command
        .args([format!("--config={}", path("config.py")), "--ip=127.0.0.1".to_owned()])
        .args([format!("--port={}", port.address.port()), "--port-retries=0".to_owned()])
        .env("HOME", path("home"));
    let server = Server::start(folder, command, "python3-venv", &[port.address]);
    PythonApp { address: port.address, _server: server }
}

/// `page` in Streamlit.
pub(crate) fn streamlit(page: &str) -> PythonApp {
    let folder = Server::folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("page.py"), page).unwrap();
    let port = Port::reserve();
    let mut command = program("streamlit");
    command
        .args(["run", &path("page.py"), "--server.headless=true", "--browser.gatherUsageStats=false"])
        .args(["--server.address=127.0.0.1", &format!("--server.port={}", port.address.port())])
        .args(["--server.fileWatcherType=none"])
        .env("HOME", folder.path());
    let server = Server::start(folder, command, "python3-venv", &[port.address]);
    PythonApp { address: port.address, _server: server }
}
