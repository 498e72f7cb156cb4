//! Listeners: the sockets of the configuration, and how the connections of each begin.

use super::{AppError, systemd};
use crate::{
    clock::Timestamp,
    config::{Config, Diagnostic, IN_THE_CLEAR, ListenAddress, ListenConfig, Severity},
    listen::{self, Acceptor, BindError, BoundListener, ResumptionKeys},
};

/// A socket of one worker, and its entrance.
pub(super) type WorkerListener = (BoundListener, Acceptor);

/// Reads the certificates of all listeners; what is to be said of them goes to the log.
pub(super) fn acceptors(config: &Config) -> Result<Vec<Acceptor>, AppError> {
    let tickets = ResumptionKeys::new().map_err(|_| AppError::Tls)?;
    let (acceptors, found) = Acceptor::all(&config.listen, &tickets, Timestamp::now());
    found.iter().for_each(tell);
    acceptors.ok_or(AppError::Tls)
}

/// To the log.
pub(super) fn tell(said: &Diagnostic) {
    let Diagnostic { severity, message, help, .. } = said;
    let help = help.as_deref();
    match severity {
        Severity::Error => tracing::error!(what = message, help, "a certificate is amiss"),
        Severity::Warning => tracing::warn!(what = message, help, "a certificate is amiss"),
    }
}

/// The sockets that a caller has handed in, or those that the configuration names.
pub(super) fn given_or_bound(
    given: Option<Vec<BoundListener>>,
    config: &Config,
    acceptors: &[Acceptor],
    workers: usize,
) -> Result<Vec<WorkerListener>, AppError> {
    match given {
        Some(given) => Ok(given.into_iter().map(|listener| (listener, Acceptor::default())).collect()),
        None => bind_all(config, acceptors, workers),
    }
}

/// For each address a socket for each worker.
fn bind_all(
    config: &Config,
    acceptors: &[Acceptor],
    workers: usize,
) -> Result<Vec<WorkerListener>, AppError> {
    let mut passed = systemd::PassedSockets::take();
    let mut all = Vec::new();
    for (entry, acceptor) in config.listen.iter().zip(acceptors) {
        let mut add = |listener| all.push((listener, acceptor.clone()));
        match &entry.address {
            ListenAddress::Systemd(name) => {
                let found = passed.named(name)?;
                if found.is_empty() {
                    return Err(BindError::NotPassed(name.clone()).into());
                }
                for listener in found {
                    told_in_the_clear(entry, &listener, config);
                    // A socket that was passed on is one: the workers share it, without
                    // SO_REUSEPORT.
                    for _ in 1..workers {
                        add(listener.share()?);
                    }
                    add(listener);
                }
            }
            address => listen::bind(address, workers)?.into_iter().for_each(add),
        }
    }
    Ok(all)
}

/// What the configuration could not know of a socket that was passed on.
fn told_in_the_clear(entry: &ListenConfig, listener: &BoundListener, config: &Config) {
    let at = match listener {
        BoundListener::Tcp(listener) => listener.local_addr().ok(),
        BoundListener::Unix(_) => None,
    };
    if at.is_some_and(|at| entry.is_in_the_clear(at, &config.process.trusted_proxies)) {
        let help = IN_THE_CLEAR.replace('\n', " ");
        tracing::warn!(help, "visitors speak http over a network: whoever is on the way reads their tickets");
    }
}

/// Where they listen, each once.
pub(super) fn names(listeners: &[WorkerListener]) -> Vec<String> {
    let mut names: Vec<_> =
        listeners.iter().map(|(listener, acceptor)| listener.name(acceptor.tls.is_some())).collect();
    names.sort();
    names.dedup();
    names
}
