//! What rests on another request's change waits until that is on disk, and when that fails it is decided again.

use std::{
    pin::{Pin, pin},
    sync::mpsc,
    task::{Context, Poll, Waker},
    thread,
};

use tokio::sync::oneshot;

use super::super::{DiskStore, queue::WriterOrder};
use crate::{
    crypto::KeySecrets,
    session::{
        SessionChanges, SessionHeaders,
        testing::{NextTickets, PendingChange},
    },
    store::{
        AppliedChange, FoundRecord, RecordStore, StoreError,
        tests::conformance::{
            StoreBench, at, disk_store, id, login, revoked, rules, seen, sets, text, update,
        },
    },
};

pub(in crate::store::disk) fn inner(store: &RecordStore) -> &DiskStore {
    match store {
        RecordStore::Disk(disk) => disk,
        RecordStore::Memory(_) => panic!("not on disk"),
    }
}

/// While the writer stands still, at a session that nobody else asks for.
pub(in crate::store::disk) fn held<T>(disk: &DiskStore, act: impl FnOnce() -> T) -> T {
    const NOBODY: u128 = u128::MAX;
    let ((locked, is_locked), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    thread::scope(|scope| {
        scope.spawn(move || {
            disk.live_view.forget(NOBODY, None, || {
                locked.send(()).unwrap();
                // Ends when the other end is dropped.
                released.recv().is_ok()
            });
        });
        is_locked.recv().unwrap();
        disk.live_view.queue.push(WriterOrder::Read(NOBODY, oneshot::channel().0));
        let outcome = act();
        drop(release);
        outcome
    })
}

pub(in crate::store::disk) fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Two at once; the first is given up before the writer came to it. What the second is told.
fn given_up<T>(bench: &StoreBench, first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    bench.wait(async {
        let mut second = pin!(second);
        held(inner(&bench.store), || {
            assert!(poll(pin!(first)).is_pending());
            assert!(poll(second.as_mut()).is_pending(), "answered before anything is on disk");
        });
        second.await
    })
}

/// The same change in two answers at once.
fn twice(bench: &StoreBench, secret: u8, changes: &SessionChanges) -> Result<AppliedChange, StoreError> {
    let headers = SessionHeaders::new(&bench.rules).unwrap();
    let next = [50, 51].map(|next| NextTickets::hashed([next; 32], [200; 32]));
    let apply = |next| PendingChange {
        seen: seen(1, secret, true, at(2)),
        changes,
        next,
        has_past_views: true,
        now: at(3),
        rules: &bench.rules,
        headers: &headers,
        size_limit: None,
    };
    let [first, second] = next.each_ref().map(apply);
    given_up(bench, update(&bench.store, &first), update(&bench.store, &second)).map(|result| result.change)
}

fn bench(folder: &tempfile::TempDir, secrets: &KeySecrets) -> StoreBench {
    StoreBench::new(RecordStore::Disk(disk_store(folder, &rules(), secrets, 64 << 20)), rules())
}

#[test]
fn a_second_logout_counts_although_the_first_failed() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), KeySecrets::ephemeral());
    let bench_1 = bench(&folder, &secrets);
    bench_1.save(seen(1, 1, false, at(1)), &login("alice"), at(1));
    let told = twice(&bench_1, 2, &SessionChanges { destroy: true, ..SessionChanges::default() });
    assert!(matches!(told, Ok(AppliedChange::Ended)), "{told:?}");
    drop(bench_1);
    assert!(matches!(bench(&folder, &secrets).load(1, at(4)), FoundRecord::Ended(_)));
}

#[test]
fn same_change_is_written_again_after_a_failed_write() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), KeySecrets::ephemeral());
    let bench = bench(&folder, &secrets);
    bench.save(seen(1, 1, false, at(1)), &sets("a", "0"), at(1));
    let told = twice(&bench, 1, &sets("a", "paid"));
    assert!(matches!(told, Ok(AppliedChange::Saved { .. })), "{told:?}");
    assert_eq!(text(&bench.live(1, at(4)), "a"), Some("paid".into()));
}

#[test]
fn a_ticket_is_not_spent_by_a_renewal_that_failed() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), KeySecrets::ephemeral());
    let bench = bench(&folder, &secrets);
    bench.save(seen(1, 1, false, at(1)), &sets("a", "0"), at(1));
    let told = twice(&bench, 1, &SessionChanges { renew: true, ..SessionChanges::default() });
    assert!(matches!(told, Ok(AppliedChange::Saved { renewed: true, .. })), "{told:?}");
    assert_eq!(bench.live(1, at(4)).secret, [51; 32]);
}

#[test]
fn a_second_logout_everywhere_counts_although_the_first_failed() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), KeySecrets::ephemeral());
    let bench = bench(&folder, &secrets);
    for number in 1..=3 {
        bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
    }
    let everywhere = || bench.store.delete_all_of("hshop.test", "alice", revoked(3));
    assert_eq!(given_up(&bench, everywhere(), everywhere()), Ok(3));
    for number in 1..=3 {
        assert!(matches!(bench.load(number, at(4)), FoundRecord::Ended(_)));
    }
    assert!(bench.store.of("hshop.test", "alice").is_empty());
}

#[test]
fn what_settles_meanwhile_is_answered_as_it_was_decided() {
    let (folder, secrets) = (tempfile::tempdir().unwrap(), KeySecrets::ephemeral());
    let bench = bench(&folder, &secrets);
    bench.save(seen(1, 1, false, at(1)), &login("alice"), at(1));
    bench.wait(async {
        let mut first = pin!(bench.store.delete(id(1), revoked(3)));
        let mut settled = pin!(bench.store.settled(id(1)));
        held(inner(&bench.store), || {
            assert!(poll(first.as_mut()).is_pending() && poll(settled.as_mut()).is_pending());
        });
        assert_eq!((first.await, settled.await), (Ok(true), Ok(true)));
    });
    assert_eq!(bench.wait(bench.store.settled(id(1))), Ok(true), "nothing is under way");
}
