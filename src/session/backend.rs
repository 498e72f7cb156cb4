//! Where a session's record is kept. The rest of the room asks here, and does not know which it is.

use std::sync::Arc;

use http::HeaderValue;
use uuid::Uuid;

use super::{
    CookieForm,
    client_side::{self, CookieIssue, FlaskSessions, Revocations, SealedSessions, SizeLimit},
    commit::decide,
    pending_change::PendingChange,
    presented::PresentedCookies,
    verdict::{TicketState, TicketVerdict},
    verified,
};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    crypto::Keyring,
    record::{EndReason, Realm, Record, SecretHash, SessionEnd, Ticket},
    store::{FoundRecord, RecordStore, StoreError, UpdateResult},
};

/// Where records are kept.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In a store of ours, under the ticket's id.
    Store(Arc<RecordStore>),
    /// With the visitor, sealed.
    Sealed(SealedSessions),
    /// With the visitor, in Flask's own cookie.
    Flask(FlaskSessions),
}

/// What outlives a configuration.
#[derive(Debug, Clone)]
pub enum BackendState {
    /// The records.
    Store(Arc<RecordStore>),
    /// What is known of those that visitors carry.
    ClientSide(Arc<Revocations>),
    /// Nothing: Flask remembers none either.
    Nothing,
}

impl BackendState {
    /// The store, where there is one.
    pub fn store(&self) -> Option<&Arc<RecordStore>> {
        match self {
            Self::Store(store) => Some(store),
            Self::ClientSide(_) | Self::Nothing => None,
        }
    }

    /// Work that is left to a thread in the background.
    pub fn sweep(&self) {
        match self {
            Self::Store(store) => store.sweep(),
            Self::ClientSide(ended) => ended.sweep(),
            Self::Nothing => {}
        }
    }

    /// A question to the thread that writes, where there is one: answered once it has taken all that was given before.
    pub fn writer(&self) -> Option<impl Future<Output = ()> + use<>> {
        match self {
            Self::Store(store) => store.writer(),
            Self::ClientSide(_) | Self::Nothing => None,
        }
    }

    /// Writes what there is to write. Afterwards nothing is taken any more.
    pub fn close(&self) {
        match self {
            Self::Store(store) => store.close(),
            Self::ClientSide(ended) => ended.close(),
            Self::Nothing => {}
        }
    }
}

/// A ticket that was found genuine.
#[derive(Debug)]
pub(super) struct GenuineTicket {
    /// The ticket.
    pub ticket: Ticket,
    /// What its record is to know it by.
    pub hash: SecretHash,
    /// What came with it, where records do.
    pub record: Option<Arc<Record>>,
}

/// A session of which no request shows the cookie.
#[derive(Debug)]
pub(super) enum UnattendedSession {
    /// It has this record.
    Stored(Arc<Record>),
    /// Nothing is stored under its id.
    NotStored,
    /// It goes on, as far as anybody knows here.
    GoesOn,
    /// It has ended, or is another person's.
    Over,
}

/// A ticket that came back.
#[derive(Debug, Clone, Copy)]
pub(super) struct TicketActivity {
    /// It was rotated, and is still good.
    pub is_rotating: bool,
    /// It counts as the visitor's activity.
    pub active: bool,
    /// How often that is noted, in milliseconds.
    pub every: u64,
}

impl From<Arc<RecordStore>> for Backend {
    fn from(store: Arc<RecordStore>) -> Self {
        Self::Store(store)
    }
}

impl Backend {
    /// The store, where there is one.
    pub(super) fn store(&self) -> Option<&Arc<RecordStore>> {
        match self {
            Self::Store(store) => Some(store),
            Self::Sealed(_) | Self::Flask(_) => None,
        }
    }

    /// Whether a change is lost unless the browser is given what came of it.
    pub(super) fn is_client_side(&self) -> bool {
        !matches!(self, Self::Store(_))
    }

    /// Whether a ticket leads to a session, that can be replaced.
    pub(super) fn has_tickets(&self) -> bool {
        !matches!(self, Self::Flask(_))
    }

    /// Whether a session can be shown as it was before a change. Where the record travels, an old copy is that by itself.
    pub(super) fn has_past_views(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    /// What a ticket leads to that was replaced by a change whose successor was seen.
    pub(super) fn past(&self, ticket: &Ticket, hash: &SecretHash) -> Option<Arc<Record>> {
        match self {
            Self::Store(store) => store.past(ticket.id, hash),
            Self::Sealed(_) | Self::Flask(_) => None,
        }
    }

    /// Whether nothing that an answer says is written.
    pub(super) fn reads_only(&self) -> bool {
        matches!(self, Self::Flask(flask) if flask.reads_only())
    }

    /// The ticket in a cookie. `None`: it is none of ours.
    pub(super) fn open(
        &self,
        (value, shown): (&[u8], &PresentedCookies<'_>),
        cookie: (&CookieForm, bool),
        (keys, realm): (&Keyring, Realm<'_>),
        now: Timestamp,
    ) -> Option<GenuineTicket> {
        match self {
            Self::Store(_) => {
                // No store is asked here: whoever guesses costs one MAC.
                let (ticket, hash) = verified::read(value, keys, realm)?;
                Some(GenuineTicket { ticket, hash, record: None })
            }
            Self::Sealed(sealed) => {
                let (ticket, record) = sealed.open(value, shown, cookie, realm)?;
                // Its record, if it has one, is its own: there is no other secret that could lead there.
                let hash = record.as_ref().map_or_else(|| ticket.hash(), |record| record.secret);
                Some(GenuineTicket { ticket, hash, record })
            }
            Self::Flask(flask) => {
                let (ticket, record) = flask.open(value, realm, now)?;
                Some(GenuineTicket { ticket, hash: record.secret, record: Some(record) })
            }
        }
    }

    /// Why a cookie was not opened, as far as that can be known without a disk.
    pub(super) fn why_refused(
        &self,
        (value, shown): (&[u8], &PresentedCookies<'_>),
        (keys, realm): (&Keyring, Realm<'_>),
        now: Timestamp,
    ) -> TicketVerdict {
        let plain = |state| TicketVerdict { state, ..TicketVerdict::default() };
        match self {
            Self::Store(_) => match Ticket::read_unproven(value) {
                None => plain(TicketState::Forged),
                Some(unproven) if !keys.knows(unproven.key) => plain(TicketState::UnknownKey),
                Some(_) => match self.open_elsewhere(value, (keys, realm), now) {
                    Some(came) => TicketVerdict::of(TicketState::OtherRealm, came.ticket.id),
                    None => plain(TicketState::Forged),
                },
            },
            Self::Sealed(sealed) if !sealed.knows_key_of(value, shown) => plain(TicketState::UnknownKey),
            Self::Flask(flask) if flask.was_good(value, now) => {
                TicketVerdict { ended_by: Some(EndReason::Idle), ..plain(TicketState::Expired) }
            }
            Self::Sealed(_) | Self::Flask(_) => plain(TicketState::Forged),
        }
    }

    /// A ticket that is genuine in the realm of its session, and not in this one; as far as that can be known without a disk.
    pub(super) fn open_elsewhere(
        &self,
        value: &[u8],
        (keys, realm): (&Keyring, Realm<'_>),
        now: Timestamp,
    ) -> Option<GenuineTicket> {
        // SECURITY: nothing of it is proven yet: the id only finds the realm under which it may be.
        let unproven = Ticket::read_unproven(value)?;
        let known = self.store()?.realm_at_hand(unproven.id, now)?;
        let other = Realm::of_key(&known).filter(|other| *other != realm)?;
        let ticket = Ticket::read(value, keys, other)?;
        Some(GenuineTicket { ticket, hash: ticket.hash(), record: None })
    }

    /// What gives the browser a ticket. `shown`: in which parts it has one, and whether there is a record under that.
    pub(super) fn issue(
        &self,
        issue: CookieIssue<'_>,
        (cookie, https): (&CookieForm, bool),
        (parts, was_there): (u16, bool),
        keys: &Keyring,
    ) -> Vec<HeaderValue> {
        match self {
            Self::Store(_) => {
                let text = issue.ticket.write(keys, issue.realm);
                cookie.give(&text, https, issue.lasts, issue.now).into_iter().collect()
            }
            Self::Sealed(sealed) => sealed.give(issue, (cookie, https), parts),
            Self::Flask(flask) => flask.give(issue, (cookie, https), was_there).into_iter().collect(),
        }
    }

    /// Whether a ticket needs a new stamp, or one under the current key; `every`: how often a record's activity is noted.
    pub(super) fn is_due(
        &self,
        ticket: &Ticket,
        record: Option<&Record>,
        (rules, every): (&SessionConfig, impl FnOnce(&Record) -> u64),
        now: Timestamp,
    ) -> bool {
        if let Self::Flask(flask) = self {
            return record.is_some_and(|record| flask.refreshes(record));
        }
        // A ticket without a record lives by its stamp alone; with one, the record knows when it was last used, and only a
        // permanent cookie's own expiry has to follow.
        let age = now.since(ticket.stamped);
        // A ticket under an old key is replaced at the first chance, so that the key can be removed
        // from `[keys]` in time.
        !ticket.current_key
            || match record {
                None => age > rules.plain.idle_timeout / 2,
                Some(record) if self.is_client_side() => age.as_millis() as u64 > every(record),
                Some(record) => record.outlives_browser(now) && age > rules.touch_interval,
            }
    }

    /// What has become of a session meanwhile; `holds`: whether it is still the same one if its ticket was renewed then,
    /// but for the clock.
    pub(super) async fn look_after(
        &self,
        id: Uuid,
        holds: impl Fn(Timestamp) -> bool,
        now: Timestamp,
    ) -> UnattendedSession {
        match self {
            Self::Store(store) => match store.load(id, now).await {
                Ok(FoundRecord::Live(record)) => UnattendedSession::Stored(record),
                Ok(FoundRecord::Nothing) => UnattendedSession::NotStored,
                Ok(FoundRecord::Ended(_) | FoundRecord::Over(_)) => UnattendedSession::Over,
                // A store that fails ends nothing.
                Err(_) => UnattendedSession::GoesOn,
            },
            // Nobody remembers what has ended.
            Self::Flask(_) => UnattendedSession::GoesOn,
            Self::Sealed(sealed) if sealed.goes_on(id, holds) => UnattendedSession::GoesOn,
            Self::Sealed(_) => UnattendedSession::Over,
        }
    }

    /// What requests left on a record is to be saved.
    pub(super) fn touch(&self, id: Uuid, record: &Arc<Record>) {
        if let Self::Store(store) = self {
            store.touch(id, record);
        }
    }

    /// How large a record may be, where it travels.
    pub(super) fn size_limit(&self, cookie: &CookieForm, https: bool) -> Option<SizeLimit> {
        match self {
            Self::Store(_) => None,
            Self::Sealed(_) => Some(SizeLimit::Sealed(client_side::capacity_of(cookie))),
            Self::Flask(flask) => Some(SizeLimit::Flask(flask.clone(), cookie.name(https).len())),
        }
    }

    /// What a ticket leads to; `brought`: the record that came with it, where such things come with visitors.
    ///
    /// # Errors
    /// The store failed: nothing is known.
    pub(super) async fn load(
        &self,
        ticket: &Ticket,
        brought: Option<&Arc<Record>>,
        now: Timestamp,
    ) -> Result<FoundRecord, StoreError> {
        match self {
            Self::Store(store) => store.load(ticket.id, now).await,
            Self::Sealed(sealed) => Ok(sealed.load(ticket, brought, now)),
            Self::Flask(_) => {
                Ok(brought.map_or(FoundRecord::Nothing, |record| FoundRecord::Live(Arc::clone(record))))
            }
        }
    }

    /// Decides on the record as it is now, and keeps what comes of it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(super) async fn apply(
        &self,
        brought: Option<&Arc<Record>>,
        apply: &PendingChange<'_>,
    ) -> Result<UpdateResult, StoreError> {
        match self {
            Self::Store(store) => {
                let principal = apply.principal();
                let decide = |found: &FoundRecord| decide(found, apply);
                // The store may call this more than once, when another change is quicker; `decide`
                // is pure.
                store.update(&apply.request(principal.as_ref(), &decide)).await
            }
            // Boxed, so that this rare future does not make every request's future larger.
            Self::Sealed(sealed) => Box::pin(sealed.apply(brought, apply)).await,
            Self::Flask(flask) => flask.apply(brought, apply),
        }
    }

    /// See [`RecordStore::is_settled`].
    pub(super) fn is_settled(&self, id: Uuid) -> bool {
        match self {
            Self::Store(store) => store.is_settled(id),
            Self::Sealed(_) | Self::Flask(_) => true,
        }
    }

    /// See [`RecordStore::failures`].
    pub(super) fn failures(&self) -> u64 {
        match self {
            Self::Store(store) => store.failures(),
            Self::Sealed(_) | Self::Flask(_) => 0,
        }
    }

    /// See [`RecordStore::settled`].
    ///
    /// # Errors
    /// The store failed: it is not known.
    pub(super) async fn settled(&self, id: Uuid) -> Result<bool, StoreError> {
        match self {
            Self::Store(store) => store.settled(id).await,
            Self::Sealed(_) | Self::Flask(_) => Ok(true),
        }
    }

    /// Whether a session goes on under a ticket that the browser is not known to have.
    ///
    /// # Errors
    /// The store failed: nothing is known.
    pub(super) async fn goes_on_unseen(&self, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        match self {
            Self::Store(store) => {
                Ok(matches!(store.load(id, now).await?, FoundRecord::Live(record) if !record.has_come_back()))
            }
            Self::Sealed(sealed) => Ok(sealed.goes_on_unseen(id)),
            Self::Flask(_) => Ok(false),
        }
    }

    /// Whether a session that is [`FoundRecord::Ended`] in this copy goes on in another, and nobody came into it. A store's record
    /// says it itself.
    pub(super) fn is_just_as(&self, shown: &Record) -> bool {
        match self {
            Self::Store(_) | Self::Flask(_) => false,
            Self::Sealed(sealed) => sealed.is_just_as(shown),
        }
    }

    /// Whether the ticket that took the place of one that is [`FoundRecord::Ended`] has come back. A store's record says it itself.
    pub(super) fn has_come_back(&self, id: Uuid) -> bool {
        match self {
            Self::Store(_) | Self::Flask(_) => false,
            Self::Sealed(sealed) => sealed.has_come_back(id),
        }
    }

    /// Ends a session that nobody has the ticket of.
    ///
    /// # Errors
    /// The store failed: whether it ended is not known.
    pub(super) async fn delete(&self, id: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let end = SessionEnd { at: now, by: EndReason::NotBegun };
        match self {
            Self::Store(store) => store.delete(id, end).await.map(drop),
            // Nobody was given the cookie, so no copy of it exists.
            Self::Sealed(_) | Self::Flask(_) => Ok(()),
        }
    }

    /// Ends every session of this principal in this realm.
    ///
    /// # Errors
    /// The store failed: some may be left.
    pub(super) async fn delete_all_of(
        &self,
        realm: &str,
        principal: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self {
            Self::Store(store) => {
                let end = SessionEnd { at: now, by: EndReason::Everywhere };
                store.delete_all_of(realm, principal, end).await.map(drop)
            }
            Self::Sealed(_) | Self::Flask(_) => Err(StoreError::Elsewhere),
        }
    }

    /// Its ticket came back.
    pub(super) fn record_activity(
        &self,
        ticket: &Ticket,
        record: &Arc<Record>,
        came: TicketActivity,
        now: Timestamp,
    ) {
        let TicketActivity { is_rotating, active, every } = came;
        match self {
            Self::Store(store) => {
                // On every route: that the browser has it is all that matters.
                if !is_rotating && record.shown(now) {
                    store.touch(ticket.id, record);
                }
                if !active {
                    return;
                }
                let was_confirmed = record.is_confirmed();
                record.confirm();
                // At most one write per `touch_interval`: activity is noted in memory at every
                // request, and saved now and then.
                if record.seen(now, every) || !was_confirmed {
                    store.touch(ticket.id, record);
                }
            }
            Self::Sealed(sealed) => sealed.record_activity(record, now),
            Self::Flask(_) => {}
        }
    }

    /// Work that is left to a thread in the background.
    pub(super) fn sweep(&self) {
        match self {
            Self::Store(store) => store.sweep(),
            Self::Sealed(sealed) => sealed.sweep(),
            Self::Flask(_) => {}
        }
    }

    /// No ticket without a record that was stamped before is taken.
    pub(super) fn floor(&self) -> Timestamp {
        match self {
            Self::Store(store) => store.floor(),
            Self::Sealed(sealed) => sealed.floor(),
            Self::Flask(_) => Timestamp(0),
        }
    }
}
