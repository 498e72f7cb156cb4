//! A record in as few bytes as it can be read from again: for memory alone, so it names no fields and is not sealed.

use std::sync::Arc;

use serde_bytes::ByteArray;

use super::{
    packed_index::PackedRecord,
    row::{RecordRow, SpentSecret},
};
use crate::record::{FieldMap, FlashMap, Record, jar::StoredCookie};

/// In the order of [`RecordRow`].
type PackedFields = (
    Arc<str>,
    u64,
    u64,
    u64,
    bool,
    Option<u64>,
    Option<u64>,
    u64,
    Option<Arc<str>>,
    FieldMap,
    FlashMap,
    Vec<StoredCookie>,
    ByteArray<32>,
    Option<SpentSecret>,
    u64,
    bool,
);

/// `None` only where the library fails.
pub(super) fn pack(record: &Record) -> Option<PackedRecord> {
    let row = RecordRow::of(record);
    let packed: PackedFields = (
        row.realm,
        row.created,
        row.counted_from,
        row.renewed,
        row.permanent,
        row.idle,
        row.max,
        row.version,
        row.principal,
        row.fields,
        row.flashes,
        row.jar,
        ByteArray::new(row.secret),
        row.previous,
        row.last_seen,
        row.confirmed,
    );
    rmp_serde::to_vec(&packed).ok().map(Vec::into_boxed_slice)
}

/// What was packed.
pub(super) fn unpack(id: u128, parcel: &[u8]) -> Option<Record> {
    let packed: PackedFields = rmp_serde::from_slice(parcel).ok()?;
    let (realm, created, counted_from, renewed, permanent, idle, max, version, principal, ..) = &packed;
    let (realm, principal) = (Arc::clone(realm), principal.clone());
    let (created, counted_from, renewed, version) = (*created, *counted_from, *renewed, *version);
    let (permanent, idle, max) = (*permanent, *idle, *max);
    let (.., fields, flashes, jar, secret, previous, last_seen, confirmed) = packed;
    let secret = secret.into_array();
    let row = RecordRow {
        realm,
        created,
        counted_from,
        renewed,
        permanent,
        idle,
        max,
        version,
        principal,
        fields,
        flashes,
        jar,
        secret,
        previous,
        last_seen,
        confirmed,
    };
    Some(row.record(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn cookie(owner: Option<&str>, value: &[u8]) -> Value {
        json!({ "owner": owner, "name": b"sid", "value": value, "domain": "a.test", "host_only": true, "path": b"/",
                "secure": false, "same_site": 2, "expires": 5 })
    }

    proptest! {
        #[test]
        fn what_is_unpacked_is_what_was_packed(
            numbers in any::<[u64; 4]>(),
            flags in any::<[bool; 2]>(),
            spans in any::<[Option<u64>; 2]>(),
            name in proptest::option::of("\\PC{0,20}"),
            texts in proptest::collection::btree_map("[a-z]{1,8}", "\\PC{0,40}", 0..5),
            cookies in 0..3_u8,
            spent in proptest::option::of(any::<u64>()),
        ) {
            let secret = "A".repeat(43);
            let fields: Value =
                texts.iter().map(|(name, text)| (name.clone(), json!({ "text": text }))).collect::<serde_json::Map<_, _>>().into();
            let jar: Vec<_> = (0..cookies).map(|n| cookie(Some("app").filter(|_| n > 0), &[n, 0xff])).collect();
            let row = json!({
                "realm": "ha.test", "created": numbers[0], "counted_from": numbers[1], "renewed": numbers[2],
                "permanent": flags[0], "idle": spans[0], "max": spans[1], "version": numbers[3], "principal": name,
                "fields": fields, "flashes": texts, "jar": jar, "secret": secret,
                "previous": spent.map(|at| json!({ "secret": secret, "succeeded": at })),
                "last_seen": numbers[2], "confirmed": flags[1],
            });
            let record = serde_json::from_value::<RecordRow>(row).unwrap().record(7);
            let unpacked = unpack(7, &pack(&record).unwrap()).unwrap();
            let said = |record| serde_json::to_string(&RecordRow::of(record)).unwrap();
            prop_assert_eq!(said(&unpacked), said(&record));
            prop_assert_eq!(unpacked.id, record.id);
        }
    }
}
