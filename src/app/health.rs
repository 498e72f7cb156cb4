//! The loop of the health checks, on a thread of its own: it follows the plan, whichever that is.

use std::{io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio_util::sync::CancellationToken;

use crate::{clock, message::lines::HeaderLines, plan::Plan, tasks, upstream};

/// How often it looks whether the plan is another.
const LOOK: Duration = Duration::from_secs(1);

/// Checks until told to stop.
pub(super) fn run(plan: &ArcSwap<Plan>, stop: &CancellationToken) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let mut ticks = false;
        loop {
            let current = plan.load_full();
            let until = stop.child_token();
            let checks = current.upstreams.iter().any(|(upstream, _)| upstream.rules.health.is_some());
            // Once, and only where anything is timed by it: it wakes the thread ten times a second.
            if checks && !std::mem::replace(&mut ticks, true) {
                tasks::spawn(clock::drive());
            }
            begin(&current, &until);
            while Arc::ptr_eq(&current, &plan.load()) {
                if stop.run_until_cancelled(clock::sleep(LOOK)).await.is_none() {
                    return;
                }
            }
            // The checks of the plan before end before those of the next begin: no server is
            // checked twice.
            until.cancel();
        }
    });
    Ok(())
}

fn begin(plan: &Plan, until: &CancellationToken) {
    for (upstream, view) in &plan.upstreams {
        // An app that refuses what did not come through here is to let checks in.
        let mut added = HeaderLines::default();
        plan.sessions.headers.prove(view, &mut added);
        upstream::watch(upstream, &added, until);
    }
}
