//! A record as it lies on disk: `MessagePack` with named fields (so that a later version reads what an earlier one wrote),
//! sealed under `[keys]`. The id and the columns beside the row are authenticated with it: whatever bit flips, it is
//! found when the row is opened.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    config::SessionConfig,
    crypto::Sealer,
    record::{
        FieldMap, FlashMap, PreviousSecret, Record,
        jar::{Jar, StoredCookie},
        shared,
    },
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

/// A record as it lies on disk, and, under its id, as it is exported.
#[derive(Serialize, Deserialize)]
pub(super) struct RecordRow {
    pub(super) realm: Arc<str>,
    pub(super) created: u64,
    pub(super) counted_from: u64,
    pub(super) renewed: u64,
    pub(super) permanent: bool,
    pub(super) idle: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) version: u64,
    pub(super) principal: Option<Arc<str>>,
    pub(super) fields: FieldMap,
    pub(super) flashes: FlashMap,
    /// Absent in rows of versions that kept none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) jar: Vec<StoredCookie>,
    #[serde(with = "bytes")]
    pub(super) secret: [u8; 32],
    pub(super) previous: Option<SpentSecret>,
    pub(super) last_seen: u64,
    pub(super) confirmed: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SpentSecret {
    #[serde(with = "bytes")]
    secret: [u8; 32],
    /// When its successor was first shown; 0: not yet.
    succeeded: u64,
}

/// What belongs beside this record.
pub(in crate::store) fn columns(record: &Record, who: Option<u128>, rules: &SessionConfig) -> RowColumns {
    let until = record.ends(rules).plus(rules.plain.idle_timeout);
    // SQLite's numbers have a sign.
    RowColumns { until: until.0.min(i64::MAX as u64), since: record.counted_from.0, who }
}

/// `None` only where the libraries fail.
pub(in crate::store) fn seal(record: &Record, beside: RowColumns, sealer: &Sealer) -> Option<Vec<u8>> {
    let plain = rmp_serde::to_vec_named(&RecordRow::of(record)).ok()?;
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
    let opened = sealer.open(&bound(id, beside), sealed)?;
    let row: RecordRow = rmp_serde::from_slice(&opened.bytes).ok()?;
    Some((row.record(id), opened.current))
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

/// Bytes, and in JSON base64url.
mod bytes {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
        } else {
            serde_bytes::serialize(bytes, serializer)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let bytes = URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)?;
            bytes.try_into().map_err(|_| D::Error::custom("not 32 bytes"))
        } else {
            serde_bytes::deserialize(deserializer)
        }
    }
}

impl RecordRow {
    pub(super) fn of(record: &Record) -> Self {
        let millis = |d: Duration| d.as_millis() as u64;
        Self {
            realm: Arc::clone(&record.realm),
            created: record.created.0,
            counted_from: record.counted_from.0,
            renewed: record.renewed.0,
            permanent: record.permanent,
            idle: record.idle.map(millis),
            max: record.max.map(millis),
            version: record.version,
            principal: record.principal.clone(),
            fields: record.fields.clone(),
            flashes: record.flashes.clone(),
            jar: record.jar.cookies().iter().map(StoredCookie::of).collect(),
            secret: record.secret,
            previous: record.previous.as_ref().map(|previous| SpentSecret {
                secret: previous.secret,
                succeeded: previous.succeeded.load(Ordering::Relaxed),
            }),
            last_seen: record.last_seen().0,
            confirmed: record.is_confirmed(),
        }
    }

    pub(super) fn record(self, id: u128) -> Record {
        Record {
            created: Timestamp(self.created),
            counted_from: Timestamp(self.counted_from),
            renewed: Timestamp(self.renewed),
            permanent: self.permanent,
            idle: self.idle.map(Duration::from_millis),
            max: self.max.map(Duration::from_millis),
            version: self.version,
            principal: self.principal,
            fields: self.fields,
            flashes: self.flashes,
            jar: Jar::new(self.jar.into_iter().map(StoredCookie::cookie).collect()),
            secret: self.secret,
            previous: self
                .previous
                .map(|spent| PreviousSecret {
                    secret: spent.secret,
                    succeeded: AtomicU64::new(spent.succeeded),
                })
                .map(Box::new),
            last_seen: AtomicU64::new(self.last_seen),
            saved_seen: AtomicU64::new(self.last_seen),
            confirmed: AtomicBool::new(self.confirmed),
            ..Record::new(
                (shared(&self.realm), Uuid::from_u128(id)),
                self.secret,
                Timestamp(0),
                Timestamp(0),
                false,
            )
        }
    }
}
