//! One server of an upstream, and what is known of its health. Shared by all workers.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    habits::ConnectionHabits,
    slots::ConnectionSlots,
    tls::{self, TlsError, UpstreamTls},
};
use crate::{
    clock::Timestamp,
    config::{BalanceRule, ServerAddress, UpstreamConfig},
    net::network_of,
};

const FAILURES: u64 = 3;
const WINDOW: Duration = Duration::from_secs(10);
const OUT: Duration = Duration::from_secs(10);

/// What a server failed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointFailure {
    /// It could not be connected to: nobody's doing.
    Connection,
    /// It did not answer the request of a visitor from this address; `None`: nobody can be told from anybody.
    Request(Option<IpAddr>),
}

/// A visitor as a number, never 0.
fn number(visitor: IpAddr) -> u64 {
    match network_of(visitor) {
        IpAddr::V4(v4) => u64::from(v4.to_bits()) | 1 << 32,
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 | 1,
    }
}

/// One server.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: ServerAddress,
    /// The same as text, for logs, `Host` and redirects (`host:port` as in a URL).
    pub name: String,
    /// Its share.
    pub weight: u32,
    /// How it is spoken to by TLS; `None`: in clear text.
    pub(super) tls: Option<Arc<UpstreamTls>>,
    /// Requests under way; counted only where it matters.
    busy: Arc<AtomicU32>,
    window_began: AtomicU64,
    failures: AtomicU64,
    /// The first visitor whose request failed within the window; 0: none.
    first_failed: AtomicU64,
    /// What failed within the window is no single visitor's doing.
    failed_several: AtomicBool,
    ejected_until: AtomicU64,
    /// What health checks say.
    unhealthy: AtomicBool,
    /// What it does with unused connections.
    pub(super) habits: Arc<ConnectionHabits>,
    /// Room for connections to it. Changed when a plan takes over from another, and asked for each new connection.
    slots: Mutex<Arc<ConnectionSlots>>,
}

impl Endpoint {
    fn new(
        address: &ServerAddress,
        weight: u32,
        tls: Option<Arc<UpstreamTls>>,
        max_connections: Option<usize>,
    ) -> Self {
        let name = match address {
            ServerAddress::Tcp { host, port, tls } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                if *port == if *tls { 443 } else { 80 } { host } else { format!("{host}:{port}") }
            }
            ServerAddress::Unix(path) => format!("unix:{}", path.display()),
        };
        let zero = AtomicU64::default;
        Self {
            address: address.clone(),
            name,
            weight,
            tls,
            busy: Arc::default(),
            window_began: zero(),
            failures: zero(),
            first_failed: zero(),
            failed_several: AtomicBool::new(false),
            ejected_until: zero(),
            unhealthy: AtomicBool::new(false),
            habits: Arc::default(),
            slots: Mutex::new(ConnectionSlots::new(max_connections)),
        }
    }

    /// The scheme of URLs that name it.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Room for connections to it.
    pub(super) fn slots(&self) -> Arc<ConnectionSlots> {
        Arc::clone(&self.slots.lock())
    }

    /// Requests under way.
    pub(super) fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// One more request is under way, until what is returned is dropped. `None` where the balance does not ask for it.
    pub(super) fn begin_under(&self, balance: BalanceRule) -> Option<RequestUnderWay> {
        // The count is shared by all workers, and so costs each of them.
        (balance == BalanceRule::LeastRequests).then(|| {
            self.busy.fetch_add(1, Ordering::Relaxed);
            RequestUnderWay(Arc::clone(&self.busy))
        })
    }

    /// In use, or out for a while.
    pub fn is_up(&self, now: Timestamp) -> bool {
        self.ejected_until.load(Ordering::Relaxed) <= now.0 && !self.unhealthy.load(Ordering::Relaxed)
    }

    /// Takes over what was known of the same server under the plan before; whether it is well, only if it is checked
    /// still.
    fn resume(&self, before: &Self, is_checked: bool) {
        for (mine, theirs) in [
            (&self.window_began, &before.window_began),
            (&self.failures, &before.failures),
            (&self.ejected_until, &before.ejected_until),
        ] {
            mine.store(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.habits.resume(&before.habits);
        // What is open counts on, unless the limit is another one.
        let theirs = before.slots();
        let mut mine = self.slots.lock();
        if theirs.has(mine.most()) {
            *mine = theirs;
        }
        drop(mine);
        self.unhealthy.store(is_checked && before.unhealthy.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Its last health checks failed.
    pub(super) fn failed_its_checks(&self) -> bool {
        self.unhealthy.load(Ordering::Relaxed)
    }

    /// Its health checks succeed again.
    pub(super) fn is_well(&self) {
        self.succeeded();
        self.unhealthy.store(false, Ordering::Relaxed);
        tracing::info!(server = %self.name, "health checks succeed: the server is used again");
    }

    /// So many of its health checks failed.
    pub(super) fn is_unwell(&self, checks: u32, why: &str) {
        self.unhealthy.store(true, Ordering::Relaxed);
        tracing::warn!(server = %self.name, checks, reason = why, "health checks fail: the server is not used until they succeed");
    }

    /// It answered.
    pub fn succeeded(&self) {
        // Read before it is written: a line that all workers write at each answer would travel
        // between their caches.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    /// It did not; after three failures in ten seconds it is out for ten.
    ///
    /// SECURITY: a request that makes an app fail is easily found. That of one visitor alone puts no server out of use, or
    /// they could steer where all others go.
    pub fn failed(&self, fault: EndpointFailure, now: Timestamp) {
        if now.since(Timestamp(self.window_began.load(Ordering::Relaxed))) > WINDOW {
            self.window_began.store(now.0, Ordering::Relaxed);
            self.failures.store(0, Ordering::Relaxed);
            self.first_failed.store(0, Ordering::Relaxed);
            self.failed_several.store(false, Ordering::Relaxed);
        }
        let is_another = match fault {
            EndpointFailure::Connection | EndpointFailure::Request(None) => true,
            EndpointFailure::Request(Some(visitor)) => {
                let visitor = number(visitor);
                let first =
                    self.first_failed.compare_exchange(0, visitor, Ordering::Relaxed, Ordering::Relaxed);
                first.is_err_and(|first| first != visitor)
            }
        };
        if is_another {
            self.failed_several.store(true, Ordering::Relaxed);
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= FAILURES && self.failed_several.load(Ordering::Relaxed) && self.is_up(now) {
            self.ejected_until.store(now.plus(OUT).0, Ordering::Relaxed);
            tracing::warn!(server = %self.name, "three failures within ten seconds: the server is not used for ten seconds");
        }
    }
}

/// Counts a request that is under way.
#[derive(Debug)]
pub(super) struct RequestUnderWay(Arc<AtomicU32>);

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The servers of one upstream, with its rules.
#[derive(Debug)]
pub struct Endpoints {
    /// `[upstreams.NAME]`
    pub rules: UpstreamConfig,
    /// Its servers.
    pub all: Vec<Endpoint>,
    pub(super) turn: AtomicU64,
    pub(super) weights: u64,
}

impl Endpoints {
    /// Takes over what was known of the same servers under the plan before.
    pub fn succeed(&self, before: &Self) {
        for endpoint in &self.all {
            if let Some(known) = before.all.iter().find(|known| known.address == endpoint.address) {
                endpoint.resume(known, self.rules.health.is_some());
            }
        }
    }

    /// From the configuration.
    ///
    /// # Errors
    /// A server speaks https, and nobody's certificate could be believed.
    pub fn new(rules: &UpstreamConfig) -> Result<Self, TlsError> {
        let mut client = None;
        let mut all = Vec::new();
        for server in &rules.servers {
            let tls = match &server.address {
                ServerAddress::Tcp { host, tls: true, .. } => {
                    let client = match &client {
                        Some(client) => client,
                        None => client.insert(tls::client(rules)?),
                    };
                    Some(Arc::new(UpstreamTls::new(client, rules.tls.name.as_deref(), host)?))
                }
                _ => None,
            };
            all.push(Endpoint::new(&server.address, server.weight, tls, rules.max_connections));
        }
        // 100 and 200 are 1 and 2: a turn takes as few steps as can be.
        let common = all.iter().map(|e| e.weight).fold(0, gcd).max(1);
        for endpoint in &mut all {
            endpoint.weight /= common;
        }
        let weights = all.iter().map(|e| u64::from(e.weight)).sum();
        Ok(Self { rules: rules.clone(), all, turn: AtomicU64::new(0), weights })
    }
}

/// The greatest common divisor (Euclid).
fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
