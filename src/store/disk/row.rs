//! A record as it lies on disk: its [form](RecordForm) in `MessagePack` with named fields (so that a later version reads what
//! an earlier one wrote), sealed under `[keys]`. The id and the columns beside the row are authenticated with it: whatever bit flips, it is
//! found when the row is opened.

use uuid::Uuid;

use crate::{
    config::SessionConfig,
    crypto::Sealer,
    record::{Record, RecordForm, shared},
};

/// The first byte of a row.
const FORMAT: u8 = 1;

/// What stands beside a row, readable without a key: ids are public, a principal is a keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct RowColumns {
    /// When the row may be forgotten, in milliseconds since 1970: an idle time after its end, so that the record is its
    /// own tombstone until no ticket for it is taken any more.
    pub until: u64,
    /// The last login, or the creation; what a principal's sessions are ordered by.
    pub since: u64,
    /// Who is logged in.
    pub who: Option<u128>,
}

/// What belongs beside this record.
pub(in crate::store) fn columns(record: &Record, who: Option<u128>, rules: &SessionConfig) -> RowColumns {
    let until = record.ends(rules).plus(rules.plain.idle_timeout);
    // SQLite's numbers have a sign.
    RowColumns { until: until.0.min(i64::MAX as u64), since: record.counted_from.0, who }
}

/// `None` only where the libraries fail.
pub(in crate::store) fn seal(record: &Record, beside: RowColumns, sealer: &Sealer) -> Option<Vec<u8>> {
    let plain = rmp_serde::to_vec_named(&RecordForm::of(record)).ok()?;
    let mut row = vec![FORMAT];
    row.extend(sealer.seal(&bound(record.id.as_u128(), beside), &plain)?);
    Some(row)
}

/// `None`: changed since it was written, another's, of another format, or under a key we do not have.
pub(in crate::store) fn open(id: u128, beside: RowColumns, row: &[u8], sealer: &Sealer) -> Option<Record> {
    open_aged(id, beside, row, sealer).map(|(record, _)| record)
}

/// The same, and whether it was sealed under the current key.
pub(super) fn open_aged(id: u128, beside: RowColumns, row: &[u8], sealer: &Sealer) -> Option<(Record, bool)> {
    let (format, sealed) = row.split_first()?;
    if *format != FORMAT {
        return None;
    }
    // SECURITY: the columns are read without a key, so they are authenticated here: a row cannot be
    // moved to another id, nor given to another principal.
    let opened = sealer.open(&bound(id, beside), sealed)?;
    let form: RecordForm = rmp_serde::from_slice(&opened.bytes).ok()?;
    Some((record(id, form), opened.current))
}

/// Records of one realm share its name.
pub(super) fn record(id: u128, form: RecordForm) -> Record {
    RecordForm { realm: shared(&form.realm), ..form }.into_record(Uuid::from_u128(id))
}

fn bound(id: u128, beside: RowColumns) -> Vec<u8> {
    let mut bytes = b"session".to_vec();
    bytes.push(FORMAT);
    bytes.extend(id.to_be_bytes());
    bytes.extend(beside.until.to_be_bytes());
    bytes.extend(beside.since.to_be_bytes());
    bytes.extend(beside.who.map(u128::to_be_bytes).into_iter().flatten());
    bytes
}
