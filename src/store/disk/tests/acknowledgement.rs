//! What whoever asks is told, by whichever worker, while changes are on their way to disk.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::super::reconcile::{DiskRead, OutdatedRead};
use super::pending::{held, inner, poll};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    crypto::{KeySecrets, Keyring},
    record::Realm,
    session::{
        CookieForm, FetchContext, IssuedCookies, PresentedCookies, ResolveRequest, ResolvedSession,
        SessionAnswer, SessionChanges, SessionManager, SessionState, UpstreamAccess,
    },
    store::{
        FoundRecord, RecordStore, StoreError,
        tests::conformance::{StoreBench, at, disk_store, id, revoked, rules, seen, sets, text},
    },
};

/// Sessions as the proxy sees them, on a disk whose writer can be made to stand still.
struct SessionHouse {
    manager: SessionManager,
    rules: SessionConfig,
    runtime: Runtime,
    _folder: TempDir,
}

impl SessionHouse {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rules = rules();
        rules.renew_interval = Some(Duration::from_mins(5));
        let store = RecordStore::Disk(disk_store(&folder, &rules, &KeySecrets::ephemeral(), 64 << 20));
        let manager = SessionManager::new(&rules, Arc::new(store), Keyring::ephemeral("ticket"), None, None);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { manager: manager.unwrap(), rules, runtime, _folder: folder }
    }

    async fn come(&self, ticket: Option<&str>, now: Timestamp) -> Result<ResolvedSession, StoreError> {
        let cookie = CookieForm::new(&self.rules.cookie, None, &[]);
        let line = ticket.map(|ticket| format!("{}={ticket}", cookie.name(false)));
        let visit = || FetchContext {
            may_mint: true,
            is_same_site_withheld: false,
            may_have_unseen_session: false,
            is_document: true,
        };
        let realm = Realm::Host("shop.test");
        let request = ResolveRequest {
            client: None,
            cookie: &cookie,
            shown: PresentedCookies::read(&cookie, false, line.iter().map(String::as_bytes)),
            realm,
            https: false,
            visit,
            read_only: false,
            id_filter: None,
            now,
            is_rehearsal: false,
        };
        self.manager.resolve(request).await
    }

    async fn answer(
        &self,
        resolved: &ResolvedSession,
        changes: SessionChanges,
        now: Timestamp,
    ) -> Result<IssuedCookies, StoreError> {
        let answer = SessionAnswer {
            changes,
            realm: Realm::Host("shop.test"),
            cookie: &CookieForm::new(&self.rules.cookie, None, &[]),
            view: &UpstreamAccess::default(),
            shared: || false,
            shows_nothing: false,
            client: None,
            id_filter: None,
            now,
        };
        self.manager.commit(resolved, answer).await
    }

    fn held<T>(&self, act: impl FnOnce() -> T) -> T {
        held(inner(self.manager.store().unwrap()), act)
    }

    /// Somebody with a session that holds something, and their ticket.
    fn visitor(&self) -> String {
        self.runtime.block_on(async {
            let stranger = self.come(None, at(1)).await.unwrap();
            let ticket = ticket(&self.answer(&stranger, sets("cart", "42"), at(1)).await.unwrap()).unwrap();
            assert!(self.come(Some(&ticket), at(2)).await.unwrap().record().is_some());
            ticket
        })
    }
}

fn ticket(issue: &IssuedCookies) -> Option<String> {
    let (_, rest) = issue.set_cookies.first()?.to_str().ok()?.split_once('=')?;
    rest.split(';').next().map(str::to_owned)
}

/// The ways in which an old ticket stops leading anywhere.
fn farewells() -> [SessionChanges; 3] {
    [
        SessionChanges { destroy: true, ..SessionChanges::default() },
        SessionChanges { renew: true, ..SessionChanges::default() },
        SessionChanges { principal: Some(Some("zoe".into())), ..SessionChanges::default() },
    ]
}

#[test]
fn requests_during_a_logout_wait_for_the_disk() {
    for farewell in farewells() {
        let house = SessionHouse::new();
        let old = house.visitor();
        house.runtime.block_on(async {
            let resolved = house.come(Some(&old), at(2)).await.unwrap();
            let mut first = pin!(house.answer(&resolved, farewell, at(3)));
            let mut second = pin!(house.come(Some(&old), at(3)));
            house.held(|| {
                assert!(poll(first.as_mut()).is_pending());
                assert!(poll(second.as_mut()).is_pending(), "told before it is on disk");
            });
            let told = second.await.unwrap();
            assert_eq!((told.record().is_none(), told.state()), (true, SessionState::New));
            assert!(first.await.is_ok());
        });
    }
}

#[test]
fn who_comes_while_a_logout_fails_is_logged_in_still() {
    for farewell in farewells() {
        let house = SessionHouse::new();
        let old = house.visitor();
        house.runtime.block_on(async {
            let resolved = house.come(Some(&old), at(2)).await.unwrap();
            let mut second = pin!(house.come(Some(&old), at(3)));
            house.held(|| {
                // It is given up before the writer comes to it, and so is never written.
                assert!(poll(pin!(house.answer(&resolved, farewell, at(3)))).is_pending());
                assert!(poll(second.as_mut()).is_pending());
            });
            let second = second.await.unwrap();
            let record = second.record().unwrap_or_else(|| panic!("{second:?}"));
            assert_eq!(text(record, "cart"), Some("42".into()));
        });
    }
}

#[test]
fn a_successor_is_offered_once_it_is_kept_that_it_leads_there() {
    for kept in [true, false] {
        let house = SessionHouse::new();
        let old = house.visitor();
        house.runtime.block_on(async {
            let early = house.come(Some(&old), at(400)).await.unwrap();
            let mut renewal = Some(Box::pin(house.answer(&early, SessionChanges::default(), at(400))));
            let mut second = None;
            house.held(|| {
                assert!(poll(renewal.as_mut().unwrap().as_mut()).is_pending());
                // By now it is decided that this ticket has a successor.
                let Poll::Ready(Ok(late)) = poll(pin!(house.come(Some(&old), at(401)))) else {
                    panic!("both lead there")
                };
                let mut answer = Box::pin(async {
                    let late = late;
                    house.answer(&late, SessionChanges::default(), at(401)).await
                });
                assert!(poll(answer.as_mut()).is_pending(), "offered before it is on disk");
                second = Some(answer);
                renewal = renewal.take().filter(|_| kept);
            });
            let offered = ticket(&second.unwrap().await.unwrap());
            assert_eq!(offered.is_some(), kept, "what failed leads nowhere");
            let given = match renewal {
                Some(renewal) => ticket(&renewal.await.unwrap()),
                None => None,
            };
            for ticket in [Some(old), offered, given].into_iter().flatten() {
                assert!(house.come(Some(&ticket), at(402)).await.unwrap().record().is_some());
            }
        });
    }
}

/// A decision that rested on a change that failed is taken again; what was noticed is told as often as it happened.
#[test]
fn what_is_decided_twice_is_counted_once() {
    let house = SessionHouse::new();
    let ticket = house.visitor();
    house.runtime.block_on(async {
        let (first, second) = (
            house.come(Some(&ticket), at(2)).await.unwrap(),
            house.come(Some(&ticket), at(2)).await.unwrap(),
        );
        let more = SessionChanges { incr: vec![("cart".into(), 1)], ..SessionChanges::default() };
        let mut adds = pin!(house.answer(&second, more, at(3)));
        house.held(|| {
            // Given up before the writer comes to it, and so never written.
            assert!(poll(pin!(house.answer(&first, sets("cart", "none"), at(3)))).is_pending());
            assert!(poll(adds.as_mut()).is_pending(), "answered before anything is on disk");
        });
        adds.await.unwrap();
        assert_eq!(house.manager.headers.events.malformed.get(), 0, "the second time it was a number");
    });
}

fn bench(folder: &TempDir, secrets: &KeySecrets) -> StoreBench {
    StoreBench::new(RecordStore::Disk(disk_store(folder, &rules(), secrets, 1 << 20)), rules())
}

/// Memory lets the session go.
fn let_go(bench: &StoreBench) {
    inner(&bench.store).live_view.let_go(1);
}

#[test]
fn a_session_is_read_from_disk_while_the_writer_is_busy() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), KeySecrets::ephemeral());
    let bench = bench(&folder, &secrets);
    bench.save(seen(1, 1, false, at(1)), &sets("a", "1"), at(1));
    let_go(&bench);
    let found = held(inner(&bench.store), || bench.wait(bench.store.load(id(1), at(2))));
    let Ok(FoundRecord::Live(record)) = found else { panic!("{found:?}") };
    assert_eq!(text(&record, "a"), Some("1".into()));
}

#[test]
fn what_was_read_before_a_change_is_not_served_after_it() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), KeySecrets::ephemeral());
    let bench = bench(&folder, &secrets);
    let live_view = &inner(&bench.store).live_view;
    let old = bench.save(seen(1, 1, false, at(1)), &sets("a", "1"), at(1));
    let mark = live_view.marks.of(1);
    bench.save(seen(1, 1, true, at(2)), &sets("a", "2"), at(2));
    let_go(&bench);
    assert!(matches!(
        live_view.warm(1, &DiskRead { mark, record: Some(Arc::clone(&old)) }),
        Err(OutdatedRead)
    ));
    assert_eq!(text(&bench.live(1, at(3)), "a"), Some("2".into()));
    // When it was last seen is a change too.
    let mark = live_view.marks.of(1);
    let_go(&bench);
    bench.store.touch(id(1), &bench.live(1, at(900)));
    bench.wait(inner(&bench.store).flush());
    let_go(&bench);
    assert!(matches!(
        live_view.warm(1, &DiskRead { mark, record: Some(Arc::clone(&old)) }),
        Err(OutdatedRead)
    ));
    let mark = live_view.marks.of(1);
    bench.wait(bench.store.delete(id(1), revoked(4))).unwrap();
    assert!(
        matches!(live_view.warm(1, &DiskRead { mark, record: Some(old) }), Ok(None)),
        "nor what has ended"
    );
}

/// Set when a thread ends, however it does.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn what_was_acknowledged_is_found_by_every_worker() {
    const CHANGES: u64 = 150;
    let (folder, secrets) = (tempfile::tempdir().unwrap(), KeySecrets::ephemeral());
    let bench = bench(&folder, &secrets);
    let (acknowledged, ended, over) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
    bench.save(seen(1, 1, false, at(1)), &sets("n", "0"), at(1));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                for turn in 0.. {
                    if over.load(Ordering::Acquire) {
                        break;
                    }
                    let (least, gone) = (acknowledged.load(Ordering::Acquire), ended.load(Ordering::Acquire));
                    if turn % 8 == 0 {
                        let_go(&bench);
                    }
                    match runtime.block_on(bench.store.load(id(1), at(2))).unwrap() {
                        FoundRecord::Live(record) => {
                            assert!(!gone, "ended, and served");
                            let n: u64 = text(&record, "n").unwrap().parse().unwrap();
                            assert!(n >= least, "{n}, after {least} was acknowledged");
                        }
                        other => assert_eq!(acknowledged.load(Ordering::Acquire), CHANGES, "{other:?}"),
                    }
                }
            });
        }
        let _end = AtEnd(&over);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        for n in 1..=CHANGES {
            bench.save(seen(1, 1, true, at(1)), &sets("n", &n.to_string()), at(1));
            acknowledged.store(n, Ordering::Release);
        }
        runtime.block_on(bench.store.delete(id(1), revoked(2))).unwrap();
        ended.store(true, Ordering::Release);
        for _ in 0..100 {
            assert!(matches!(runtime.block_on(bench.store.load(id(1), at(2))), Ok(FoundRecord::Ended(_))));
        }
    });
}
