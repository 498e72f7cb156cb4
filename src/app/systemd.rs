//! systemd: sockets that it passed on, and what it is told.

use std::io;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::listen::BoundListener;

/// The sockets that systemd passed on, by name.
pub(super) struct PassedSockets {
    names: Vec<String>,
    sockets: ListenFd,
}

impl PassedSockets {
    /// Takes them from the environment; to be called before any thread starts.
    pub(super) fn take() -> Self {
        // Names first: `ListenFd` takes the variables out of the environment.
        let names = sd_notify::listen_fds_with_names()
            .map(|fds| fds.map(|(_, name)| name).collect())
            .unwrap_or_default();
        Self { names, sockets: ListenFd::from_env() }
    }

    /// All sockets of that name.
    pub(super) fn named(&mut self, name: &str) -> io::Result<Vec<BoundListener>> {
        let places: Vec<_> =
            self.names.iter().enumerate().filter(|(_, n)| *n == name).map(|(i, _)| i).collect();
        let mut found = Vec::new();
        for place in places {
            if let Ok(Some(listener)) = self.sockets.take_tcp_listener(place) {
                found.push(BoundListener::Tcp(listener));
            } else if let Some(listener) = self.sockets.take_unix_listener(place)? {
                found.push(BoundListener::Unix(listener));
            }
        }
        Ok(found)
    }
}

/// Everything is up.
pub(super) fn ready(names: &[String]) {
    let status = format!("listening on {}", names.join(", "));
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

/// A reload has begun (`Type=notify-reload` waits for what follows).
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
    }
}

/// It is over, and this came of it.
pub(super) fn reloaded(outcome: &str) {
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(outcome)]);
}

/// How long it waits for a sign of life, where it does.
pub(super) fn watchdog() -> Option<std::time::Duration> {
    sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
}

/// All is well.
pub(super) fn well() {
    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
}

/// What `systemctl status` says.
pub(super) fn status(text: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(text)]);
}

/// The end has begun.
pub(super) fn stopping() {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
}
