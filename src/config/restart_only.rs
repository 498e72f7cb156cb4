//! What stands for as long as the process does: a reload takes everything else from the new file.

use super::{Config, ListenConfig, StoreConfig, StoreKind};

impl Config {
    /// Takes over from what `runs` all that a running process cannot change, and returns the keys by which this file
    /// wants it otherwise: they need a restart.
    pub fn keep_restart_only(&mut self, runs: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        let mut stands = |differs: bool, key| {
            if differs {
                keys.push(key);
            }
        };
        // Certificates are read anew; what else a listener is was settled when it was bound.
        let bound = |listen: &ListenConfig| {
            let mut listen = listen.clone();
            if let Some(tls) = &mut listen.tls {
                tls.certificates.clear();
            }
            listen
        };
        let differ = !self.listen.iter().map(bound).eq(runs.listen.iter().map(bound));
        stands(differ, "[[listen]]");
        if differ {
            self.listen.clone_from(&runs.listen);
        }
        let (process, running) = (&mut self.process, &runs.process);
        stands(process.workers != running.workers, "[process] workers");
        stands(process.shutdown_timeout != running.shutdown_timeout, "[process] shutdown_timeout");
        (process.workers, process.shutdown_timeout) = (running.workers, running.shutdown_timeout);
        // What is shared with a Flask app is nowhere but in the plan: its secrets are replaced while it runs.
        let same = StoreConfig { flask: runs.store.flask.clone(), ..self.store.clone() } == runs.store;
        stands(!same, "[store]");
        let is_flask = self.store.kind == StoreKind::Flask;
        let flask = if is_flask { &self.store.flask } else { &runs.store.flask }.clone();
        self.store = StoreConfig { flask, ..runs.store.clone() };
        stands(self.admin != runs.admin, "[admin]");
        self.admin.clone_from(&runs.admin);
        stands(self.log != runs.log, "[log]");
        self.log = runs.log;
        // The store decides by these too.
        let (session, running) = (&mut self.session, &runs.session);
        stands(session.plain != running.plain, "[session] idle_timeout, absolute_timeout");
        stands(session.permanent != running.permanent, "[session] permanent");
        stands(session.unconfirmed_timeout != running.unconfirmed_timeout, "[session] unconfirmed_timeout");
        stands(
            (session.max_sessions_per_principal, session.on_too_many)
                != (running.max_sessions_per_principal, running.on_too_many),
            "[session] max_sessions_per_principal, on_too_many",
        );
        (session.plain, session.permanent) = (running.plain, running.permanent);
        session.unconfirmed_timeout = running.unconfirmed_timeout;
        session.max_sessions_per_principal = running.max_sessions_per_principal;
        session.on_too_many = running.on_too_many;
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[[listen]]\naddress = \"127.0.0.1:1\"\n[upstreams.a]\nservers = [\"http://127.0.0.1:2\"]\n\
                        [[routes]]\nupstream = \"a\"\n";

    fn config(text: &str) -> Config {
        Config::parse("c.toml", text).unwrap().0
    }

    #[test]
    fn what_needs_a_restart_is_named_and_stays() {
        let runs = config(FILE);
        for (more, wanted) in [
            ("", None),
            ("[process]\ntrusted_proxies = [\"10.0.0.1\"]", None),
            ("[session]\ncache = \"off\"", None),
            ("[[cookies]]\nname = \"*\"", None),
            ("[process]\nworkers = 1000", Some("[process] workers")),
            ("[process]\nshutdown_timeout = \"1s\"", Some("[process] shutdown_timeout")),
            ("[store]\nkind = \"memory\"", Some("[store]")),
            ("[admin]\naddress = \"127.0.0.1:9900\"", Some("[admin]")),
            ("[log]\naccess = \"off\"", Some("[log]")),
            ("[session]\nidle_timeout = \"5m\"", Some("[session] idle_timeout, absolute_timeout")),
            ("[session]\nunconfirmed_timeout = \"7m\"", Some("[session] unconfirmed_timeout")),
            (
                "[session]\nmax_sessions_per_principal = 2",
                Some("[session] max_sessions_per_principal, on_too_many"),
            ),
        ] {
            let new = config(&format!("{FILE}{more}"));
            let mut taken = new.clone();
            assert_eq!(taken.keep_restart_only(&runs), Vec::from_iter(wanted), "{more}");
            assert!(taken == if wanted.is_some() { runs.clone() } else { new }, "{more}");
        }
        let mut moved = config(&FILE.replace(":1\"", ":3\""));
        assert_eq!(moved.keep_restart_only(&runs), ["[[listen]]"]);
        assert_eq!(moved, runs);
    }
}
