//! Spawning: the only place that starts tasks and threads.

use std::{
    future::Future,
    io,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
};

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

/// Whether a future is done; asked anew, and not woken. Once it was it is not to be asked again.
pub fn is_done(future: std::pin::Pin<&mut (dyn Future<Output = ()> + '_)>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The output of a future that never waits, such as a session in the memory store; `None` if it would.
pub fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
