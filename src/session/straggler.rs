//! What still counts of an answer whose ticket was spent while it was under way: a straggler's.
//!
//! What it ends is decided with the record in hand (`commit`), since somebody may have come into the session since. Here
//! stands what is left where it may change nothing there: a login that begins a session of its own, and the end of
//! everybody else's of its principal.

use super::{
    SessionChanges, SessionManager,
    answer_context::{AnswerContext, CookieOutcome},
};
use crate::{record::Ticket, store::StoreError};

/// Nothing of an answer is kept, as is usual where requests overtake each other.
pub(super) fn pass_over(changes: &SessionChanges) -> CookieOutcome {
    for change in changes.jar.iter().filter(|change| change.keeps()) {
        let cookie = String::from_utf8_lossy(&change.cookie.name);
        tracing::debug!(%cookie, "a cookie of the app was not kept: the ticket was replaced while its answer was under way");
    }
    CookieOutcome::Unchanged
}

impl SessionManager {
    /// What still counts of an answer whose ticket was spent meanwhile: a login begins a session of its own, and everyone
    /// of a principal is logged out.
    pub(super) async fn apply_straggler(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        changes: &SessionChanges,
    ) -> Result<CookieOutcome, StoreError> {
        // On a route that only reads no session begins, and none but cookies change.
        if context.resolved.read_only {
            return Ok(pass_over(changes));
        }
        // Apps repeat who is logged in: from a straggler that is no login, and would undo a logout.
        if changes.logs_in() && !context.resolved.repeats(changes) {
            if changes.expects_a_record() {
                return Ok(self.conflict(context, changes).await);
            }
            return self.begin(context, &context.mint(), &changes.afterwards(), None).await;
        }
        if self.may_begin_beside(context, ticket, changes).await? {
            return self.begin(context, &context.mint(), &changes.afterwards(), None).await;
        }
        // The order matters: what logs somebody in has returned above, and is not ended here again.
        if changes.destroy_principal {
            self.end_all_of(context).await?;
        }
        Ok(pass_over(changes))
    }

    /// The session ended meanwhile; everyone else of its principal was to be logged out as well, and is.
    pub(super) async fn end_all_of(&self, context: AnswerContext<'_>) -> Result<(), StoreError> {
        let shown = context.resolved.record();
        match shown.and_then(|record| Some((&record.realm, record.principal.as_ref()?))) {
            // Where visitors carry their sessions, nobody knows what others there are.
            Some((realm, name)) if !self.backend.is_client_side() => {
                self.backend.delete_all_of(realm, name, context.now).await
            }
            _ => Ok(()),
        }
    }

    /// Whether a straggler's answer begins a session by a kept cookie, as a login of the app's own does
    /// ([`SessionChanges::may_log_in`]):
    /// only where its session goes on under another ticket, which the browser is not known to have, and which it got by
    /// such a login from the same address ([`LoginAddresses`](super::logins::LoginAddresses)). It came as one who was in
    /// that session: had that ended, it would log in again who has logged out, and somebody who is logged in by name would
    /// be so no more.
    async fn may_begin_beside(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        changes: &SessionChanges,
    ) -> Result<bool, StoreError> {
        if !changes.may_log_in()
            || changes.expects_a_record()
            // Who was logged in by name would be logged in by a cookie alone: less than they were,
            // and perhaps as somebody else.
            || context.resolved.has_principal()
            || !self.logins.came_from(ticket.id, context.client)
        {
            return Ok(false);
        }
        self.backend.goes_on_unseen(ticket.id, context.now).await
    }
}
