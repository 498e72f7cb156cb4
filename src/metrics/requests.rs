//! What one worker counts of its requests. Only that worker writes, so that nothing here is a locked instruction; the
//! operator's view reads, and sums up over the workers.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

/// The methods that are told apart (RFC 9110 section 9.3, RFC 5789), and all others: labels are bounded.
pub const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "other"];

/// The place of a method among [`METHODS`].
pub fn method(name: &str) -> usize {
    match name {
        // Nearly all of them.
        "GET" => 0,
        name => METHODS.iter().position(|known| *known == name).unwrap_or(METHODS.len() - 1),
    }
}

/// Statuses from 100 to 599; others are counted as the last.
const STATUSES: usize = 500;

/// Up to how many microseconds each bucket holds.
const BUCKETS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 30_000_000,
];

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// Of one writer.
fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    /// It took so long.
    pub fn note(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        if let Some(bucket) =
            BUCKETS.iter().position(|most| micros <= *most).and_then(|at| self.buckets.get(at))
        {
            add(bucket, 1);
        }
        add(&self.count, 1);
        add(&self.micros, micros);
    }

    /// For each bucket its upper end in seconds and how many were no longer; then how many there were, and the seconds of
    /// all.
    pub fn read(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut sum = 0;
        let up_to = BUCKETS.iter().zip(&self.buckets).map(|(most, bucket)| {
            sum += bucket.load(Ordering::Relaxed);
            (seconds(*most), sum)
        });
        let up_to = up_to.collect();
        (up_to, self.count.load(Ordering::Relaxed), seconds(self.micros.load(Ordering::Relaxed)))
    }
}

type StatusCounts = Box<[AtomicU64; STATUSES]>;

/// The requests of one listener on one route.
#[derive(Debug)]
pub struct RouteMetrics {
    /// The listener's number, in the order of the configuration.
    pub listener: u16,
    /// Host and path of the route; `-`: there was none.
    pub route: Arc<str>,
    /// From the head to the end of the answer.
    pub took: Histogram,
    /// From the head to that of the app's answer.
    pub waited: Histogram,
    methods: [OnceLock<StatusCounts>; METHODS.len()],
}

impl RouteMetrics {
    /// One more; `method`: its [place](method).
    pub fn count(&self, method: usize, status: u16) {
        let Some(statuses) = self.methods.get(method) else { return };
        // Made at the first request of a method: 500 counters for each of nine would be 36 KB for
        // every route.
        let statuses = statuses.get_or_init(|| Box::new([const { AtomicU64::new(0) }; STATUSES]));
        let place = usize::from(status.saturating_sub(100)).min(STATUSES - 1);
        if let Some(number) = statuses.get(place) {
            add(number, 1);
        }
    }

    /// Each method and status that there was, with how often.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u16, u64)> {
        METHODS.iter().zip(&self.methods).flat_map(|(method, statuses)| {
            let all = statuses.get().into_iter().flat_map(|all| all.iter());
            let numbered = (100..).zip(all.map(|number| number.load(Ordering::Relaxed)));
            numbered.filter(|(_, times)| *times > 0).map(move |(status, times)| (*method, status, times))
        })
    }
}

/// All rows of one worker.
#[derive(Debug, Default)]
pub struct RequestMetrics(Mutex<Vec<Arc<RouteMetrics>>>);

impl RequestMetrics {
    /// The row of this listener and route; it is there from now on.
    pub fn row(&self, listener: u16, route: &str) -> Arc<RouteMetrics> {
        let mut all = self.0.lock();
        if let Some(known) = all.iter().find(|row| row.listener == listener && *row.route == *route) {
            return Arc::clone(known);
        }
        let new = Arc::new(RouteMetrics {
            listener,
            route: route.into(),
            took: Histogram::default(),
            waited: Histogram::default(),
            methods: Default::default(),
        });
        all.push(Arc::clone(&new));
        new
    }

    /// All of them.
    pub fn rows(&self) -> Vec<Arc<RouteMetrics>> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_read() {
        let requests = RequestMetrics::default();
        let row = requests.row(0, "*/");
        assert!(Arc::ptr_eq(&row, &requests.row(0, "*/")));
        requests.row(1, "*/").count(0, 200);
        for (name, status) in [("GET", 200), ("GET", 200), ("PURGE", 404), ("POST", 999)] {
            row.count(method(name), status);
        }
        assert_eq!(row.read().collect::<Vec<_>>(), [("GET", 200, 2), ("POST", 599, 1), ("other", 404, 1)]);
        for micros in [400, 500, 501, 60_000_000] {
            row.took.note(Duration::from_micros(micros));
        }
        let (up_to, count, seconds) = row.took.read();
        assert_eq!((up_to[0], up_to[1], up_to[13], count), ((0.0005, 2), (0.001, 3), (30.0, 3), 4));
        assert!((seconds - 60.001_401).abs() < 1e-9, "{seconds}");
        assert_eq!(requests.rows().len(), 2);
    }
}
