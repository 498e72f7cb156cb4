//! Listeners: the sockets of the configuration, and how the connections of each begin.

use super::{AppError, systemd};
use crate::{
    clock::Timestamp,
    config::{Config, Diagnostic, IN_THE_CLEAR, Listen, ListenAddress, Severity},
    listen::{self, BindError, Entrance, Listener, Tickets},
};

/// A socket of one worker, and its entrance.
pub(super) type Door = (Listener, Entrance);

/// Reads the certificates of all listeners; what is to be said of them goes to the log.
pub(super) fn entrances(config: &Config) -> Result<Vec<Entrance>, AppError> {
    let tickets = Tickets::new().map_err(|_| AppError::Tls)?;
    let (entrances, found) = Entrance::all(&config.listen, &tickets, Timestamp::now());
    found.iter().for_each(tell);
    entrances.ok_or(AppError::Tls)
}

/// To the log.
pub(super) fn tell(said: &Diagnostic) {
    let Diagnostic { severity, message, help, .. } = said;
    let help = help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
    match severity {
        Severity::Error => tracing::error!("{message}{help}"),
        Severity::Warning => tracing::warn!("{message}{help}"),
    }
}

/// For each address a socket for each worker.
pub(super) fn bind_all(
    config: &Config,
    entrances: &[Entrance],
    workers: usize,
) -> Result<Vec<Door>, AppError> {
    let mut passed = systemd::Passed::take();
    let mut all = Vec::new();
    for (entry, entrance) in config.listen.iter().zip(entrances) {
        let mut add = |listener| all.push((listener, entrance.clone()));
        match &entry.address {
            ListenAddress::Systemd(name) => {
                let found = passed.named(name)?;
                if found.is_empty() {
                    return Err(BindError::NotPassed(name.clone()).into());
                }
                for listener in found {
                    told_in_the_clear(entry, &listener, config);
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
fn told_in_the_clear(entry: &Listen, listener: &Listener, config: &Config) {
    let at = match listener {
        Listener::Tcp(listener) => listener.local_addr().ok(),
        Listener::Unix(_) => None,
    };
    if at.is_some_and(|at| entry.is_in_the_clear(at, &config.process.trusted_proxies)) {
        let help = IN_THE_CLEAR.replace('\n', " ");
        tracing::warn!(
            "visitors speak http over a network: whoever is on the way reads their tickets; {help}"
        );
    }
}

/// Where they listen, each once.
pub(super) fn names(doors: &[Door]) -> Vec<String> {
    let mut names: Vec<_> =
        doors.iter().map(|(listener, entrance)| listener.name(entrance.tls.is_some())).collect();
    names.sort();
    names.dedup();
    names
}
