//! Programs that tests start: the verbs that look after a store, and a Python with Flask.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::on_disk;

/// `cloakroom store VERB` on the store in this folder.
pub(crate) fn tool(folder: &Path, verb: &str, input: &[u8]) -> Output {
    let file = folder.with_extension("toml");
    let base = "[[listen]]\naddress = \"127.0.0.1:1\"\n[upstreams.app]\nservers = [\"http://127.0.0.1:2\"]\n\
                [[routes]]\nupstream = \"app\"\n";
    fs::write(&file, format!("{base}{}\n", on_disk(folder))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.arg("store").args(verb.split(' ')).arg("--config").arg(&file);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // One that is refused reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// A Python with Flask and Flask-Login from its own index.
pub(crate) fn flask_python() -> &'static str {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/flask-venv/bin/python");
    assert!(
        Path::new(python).exists(),
        "no Flask from Python's index here: `python3 -m venv target/flask-venv && target/flask-venv/bin/pip install \
         flask flask-login`, or run tests/run"
    );
    python
}
