//! Attackers who are slow: heads and bodies that drip, answers that nobody reads. `tests/slow` does the same with
//! thousands of them, under the limits as they are.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]
#![expect(clippy::panic, reason = "what was asked for in words that say nothing fails the test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the rules for clock and tasks are for the program, not its tests"
)]

use std::env;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::support::{Cloakroom, PATIENCE, eventually, eventually_within};

/// How many of each kind, for how long at least, and how long the limits give them at most.
struct Size {
    heads: usize,
    bodies: usize,
    readers: usize,
    lasts: Duration,
    limit: Duration,
    limits: &'static str,
}

/// `CLOAKROOM_SLOW=heads,bodies,readers,seconds`: under the limits as they are by default.
fn size() -> Size {
    let Ok(told) = env::var("CLOAKROOM_SLOW") else {
        return Size {
            heads: 200,
            bodies: 50,
            readers: 50,
            lasts: Duration::from_secs(3),
            limit: Duration::from_secs(1),
            limits: "request_head_timeout = \"1s\"\nbody_idle_timeout = \"1s\"\nwrite_stall_timeout = \"1s\"",
        };
    };
    let numbers: Vec<usize> = told.split(',').map(|number| number.parse().unwrap()).collect();
    let [heads, bodies, readers, seconds] = numbers.as_slice() else { panic!("CLOAKROOM_SLOW={told}") };
    Size {
        heads: *heads,
        bodies: *bodies,
        readers: *readers,
        lasts: Duration::from_secs(*seconds as u64),
        limit: Duration::from_mins(1),
        limits: "",
    }
}

/// What is sent at first, what drips after it, and whether answers are read.
#[derive(Clone, Copy)]
enum Kind {
    Head,
    Body,
    Reader,
}

/// Between two bytes.
const DRIP: Duration = Duration::from_millis(200);

/// What the attackers share.
#[derive(Default)]
struct Crowd {
    enough: AtomicBool,
    cut: AtomicUsize,
}

/// Attacks again and again until there was enough of it.
async fn attacks(address: SocketAddr, kind: Kind, crowd: Arc<Crowd>) {
    while !crowd.enough.load(Ordering::Relaxed) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let begin: &[u8] = match kind {
            Kind::Head => b"GET / HTTP/1.1\r\nhost: a\r\nx: ",
            Kind::Body => b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nthe beginning",
            Kind::Reader => b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n",
        };
        stream.write_all(begin).await.unwrap();
        match kind {
            // It waits to be cut, and lets a byte drip whenever it was not for so long.
            Kind::Head | Kind::Body => {
                while tokio::time::timeout(DRIP, stream.read(&mut [0])).await.is_err()
                    && stream.write_all(b"y").await.is_ok()
                {}
            }
            // It is closed by a reset, which is told without a byte being read.
            Kind::Reader => drop(stream.ready(Interest::ERROR).await),
        }
        crowd.cut.fetch_add(1, Ordering::Relaxed);
    }
}

/// All of them, until each was cut once more after there was enough.
fn attack(address: SocketAddr, size: &Size, crowd: &Arc<Crowd>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut tasks = JoinSet::new();
    let kinds = [(Kind::Head, size.heads), (Kind::Body, size.bodies), (Kind::Reader, size.readers)];
    for (kind, count) in kinds {
        for _ in 0..count {
            tasks.spawn_on(attacks(address, kind, Arc::clone(crowd)), runtime.handle());
        }
    }
    // The last begin at the end, and the buffers of those who read nothing have to fill before their time runs.
    let patience = size.lasts + size.limit * 2 + PATIENCE;
    let all = runtime.block_on(async { tokio::time::timeout(patience, tasks.join_all()).await });
    assert!(all.is_ok(), "some were not cut within {patience:?}");
}

/// An app that holds nothing of what it says, since it says it a thousand times at once.
fn app() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answers(stream));
            }
        });
    });
    address
}

async fn answers(mut stream: TcpStream) {
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
        if head.starts_with(b"GET /large") {
            let mut whole = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n").await;
            for _ in 0..1024 {
                if whole.is_err() {
                    return;
                }
                whole = stream.write_all(&PIECE).await;
            }
        } else if head.starts_with(b"GET /small") && head.ends_with(b"\r\n\r\n") {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nsmall").await);
            head.clear();
        }
    }
}

static PIECE: [u8; 65_536] = [b'x'; 65_536];

/// Asks for as long as the attack lasts, now on a connection that is kept, now on a new one; how often, and the longest.
fn victim(proxy: &Cloakroom, crowd: &Crowd) -> (usize, Duration) {
    let mut kept = proxy.dial();
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !crowd.enough.load(Ordering::Relaxed) {
        for new in [false, true] {
            let began = Instant::now();
            let mut own = new.then(|| proxy.dial());
            let wire = own.as_mut().unwrap_or(&mut kept);
            wire.send("GET /small HTTP/1.1\r\nhost: a\r\n\r\n");
            let answer = wire.answer(false);
            assert_eq!((answer.status, answer.text().as_str()), (200, "small"));
            count += 1;
            longest = longest.max(began.elapsed());
        }
    }
    (count, longest)
}

#[test]
fn slow_attackers_are_cut_and_their_neighbour_is_served() {
    let size = size();
    let limits = format!("[limits]\nrequests_per_connection_http1 = \"off\"\n{}", size.limits);
    let proxy = Cloakroom::before(app()).config(&limits).start();
    let crowd = Arc::<Crowd>::default();
    let (files, memory, began) = (proxy.files(), proxy.memory(), Instant::now());
    let all = size.heads + size.bodies + size.readers;
    let mut most = 0;
    let (asked, longest) = thread::scope(|scope| {
        scope.spawn(|| attack(proxy.address, &size, &crowd));
        let asking = scope.spawn(|| victim(&proxy, &crowd));
        eventually_within(size.lasts + PATIENCE, "the time is over", || {
            most = most.max(proxy.memory().saturating_sub(memory));
            began.elapsed() >= size.lasts || asking.is_finished()
        });
        crowd.enough.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    eventually("nothing of them is left", || proxy.files() <= files + 16);
    let cut = crowd.cut.load(Ordering::Relaxed);
    eprintln!(
        "{all} attackers, {cut} cut in {:?}; the victim asked {asked} times and waited {longest:?} at most; \
         {} bytes of memory for each attacker at the worst",
        began.elapsed(),
        most / all as u64
    );
}

/// What a connection costs that has asked once and rests.
#[test]
fn an_idle_connection_costs_little() {
    let proxy = Cloakroom::before(app()).start();
    let ask = |wire: &mut crate::support::Wire| {
        wire.send("GET /small HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(wire.answer(false).status, 200);
    };
    // What the process needs for any number of them is not counted.
    let mut before: Vec<_> = (0..200).map(|_| proxy.dial()).collect();
    before.iter_mut().for_each(ask);
    let memory = proxy.memory();
    let mut idle: Vec<_> = (0..1_000).map(|_| proxy.dial()).collect();
    idle.iter_mut().for_each(ask);
    let each = proxy.memory().saturating_sub(memory) / 1_000;
    eprintln!("{each} bytes of memory for each idle connection");
    assert!(each < 8 * 1024, "{each}");
    idle.iter_mut().for_each(ask);
}
