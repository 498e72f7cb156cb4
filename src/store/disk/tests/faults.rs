//! What becomes of sessions whose rows are damaged, whose key is gone, or for which there is no room in memory.

use rusqlite::params;

use super::{MEMORY, Place, flush, inner, read_through, settings};
use crate::{
    crypto::KeySecrets,
    session::{SessionChanges, testing::SeenTicket},
    store::{
        AppliedChange, DiskStore, FoundRecord, RecordStore,
        tests::conformance::{StoreBench, at, disk_store, id, login, seen, sets, text},
    },
};

#[test]
fn corrupt_id_leaves_no_spent_ticket_alive() {
    let place = Place::new();
    let bench = place.open();
    for number in 1..=6 {
        bench.save(seen(number * 256, 1, false, at(1)), &login("alice"), at(1));
    }
    drop(bench);
    // One bit, and it is in its place still.
    let sql = place.sql();
    let moved = sql.execute(
        "UPDATE sessions SET id = ? WHERE id = ?",
        params![id(3 * 256 + 1).as_bytes(), id(3 * 256).as_bytes()],
    );
    assert_eq!(moved, Ok(1));
    drop(sql);
    let later = super::super::DiskSettings { now: at(10), ..settings(&place, place.folder.path()) };
    let bench =
        StoreBench::new(RecordStore::Disk(DiskStore::open(&later, || {}).unwrap()), place.rules.clone());
    // At once, although no row was opened yet: the ticket from before the login was spent by it.
    let before = SeenTicket { stamped: at(1), ..seen(3 * 256, 1, false, at(11)) };
    let late = bench.apply(before, &sets("a", "1"), at(11));
    assert!(matches!(late, Ok(AppliedChange::Straggler)), "{late:?}");
    let fresh = SeenTicket { stamped: at(11), ..seen(9 * 256, 1, false, at(11)) };
    bench.save(fresh, &sets("a", "1"), at(11));
    read_through(&bench, 1);
    assert_eq!(bench.live(4 * 256, at(11)).principal.as_deref(), Some("alice"));
    drop(bench);
    let much_later = super::super::DiskSettings { now: at(20), ..settings(&place, place.folder.path()) };
    assert_eq!(DiskStore::open(&much_later, || {}).unwrap().floor(), at(11), "once");
}

#[test]
fn a_session_that_is_not_there_any_more_is_missed() {
    let place = Place::new();
    let bench = place.open();
    for number in [1, 2] {
        bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
    }
    place.sql().execute("DELETE FROM sessions WHERE id = ?", [id(1).as_bytes()]).unwrap();
    inner(&bench).live_view.let_go(1);
    assert!(matches!(bench.load(1, at(2)), FoundRecord::Ended(_)));
    assert_eq!(inner(&bench).health().damaged, 1);
    assert_eq!(bench.live(2, at(2)).principal.as_deref(), Some("alice"));
    drop(bench);
    assert!(matches!(place.open().load(1, at(2)), FoundRecord::Ended(_)), "and that is known from now on");
}

#[test]
fn rows_are_resealed_and_locked_rows_kept() {
    let place = Place::new();
    let serve = |secrets: &KeySecrets| {
        let disk = disk_store(&place.folder, &place.rules, secrets, MEMORY);
        StoreBench::new(RecordStore::Disk(disk), place.rules.clone())
    };
    let [one, two] = [[1; 32], [2; 32]];
    let bench = serve(&KeySecrets::new(one, []));
    for number in 1..=300 {
        bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
    }
    drop(bench);
    // No row can be written: the old key goes too early.
    place
        .sql()
        .execute_batch("CREATE TRIGGER no BEFORE UPDATE ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    let through = |bench: &StoreBench| {
        while inner(bench).health().is_warming {
            flush(bench);
        }
    };
    through(&serve(&KeySecrets::new(two, [one])));
    place.sql().execute_batch("DROP TRIGGER no").unwrap();
    let bench = serve(&KeySecrets::new(two, []));
    through(&bench);
    assert_eq!((inner(&bench).health().locked, inner(&bench).health().damaged), (300, 0));
    assert!(matches!(bench.load(7, at(2)), FoundRecord::Over(_)), "a stranger's, for the time being");
    drop(bench);
    let bench = serve(&KeySecrets::new(two, [one]));
    assert_eq!(bench.live(7, at(2)).principal.as_deref(), Some("alice"), "the key is back");
    through(&bench);
    drop(bench);
    // By now the old key is needed for nothing.
    let bench = serve(&KeySecrets::new(two, []));
    through(&bench);
    assert_eq!(inner(&bench).health().locked, 0);
    for number in 1..=300 {
        assert_eq!(bench.live(number, at(3)).principal.as_deref(), Some("alice"));
    }
    // And is no excuse for a row that is damaged.
    drop(bench);
    let sql = place.sql();
    let row: Vec<u8> =
        sql.query_row("SELECT row FROM sessions WHERE id = ?", [id(7).as_bytes()], |r| r.get(0)).unwrap();
    let bent: Vec<u8> = row.iter().enumerate().map(|(at, b)| if at == 1 { b ^ 1 } else { *b }).collect();
    sql.execute("UPDATE sessions SET row = ? WHERE id = ?", params![bent, id(7).as_bytes()]).unwrap();
    drop(sql);
    read_through(&serve(&KeySecrets::new(two, [])), 1);
}

#[test]
fn what_memory_has_room_for_is_found_without_reading_the_disk() {
    let place = Place::new();
    // Room for a hundred that are in use, and for four hundred more that are packed.
    let little = 200 << 10;
    let bench = place.open_with(little);
    for number in 1..=300 {
        let changes = SessionChanges {
            principal: login(&format!("p{number}")).principal,
            ..sets("n", &number.to_string())
        };
        bench.save(seen(number, 1, false, at(1)), &changes, at(1));
    }
    let at_hand = |bench: &StoreBench| {
        for _ in 0..1000 {
            inner(bench).live_view.sweep(at(1));
            flush(bench);
            if !inner(bench).health().is_warming && (1..=300).all(|id| inner(bench).live_view.is_at_hand(id))
            {
                return;
            }
        }
        panic!("{:?}", inner(bench).health());
    };
    at_hand(&bench);
    // Whoever were to look at the disk would find nothing but damage.
    let spoil = |table: &str, rows: &str| {
        let sql = format!("CREATE TABLE {table} AS SELECT id, row FROM sessions; {rows}");
        place.sql().execute_batch(&sql).unwrap();
    };
    spoil("before", "UPDATE sessions SET row = x'00'");
    let packed: Vec<u128> = (1..=300).filter(|id| inner(&bench).live_view.known.holds(*id)).collect();
    assert!(packed.len() > 100, "{}", packed.len());
    for number in packed {
        let record = bench.live(number, at(2));
        assert_eq!(text(&record, "n"), Some(number.to_string()));
        assert_eq!(record.principal, Some(format!("p{number}").into()));
    }
    assert_eq!(inner(&bench).health().damaged, 0);
    drop(bench);
    let restore =
        "UPDATE sessions SET row = (SELECT row FROM before WHERE before.id = sessions.id); DROP TABLE before";
    place.sql().execute_batch(restore).unwrap();

    // The same after a start.
    let bench = place.open();
    at_hand(&bench);
    spoil("before", "UPDATE sessions SET row = x'00'");
    for number in 1..=300 {
        assert_eq!(text(&bench.live(number, at(2)), "n"), Some(number.to_string()));
    }
    assert_eq!(inner(&bench).health().damaged, 0);
}

#[test]
fn a_damaged_row_is_lost_and_no_other() {
    let place = Place::new();
    let bench = place.open();
    for number in 1..=6 {
        bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
    }
    drop(bench);
    let sql = place.sql();
    let row: Vec<u8> =
        sql.query_row("SELECT row FROM sessions WHERE id = ?", [id(1).as_bytes()], |r| r.get(0)).unwrap();
    let mut bent = row.clone();
    bent[row.len() / 2] ^= 4;
    let change = |what: &str, value: &dyn rusqlite::ToSql, number: u128| {
        sql.execute(
            &format!("UPDATE sessions SET {what} = ? WHERE id = ?"),
            params![value, id(number).as_bytes()],
        )
        .unwrap();
    };
    change("row", &bent, 1);
    // Another's row under this id; a principal, a time and an id that were bent.
    change("row", &row, 2);
    change("who", &[7_u8; 16], 3);
    change("until", &at(1).0.cast_signed(), 4);
    change("id", &id(77).as_bytes(), 5);
    drop(sql);
    let bench = place.open();
    read_through(&bench, 5);
    assert!(matches!(bench.load(5, at(2)), FoundRecord::Nothing));
    let tell = |bench: &StoreBench| {
        for number in [1, 2, 3, 4, 77] {
            assert!(matches!(bench.load(number, at(2)), FoundRecord::Ended(_)), "{number}");
            // The ticket from before the login may be another's, and leads nowhere still.
            let late = bench.apply(seen(number, 1, false, at(2)), &sets("a", "1"), at(2));
            assert!(matches!(late, Ok(AppliedChange::Straggler)), "{late:?}");
        }
    };
    tell(&bench);
    assert_eq!(bench.live(6, at(2)).principal.as_deref(), Some("alice"));
    drop(bench);
    let kept: u32 = place.sql().query_row("SELECT count(*) FROM damaged", [], |r| r.get(0)).unwrap();
    assert_eq!(kept, 5, "set aside");
    let bench = place.open();
    tell(&bench);
    assert_eq!(bench.store.len(), 1);
}
