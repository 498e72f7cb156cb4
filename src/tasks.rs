//! Spawning: the only place that starts tasks and threads.

use std::{future::Future, io, thread};

/// Runs a future on this worker's own loop.
#[expect(clippy::disallowed_methods, reason = "this is where tasks are spawned")]
pub fn spawn<F>(future: F)
where
    F: Future<Output = ()> + 'static,
{
    drop(tokio::task::spawn_local(future));
}

/// Starts a named thread.
///
/// # Errors
/// The system has no thread to give.
pub fn thread<T, F>(name: &str, run: F) -> io::Result<thread::JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    thread::Builder::new().name(name.to_owned()).spawn(run)
}
