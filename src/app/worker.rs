//! One worker: a thread, an event loop, its listeners, its connections to the apps.

use std::{cell::RefCell, io, rc::Rc, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{listeners::WorkerListener, watchdog::WorkerPulse};
use crate::{
    clock,
    listen::{self, ConnectionLimits, ConnectionRules},
    metrics::RequestMetrics,
    plan::Plan,
    proxy::{self, AccessLog, ProxyWorker, WorkerCounts},
    tasks,
    upstream::UpstreamConnections,
};

/// How often unused connections to the apps are looked after.
const SWEEP: Duration = Duration::from_millis(500);

/// What a worker is given.
pub(super) struct WorkerSetup {
    pub(super) listeners: Vec<WorkerListener>,
    pub(super) plan: Arc<ArcSwap<Plan>>,
    pub(super) access: Option<AccessLog>,
    pub(super) counts: Arc<ConnectionLimits>,
    pub(super) stop: CancellationToken,
    pub(super) kill: CancellationToken,
    pub(super) pulse: WorkerPulse,
    pub(super) requests: Arc<RequestMetrics>,
}

/// Runs until told to stop, and then until its requests are done or the time is up.
pub(super) fn run(setup: WorkerSetup) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        tasks::spawn(clock::drive());
        setup.pulse.start();
        let tracker = TaskTracker::new();
        let worker = Rc::new(ProxyWorker {
            plan: Arc::clone(&setup.plan),
            pools: UpstreamConnections::default(),
            tasks: tracker.clone(),
            stop: setup.stop.clone(),
            access: setup.access,
            counted: Rc::new(WorkerCounts::to(setup.requests)),
        });
        // Weak: the sweeper must not keep alive the worker whose end it waits for.
        let sweeper = Rc::downgrade(&worker);
        tasks::spawn(async move {
            while let Some(worker) = sweeper.upgrade() {
                worker.pools.sweep();
                drop(worker);
                clock::pause(SWEEP).await;
            }
        });
        for (listener, acceptor) in setup.listeners {
            let rules = rules(&setup.plan);
            let worker = Rc::clone(&worker);
            let handler = move |request, arrival| proxy::answer(&worker, request, arrival);
            let serving = listen::serve(
                listener,
                acceptor,
                rules,
                Arc::clone(&setup.counts),
                handler,
                tracker.clone(),
                setup.stop.clone(),
            );
            tasks::spawn(async move {
                if let Err(error) = serving.await {
                    tracing::error!(%error, "a listener ended");
                }
            });
        }
        setup.stop.cancelled().await;
        // From here on no connection is accepted; those that are there finish, with the tasks that
        // visitors left behind.
        tracker.close();
        tokio::select! {
            () = tracker.wait() => {}
            () = setup.kill.cancelled() => tracing::warn!("shutdown_timeout is over, or a second signal came: requests under way are cut"),
        }
        Ok(())
    })
}

/// The rules of the current plan, made anew when there is another: each connection keeps those that it began under.
fn rules(plan: &Arc<ArcSwap<Plan>>) -> impl Fn() -> Rc<ConnectionRules> + use<> {
    let plan = Arc::clone(plan);
    let made: RefCell<Option<(Arc<Plan>, Rc<ConnectionRules>)>> = RefCell::default();
    move || {
        let current = plan.load();
        let mut made = made.borrow_mut();
        // Compared by address: a reload makes another plan, and the next connection gets other
        // rules.
        if let Some((of, rules)) = &*made
            && Arc::ptr_eq(of, &current)
        {
            return Rc::clone(rules);
        }
        let exempt = current.forwarding.networks().to_vec();
        let rules = Rc::new(ConnectionRules { limits: current.limits.clone(), exempt });
        *made = Some((Arc::clone(&current), Rc::clone(&rules)));
        rules
    }
}
