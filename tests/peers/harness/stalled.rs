//! Threads that a debugger holds up.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A thread that is held up in a system call for as long as this lives.
pub(crate) struct Stalled(Child);

impl Stalled {
    /// The next calls of these names by the thread of this name take a minute each.
    pub(crate) fn thread(process: u32, name: &str, calls: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let is = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let task = tasks.map(|task| task.unwrap().path()).find(is);
        let task = task.unwrap_or_else(|| panic!("no thread {name}"));
        let id = task.file_name().unwrap();
        let inject = format!("inject={calls}:delay_enter=60000000");
        let mut command = Command::new("strace");
        command.args(["-o", "/dev/null", "-e", &inject, "-e", &format!("trace={calls}"), "-p"]).arg(id);
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|_| panic!("no strace here: `apt-get install strace`, or run tests/run"));
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "{said}");
        Self(child)
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
