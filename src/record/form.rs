//! The one serialised form of a record. A row on disk and a line of an export are it as it stands, a packed record is it
//! without its names, and a sealed cookie is it under names of one letter ([`short_names`]).
//!
//! A later version reads what an earlier one wrote: what is added here has a default. A packed record names nothing, so
//! what may be absent stands last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    FieldMap, FlashMap, NetworkTag, PreviousSecret, Record, ReplacementReason,
    jar::{Jar, StoredCookie},
};
use crate::clock::Timestamp;

/// A record but for its id, which stands beside it. Times are milliseconds since 1970, or of duration.
#[derive(Default, Serialize, Deserialize)]
pub struct RecordForm {
    /// [`Record::realm`]
    pub realm: Arc<str>,
    /// [`Record::created`]
    pub created: u64,
    /// [`Record::counted_from`]
    pub counted_from: u64,
    /// [`Record::renewed`]
    pub renewed: u64,
    /// [`Record::permanent`]
    pub permanent: bool,
    /// [`Record::idle`]
    pub idle: Option<u64>,
    /// [`Record::max`]
    pub max: Option<u64>,
    /// [`Record::version`]
    pub version: u64,
    /// [`Record::principal`]
    pub principal: Option<Arc<str>>,
    /// [`Record::fields`]
    pub fields: FieldMap,
    /// [`Record::flashes`]
    pub flashes: FlashMap,
    /// [`Record::secret`]
    #[serde(with = "bytes")]
    pub secret: [u8; 32],
    /// [`Record::previous`]
    pub previous: Option<SpentSecret>,
    /// [`Record::last_seen`]
    pub last_seen: u64,
    /// [`Record::is_confirmed`]
    pub confirmed: bool,
    /// [`Record::jar`]; absent in what was written by versions that kept none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jar: Vec<StoredCookie>,
}

/// A secret that was replaced, and is still good.
#[derive(Serialize, Deserialize)]
pub struct SpentSecret {
    #[serde(with = "bytes")]
    secret: [u8; 32],
    /// When its successor was first shown; 0: not yet.
    succeeded: u64,
    /// [`ReplacementReason::Change`], and the network; none after a rotation.
    #[serde(default)]
    network: Option<u64>,
    /// See [`PreviousSecret`]; 0: not known.
    #[serde(default)]
    since: u64,
}

impl RecordForm {
    /// Of this record.
    pub fn of(record: &Record) -> Self {
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
            secret: record.secret,
            previous: record.previous.as_ref().map(|previous| SpentSecret {
                secret: previous.secret,
                succeeded: previous.succeeded.load(Ordering::Relaxed),
                network: match previous.replaced_by {
                    ReplacementReason::Change(network) => Some(network.0),
                    ReplacementReason::Rotation => None,
                },
                since: previous.since.0,
            }),
            last_seen: record.last_seen().0,
            confirmed: record.is_confirmed(),
            jar: record.jar.cookies().iter().map(StoredCookie::of).collect(),
        }
    }

    /// The record again.
    pub fn into_record(self, id: Uuid) -> Record {
        Record {
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
            previous: self.previous.map(|spent| {
                Box::new(PreviousSecret {
                    secret: spent.secret,
                    since: Timestamp(spent.since),
                    replaced_by: spent.network.map_or(ReplacementReason::Rotation, |network| {
                        ReplacementReason::Change(NetworkTag(network))
                    }),
                    succeeded: AtomicU64::new(spent.succeeded),
                })
            }),
            last_seen: AtomicU64::new(self.last_seen),
            // What was just read is what the store has: no write is due for it.
            saved_seen: AtomicU64::new(self.last_seen),
            confirmed: AtomicBool::new(self.confirmed),
            ..Record::new((self.realm, id), self.secret, Timestamp(self.created), Timestamp(0), false)
        }
    }
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

/// The names in a sealed cookie, where every byte travels with every request: single letters, and what is as usual is left
/// out. What the ticket beside it says is not said again: realm, creation, secret, and when it was seen.
pub mod short_names {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_bytes::ByteArray;

    use super::{FieldMap, FlashMap, RecordForm, SpentSecret, StoredCookie};

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "RecordForm")]
    struct ShortNames {
        #[serde(skip)]
        realm: Arc<str>,
        #[serde(skip)]
        created: u64,
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
        #[serde(skip)]
        secret: [u8; 32],
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none", with = "pair")]
        previous: Option<SpentSecret>,
        #[serde(skip)]
        last_seen: u64,
        #[serde(skip)]
        confirmed: bool,
    }

    /// See [`serde`]'s `with`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(form: &RecordForm, serializer: S) -> Result<S::Ok, S::Error> {
        ShortNames::serialize(form, serializer)
    }

    /// See [`serde`]'s `with`.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RecordForm, D::Error> {
        ShortNames::deserialize(deserializer)
    }

    /// A spent secret without names.
    mod pair {
        use super::{ByteArray, Deserialize, Deserializer, Serialize, Serializer, SpentSecret};

        type Pair = (ByteArray<32>, u64);

        #[expect(clippy::ref_option, reason = "serde gives it so")]
        pub(super) fn serialize<S: Serializer>(
            spent: &Option<SpentSecret>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            let pair = spent.as_ref().map(|spent| (ByteArray::new(spent.secret), spent.succeeded));
            pair.serialize(serializer)
        }

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SpentSecret>, D::Error> {
            let pair = Option::<Pair>::deserialize(deserializer)?;
            Ok(pair.map(|(secret, succeeded)| SpentSecret {
                secret: secret.into_array(),
                succeeded,
                network: None,
                since: 0,
            }))
        }
    }
}
