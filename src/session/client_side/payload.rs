//! A session as it travels: ticket and record in one, before it is sealed.
//!
//! `MessagePack` with named fields, so that a later version reads what an earlier one wrote; the names are single
//! letters and what is as usual is left out, since every byte travels with every request. Nothing is compressed: how
//! long it is would tell whether what an attacker had stored is like a secret that stands beside it (CRIME).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    record::{Realm, Record, RecordForm, Ticket, short_names},
};

#[derive(Serialize, Deserialize)]
struct PayloadHead {
    #[serde(rename = "i")]
    id: ByteArray<16>,
    #[serde(rename = "s")]
    secret: ByteArray<16>,
    #[serde(rename = "c")]
    minted: u64,
    #[serde(rename = "t")]
    stamped: u64,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    body: Option<PayloadBody>,
}

/// What a session with data has beside its ticket.
#[derive(Serialize, Deserialize)]
struct PayloadBody(#[serde(with = "short_names")] RecordForm);

/// Writes it down. `None` only where the library fails.
pub(super) fn write(ticket: &Ticket, record: Option<&Record>) -> Option<Vec<u8>> {
    rmp_serde::to_vec_named(&PayloadHead {
        id: ByteArray::new(*ticket.id.as_bytes()),
        secret: ByteArray::new(ticket.secret),
        minted: ticket.minted.0,
        stamped: ticket.stamped.0,
        body: record.map(|record| PayloadBody(RecordForm::of(record))),
    })
    .ok()
}

/// Bytes of a session with this record.
pub(in crate::session) fn size(record: &Record) -> usize {
    let ticket = Ticket {
        minted: record.created,
        stamped: record.last_seen(),
        id: record.id,
        secret: [0; 16],
        current_key: true,
    };
    write(&ticket, Some(record)).map_or(usize::MAX, |payload| payload.len())
}

/// Reads it again. `None`: of a version that we do not know.
pub(super) fn read(
    payload: &[u8],
    realm: Realm<'_>,
    current_key: bool,
) -> Option<(Ticket, Option<Arc<Record>>)> {
    // It was authenticated before it gets here: what does not parse is of another version, not an
    // attack.
    let payload: PayloadHead = rmp_serde::from_slice(payload).ok()?;
    let ticket = Ticket {
        minted: Timestamp(payload.minted),
        stamped: Timestamp(payload.stamped),
        id: Uuid::from_bytes(payload.id.into_array()),
        secret: payload.secret.into_array(),
        current_key,
    };
    let record = payload.body.map(|body| Arc::new(record(body, &ticket, realm)));
    Some((ticket, record))
}

/// It was last seen when it was sealed, and who shows it has come back.
fn record(body: PayloadBody, ticket: &Ticket, realm: Realm<'_>) -> Record {
    let form = RecordForm {
        realm: realm.key(),
        created: ticket.minted.0,
        secret: ticket.hash(),
        last_seen: ticket.stamped.0,
        confirmed: true,
        ..body.0
    };
    form.into_record(ticket.id)
}
