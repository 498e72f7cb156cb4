//! What is known of a ticket, for whoever asks on its visitor's behalf. Nothing is changed by it: no session lives longer,
//! nothing is counted.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    CookieForm, SessionManager,
    backend::GenuineTicket,
    presented::PresentedCookies,
    resolved::SessionStatus,
    verdict::{TicketState, TicketVerdict},
};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    record::{Realm, Record, Ticket},
    store::{FoundRecord, StoreError},
};

/// What was found.
#[derive(Debug, Default)]
pub struct TicketReport {
    /// What became of it.
    pub verdict: TicketVerdict,
    /// The ticket, where one was shown and is genuine.
    pub ticket: Option<Ticket>,
    /// The record of its session ([`Record::realm`] says where it is good), if it lives.
    pub record: Option<Arc<Record>>,
    /// When its session ended.
    pub ended_at: Option<Timestamp>,
}

impl SessionManager {
    /// What is known of `shown`: a session's public id, a ticket, or a cookie line with one. `places`: where it may be good;
    /// `anywhere`: wherever else it is good is as well.
    ///
    /// # Errors
    /// The store failed.
    pub async fn inquire(
        &self,
        shown: &str,
        (places, anywhere): (&[(Realm<'_>, &CookieForm)], bool),
        now: Timestamp,
    ) -> Result<TicketReport, StoreError> {
        if let Ok(id) = Uuid::try_parse(shown) {
            return self.inquire_session(id, now).await;
        }
        let mut refused = TicketVerdict { state: TicketState::Forged, ..TicketVerdict::default() };
        for ((realm, form), https) in places.iter().flat_map(|place| [(place, true), (place, false)]) {
            let line =
                if shown.contains('=') { shown.to_owned() } else { format!("{}={shown}", form.name(https)) };
            let presented = PresentedCookies::read(form, https, [line.as_bytes()]);
            for value in presented.candidates() {
                let cookie = (*value, &presented);
                match self.backend.open(cookie, (form, https), (&self.keys, *realm), now) {
                    Some(came) => return self.inquire_genuine(&came, now).await,
                    None if anywhere
                        && let Some(came) = self.backend.open_elsewhere(value, (&self.keys, *realm), now) =>
                    {
                        return self.inquire_genuine(&came, now).await;
                    }
                    None => refused = refused.or(self.backend.why_refused(cookie, (&self.keys, *realm), now)),
                }
            }
        }
        let mut report = TicketReport { verdict: refused, ..TicketReport::default() };
        if let Some(id) = refused.session.filter(|_| refused.state == TicketState::OtherRealm)
            && let Some(FoundRecord::Live(record)) = self.find(id, now).await?
        {
            report.record = Some(record);
        }
        Ok(report)
    }

    async fn inquire_genuine(
        &self,
        came: &GenuineTicket,
        now: Timestamp,
    ) -> Result<TicketReport, StoreError> {
        let found = self.backend.load(&came.ticket, came.record.as_ref(), now).await?;
        let mut report = TicketReport { ticket: Some(came.ticket), ..TicketReport::default() };
        report.note(&found);
        let outcome = self.outcome(came, None, found, now);
        report.verdict = match outcome.status {
            Some(SessionStatus::Known { .. } | SessionStatus::Past { .. }) => {
                TicketVerdict::of(TicketState::Ok, came.ticket.id)
            }
            _ => outcome.verdict,
        };
        Ok(report)
    }

    async fn inquire_session(&self, id: Uuid, now: Timestamp) -> Result<TicketReport, StoreError> {
        let mut report = TicketReport::default();
        let Some(found) = self.find(id, now).await? else { return Ok(report) };
        report.note(&found);
        report.verdict = match found {
            FoundRecord::Live(_) => TicketVerdict::of(TicketState::Ok, id),
            FoundRecord::Ended(end) | FoundRecord::Over(end) => TicketVerdict::of_ended(end, id),
            FoundRecord::Nothing => TicketVerdict::of(TicketState::None, id),
        };
        Ok(report)
    }

    async fn find(&self, id: Uuid, now: Timestamp) -> Result<Option<FoundRecord>, StoreError> {
        Ok(match self.backend.store() {
            Some(store) => Some(store.load(id, now).await?),
            None => None,
        })
    }
}

impl TicketReport {
    /// In words that can be passed on. `is_everywhere`: wherever it may be good was looked.
    pub fn explanation(&self, rules: &SessionConfig, is_everywhere: bool) -> String {
        match self.verdict.state {
            TicketState::Ok => match &self.record {
                Some(record) => {
                    let who = record.principal.as_ref().map_or_else(
                        || "nobody is logged in".to_owned(),
                        |principal| format!("{principal} is logged in"),
                    );
                    format!(
                        "it is good: {who}, and the session lives until {} if nobody comes",
                        record.ends(rules)
                    )
                }
                None => "it is good, and nothing is stored for its session: nobody is logged in".to_owned(),
            },
            TicketState::Expired | TicketState::Ended | TicketState::Revoked => {
                let when = self.ended_at.map(|at| format!(" at {at}")).unwrap_or_default();
                let by = self.verdict.ended_by.unwrap_or_default().in_words();
                format!("its session has ended{when}: {by}")
            }
            TicketState::OtherRealm => {
                let realm = self.record.as_ref().map(|record| Realm::in_words(&record.realm));
                format!("it is genuine, and good elsewhere alone: {}", realm.unwrap_or_default())
            }
            TicketState::Forged if !is_everywhere => {
                "it is not genuine, or was made for a host that no route names: say which (--host)".to_owned()
            }
            other => other.in_words().to_owned(),
        }
    }

    fn note(&mut self, found: &FoundRecord) {
        match found {
            FoundRecord::Live(record) => self.record = Some(Arc::clone(record)),
            FoundRecord::Ended(end) | FoundRecord::Over(end) => self.ended_at = Some(end.at),
            FoundRecord::Nothing => {}
        }
    }
}
