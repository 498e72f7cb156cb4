//! What every kind of store does alike, as sentences that each of them runs. The time is handed in, so it can be wound
//! forward.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::super::{
    AppliedChange, DiskStore, FoundRecord, MemoryStore, RecordStore, StoreError, UpdateResult,
    disk::{self, DiskSettings},
};
use crate::{
    clock::{self, Timestamp},
    config::{Config, Durability, OnTooMany, SessionConfig},
    crypto::KeySecrets,
    record::{
        EndReason, FieldValue, NetworkTag, Realm, Record, SessionEnd,
        jar::{JarChange, JarCookie, RequestSite, SettingScope},
    },
    session::{
        SessionChanges, SessionHeaders,
        testing::{NextTickets, PendingChange, SeenTicket, VisitorNetwork, decide},
    },
};

/// When the tests begin: so late that no thread in the background takes anything for over by the time of day.
pub(in crate::store) const START: Timestamp = Timestamp(4_000_000_000_000);

/// A store and what an apply needs beside it.
pub(in crate::store) struct StoreBench {
    pub store: RecordStore,
    pub rules: SessionConfig,
    headers: SessionHeaders,
    runtime: Runtime,
}

/// The default rules.
pub(in crate::store) fn rules() -> SessionConfig {
    Config::from_flags("127.0.0.1:1", "http://127.0.0.1:2").unwrap().session
}

/// An operator ends it then.
pub(in crate::store) fn revoked(seconds: u64) -> SessionEnd {
    SessionEnd { at: at(seconds), by: EndReason::Operator }
}

pub(in crate::store) fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(in crate::store) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// The record as a request was shown it: nobody is logged in, and nothing is stored.
static SHOWN: LazyLock<Record> =
    LazyLock::new(|| Record::new(("hshop.test".into(), id(1)), [1; 32], START, START, true));

/// How a visitor's request stands to a session: its secret is `[secret; 32]`.
pub(in crate::store) fn seen(number: u128, secret: u8, record: bool, now: Timestamp) -> SeenTicket<'static> {
    SeenTicket {
        id: id(number),
        realm: Realm::Host("shop.test"),
        secret: [secret; 32],
        network: VisitorNetwork::Known(NetworkTag(1)),
        minted: START,
        record: record.then_some(&*SHOWN),
        confirmed: true,
        began: now,
        stamped: now,
        instead: None,
    }
}

pub(in crate::store) fn sets(name: &str, value: &str) -> SessionChanges {
    SessionChanges { set: vec![(name.into(), FieldValue::Text(value.into()))], ..SessionChanges::default() }
}

pub(in crate::store) fn login(name: &str) -> SessionChanges {
    SessionChanges { principal: Some(Some(name.into())), ..SessionChanges::default() }
}

/// A change, as sessions decide on it.
pub(in crate::store) async fn update(
    store: &RecordStore,
    apply: &PendingChange<'_>,
) -> Result<UpdateResult, StoreError> {
    let principal = apply.principal();
    let decide = |found: &FoundRecord| decide(found, apply);
    store.update(&apply.request(principal.as_ref(), &decide)).await
}

impl StoreBench {
    pub(in crate::store) fn new(store: RecordStore, rules: SessionConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let headers = SessionHeaders::new(&rules).unwrap();
        Self { store, rules, headers, runtime }
    }

    pub(in crate::store) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            tokio::select! {
                outcome = future => outcome,
                // What waits too long gives up, and fails.
                () = clock::drive() => unreachable!("time goes on"),
            }
        })
    }

    pub(in crate::store) fn apply(
        &self,
        seen: SeenTicket<'_>,
        changes: &SessionChanges,
        now: Timestamp,
    ) -> Result<AppliedChange, StoreError> {
        let next = NextTickets::hashed([seen.secret[0] + 1; 32], [200; 32]);
        let apply = PendingChange {
            seen,
            changes,
            next: &next,
            has_past_views: true,
            now,
            rules: &self.rules,
            headers: &self.headers,
            size_limit: None,
        };
        self.wait(update(&self.store, &apply)).map(|result| result.change)
    }

    /// Saves, and gives the record.
    pub(in crate::store) fn save(
        &self,
        seen: SeenTicket<'_>,
        changes: &SessionChanges,
        now: Timestamp,
    ) -> Arc<Record> {
        match self.apply(seen, changes, now) {
            Ok(AppliedChange::Saved { record, .. }) => record,
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::store) fn load(&self, number: u128, now: Timestamp) -> FoundRecord {
        self.wait(self.store.load(id(number), now)).unwrap()
    }

    pub(in crate::store) fn live(&self, number: u128, now: Timestamp) -> Arc<Record> {
        match self.load(number, now) {
            FoundRecord::Live(record) => record,
            other => panic!("{other:?}"),
        }
    }

    fn of(&self, principal: &str) -> Vec<u128> {
        self.store.of("hshop.test", principal).iter().map(Uuid::as_u128).collect()
    }
}

pub(in crate::store) fn text(record: &Record, field: &str) -> Option<String> {
    record.fields.get(field).map(|value| value.text().to_owned())
}

/// A disk store in a folder.
pub(in crate::store) fn disk_store(
    folder: &TempDir,
    rules: &SessionConfig,
    secrets: &KeySecrets,
    max_bytes: u64,
) -> DiskStore {
    open(folder, rules, secrets, max_bytes).unwrap()
}

pub(in crate::store) fn open(
    folder: &TempDir,
    rules: &SessionConfig,
    secrets: &KeySecrets,
    max_bytes: u64,
) -> Result<DiskStore, disk::OpenError> {
    let settings = DiskSettings {
        folder: folder.path(),
        durability: Durability::Group,
        commit_timeout: Duration::from_secs(5),
        max_bytes,
        max_disk_bytes: None,
        secrets,
        rules,
        now: START,
    };
    DiskStore::open(&settings, || {})
}

/// Runs a sentence against every kind.
fn every_kind(adjust: impl Fn(&mut SessionConfig), sentence: impl Fn(&StoreBench)) {
    let mut rules = rules();
    adjust(&mut rules);
    sentence(&StoreBench::new(
        RecordStore::Memory(Box::new(MemoryStore::new(64 << 20, &rules, START))),
        rules.clone(),
    ));
    let folder = tempfile::tempdir().unwrap();
    let secrets = KeySecrets::ephemeral();
    sentence(&StoreBench::new(
        RecordStore::Disk(disk_store(&folder, &rules, &secrets, 64 << 20)),
        rules.clone(),
    ));
    // With memory for two records or three, nearly all is read from disk.
    let folder = tempfile::tempdir().unwrap();
    sentence(&StoreBench::new(RecordStore::Disk(disk_store(&folder, &rules, &secrets, 4096)), rules));
}

#[test]
fn what_was_saved_is_found_and_nothing_else() {
    every_kind(
        |_| {},
        |bench| {
            assert!(matches!(bench.load(1, at(0)), FoundRecord::Nothing));
            for number in 1..20 {
                bench.save(seen(number, 1, false, at(1)), &sets("n", &number.to_string()), at(1));
            }
            for number in 1..20 {
                let record = bench.live(number, at(2));
                assert_eq!(text(&record, "n"), Some(number.to_string()));
                assert_eq!((record.version, record.id, record.secret), (1, id(number), [1; 32]));
            }
            assert!(matches!(bench.load(99, at(2)), FoundRecord::Nothing));
            assert!(matches!(
                bench.apply(seen(99, 1, false, at(2)), &SessionChanges::default(), at(2)),
                Ok(AppliedChange::Nothing)
            ));
        },
    );
}

#[test]
fn changes_meet_the_record_as_it_is_now() {
    every_kind(
        |_| {},
        |bench| {
            bench.save(seen(1, 1, false, at(1)), &sets("a", "1"), at(1));
            bench.save(seen(1, 1, true, at(1)), &sets("b", "2"), at(2));
            let record = bench.live(1, at(2));
            assert_eq!((text(&record, "a"), text(&record, "b")), (Some("1".into()), Some("2".into())));
            let old = SessionChanges { if_version: Some(1), ..sets("c", "3") };
            assert!(matches!(bench.apply(seen(1, 1, true, at(3)), &old, at(3)), Ok(AppliedChange::Conflict)));
            assert!(matches!(
                bench.apply(seen(1, 9, true, at(3)), &sets("c", "3"), at(3)),
                Ok(AppliedChange::Straggler)
            ));
            assert_eq!(text(&bench.live(1, at(3)), "c"), None);
        },
    );
}

#[test]
fn a_login_spends_the_ticket_and_the_old_one_is_a_straggler() {
    every_kind(
        |_| {},
        |bench| {
            bench.save(seen(1, 1, false, at(1)), &sets("cart", "42"), at(1));
            let record = bench.save(seen(1, 1, true, at(2)), &login("alice"), at(2));
            assert_eq!((record.secret, record.principal.as_deref()), ([2; 32], Some("alice")));
            assert!(matches!(
                bench.apply(seen(1, 1, true, at(3)), &sets("a", "1"), at(3)),
                Ok(AppliedChange::Straggler)
            ));
            assert_eq!(text(&bench.live(1, at(3)), "cart"), Some("42".into()));
            assert_eq!(bench.of("alice"), [1]);
            assert!(bench.store.of("hbank.test", "alice").is_empty());
        },
    );
}

/// A cookie of the app's, set by a script.
fn sets_cookie(value: &str) -> SessionChanges {
    let setting =
        SettingScope { host: "shop.test", path: "/", https: false, from: RequestSite::SameSite, owner: None };
    let cookie = JarCookie::read(format!("sid={value}").as_bytes(), &setting, START).unwrap();
    let change = JarChange { cookie, https: false, renews: true, begins: false, ends: false };
    SessionChanges { jar: vec![change], keeps_old_ticket: true, ..SessionChanges::default() }
}

#[test]
fn session_as_it_was_is_held_for_the_old_secret_alone() {
    every_kind(
        |_| {},
        |bench| {
            let value = |record: &Record| record.jar.logins().next().map(|cookie| cookie.value.to_vec());
            let begins = SeenTicket { confirmed: false, ..seen(1, 1, false, at(1)) };
            let secret = bench.save(begins, &sets_cookie("before"), at(1)).secret;
            assert!(bench.store.past(id(1), &secret).is_none());
            let shown = SeenTicket { secret, ..seen(1, 1, true, at(2)) };
            let record = bench.save(shown, &sets_cookie("after"), at(2));
            assert_eq!((record.secret, value(&record)), ([200; 32], Some(b"after".to_vec())));
            let past = |secret| bench.store.past(id(1), &secret);
            assert_eq!(past(secret).and_then(|view| value(&view)), Some(b"before".to_vec()));
            assert!(past([200; 32]).is_none() && past([77; 32]).is_none());
            // What is changed under the old one now is the session's, and the view stays as it was.
            bench.save(shown, &sets_cookie("later"), at(3));
            assert_eq!(value(&bench.live(1, at(3))), Some(b"later".to_vec()));
            assert_eq!(past(secret).and_then(|view| value(&view)), Some(b"before".to_vec()));
            assert!(bench.wait(bench.store.delete(id(1), revoked(4))).unwrap());
            assert!(past(secret).is_none(), "of what has ended nothing is shown");
        },
    );
}

#[test]
fn what_ended_stays_ended() {
    every_kind(
        |_| {},
        |bench| {
            bench.save(seen(1, 1, false, at(1)), &login("alice"), at(1));
            let destroy = SessionChanges { destroy: true, ..SessionChanges::default() };
            assert!(matches!(
                bench.apply(seen(1, 2, true, at(2)), &destroy, at(2)),
                Ok(AppliedChange::Ended)
            ));
            assert!(
                matches!(bench.load(1, at(3)), FoundRecord::Ended(end) if end == SessionEnd { at: at(2), by: EndReason::App })
            );
            for record in [true, false] {
                let late = bench.apply(seen(1, 2, record, at(3)), &login("alice"), at(3));
                assert!(matches!(late, Ok(AppliedChange::Straggler)), "{late:?}");
            }
            assert_eq!(bench.of("alice"), [0; 0]);
            assert!(
                !bench.wait(bench.store.delete(id(1), revoked(4))).unwrap(),
                "ending what has ended is no error"
            );
            assert!(
                matches!(bench.load(1, at(4)), FoundRecord::Ended(end) if end.by == EndReason::App),
                "what ended it first is what it ended by"
            );
            // One that has no record, and so could be given one.
            assert!(!bench.wait(bench.store.delete(id(2), revoked(4))).unwrap());
            let late = bench.apply(seen(2, 1, false, at(5)), &sets("a", "1"), at(5));
            assert!(matches!(late, Ok(AppliedChange::Straggler)), "{late:?}");
        },
    );
}

#[test]
fn sessions_end_when_nobody_comes_and_a_request_prolongs_them() {
    every_kind(
        |_| {},
        |bench| {
            bench.save(seen(1, 1, false, at(0)), &sets("a", "1"), at(0));
            let idle = bench.rules.plain.idle_timeout.as_secs();
            let record = bench.live(1, at(idle - 1));
            assert!(record.seen(at(idle - 1), 60_000));
            bench.store.touch(id(1), &record);
            assert!(matches!(bench.load(1, at(idle + 1)), FoundRecord::Live(_)));
            assert!(
                matches!(bench.load(1, at(2 * idle)), FoundRecord::Over(end) if end.by == EndReason::Idle)
            );
            let late = bench.apply(seen(1, 1, true, at(2 * idle)), &sets("a", "2"), at(2 * idle));
            assert!(matches!(late, Ok(AppliedChange::Straggler)), "{late:?}");
        },
    );
}

#[test]
fn principal_is_logged_out_with_logins_under_way() {
    every_kind(
        |_| {},
        |bench| {
            for number in 1..=5 {
                bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
            }
            bench.save(seen(9, 1, false, at(1)), &login("bob"), at(1));
            assert_eq!(bench.of("alice"), [1, 2, 3, 4, 5]);
            let count = bench.wait(bench.store.delete_all_of("hshop.test", "alice", revoked(10))).unwrap();
            assert_eq!((count, bench.of("alice").len(), bench.of("bob").len()), (5, 0, 1));
            for number in 1..=5 {
                assert!(matches!(bench.load(number, at(11)), FoundRecord::Ended(end) if end == revoked(10)));
            }
            let late = bench.apply(seen(6, 1, false, at(9)), &login("alice"), at(11));
            assert!(matches!(late, Ok(AppliedChange::Denied)), "{late:?}");
            assert!(matches!(bench.load(6, at(11)), FoundRecord::Nothing));
            bench.save(seen(7, 1, false, at(12)), &login("alice"), at(12));
            let everyone = SessionChanges { destroy_principal: true, ..SessionChanges::default() };
            assert!(matches!(
                bench.apply(seen(7, 2, true, at(13)), &everyone, at(13)),
                Ok(AppliedChange::Ended)
            ));
            assert_eq!(bench.of("alice"), [0; 0]);
        },
    );
}

#[test]
fn of_too_many_sessions_the_oldest_goes() {
    every_kind(
        |rules| rules.max_sessions_per_principal = Some(2),
        |bench| {
            for number in 1..=4 {
                let now = at(u64::try_from(number).unwrap());
                bench.save(seen(number, 1, false, now), &login("alice"), now);
            }
            assert_eq!(bench.of("alice"), [3, 4]);
            assert!(matches!(bench.load(1, at(5)), FoundRecord::Ended(end) if end.by == EndReason::Limit));
            // What is over does not count, although nobody has swept it.
            let late = 5 + bench.rules.plain.idle_timeout.as_secs();
            bench.save(seen(5, 1, false, at(late)), &login("alice"), at(late));
            assert_eq!(bench.of("alice"), [5]);
        },
    );
}

#[test]
fn of_too_many_sessions_the_newest_is_refused() {
    every_kind(
        |rules| (rules.max_sessions_per_principal, rules.on_too_many) = (Some(1), OnTooMany::Refuse),
        |bench| {
            bench.save(seen(1, 1, false, at(1)), &login("alice"), at(1));
            let more = bench.apply(seen(2, 1, false, at(2)), &login("alice"), at(2));
            assert_eq!(more.err(), Some(StoreError::TooManySessions));
            assert!(matches!(bench.load(2, at(2)), FoundRecord::Nothing));
        },
    );
}

#[test]
fn tickets_older_than_the_store_need_a_record() {
    every_kind(
        |_| {},
        |bench| {
            assert_eq!(bench.store.floor(), START);
            let before = Timestamp(START.0 - 5000);
            let old = SeenTicket { stamped: before, ..seen(1, 1, false, at(1)) };
            let outcome = bench.apply(old, &sets("a", "1"), at(1));
            assert!(matches!(outcome, Ok(AppliedChange::Straggler)), "{outcome:?}");
        },
    );
}

#[test]
fn two_hundred_additions_at_once_are_their_sum() {
    every_kind(
        |_| {},
        |bench| {
            let adds = SessionChanges { incr: vec![("n".into(), 1)], ..SessionChanges::default() };
            bench.save(seen(1, 1, false, at(1)), &adds, at(1));
            let apply = PendingChange {
                seen: seen(1, 1, true, at(1)),
                changes: &adds,
                next: &NextTickets::hashed([2; 32], [200; 32]),
                has_past_views: true,
                now: at(1),
                rules: &bench.rules,
                headers: &bench.headers,
                size_limit: None,
            };
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let runtime =
                            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                        runtime.block_on(async {
                            for _ in 0..50 {
                                update(&bench.store, &apply).await.unwrap();
                            }
                        });
                    });
                }
            });
            assert_eq!(text(&bench.live(1, at(1)), "n"), Some("201".into()));
            assert_eq!(bench.store.len(), 1);
        },
    );
}

#[test]
fn page_by_page_every_session_with_data_is_there_once() {
    every_kind(
        |_| {},
        |bench| {
            for number in 1..=25 {
                bench.save(seen(number * 256, 1, false, at(1)), &sets("a", "1"), at(1));
            }
            bench.save(seen(3 * 256, 1, true, at(2)), &login("alice"), at(2));
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let page = bench.store.page(after, 10);
                after = page.last().copied();
                if page.is_empty() {
                    break;
                }
                all.extend(page);
            }
            assert_eq!(all, (1..=25).map(|number| id(number * 256)).collect::<Vec<_>>());
        },
    );
}
