//! A session as it travels: ticket and record in one, before it is sealed.
//!
//! `MessagePack` with named fields, so that a later version reads what an earlier one wrote; the names are single
//! letters and what is as usual is left out, since every byte travels with every request. Nothing is compressed: how
//! long it is would tell whether what an attacker had stored is like a secret that stands beside it (CRIME).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    record::{
        FieldMap, FlashMap, PreviousSecret, Realm, Record, Ticket,
        jar::{Jar, StoredCookie},
    },
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

/// What a session with data has beside its ticket. Times are milliseconds since 1970, or of duration.
#[derive(Serialize, Deserialize)]
struct PayloadBody {
    #[serde(rename = "n")]
    counted_from: u64,
    #[serde(rename = "w")]
    renewed: u64,
    #[serde(rename = "v")]
    version: u64,
    #[serde(rename = "p", default, skip_serializing_if = "std::ops::Not::not")]
    permanent: bool,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    idle: Option<u64>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    principal: Option<Arc<str>>,
    #[serde(rename = "f", default, skip_serializing_if = "FieldMap::is_empty")]
    fields: FieldMap,
    #[serde(rename = "l", default, skip_serializing_if = "FlashMap::is_empty")]
    flashes: FlashMap,
    #[serde(rename = "j", default, skip_serializing_if = "Vec::is_empty")]
    jar: Vec<StoredCookie>,
    /// The hash of the secret before, and when its successor was first shown.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    before: Option<(ByteArray<32>, u64)>,
}

/// Writes it down. `None` only where the library fails.
pub(super) fn write(ticket: &Ticket, record: Option<&Record>) -> Option<Vec<u8>> {
    rmp_serde::to_vec_named(&PayloadHead {
        id: ByteArray::new(*ticket.id.as_bytes()),
        secret: ByteArray::new(ticket.secret),
        minted: ticket.minted.0,
        stamped: ticket.stamped.0,
        body: record.map(body),
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
    write(&ticket, Some(record)).map_or(usize::MAX, |letter| letter.len())
}

/// Reads it again. `None`: of a version that we do not know.
pub(super) fn read(
    letter: &[u8],
    realm: Realm<'_>,
    current_key: bool,
) -> Option<(Ticket, Option<Arc<Record>>)> {
    let letter: PayloadHead = rmp_serde::from_slice(letter).ok()?;
    let ticket = Ticket {
        minted: Timestamp(letter.minted),
        stamped: Timestamp(letter.stamped),
        id: Uuid::from_bytes(letter.id.into_array()),
        secret: letter.secret.into_array(),
        current_key,
    };
    let record = letter.body.map(|body| Arc::new(record(body, &ticket, realm)));
    Some((ticket, record))
}

fn body(record: &Record) -> PayloadBody {
    let millis = |d: Duration| d.as_millis() as u64;
    PayloadBody {
        counted_from: record.counted_from.0,
        renewed: record.renewed.0,
        version: record.version,
        permanent: record.permanent,
        idle: record.idle.map(millis),
        max: record.max.map(millis),
        principal: record.principal.clone(),
        fields: record.fields.clone(),
        flashes: record.flashes.clone(),
        jar: record.jar.cookies().iter().map(StoredCookie::of).collect(),
        before: record
            .previous
            .as_ref()
            .map(|p| (ByteArray::new(p.secret), p.succeeded.load(Ordering::Relaxed))),
    }
}

/// It was last seen when it was sealed, and who shows it has come back.
fn record(body: PayloadBody, ticket: &Ticket, realm: Realm<'_>) -> Record {
    let stamped = AtomicU64::new(ticket.stamped.0);
    Record {
        counted_from: Timestamp(body.counted_from),
        renewed: Timestamp(body.renewed),
        permanent: body.permanent,
        idle: body.idle.map(Duration::from_millis),
        max: body.max.map(Duration::from_millis),
        version: body.version,
        principal: body.principal,
        fields: body.fields,
        flashes: body.flashes,
        jar: Jar::new(body.jar.into_iter().map(StoredCookie::cookie).collect()),
        previous: body.before.map(|(secret, succeeded)| {
            Box::new(PreviousSecret { secret: secret.into_array(), succeeded: AtomicU64::new(succeeded) })
        }),
        last_seen: stamped,
        saved_seen: AtomicU64::new(ticket.stamped.0),
        confirmed: AtomicBool::new(true),
        ..Record::new((realm.key(), ticket.id), ticket.hash(), ticket.minted, ticket.stamped, true)
    }
}
