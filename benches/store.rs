//! What the disk store does: acknowledged changes a second, how long each takes, how a million sessions start, and what a
//! request that changes nothing costs beside the memory store.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends, with the place")]
#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{
    cell::{Cell, RefCell},
    fs,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use cloakroom::testing::{
    clock::{self, Timestamp},
    config::{Config, Durability, SessionConfig},
    crypto::{KeySecrets, Keyring},
    record::{FieldValue, Realm},
    session::{
        CookieForm, FetchContext, PresentedCookies, ResolveRequest, ResolvedSession, SessionAnswer,
        SessionChanges, SessionManager, UpstreamAccess,
    },
    store::{DiskStore, MemoryStore, RecordStore, disk::DiskSettings},
    tasks,
};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

const REALM: Realm<'static> = Realm::Host("shop.example.com");
const SECONDS: u64 = 5;

fn main() {
    // cargo hands its own arguments on.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["fill", folder] => fill(Path::new(folder), 1_000_000),
        ["start", folder] => start(Path::new(folder), 1_000_000),
        ["hot", kind, count] => hot(kind, count.parse().unwrap()),
        _ => rates(),
    }
}

fn runtime() -> LocalRuntime {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap()
}

fn rules() -> SessionConfig {
    Config::from_flags("127.0.0.1:1", "http://127.0.0.1:2").unwrap().session
}

fn disk(folder: &Path, durability: Durability, secrets: &KeySecrets) -> RecordStore {
    let settings = DiskSettings {
        folder,
        durability,
        commit_timeout: Duration::from_secs(30),
        max_bytes: 8 << 30,
        max_disk_bytes: None,
        secrets,
        rules: &rules(),
        now: Timestamp::now(),
    };
    RecordStore::Disk(DiskStore::open(&settings, || {}).unwrap())
}

fn manager(store: RecordStore) -> SessionManager {
    let keys = Keyring::ephemeral("ticket");
    SessionManager::new(&rules(), Arc::new(store), keys, None, None).unwrap()
}

async fn resolve(manager: &SessionManager, ticket: Option<&str>) -> ResolvedSession {
    let cookie = CookieForm::new(&rules().cookie, None, &[]);
    let line = ticket.map(|ticket| format!("{}={ticket}", cookie.name(false)));
    let request = ResolveRequest {
        cookie: &cookie,
        shown: PresentedCookies::read(&cookie, false, line.iter().map(String::as_bytes)),
        realm: REALM,
        https: false,
        client: None,
        visit: || FetchContext {
            may_mint: true,
            is_same_site_withheld: false,
            may_have_unseen_session: false,
            is_document: true,
        },
        read_only: false,
        id_filter: None,
        now: Timestamp::now(),
        is_rehearsal: false,
    };
    manager.resolve(request).await.unwrap()
}

async fn commit(
    manager: &SessionManager,
    resolved: &ResolvedSession,
    changes: SessionChanges,
) -> Option<String> {
    let cookie = CookieForm::new(&rules().cookie, None, &[]);
    let answer = SessionAnswer {
        changes,
        realm: REALM,
        cookie: &cookie,
        view: &UpstreamAccess::default(),
        shared: || false,
        shows_nothing: false,
        client: None,
        id_filter: None,
        now: Timestamp::now(),
    };
    let set = manager.commit(resolved, answer).await.unwrap().set_cookies.pop()?;
    let (_, rest) = set.to_str().ok()?.split_once('=')?;
    rest.split(';').next().map(str::to_owned)
}

/// Three fields and a name.
fn login(number: u64) -> SessionChanges {
    let field = |name: &str, text: String| (name.into(), FieldValue::Text(text.into()));
    SessionChanges {
        principal: Some(Some(format!("person-{number}").into())),
        set: vec![
            field("cart", format!("{number} hats")),
            field("lang", "en".into()),
            field("theme", "dark".into()),
        ],
        ..SessionChanges::default()
    }
}

fn sets(number: u64) -> SessionChanges {
    SessionChanges {
        set: vec![("n".into(), FieldValue::Text(number.to_string().into()))],
        ..SessionChanges::default()
    }
}

/// Each durability with 1, 64 and 512 requests at a time, each in a session of its own.
fn rates() {
    println!("durability  parallel  changes/s   p50 ms   p99 ms   max ms");
    for (name, durability) in
        [("group", Durability::Group), ("sync", Durability::Sync), ("os", Durability::Os)]
    {
        for parallel in [1, 64, 512] {
            let folder = tempfile::tempdir_in(".").unwrap();
            let manager = Rc::new(manager(disk(folder.path(), durability, &KeySecrets::ephemeral())));
            let mut took = runtime().block_on(crowd(&manager, parallel));
            took.sort_unstable();
            let at = |of_100: usize| {
                let place = (took.len() * of_100 / 100).min(took.len() - 1);
                took.get(place).unwrap().as_secs_f64() * 1e3
            };
            let rate = took.len() as u64 / SECONDS;
            println!("{name:10}  {parallel:8}  {rate:9}  {:7.2}  {:7.2}  {:7.2}", at(50), at(99), at(100));
            manager.store().unwrap().close();
        }
    }
}

async fn crowd(manager: &Rc<SessionManager>, parallel: u64) -> Vec<Duration> {
    tasks::spawn(clock::drive());
    let took = Rc::new(RefCell::new(Vec::new()));
    let left = Rc::new(Cell::new(parallel));
    let done = Rc::new(tokio::sync::Notify::new());
    let end = clock::instant() + Duration::from_secs(SECONDS);
    for number in 0..parallel {
        let (manager, took, left, done) =
            (Rc::clone(manager), Rc::clone(&took), Rc::clone(&left), Rc::clone(&done));
        tasks::spawn(async move {
            let first = resolve(&manager, None).await;
            let ticket = commit(&manager, &first, login(number)).await.unwrap();
            let mut count = 0;
            while clock::instant() < end {
                count += 1;
                let began = clock::instant();
                let resolved = resolve(&manager, Some(&ticket)).await;
                commit(&manager, &resolved, sets(count)).await;
                took.borrow_mut().push(began.elapsed());
            }
            left.set(left.get() - 1);
            if left.get() == 0 {
                done.notify_one();
            }
        });
    }
    done.notified().await;
    took.take()
}

/// Bytes of memory that the process holds.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The same in each process.
fn secrets() -> KeySecrets {
    KeySecrets::new([7; 32], [])
}

/// A start with so many sessions of three fields, in a process that never had them in memory.
fn start(folder: &Path, count: u64) {
    let before = resident();
    let began = clock::instant();
    let store = disk(folder, Durability::Group, &secrets());
    let each = |now: u64| now.saturating_sub(before) / count;
    println!("ready in {:.2?}, {} bytes of memory each", began.elapsed(), each(resident()));
    let RecordStore::Disk(inner) = &store else { return };
    runtime().block_on(async {
        while inner.health().is_warming {
            clock::sleep(Duration::from_millis(50)).await;
        }
    });
    println!("all in memory after {:.2?}, {} bytes each", began.elapsed(), each(resident()));
}

fn fill(folder: &Path, count: u64) {
    let began = clock::instant();
    let manager = Rc::new(manager(disk(folder, Durability::Os, &secrets())));
    runtime().block_on(async {
        tasks::spawn(clock::drive());
        let next = Rc::new(Cell::new(0));
        let left = Rc::new(Cell::new(512));
        let done = Rc::new(tokio::sync::Notify::new());
        for _ in 0..left.get() {
            let (manager, next, left, done) =
                (Rc::clone(&manager), Rc::clone(&next), Rc::clone(&left), Rc::clone(&done));
            tasks::spawn(async move {
                while next.get() < count {
                    next.set(next.get() + 1);
                    let first = resolve(&manager, None).await;
                    commit(&manager, &first, login(next.get())).await;
                }
                left.set(left.get() - 1);
                if left.get() == 0 {
                    done.notify_one();
                }
            });
        }
        done.notified().await;
    });
    manager.store().unwrap().close();
    let size = fs::metadata(folder.join("sessions.db")).unwrap().len();
    println!("{count} sessions written in {:.1?}, {} bytes each on disk", began.elapsed(), size / count);
}

/// Requests that change nothing: under callgrind, the difference of two counts is what they cost.
fn hot(kind: &str, count: u64) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let store = if kind == "memory" {
        RecordStore::Memory(Box::new(MemoryStore::new(512 << 20, &rules(), Timestamp::now())))
    } else {
        disk(folder.path(), Durability::Group, &KeySecrets::ephemeral())
    };
    let manager = manager(store);
    runtime().block_on(async {
        let first = resolve(&manager, None).await;
        let ticket = commit(&manager, &first, login(1)).await.unwrap();
        for _ in 0..count {
            let resolved = resolve(&manager, Some(&ticket)).await;
            commit(&manager, &resolved, SessionChanges::default()).await;
        }
    });
    manager.store().unwrap().close();
}
