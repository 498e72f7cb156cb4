//! What the API tells, as it is written. Times are RFC 3339, durations seconds.

use serde::Serialize;

use super::{AdminSources, health::HealthReport};
use crate::{
    clock::Timestamp,
    config::SessionConfig as Rules,
    cookies::CookieFinding,
    metrics::Histogram,
    record::{Realm, Record},
    store::RecordStore,
};

pub(super) fn time(at: Timestamp) -> String {
    at.to_string()
}

/// `/api/status`
#[derive(Debug, Serialize)]
pub(super) struct ProcessStatus {
    version: &'static str,
    pid: u32,
    started: String,
    uptime_seconds: u64,
    ready: bool,
    /// What is amiss.
    reasons: Vec<String>,
    listeners: Vec<String>,
    connections: usize,
    requests_total: u64,
    errors_total: u64,
    latency: LatencyStatus,
    store: StoreStatus,
    reloads: ReloadStatus,
    certificates: Vec<CertificateStatus>,
}

/// How long requests took, since the start.
#[derive(Debug, Default, Serialize)]
struct LatencyStatus {
    /// Seconds, and how many took no longer.
    up_to: Vec<(f64, u64)>,
    count: u64,
}

impl LatencyStatus {
    fn add(&mut self, histogram: &Histogram) {
        let (up_to, count, _) = histogram.read();
        self.count += count;
        if self.up_to.is_empty() {
            self.up_to = up_to;
        } else {
            for ((_, sum), (_, more)) in self.up_to.iter_mut().zip(up_to) {
                *sum += more;
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct StoreStatus {
    kind: &'static str,
    sessions: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ReloadStatus {
    taken: u64,
    refused: u64,
    last_successful: bool,
}

#[derive(Debug, Serialize)]
struct CertificateStatus {
    listener: String,
    names: String,
    ends: String,
    days_left: u64,
}

impl ProcessStatus {
    pub(super) fn of(sources: &AdminSources, now: Timestamp) -> Self {
        use std::sync::atomic::Ordering::Relaxed;
        let health = HealthReport::of(sources, now);
        let rows: Vec<_> = sources.requests.iter().flat_map(|worker| worker.rows()).collect();
        let counts = || rows.iter().flat_map(|row| row.read());
        let mut latency = LatencyStatus::default();
        for row in &rows {
            latency.add(&row.took);
        }
        let certificates =
            sources.listeners.iter().zip(&sources.acceptors).flat_map(|(listener, acceptor)| {
                acceptor.certificates().into_iter().map(|(names, ends)| CertificateStatus {
                    listener: listener.clone(),
                    names,
                    ends: time(ends),
                    days_left: ends.since(now).as_secs() / 86_400,
                })
            });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            started: time(sources.started),
            uptime_seconds: now.since(sources.started).as_secs(),
            ready: health.is_ready(),
            reasons: health.into_reasons(),
            listeners: sources.listeners.clone(),
            connections: sources.counts.open(),
            requests_total: counts().map(|(_, _, times)| times).sum(),
            errors_total: counts().filter(|(_, code, _)| *code >= 500).map(|(_, _, times)| times).sum(),
            latency,
            store: StoreStatus {
                kind: match sources.lasting.store().map(|store| &**store) {
                    Some(RecordStore::Memory(_)) => "memory",
                    Some(RecordStore::Disk(_)) => "disk",
                    None => "with the visitors",
                },
                sessions: sources.lasting.store().map(|store| store.len()),
            },
            reloads: ReloadStatus {
                taken: sources.reloads.good.get(),
                refused: sources.reloads.bad.get(),
                last_successful: !sources.reloads.last_was_bad.load(Relaxed),
            },
            certificates: certificates.collect(),
        }
    }
}

/// `/api/upstreams`
#[derive(Debug, Serialize)]
pub(super) struct UpstreamReport {
    upstreams: Vec<UpstreamStatus>,
}

#[derive(Debug, Serialize)]
struct UpstreamStatus {
    name: String,
    servers: Vec<ServerStatus>,
}

#[derive(Debug, Serialize)]
struct ServerStatus {
    address: String,
    up: bool,
    weight: u32,
}

impl UpstreamReport {
    pub(super) fn of(sources: &AdminSources, now: Timestamp) -> Self {
        let plan = sources.plan.load();
        let upstreams = plan.upstreams.iter().map(|(upstream, _)| {
            let servers = upstream.all.iter().map(|server| ServerStatus {
                address: server.name.clone(),
                up: server.is_up(now),
                weight: server.weight,
            });
            UpstreamStatus { name: upstream.rules.name.clone(), servers: servers.collect() }
        });
        Self { upstreams: upstreams.collect() }
    }
}

/// `/api/cookies`: what the apps were seen to set.
#[derive(Debug, Serialize)]
pub(super) struct CookieReport {
    cookies: Vec<CookieStatus>,
    /// Lines that were not noted, since there were too many names.
    beyond: u64,
}

#[derive(Debug, Serialize)]
struct CookieStatus {
    upstream: String,
    name: String,
    attributes: String,
    action: &'static str,
    first_seen: String,
    findings: Vec<&'static str>,
}

impl CookieReport {
    pub(super) fn of(sources: &AdminSources, say: impl Fn(CookieFinding) -> &'static str) -> Self {
        let plan = sources.plan.load();
        let cookies = plan.inventory.list().into_iter().map(|((upstream, name), seen)| CookieStatus {
            upstream,
            name,
            attributes: seen.attributes,
            action: seen.action,
            first_seen: time(Timestamp(seen.first_seen * 1000)),
            findings: seen.findings.into_iter().map(&say).collect(),
        });
        Self { cookies: cookies.collect(), beyond: plan.inventory.beyond() }
    }
}

/// A session: what it holds by name and size, never a value.
#[derive(Debug, Serialize)]
pub(super) struct SessionSummary {
    id: String,
    realm: String,
    principal: Option<String>,
    created: String,
    last_seen: String,
    expires: String,
    permanent: bool,
    version: u64,
    fields: Vec<NamedSize>,
    flashes: usize,
    cookies: Vec<NamedSize>,
}

#[derive(Debug, Serialize)]
struct NamedSize {
    name: String,
    bytes: usize,
}

impl SessionSummary {
    pub(super) fn of(record: &Record, rules: &Rules) -> Self {
        let fields = record.fields.iter();
        let fields =
            fields.map(|(name, value)| NamedSize { name: name.to_string(), bytes: value.text().len() });
        let cookies = record.jar.cookies().iter().map(|cookie| NamedSize {
            name: String::from_utf8_lossy(&cookie.name).into_owned(),
            bytes: cookie.value.len(),
        });
        Self {
            id: record.id.to_string(),
            realm: Realm::in_words(&record.realm),
            principal: record.principal.as_deref().map(str::to_owned),
            created: time(record.created),
            last_seen: time(record.last_seen()),
            expires: time(record.ends(rules)),
            permanent: record.outlives_browser(record.last_seen()),
            version: record.version,
            fields: fields.collect(),
            flashes: record.flashes.len(),
            cookies: cookies.collect(),
        }
    }
}
