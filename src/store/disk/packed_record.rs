//! A record in as few bytes as it can be read from again: its [form](RecordForm) for memory alone, so it names no fields and
//! is not sealed.

use super::{packed_index::PackedRecord, row};
use crate::record::{Record, RecordForm};

/// `None` only where the library fails.
pub(super) fn pack(record: &Record) -> Option<PackedRecord> {
    rmp_serde::to_vec(&RecordForm::of(record)).ok().map(Vec::into_boxed_slice)
}

/// What was packed.
pub(super) fn unpack(id: u128, packed: &[u8]) -> Option<Record> {
    Some(row::record(id, rmp_serde::from_slice(packed).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn cookie(owner: Option<&str>, value: &[u8]) -> Value {
        json!({ "owner": owner, "name": b"sid", "value": value, "domain": "a.test", "host_only": true, "path": b"/",
                "secure": false, "same_site": 2, "expires": 5, "outlives_browser": owner.is_some() })
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
            let form = json!({
                "realm": "ha.test", "created": numbers[0], "counted_from": numbers[1], "renewed": numbers[2],
                "permanent": flags[0], "idle": spans[0], "max": spans[1], "version": numbers[3], "principal": name,
                "fields": fields, "flashes": texts, "jar": jar, "secret": secret,
                "previous": spent.map(|at| json!({ "secret": secret, "succeeded": at, "network": spans[0] })),
                "last_seen": numbers[2], "confirmed": flags[1],
            });
            let record = row::record(7, serde_json::from_value(form).unwrap());
            let unpacked = unpack(7, &pack(&record).unwrap()).unwrap();
            let said = |record| serde_json::to_string(&RecordForm::of(record)).unwrap();
            prop_assert_eq!(said(&unpacked), said(&record));
            prop_assert_eq!(unpacked.id, record.id);
        }
    }
}
