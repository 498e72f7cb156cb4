//! What a request came under, as whatever its answer changes is decided by.

use uuid::Uuid;

use super::network::VisitorNetwork;
use crate::{
    clock::Timestamp,
    record::{Realm, Record, SecretHash},
};

/// What resolve saw when the request came.
#[derive(Debug, Clone, Copy)]
pub struct SeenTicket<'a> {
    /// What the session belongs to.
    pub realm: Realm<'a>,
    /// The session's id.
    pub id: Uuid,
    /// The hash of the ticket's secret.
    pub secret: SecretHash,
    /// The network that the request came from.
    pub network: VisitorNetwork<'a>,
    /// When the session was created.
    pub minted: Timestamp,
    /// The record as the app was told of it, if there was one. An exchange that saw one never creates one.
    pub record: Option<&'a Record>,
    /// Whether the ticket came from the visitor (and not from this very request).
    pub confirmed: bool,
    /// When the request came.
    pub began: Timestamp,
    /// When the ticket was last issued.
    pub stamped: Timestamp,
    /// A session that is about to end for this one: it no longer counts as one of its principal's.
    pub instead: Option<Uuid>,
}
