//! Every statement, and how columns are read. A bit that flipped may have made another type of a column, and that must
//! not end a whole scan: such a row does not open.

use rusqlite::{OptionalExtension, params, types::ValueRef};

use super::{file::DatabaseFile, row::RowColumns};
use crate::{
    clock::Timestamp,
    record::{EndReason, SessionEnd},
};

/// A row and what stands beside it.
pub(in crate::store) struct StoredRow {
    pub id: u128,
    pub beside: RowColumns,
    pub row: Vec<u8>,
}

impl DatabaseFile {
    /// Whether it is new.
    pub(in crate::store) fn put(&self, stored: &StoredRow) -> rusqlite::Result<bool> {
        const OLD: &str = "UPDATE sessions SET until = ?2, since = ?3, who = ?4, row = ?5 WHERE id = ?1";
        const NEW: &str = "INSERT INTO sessions (id, until, since, who, row) VALUES (?1, ?2, ?3, ?4, ?5)";
        let RowColumns { until, since, who } = stored.beside;
        let (id, who) = (blob(stored.id), who.map(u128::to_be_bytes));
        let values = params![id, until.cast_signed(), since.cast_signed(), who, stored.row];
        // Update before insert: most writes are changes, and the count of rows must tell the two
        // apart (REPLACE does not).
        let known = self.connection.prepare_cached(OLD)?.execute(values)? > 0;
        if !known {
            self.connection.prepare_cached(NEW)?.execute(values)?;
        }
        Ok(!known)
    }

    /// Whether there was one.
    pub(super) fn remove(&self, id: u128) -> rusqlite::Result<bool> {
        let rows =
            self.connection.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([blob(id)])?;
        Ok(rows > 0)
    }

    pub(in crate::store) fn get(&self, id: u128) -> rusqlite::Result<Option<StoredRow>> {
        const SQL: &str = "SELECT until, since, who, row FROM sessions WHERE id = ?";
        let row = |row: &rusqlite::Row<'_>| {
            Ok(StoredRow { id, beside: columns(row, [0, 1, 2])?, row: bytes(row.get_ref(3)?) })
        };
        self.connection.prepare_cached(SQL)?.query_row([blob(id)], row).optional()
    }

    /// At most so many rows after this id, in the order of ids.
    pub(in crate::store) fn after(&self, id: Option<u128>, most: usize) -> rusqlite::Result<Vec<StoredRow>> {
        const SQL: &str = "SELECT id, until, since, who, row FROM sessions WHERE id > ? ORDER BY id LIMIT ?";
        self.lot(SQL, &id.map_or_else(Vec::new, |id| blob(id).to_vec()), most)
    }

    /// The same from this id down.
    pub(super) fn before(&self, id: Option<u128>, most: usize) -> rusqlite::Result<Vec<StoredRow>> {
        const SQL: &str =
            "SELECT id, until, since, who, row FROM sessions WHERE id < ? ORDER BY id DESC LIMIT ?";
        self.lot(SQL, &id.map_or_else(|| vec![0xff; 17], |id| blob(id).to_vec()), most)
    }

    fn lot(&self, sql: &str, from: &[u8], most: usize) -> rusqlite::Result<Vec<StoredRow>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_map(params![from, i64::try_from(most).unwrap_or(i64::MAX)], stored)?.collect()
    }

    /// Row by row, as they lie there; the inner result says whether all could be read.
    pub(super) fn each<E>(
        &self,
        mut visit: impl FnMut(StoredRow) -> Result<(), E>,
    ) -> Result<rusqlite::Result<()>, E> {
        let mut statement = match self.connection.prepare("SELECT id, until, since, who, row FROM sessions") {
            Ok(statement) => statement,
            Err(error) => return Ok(Err(error)),
        };
        let mut rows = match statement.query([]) {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match rows.next().and_then(|row| row.map(stored).transpose()) {
                Ok(Some(stored)) => visit(stored)?,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Each id and what stands beside it.
    pub(super) fn scan(&self) -> rusqlite::Result<Vec<(u128, RowColumns)>> {
        let mut statement =
            self.connection.prepare("SELECT id, until, since, who FROM sessions ORDER BY id")?;
        let row = |row: &rusqlite::Row<'_>| Ok((number(row.get_ref(0)?), columns(row, [1, 2, 3])?));
        statement.query_map([], row)?.collect()
    }

    pub(in crate::store) fn add_tombstone(&self, id: u128, end: SessionEnd) -> rusqlite::Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO ended (id, at) VALUES (?, ?)";
        self.connection.prepare_cached(SQL)?.execute(params![blob(id), end_column(end)]).map(drop)
    }

    pub(super) fn ended(&self, id: u128) -> rusqlite::Result<Option<SessionEnd>> {
        let mut statement = self.connection.prepare_cached("SELECT at FROM ended WHERE id = ?")?;
        statement.query_row([blob(id)], |row| Ok(end(row.get_ref(0)?))).optional()
    }

    /// Each tombstone.
    pub(in crate::store) fn tombstones(
        &self,
        mut each: impl FnMut(u128, SessionEnd),
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare("SELECT at, id FROM ended")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(number(row.get_ref(1)?), end(row.get_ref(0)?));
        }
        Ok(())
    }

    /// How many rows were set aside.
    pub(super) fn aside(&self) -> rusqlite::Result<u64> {
        self.connection.query_row("SELECT count(*) FROM damaged", [], |row| row.get(0))
    }

    /// Whether there are tombstones that are older than this.
    pub(super) fn has_tombstones_before(&self, before: Timestamp) -> rusqlite::Result<bool> {
        let mut statement = self.connection.prepare_cached("SELECT 1 FROM ended WHERE at < ? LIMIT 1")?;
        statement.exists([before.0.cast_signed()])
    }

    /// Takes out tombstones that are older than this.
    pub(super) fn remove_tombstones_before(&self, before: Timestamp) -> rusqlite::Result<usize> {
        self.connection.prepare_cached("DELETE FROM ended WHERE at < ?")?.execute([before.0.cast_signed()])
    }

    /// A row that cannot be opened is set aside, and never looked at again. Whether it was there.
    pub(super) fn set_aside(&self, stored: &StoredRow, now: Timestamp) -> rusqlite::Result<bool> {
        const SQL: &str = "INSERT OR REPLACE INTO damaged (id, found, row) VALUES (?, ?, ?)";
        self.connection.prepare_cached(SQL)?.execute(params![
            blob(stored.id),
            now.0.cast_signed(),
            stored.row
        ])?;
        self.remove(stored.id)
    }

    pub(in crate::store) fn meta(&self, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
        statement.query_row([name], |row| row.get(0)).optional()
    }

    pub(in crate::store) fn set_meta(&self, name: &str, value: &[u8]) -> rusqlite::Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)";
        self.connection.prepare_cached(SQL)?.execute(params![name, value]).map(drop)
    }

    /// A number that was kept as eight bytes; 0 if there is none.
    pub(super) fn meta_number(&self, name: &str) -> rusqlite::Result<u64> {
        let value = self.meta(name)?;
        Ok(value.and_then(|value| value.as_slice().try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Pages that hold something.
    pub(super) fn pages(&self) -> rusqlite::Result<u64> {
        let number = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        Ok(number("page_count")?.saturating_sub(number("freelist_count")?))
    }
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredRow> {
    Ok(StoredRow {
        id: number(row.get_ref(0)?),
        beside: columns(row, [1, 2, 3])?,
        row: bytes(row.get_ref(4)?),
    })
}

fn blob(id: u128) -> [u8; 16] {
    id.to_be_bytes()
}

fn bytes(value: ValueRef<'_>) -> Vec<u8> {
    if let ValueRef::Blob(bytes) = value { bytes.to_vec() } else { Vec::new() }
}

/// What is no id leads nowhere: no row opens under it.
fn number(value: ValueRef<'_>) -> u128 {
    let bytes = value.as_blob().ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u128::from_be_bytes)
}

fn integer(value: ValueRef<'_>) -> u64 {
    if let ValueRef::Integer(number) = value { number.cast_unsigned() } else { 0 }
}

/// Parts of a millisecond: one for each reason by which a session may have ended.
const REASONS: f64 = 64.0;

/// The time, in milliseconds, and behind the point by what. No column of its own: one more would change the first page, which
/// is what a damaged database is mended by; and versions from before it was kept go on with such a table.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact for 200,000 years")]
fn end_column(end: SessionEnd) -> rusqlite::types::Value {
    let at = end.at.0.cast_signed();
    match end.by.code() {
        0 => at.into(),
        // Exact: 47 of a double's 53 bits.
        by => (at as f64 + f64::from(by) / REASONS).into(),
    }
}

#[expect(clippy::cast_sign_loss, reason = "a damaged value that is below zero is taken for zero")]
fn end(column: ValueRef<'_>) -> SessionEnd {
    if let ValueRef::Real(column) = column {
        let by = EndReason::of_code((column.fract() * REASONS) as u64);
        return SessionEnd { at: Timestamp(column as u64), by };
    }
    SessionEnd { at: Timestamp(integer(column)), by: EndReason::Unknown }
}

fn columns(row: &rusqlite::Row<'_>, [until, since, who]: [usize; 3]) -> rusqlite::Result<RowColumns> {
    let who = match row.get_ref(who)? {
        ValueRef::Null => None,
        other => Some(number(other)),
    };
    Ok(RowColumns { until: integer(row.get_ref(until)?), since: integer(row.get_ref(since)?), who })
}
