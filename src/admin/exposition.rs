//! Metrics as Prometheus reads them (text format 0.0.4). Names end in their unit; labels are bounded: routes, listeners,
//! upstreams and servers are those of the configuration, methods and statuses those of `metrics`.

use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

use super::AdminSources;
use crate::{clock::Timestamp, metrics::Histogram, store::RecordStore};

/// A text in the making.
#[derive(Default)]
struct MetricsText(String);

impl MetricsText {
    /// A metric: its name, what it is, its kind.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value of it.
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric of one value.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.metric(name, kind, help);
        self.value(name, &[], value);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], read: &HistogramSum) {
        let bucket = format!("{name}_bucket");
        for (most, times) in &read.up_to {
            let most = most.to_string();
            self.value(&bucket, &[labels, &[("le", &most)]].concat(), times);
        }
        self.value(&bucket, &[labels, &[("le", "+Inf")]].concat(), read.count);
        self.value(&format!("{name}_sum"), labels, read.seconds);
        self.value(&format!("{name}_count"), labels, read.count);
    }
}

/// Histograms of several workers, summed up.
#[derive(Default)]
struct HistogramSum {
    up_to: Vec<(f64, u64)>,
    count: u64,
    seconds: f64,
}

impl HistogramSum {
    fn add(&mut self, histogram: &Histogram) {
        let (up_to, count, seconds) = histogram.read();
        if self.up_to.is_empty() {
            self.up_to = up_to;
        } else {
            for ((_, sum), (_, more)) in self.up_to.iter_mut().zip(up_to) {
                *sum += more;
            }
        }
        self.count += count;
        self.seconds += seconds;
    }
}

/// All of them.
pub(super) fn write(sources: &AdminSources, now: Timestamp) -> String {
    let mut text = MetricsText::default();
    let version = env!("CARGO_PKG_VERSION");
    text.metric("cloakroom_build_info", "gauge", "The version that runs.");
    text.value("cloakroom_build_info", &[("version", version)], 1);
    requests(sources, &mut text);
    connections(sources, &mut text);
    upstreams(sources, now, &mut text);
    sessions(sources, &mut text);
    configuration(sources, &mut text);
    process(sources, &mut text);
    text.0
}

fn requests(sources: &AdminSources, text: &mut MetricsText) {
    // Each worker counts for itself, without a lock; here they are summed up, when somebody asks.
    let rows: Vec<_> = sources.requests.iter().flat_map(|worker| worker.rows()).collect();
    let unknown = String::from("-");
    let listener = |number: u16| sources.listeners.get(usize::from(number)).unwrap_or(&unknown).as_str();
    let mut counts = BTreeMap::<_, u64>::new();
    let mut took = BTreeMap::<_, (HistogramSum, HistogramSum)>::new();
    for row in &rows {
        for (method, status, times) in row.read() {
            *counts.entry((row.listener, &*row.route, method, status)).or_default() += times;
        }
        let (whole, waited) = took.entry((row.listener, &*row.route)).or_default();
        whole.add(&row.took);
        waited.add(&row.waited);
    }
    let name = "cloakroom_requests_total";
    text.metric(name, "counter", "Requests that are over. 499: the visitor went before there was an answer.");
    for ((number, route, method, status), times) in &counts {
        let labels = [
            ("listener", listener(*number)),
            ("route", route),
            ("method", method),
            ("code", &status.to_string()),
        ];
        text.value(name, &labels, times);
    }
    let whole = "cloakroom_request_duration_seconds";
    text.metric(whole, "histogram", "From a request's head to the end of its answer.");
    for ((number, route), (sum, _)) in took.iter().filter(|(_, (sum, _))| sum.count > 0) {
        text.histogram(whole, &[("listener", listener(*number)), ("route", route)], sum);
    }
    let waited = "cloakroom_upstream_response_duration_seconds";
    text.metric(waited, "histogram", "From a request's head to the head of the app's answer.");
    for ((number, route), (_, sum)) in took.iter().filter(|(_, (_, sum))| sum.count > 0) {
        text.histogram(waited, &[("listener", listener(*number)), ("route", route)], sum);
    }
}

fn connections(sources: &AdminSources, text: &mut MetricsText) {
    let (open, refused) = (sources.counts.open(), sources.counts.refused_so_far());
    text.single("cloakroom_connections", "gauge", "Connections of visitors that are open.", open);
    let help = "Connections that were closed at once: connections_per_address.";
    text.single("cloakroom_connections_refused_total", "counter", help, refused);
}

fn upstreams(sources: &AdminSources, now: Timestamp, text: &mut MetricsText) {
    let name = "cloakroom_upstream_up";
    text.metric(name, "gauge", "Whether a server is asked: 1, or 0 while it is out.");
    for (upstream, _) in &sources.plan.load().upstreams {
        for server in &upstream.all {
            let labels = [("upstream", upstream.rules.name.as_str()), ("server", &server.name)];
            text.value(name, &labels, u8::from(server.is_up(now)));
        }
    }
}

fn sessions(sources: &AdminSources, text: &mut MetricsText) {
    if let Some(store) = sources.lasting.store() {
        let kind = match &**store {
            RecordStore::Memory(_) => "memory",
            RecordStore::Disk(_) => "disk",
        };
        text.metric("cloakroom_sessions", "gauge", "Sessions with data, roughly.");
        text.value("cloakroom_sessions", &[("store", kind)], store.len());
        if let RecordStore::Disk(disk) = &**store {
            let health = disk.health();
            let help = "Whether the store takes changes: 0 after a sync that failed.";
            text.single("cloakroom_store_takes_changes", "gauge", help, u8::from(health.takes_changes));
            let help = "Rows that were found damaged since the start.";
            text.single("cloakroom_store_damaged_rows", "gauge", help, health.damaged);
        }
    }
    let plan = sources.plan.load();
    let events = &plan.sessions.headers.events;
    let name = "cloakroom_store_operations_total";
    text.metric(name, "counter", "Changes of sessions, and what came of them.");
    text.value(name, &[("operation", "save"), ("outcome", "done")], events.saves.get());
    text.value(name, &[("operation", "save"), ("outcome", "failed")], events.save_failures.get());
    let name = "cloakroom_session_events_total";
    text.metric(name, "counter", "What happened to sessions.");
    for (event, counter) in [
        ("created", &events.created),
        ("ended", &events.ended),
        ("revoked", &events.revoked),
        ("tampered", &events.tampered),
        ("expired", &events.expired),
        ("spent", &events.spent),
        ("lost", &events.lost),
        ("conflict", &events.conflicts),
        ("dropped", &events.dropped),
        ("flood", &events.floods),
        ("forbidden", &events.forbidden),
        ("malformed", &events.malformed),
        ("not_kept", &events.not_kept),
        ("over_limit", &events.over_limit),
    ] {
        text.value(name, &[("event", event)], counter.get());
    }
}

fn configuration(sources: &AdminSources, text: &mut MetricsText) {
    use std::sync::atomic::Ordering::Relaxed;
    let reloads = &sources.reloads;
    let name = "cloakroom_reloads_total";
    text.metric(name, "counter", "Reloads of the configuration.");
    text.value(name, &[("outcome", "taken")], reloads.good.get());
    text.value(name, &[("outcome", "refused")], reloads.bad.get());
    let good = u8::from(!reloads.last_was_bad.load(Relaxed));
    text.single(
        "cloakroom_config_last_reload_successful",
        "gauge",
        "Whether the last reload was taken.",
        good,
    );
    let at = reloads.last_good.load(Relaxed).max(sources.started.0);
    let help = "Since when the configuration holds, in seconds since 1970.";
    text.single("cloakroom_config_last_reload_success_timestamp_seconds", "gauge", help, at / 1000);
    let name = "cloakroom_certificate_expiry_timestamp_seconds";
    text.metric(name, "gauge", "When a certificate ends, in seconds since 1970.");
    for (listener, acceptor) in sources.listeners.iter().zip(&sources.acceptors) {
        for (names, until) in acceptor.certificates() {
            text.value(name, &[("listener", listener), ("names", &names)], until.seconds());
        }
    }
}

/// Linux's own numbers of this process (`proc_pid_stat(5)`).
fn process(sources: &AdminSources, text: &mut MetricsText) {
    let start = sources.started.seconds();
    text.single(
        "process_start_time_seconds",
        "gauge",
        "When the process began, in seconds since 1970.",
        start,
    );
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        text.single("process_open_fds", "gauge", "Open files and connections.", files.count());
    }
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    // After the name, which is in parentheses; from the third field on.
    let fields: Vec<u64> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
    // Of these the kernel counts a hundred a second for every process, whatever its own clock is.
    let seconds = Duration::from_millis(10 * (field(14) + field(15))).as_secs_f64();
    text.single("process_cpu_seconds_total", "counter", "Time of the processors that was used.", seconds);
    let help = "Threads of the process.";
    text.single("process_threads", "gauge", help, field(20));
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    text.single("process_resident_memory_bytes", "gauge", "Memory that is in use.", resident * 4096);
}
