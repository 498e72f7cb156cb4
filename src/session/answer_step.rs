//! Which step an answer takes with a session: by what its request came under, and by what it wants. Pure; what comes of the
//! step is for `apply_answer`, and with a record in hand for `commit`.
//!
//! | the request came under | and the answer wants | step |
//! | --- | --- | --- |
//! | a session | nothing | [`Refresh`](AnswerStep::Refresh) |
//! | | another principal or none, or `logout` | [`Replace`](AnswerStep::Replace) |
//! | | anything else | [`Change`](AnswerStep::Change) |
//! | a session as it was | anything | `Change`, of which only an ending counts, or `Leave` |
//! | a session, on a route that only reads | cookies kept | [`ChangeJar`](AnswerStep::ChangeJar) |
//! | nothing, or a spent ticket | a login | [`Begin`](AnswerStep::Begin) |
//! | nothing | something kept | `Begin`, or [`Conflict`](AnswerStep::Conflict) if for a session that is there |
//! | a store that failed | anything | [`Unavailable`](AnswerStep::Unavailable) |
//! | whatever is left | | [`Decline`](AnswerStep::Decline) or [`Leave`](AnswerStep::Leave) |

use super::{ResolvedSession, SessionChanges, resolved::SessionStatus};
use crate::record::Ticket;

/// What is done about a session for one answer.
#[derive(Debug)]
pub(super) enum AnswerStep<'a> {
    /// Nothing is wanted, and nothing is done.
    Leave,
    /// Nothing changes, but the ticket may be due for a new stamp, or for a successor.
    Refresh(&'a Ticket),
    /// The session changes, or ends.
    Change(&'a Ticket),
    /// Cookies that are kept change, and nothing else may.
    ChangeJar(&'a Ticket),
    /// The session ends, and what the answer sets belongs to another that begins.
    Replace(&'a Ticket),
    /// A session begins with what is left of the answer: under the ticket that was to be offered, or a new one.
    Begin(Option<Ticket>, Box<SessionChanges>),
    /// Nothing of it is kept, for this reason; a ticket may be offered all the same.
    Decline(Option<Ticket>, &'static str),
    /// It was meant for another version of the session.
    Conflict,
    /// The store failed when the request came, and the visitor is to be told.
    Unavailable,
}

impl<'a> AnswerStep<'a> {
    /// The step of this answer.
    pub(super) fn of(resolved: &'a ResolvedSession, changes: &SessionChanges) -> Self {
        match &resolved.status {
            // First, so that no later arm can give a route that only reads more than cookies that
            // are kept.
            status if resolved.read_only => Self::of_jar(status, changes),
            // By far the most frequent answer: nothing that follows is evaluated for it.
            SessionStatus::Known { ticket, .. } if changes.is_empty() => Self::Refresh(ticket),
            // Another principal, or none, is another session: nothing of one person reaches the next.
            SessionStatus::Known { ticket, .. } if resolved.is_followed(changes) => Self::Replace(ticket),
            // As it was: nothing but an ending counts, and no ticket is given. What `commit` says of it
            // is a straggler's part.
            SessionStatus::Past { .. } | SessionStatus::Unavailable if changes.is_empty() => Self::Leave,
            SessionStatus::Known { ticket, .. } | SessionStatus::Past { ticket, .. } => Self::Change(ticket),
            // Who asks decides whether the visitor is told that it was not kept.
            SessionStatus::Unavailable => Self::Unavailable,
            SessionStatus::Stranger(ticket) => Self::of_stranger(*ticket, resolved, changes),
            SessionStatus::Spent { overtaken, .. } => Self::of_spent(*overtaken, changes),
        }
    }

    /// On a route that only reads: nothing but cookies that are kept, for whoever has a session.
    fn of_jar(status: &'a SessionStatus, changes: &SessionChanges) -> Self {
        match status {
            _ if changes.jar.is_empty() => Self::Leave,
            SessionStatus::Known { ticket, .. } | SessionStatus::Past { ticket, .. } => {
                Self::ChangeJar(ticket)
            }
            SessionStatus::Unavailable => Self::Unavailable,
            SessionStatus::Stranger(_) | SessionStatus::Spent { .. } => {
                Self::Decline(None, "there is no session, and on this route none begins")
            }
        }
    }

    /// A stranger's: whatever is to be kept begins a session, where none can be there that was not shown.
    fn of_stranger(ticket: Option<Ticket>, resolved: &ResolvedSession, changes: &SessionChanges) -> Self {
        let mut begins = beginning(changes);
        // An app gives everyone without a cookie a new one: no reason to log out whoever followed a link here.
        if resolved.is_same_site_withheld && !begins.logs_in() {
            begins.jar.clear();
        }
        // A login by name is an explicit act of the app and replaces whatever the browser holds.
        // Anything less must not: the session that the browser did not show would be lost to it.
        let may_begin = begins.logs_in() || (begins.stores() && !resolved.may_have_unseen_session);
        // `If-Version: 0` means "only if there is none yet", and that holds here.
        if changes.expects_a_record() {
            return Self::Conflict;
        }
        if may_begin {
            return Self::Begin(ticket, Box::new(begins));
        }
        // An app that has just logged somebody out does not expect a cookie in the same answer.
        Self::Decline(ticket.filter(|_| !changes.ends()), "no session may begin here")
    }

    /// Of a spent ticket's holder nothing is kept, except a login: that of an app by its own cookie too, unless the browser has
    /// the ticket that took the place of that one. Else who sends the login's form twice, or never gets its answer, has
    /// neither.
    fn of_spent(overtaken: bool, changes: &SessionChanges) -> Self {
        let begins = beginning(changes);
        match begins.logs_in() || (!overtaken && begins.may_log_in()) {
            true if changes.expects_a_record() => Self::Conflict,
            true => Self::Begin(None, Box::new(begins)),
            false => Self::Decline(None, "no session may begin here"),
        }
    }
}

/// What is left of an answer for a session that begins with it.
fn beginning(changes: &SessionChanges) -> SessionChanges {
    SessionChanges { if_version: changes.if_version, ..changes.afterwards() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::{
        clock::Timestamp,
        record::{
            FieldValue, Record,
            jar::{JarChange, JarCookie, LastUse, SameSiteRule},
        },
    };

    /// What answers want, a column each.
    fn wants() -> [SessionChanges; 8] {
        let name = |name: &str| Some((!name.is_empty()).then(|| name.into()));
        let field = SessionChanges {
            set: vec![("a".into(), FieldValue::Text("1".into()))],
            ..SessionChanges::default()
        };
        let cookie = JarChange {
            cookie: JarCookie {
                owner: None,
                name: Arc::from(&b"sid"[..]),
                value: Arc::from(&b"1"[..]),
                domain: "a.test".into(),
                host_only: true,
                path: Arc::from(&b"/"[..]),
                secure: false,
                same_site: SameSiteRule::Lax,
                expires: None,
                outlives_browser: false,
                used: LastUse::default(),
            },
            https: false,
            renews: true,
            begins: true,
            ends: false,
        };
        [
            SessionChanges::default(),
            field.clone(),
            SessionChanges { principal: name("alice"), ..SessionChanges::default() },
            SessionChanges { principal: name(""), ..SessionChanges::default() },
            SessionChanges { logout: true, ..SessionChanges::default() },
            SessionChanges { destroy: true, ..SessionChanges::default() },
            SessionChanges { jar: vec![cookie], ..SessionChanges::default() },
            SessionChanges { if_version: Some(3), ..field },
        ]
    }

    fn ticket() -> Ticket {
        Ticket::mint_suiting(Timestamp::from_seconds(1), None)
    }

    fn known(principal: Option<&str>) -> SessionStatus {
        let now = Timestamp::from_seconds(1);
        let mut record = Record::new(("h".into(), Uuid::nil()), [1; 32], now, now, true);
        record.principal = principal.map(Into::into);
        SessionStatus::Known { ticket: ticket(), record: Some(Arc::new(record)), is_rotating: false }
    }

    fn came(status: SessionStatus) -> ResolvedSession {
        ResolvedSession { status, ..ResolvedSession::unavailable(true, Timestamp::from_seconds(1)) }
    }

    fn word(step: &AnswerStep<'_>) -> &'static str {
        match step {
            AnswerStep::Leave => "leave",
            AnswerStep::Refresh(_) => "refresh",
            AnswerStep::Change(_) => "change",
            AnswerStep::ChangeJar(_) => "jar",
            AnswerStep::Replace(_) => "replace",
            AnswerStep::Begin(..) => "begin",
            AnswerStep::Decline(Some(_), _) => "offer",
            AnswerStep::Decline(None, _) => "decline",
            AnswerStep::Conflict => "conflict",
            AnswerStep::Unavailable => "unavailable",
        }
    }

    #[test]
    fn the_table() {
        let read_only = |status| ResolvedSession { read_only: true, ..came(status) };
        let stranger = || SessionStatus::Stranger(Some(ticket()));
        let spent =
            |overtaken| SessionStatus::Spent { id: Uuid::nil(), at: Timestamp(0), overtaken, lost: None };
        let past = || match known(Some("alice")) {
            SessionStatus::Known { ticket, record: Some(record), .. } => {
                SessionStatus::Past { ticket, record }
            }
            other => other,
        };
        for (who, resolved, wanted) in [
            // nothing, a field, alice, nobody, logout, destroy, an app's login, a field of version 3
            (
                "nobody's session",
                came(known(None)),
                "refresh change change change replace change change change",
            ),
            (
                "alice's session",
                came(known(Some("alice"))),
                "refresh change change replace replace change change change",
            ),
            (
                "bob's session",
                came(known(Some("bob"))),
                "refresh change replace replace replace change change change",
            ),
            (
                "a session, only read",
                read_only(known(Some("bob"))),
                "leave leave leave leave leave leave jar leave",
            ),
            (
                "alice's session as it was",
                came(past()),
                "leave change change change change change change change",
            ),
            (
                "a session as it was, only read",
                read_only(past()),
                "leave leave leave leave leave leave jar leave",
            ),
            (
                "a stranger, only read",
                read_only(stranger()),
                "leave leave leave leave leave leave decline leave",
            ),
            (
                "a failed store, only read",
                read_only(SessionStatus::Unavailable),
                "leave leave leave leave leave leave unavailable leave",
            ),
            (
                "a stranger with an offer",
                came(stranger()),
                "offer begin begin offer decline decline begin conflict",
            ),
            (
                "a stranger",
                came(SessionStatus::Stranger(None)),
                "decline begin begin decline decline decline begin conflict",
            ),
            (
                "a stranger from elsewhere",
                ResolvedSession { is_same_site_withheld: true, ..came(SessionStatus::Stranger(None)) },
                "decline begin begin decline decline decline decline conflict",
            ),
            (
                "somebody who may have a session",
                ResolvedSession { may_have_unseen_session: true, ..came(SessionStatus::Stranger(None)) },
                "decline decline begin decline decline decline decline conflict",
            ),
            (
                "a spent ticket",
                came(spent(false)),
                "decline decline begin decline decline decline begin decline",
            ),
            (
                "a spent ticket whose successor came",
                came(spent(true)),
                "decline decline begin decline decline decline decline decline",
            ),
            (
                "a failed store",
                came(SessionStatus::Unavailable),
                "leave unavailable unavailable unavailable unavailable unavailable unavailable unavailable",
            ),
        ] {
            let steps = wants().map(|changes| word(&AnswerStep::of(&resolved, &changes)));
            assert_eq!(steps.join(" "), wanted, "{who}");
        }
    }
}
