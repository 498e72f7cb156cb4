//! Composition: from a configuration to a running process, flat and in order.
//!
//! Here live workers, signals, reload, systemd, logging. Never: what a request means. Called by `cli`.

mod explainer;
mod health;
mod listeners;
mod logging;
mod reload;
pub mod state;
mod system;
mod systemd;
mod watchdog;
mod worker;

pub use explainer::arrival;
pub use logging::start as start_logging;

use std::{
    io,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Weak},
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{AdminError, AdminListener, AdminSources, ReloadHistory, ReloadOutcome},
    clock::{self, Timestamp},
    config::Config,
    listen::{BindError, BoundListener, ConnectionLimits},
    metrics::RequestMetrics,
    plan::{Plan, PlanError},
    proxy::AccessLog,
    session::BackendState,
    tasks,
};
use explainer::explainer;
use listeners::WorkerListener;
use reload::Reloader;
use state::{OwnKey, StateError};
use watchdog::{Watchdog, WorkerPulse};
use worker::WorkerSetup;

/// Why the process cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration cannot be put to work.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No admin address.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// No keys, or no store.
    #[error(transparent)]
    State(#[from] StateError),
    /// Certificates that cannot be used; what is wrong with them stands in the log before.
    #[error("a certificate cannot be used")]
    Tls,
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No thread, no loop, no signal handler.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// A worker ended; what it said of that stands in the log before.
    #[error("a worker ended by itself")]
    Worker,
}

impl AppError {
    /// True if it will be the same at the next start.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::State(StateError::Store(error)) => error.is_lasting(),
            Self::Plan(_) | Self::State(_) | Self::Tls => true,
            Self::Admin(_) | Self::Bind(_) | Self::Start(_) | Self::Worker => false,
        }
    }
}

/// What a caller may hand in beside the configuration.
#[derive(Debug, Default)]
pub struct RunOptions {
    /// Sockets that are bound already, instead of `[[listen]]`.
    pub listeners: Option<Vec<BoundListener>>,
    /// The file that the configuration was read from, and is read from again on SIGHUP.
    pub file: Option<PathBuf>,
    /// The text of that file, as it was read.
    pub text: String,
}

/// What comes before anything is made or opened: what the configuration alone can be wrong in is told, and the system asked.
fn settle(config: &Config) -> Result<(), PlanError> {
    // Built once to be thrown away: what is wrong is told before a key is made or a store is
    // opened.
    Plan::build(config)?;
    system::settle();
    Ok(())
}

/// What every worker is given a share of.
struct WorkerCrew<'a> {
    plan: &'a Arc<ArcSwap<Plan>>,
    access: Option<AccessLog>,
    counts: &'a Arc<ConnectionLimits>,
    stop: &'a CancellationToken,
    kill: &'a CancellationToken,
    /// Told when one of them ends.
    alive: &'a UnboundedSender<()>,
}

/// Workers that run, each on its own thread.
#[derive(Default)]
struct RunningWorkers {
    threads: Vec<JoinHandle<io::Result<()>>>,
    pulses: Vec<WorkerPulse>,
    requests: Vec<Arc<RequestMetrics>>,
}

impl WorkerCrew<'_> {
    /// Starts so many, with the listeners dealt out among them.
    fn start(self, workers: usize, listeners: Vec<WorkerListener>) -> io::Result<RunningWorkers> {
        let mut shares: Vec<Vec<WorkerListener>> = (0..workers).map(|_| Vec::new()).collect();
        for (number, listener) in listeners.into_iter().enumerate() {
            if let Some(share) = shares.get_mut(number % workers) {
                share.push(listener);
            }
        }
        let mut running = RunningWorkers::default();
        for (number, listeners) in shares.into_iter().enumerate() {
            let setup = WorkerSetup {
                listeners,
                plan: Arc::clone(self.plan),
                access: self.access.clone(),
                counts: Arc::clone(self.counts),
                stop: self.stop.clone(),
                kill: self.kill.clone(),
                pulse: WorkerPulse::default(),
                requests: Arc::default(),
            };
            running.pulses.push(setup.pulse.clone());
            running.requests.push(Arc::clone(&setup.requests));
            let alive = WorkerGuard(self.alive.clone());
            running.threads.push(tasks::thread(&format!("worker-{number}"), move || {
                let _alive = alive;
                worker::run(setup)
            })?);
        }
        Ok(running)
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// See [`AppError`].
pub fn run(config: &Config, options: RunOptions, ready: impl FnOnce(&[String])) -> Result<(), AppError> {
    settle(config)?;
    let (alive, ended) = unbounded_channel();
    let own_key = OwnKey::default();
    let (lasting, secrets) = state::open(config, &own_key, death_notice(&alive))?;
    let plan = Arc::new(ArcSwap::from_pointee(Plan::with(config, &lasting, &secrets)?));
    state::keep_cookie_names(config, &plan.load().inventory.known);
    let acceptors = listeners::acceptors(config)?;
    let workers = config.process.workers.get();
    // After the store: while it opens, the kernel refuses visitors or the old process serves them.
    let listeners = listeners::given_or_bound(options.listeners, config, &acceptors, workers)?;
    let names = listeners::names(&listeners);
    let (access, writer) = AccessLog::start(config.log.access)?.unzip();
    let (stop, kill, counts) = <(CancellationToken, CancellationToken, Arc<ConnectionLimits>)>::default();
    // Its own sender to the log's writer goes with it: the writer ends with the last of the workers.
    let crew = WorkerCrew { plan: &plan, access, counts: &counts, stop: &stop, kill: &kill, alive: &alive };
    let RunningWorkers { threads, pulses, requests } = crew.start(workers, listeners)?;

    let support = SupportThreads { alive: alive.clone(), stop: stop.clone() };
    support.start(&plan)?;
    let reloads = Arc::new(ReloadHistory::default());
    reloads.hold(&options.text);
    let (want, wanted) = unbounded_channel();
    let sources = AdminSources {
        plan: Arc::clone(&plan),
        lasting: lasting.clone(),
        counts,
        requests,
        reloads: Arc::clone(&reloads),
        listeners: config.listen.iter().map(|listen| listen.address.to_string()).collect(),
        acceptors: acceptors.clone(),
        started: Timestamp::now(),
        reload: want,
        explain: explainer(config, Arc::clone(&plan)),
        token: state::admin_token(config)?,
    };
    let admin = AdminListener::open(config, sources)?;
    let admin = admin.map(|admin| support.run("admin", move |stop| admin.serve(stop))).transpose()?;
    // Before "ready": whoever waits for that may send a signal at once.
    let signals = StopSignals::catch()?;
    ready(&names);
    systemd::ready(&names);
    let mut reload = Reloader {
        file: options.file,
        runs: config.clone(),
        plan,
        lasting: lasting.clone(),
        opened_under: secrets,
        own_key,
        acceptors,
        reloads,
    };
    let watchdog = Watchdog::new(pulses, lasting.clone());
    let ending =
        signals.wait(config.process.shutdown_timeout, (&stop, &kill), ended, (&mut reload, wanted), watchdog);
    // It holds a plan, and with it the handles that the writer of the access log waits to see gone.
    drop(reload);
    finish(ending, threads, writer.into_iter().chain(admin), &lasting)
}

/// Waits for what was started, and closes what was opened; at once, where a worker died.
fn finish(
    ending: ProcessEnd,
    workers: Vec<JoinHandle<io::Result<()>>>,
    others: impl Iterator<Item = JoinHandle<()>>,
    lasting: &BackendState,
) -> Result<(), AppError> {
    if ending == ProcessEnd::Died {
        // A worker less is a share of the visitors unserved: whoever started the process starts it again.
        return Err(AppError::Worker);
    }
    // Workers first, and the store last: what they still commit must find it open.
    for thread in workers {
        thread.join().map_err(|_| AppError::Worker)??;
    }
    // The last lines are written, and the admin's socket is removed.
    for thread in others {
        thread.join().map_err(|_| AppError::Worker)?;
    }
    close(lasting);
    Ok(())
}

/// Writes what there is to write.
fn close(lasting: &BackendState) {
    // What moka has not come round to yet would count, or be missing.
    lasting.sweep();
    tracing::info!(stored_sessions = lasting.store().map(|store| store.len()), "stopped");
    lasting.close();
}

/// Expired sessions leave, for as long as there is a plan.
fn sweep(plan: &Weak<ArcSwap<Plan>>, stop: &CancellationToken) {
    while let Some(plan) = plan.upgrade() {
        plan.load().sessions.sweep();
        drop(plan);
        if stop.is_cancelled() {
            return;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Who wants a reload, and is to hear what came of it.
type ReloadRequest = UnboundedReceiver<oneshot::Sender<ReloadOutcome>>;

/// systemd has room for a line; the log has the rest.
fn reloaded(outcome: &ReloadOutcome) {
    match outcome.message.split_once(": ") {
        Some((first, _)) if !outcome.taken => systemd::reloaded(&format!("{first}: see the log")),
        _ => systemd::reloaded(&outcome.message),
    }
}

/// Why the process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ProcessEnd {
    Told,
    Died,
}

/// What the store's thread says if it ends by itself.
fn death_notice(alive: &UnboundedSender<()>) -> impl FnOnce() + Send + 'static {
    let alive = alive.clone();
    move || {
        // Nobody listens any more when the process is about to end anyway.
        let _ = alive.send(());
    }
}

/// Held by each worker: says when it ends, however it does.
struct WorkerGuard(UnboundedSender<()>);

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        // Nobody listens any more when the process is about to end anyway.
        let _ = self.0.send(());
    }
}

/// Starts threads that are to end with the process and not before: that one did is told as a worker's end is.
struct SupportThreads {
    alive: UnboundedSender<()>,
    stop: CancellationToken,
}

impl SupportThreads {
    /// Those that are needed whatever is configured.
    fn start(&self, plan: &Arc<ArcSwap<Plan>>) -> io::Result<()> {
        let checked = Arc::clone(plan);
        self.run("health", move |stop| health::run(&checked, stop))?;
        let swept = Arc::downgrade(plan);
        self.run("sweeper", move |stop| {
            sweep(&swept, stop);
            Ok(())
        })?;
        Ok(())
    }

    fn run(
        &self,
        name: &'static str,
        run: impl FnOnce(&CancellationToken) -> io::Result<()> + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let needed = ThreadGuard { alive: self.alive.clone(), stop: self.stop.clone() };
        tasks::thread(name, move || {
            if let Err(error) = run(&needed.stop) {
                tracing::error!(thread = name, %error, "a thread cannot do its work");
            }
        })
    }
}

/// Held by such a thread: says if it ends too early, however it does.
struct ThreadGuard {
    alive: UnboundedSender<()>,
    stop: CancellationToken,
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            let _ = self.alive.send(());
        }
    }
}

/// The signals that end the process. Caught from before it says that it is ready: whoever waits for that may send one at
/// once.
struct StopSignals {
    runtime: Runtime,
    term: Signal,
    int: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let (term, int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hangup = signal(SignalKind::hangup())?;
        drop(context);
        Ok(Self { runtime, term, int, hangup })
    }

    /// Until a signal, or until a worker dies. After a signal the workers have `grace` to end, and no time at all after
    /// a second one.
    fn wait(
        self,
        grace: Duration,
        (stop, kill): (&CancellationToken, &CancellationToken),
        mut ended: UnboundedReceiver<()>,
        (reload, mut wanted): (&mut Reloader, ReloadRequest),
        mut watchdog: Watchdog,
    ) -> ProcessEnd {
        let workers = watchdog.workers();
        let Self { runtime, mut term, mut int, mut hangup } = self;
        runtime.block_on(async {
            let mut watching = pin!(watchdog.run());
            loop {
                tokio::select! {
                    () = &mut watching => {}
                    _ = term.recv() => break,
                    _ = int.recv() => break,
                    _ = ended.recv() => return ProcessEnd::Died,
                    _ = hangup.recv() => {
                        systemd::reloading();
                        reloaded(&reload.run());
                    }
                    Some(tell) = wanted.recv() => {
                        systemd::reloading();
                        let outcome = reload.run();
                        reloaded(&outcome);
                        // Who has given up waiting is told nothing.
                        let _ = tell.send(outcome);
                    }
                }
            }
            tracing::info!("stopping: no new connections; requests under way are finished");
            systemd::stopping();
            stop.cancel();
            let all = async {
                for _ in 0..workers {
                    ended.recv().await;
                }
            };
            tokio::select! {
                // Not before all is done: it may take longer than the watchdog waits.
                () = &mut watching => {}
                () = all => return ProcessEnd::Told,
                _ = term.recv() => {}
                _ = int.recv() => {}
                () = clock::sleep(grace) => {}
            }
            kill.cancel();
            ProcessEnd::Told
        })
    }
}
