//! A new configuration without a new process: read, checked whole, published at once. Requests under way keep the plan
//! that they began with, and sessions their store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;

use super::{
    listeners::tell,
    state::{self, OwnKey, StateError},
};
use crate::{
    admin::{ReloadHistory, ReloadOutcome},
    clock::Timestamp,
    config::{Config, Diagnostics, Severity, StoreKind},
    crypto::KeySecrets,
    listen::{Acceptor, ListenerCertificates},
    plan::{Plan, PlanError},
    session::BackendState,
};

/// Why what runs stays.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("it has mistakes:\n{0}")]
    Config(#[from] Diagnostics),
    #[error(transparent)]
    Keys(#[from] StateError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("a certificate cannot be used")]
    Tls,
    #[error(
        "[keys] no longer names the key that the store was opened under: keep it under `previous` until the store was \
         restarted under the new one"
    )]
    StoreKey,
}

/// What a reload needs to know.
pub(super) struct Reloader {
    /// None: started by flags alone.
    pub(super) file: Option<PathBuf>,
    pub(super) runs: Config,
    pub(super) plan: Arc<ArcSwap<Plan>>,
    pub(super) lasting: BackendState,
    /// What the store was opened under: it takes no other key before the next start.
    pub(super) opened_under: KeySecrets,
    pub(super) own_key: OwnKey,
    /// In the order of `[[listen]]`.
    pub(super) acceptors: Vec<Acceptor>,
    pub(super) reloads: Arc<ReloadHistory>,
}

impl Reloader {
    /// Reads the file anew. What comes of it is told in the log, and returned.
    pub(super) fn run(&mut self) -> ReloadOutcome {
        let Some(file) = self.file.clone() else {
            tracing::warn!("SIGHUP: there is no file to read again; it was started by flags alone");
            let message = "there is no file to read again: it was started by flags alone".to_owned();
            return ReloadOutcome { taken: false, message };
        };
        let published = self.publish(&file);
        self.reloads.note(published.is_ok(), Timestamp::now());
        let file = file.display();
        match published {
            Ok(later) if later.is_empty() => {
                tracing::info!(%file, "reloaded");
                ReloadOutcome { taken: true, message: "reloaded".to_owned() }
            }
            Ok(later) => {
                let later = later.join("; ");
                tracing::warn!(%file, needs_restart = later, "reloaded, except for what needs a restart");
                ReloadOutcome {
                    taken: true,
                    message: format!("reloaded, except for what needs a restart: {later}"),
                }
            }
            Err(error) => {
                tracing::error!(%file, %error, "not reloaded, the running configuration stays");
                ReloadOutcome {
                    taken: false,
                    message: format!("not reloaded, the running configuration stays: {error}"),
                }
            }
        }
    }

    /// Returns the keys that need a restart.
    fn publish(&mut self, file: &Path) -> Result<Vec<&'static str>, ReloadError> {
        let (mut config, warnings) = Config::load(file)?;
        if !warnings.is_empty() {
            tracing::warn!(%warnings, "the configuration has warnings");
        }
        let text = warnings.source.text.clone();
        let mut later = config.keep_restart_only(&self.runs);
        let secrets = state::secrets(&config, &self.own_key)?;
        if config.store.kind == StoreKind::Disk {
            match secrets.place_of_current(&self.opened_under) {
                Some(0) => {}
                Some(_) => later.push("[keys] current, for what the store seals"),
                None => return Err(ReloadError::StoreKey),
            }
        }
        let mut plan = Plan::with(&config, &self.lasting, &secrets)?;
        // Health, counts and limits go over before the plan is published: no request meets a blank
        // one.
        plan.succeed(&self.plan.load());
        // Certificates before the plan: if one cannot be read, nothing has changed.
        self.renew(&config)?;
        self.plan.store(Arc::new(plan));
        self.runs = config;
        self.reloads.hold(&text);
        Ok(later)
    }

    /// Certificates: all of them, or none.
    fn renew(&self, config: &Config) -> Result<(), ReloadError> {
        let pairs = || {
            let tls = config.listen.iter().map(|listen| listen.tls.as_ref());
            self.acceptors.iter().zip(tls).filter_map(|(acceptor, tls)| acceptor.tls.as_ref().zip(tls))
        };
        let now = Timestamp::now();
        let mut read = Vec::new();
        let mut fine = true;
        for (acceptor, tls) in pairs() {
            let (certificates, found) = ListenerCertificates::load(&tls.certificates, now);
            found.iter().for_each(tell);
            fine &= found.iter().all(|said| said.severity != Severity::Error);
            read.push((acceptor, certificates));
        }
        let all: Option<Vec<_>> =
            read.into_iter().map(|(acceptor, found)| Some((acceptor, found?))).collect();
        let all = all.filter(|_| fine).ok_or(ReloadError::Tls)?;
        for (acceptor, certificates) in all {
            acceptor.replace(certificates);
        }
        Ok(())
    }
}
