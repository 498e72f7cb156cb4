//! Active health checks: each server is asked, now and then, how it is.
//!
//! By a connection of its own each time, so that what is checked is what the next new connection will meet. What checks
//! find comes on top of what requests find (`endpoint`): a server is used while neither speaks against it.

mod check;
mod grpc;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Endpoint, Endpoints};
use crate::{clock, config::HealthConfig, message::lines::HeaderLines, tasks};
use check::{CheckFailure, check, request};

/// Checks the servers of an upstream, if it says so, until that is cancelled; `added` goes with every check. Called on a
/// loop with a ticker ([`clock::drive`]).
pub fn watch(upstream: &Arc<Endpoints>, added: &HeaderLines, until: &CancellationToken) {
    let Some(rules) = &upstream.rules.health else { return };
    for index in 0..upstream.all.len() {
        let (upstream, rules, added) = (Arc::clone(upstream), rules.clone(), added.clone());
        let until = until.clone();
        tasks::spawn(async move {
            let Some(endpoint) = upstream.all.get(index) else { return };
            until.run_until_cancelled(checks(&upstream, endpoint, &rules, &added)).await;
        });
    }
}

async fn checks(upstream: &Endpoints, endpoint: &Endpoint, rules: &HealthConfig, added: &HeaderLines) {
    let Some(head) = request(upstream, endpoint, rules) else { return };
    // After a reload a server that was unhealthy stays so until its checks say otherwise.
    let mut run = CheckRun { unhealthy: endpoint.failed_its_checks(), against: 0 };
    loop {
        let found = match clock::timeout(Some(rules.timeout), check(upstream, endpoint, &head, added)).await {
            Ok(found) => found,
            Err(_) => Err(CheckFailure::Late),
        };
        match run.hear(found.is_ok(), rules) {
            Some(true) => endpoint.is_well(),
            Some(false) => {
                let why = found.err().map(|why| why.to_string()).unwrap_or_default();
                endpoint.is_unwell(rules.fall, &why);
            }
            None => {}
        }
        clock::pause(rules.interval).await;
    }
}

/// What the last checks in a row said.
#[derive(Debug, Default)]
struct CheckRun {
    unhealthy: bool,
    /// So many that speak against it.
    against: u32,
}

impl CheckRun {
    /// Hears of a check; tells when that changes what the server is.
    fn hear(&mut self, good: bool, rules: &HealthConfig) -> Option<bool> {
        if good != self.unhealthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < if good { rules.rise } else { rules.fall } {
            return None;
        }
        *self = Self { unhealthy: !good, against: 0 };
        Some(good)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_takes_several_in_a_row_either_way() {
        let second = Duration::from_secs(1);
        let rules =
            |rise, fall| HealthConfig { path: "/".into(), interval: second, timeout: second, rise, fall };
        for (rise, fall, heard, wanted) in [
            (2, 3, "+++", "..."),
            (2, 3, "---", "..-"),
            (2, 3, "--+--+---", "........-"),
            (2, 3, "---+-++++", "..-...+.."),
            (2, 3, "-----++---", "..-...+..-"),
            (1, 1, "-+--+", "-+-.+"),
        ] {
            let mut run = CheckRun::default();
            let said: String = heard
                .chars()
                .map(|check| match run.hear(check == '+', &rules(rise, fall)) {
                    Some(true) => '+',
                    Some(false) => '-',
                    None => '.',
                })
                .collect();
            assert_eq!(said, wanted, "{heard}");
        }
    }
}
