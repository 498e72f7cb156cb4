//! What becomes of a session when an answer's changes meet the record as it is now. Pure: values in, a decision out.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    draft::{JarRenewal, RecordDraft},
    pending_change::PendingChange,
};
use crate::{
    config::is_session_like,
    record::{EndReason, FieldName, Record, ReplacementReason, SecretMatch, jar::JarChange},
    store::{Decision, DecisionNote, FoundRecord, RealmPrincipal, UpdateAction},
};

/// Decides, and says what was noticed. Pure: it may be called again.
pub fn decide(found: &FoundRecord, apply: &PendingChange<'_>) -> Decision {
    let mut notes = Vec::new();
    let action = decide_action(found, apply, &mut notes);
    Decision { action, notes }
}

fn decide_action(
    found: &FoundRecord,
    apply: &PendingChange<'_>,
    notes: &mut Vec<DecisionNote>,
) -> UpdateAction {
    let seen = &apply.seen;
    // The record as it is *now* decides, not the one that the request was shown: another answer may
    // have changed it since.
    let before = match found {
        FoundRecord::Live(record) if is_overtaken(record, apply) => return decide_straggler(record, apply),
        FoundRecord::Live(record) => Some(record),
        FoundRecord::Ended(_) | FoundRecord::Over(_) => return UpdateAction::Straggler,
        // It was there when the request came: whoever ended it meanwhile wins, and nothing is
        // brought back.
        FoundRecord::Nothing if seen.record.is_some() => return UpdateAction::Straggler,
        FoundRecord::Nothing => None,
    };
    let changes = apply.changes;
    if changes.if_version.is_some_and(|wanted| wanted != before.map_or(0, |r| r.version)) {
        return UpdateAction::Conflict;
    }
    // Endings before anything that changes fields: what an answer sets beside them belongs to the
    // session that follows.
    if changes.destroy_principal {
        return UpdateAction::End { by: EndReason::Everywhere, all_of: before.and_then(everyone) };
    }
    if changes.ends() || changes.names_other_than(before.and_then(|r| r.principal.as_ref())) {
        return UpdateAction::End { by: changes.end_reason(), all_of: None };
    }
    if before.is_none() && !changes.stores() {
        return UpdateAction::Nothing;
    }
    if changes.rotate && before.is_none_or(|r| r.is_rotating(apply.now)) {
        return UpdateAction::Nothing;
    }
    decide_change(before, apply, notes)
}

/// Whether something has come into the session since the request was shown it, so that its answer counts as a straggler's.
fn is_overtaken(record: &Record, apply: &PendingChange<'_>) -> bool {
    let (seen, changes) = (&apply.seen, apply.changes);
    match record.match_secret(&seen.secret, || seen.network.tag(), apply.now) {
        SecretMatch::Current => false,
        // What it sets counts: in a browser of its own the app's last word would. What it ends was the session
        // that it was shown, and nobody's who has come into it since.
        SecretMatch::Previous { .. } => {
            record.was_handed_over()
                && seen.record.is_none_or(|shown| shown.renewed != record.renewed)
                && (changes.ends()
                    || changes.names_other_than(record.principal.as_ref())
                    || changes.logs_out_of_app())
        }
        SecretMatch::Past | SecretMatch::No => true,
    }
}

/// The record with the answer's changes in it, under a new ticket where they call for one. `before`: as it is now; `None`
/// for a session that begins.
fn decide_change(
    before: Option<&Arc<Record>>,
    apply: &PendingChange<'_>,
    notes: &mut Vec<DecisionNote>,
) -> UpdateAction {
    let (seen, changes) = (&apply.seen, apply.changes);
    let begin =
        || Record::new((seen.realm.key(), seen.id), seen.secret, seen.minted, apply.now, seen.confirmed);
    let record = before.map_or_else(begin, |r| r.fork());
    // Taken from the record as it is now: of two requests at once only one finds the flash, and
    // only that one delivers it.
    let flash = |name: &FieldName| Some((Arc::clone(name), Arc::clone(record.flashes.get(name)?)));
    let taken = changes.take.iter().filter_map(flash).collect();
    // Whoever is named again is already logged in; an app may repeat the name with every answer and
    // renews nothing by it.
    let logged_in = changes.logs_in() && before.is_none_or(|record| record.principal.is_none());
    let mut draft = RecordDraft { record, apply, notes };
    let privileged = draft.fill();
    let jar_renewal = draft.fill_jar();
    let mut record = draft.record;
    // SECURITY: each rise of privilege makes the old ticket worthless (OWASP, session fixation), so
    // that who planted or saw it before the login has nothing.
    let spends = logged_in
        || changes.renew
        || privileged
        || jar_renewal == JarRenewal::Ending
        || (jar_renewal == JarRenewal::Change && !changes.keeps_old_ticket);
    let hands_over = jar_renewal == JarRenewal::Change && !spends && needs_handover(before, apply);
    // A renewal for a reason beats a rotation: the old ticket must not stay good beside the
    // new one.
    let mut past = None;
    if spends {
        record.renew(apply.next.renewed(), apply.now);
    } else if hands_over {
        past =
            apply.has_past_views.then(|| (seen.secret, before.map_or_else(|| Arc::new(begin()), Arc::clone)));
        // The secret that was shown is the one that stays good, also where a rotation was under way.
        record.secret = seen.secret;
        let (next, reason) = match past {
            Some(_) => (apply.next.handed_over(), ReplacementReason::Change(seen.network.tag())),
            None => (apply.next.renewed(), ReplacementReason::Rotation),
        };
        record.replace_secret(next, reason, apply.now);
    } else if changes.rotate {
        record.replace_secret(apply.next.renewed(), ReplacementReason::Rotation, apply.now);
    }
    let renewed = spends || hands_over || changes.rotate;
    // Apps repeat themselves: what says nothing new costs no write.
    if !renewed && before.is_some_and(|before| record.says_the_same(before)) {
        return UpdateAction::Nothing;
    }
    UpdateAction::Save { record: Box::new(record), renewed, logged_in, taken, past }
}

/// Whether a change of kept cookies needs another ticket. `before`: the record as it is now.
///
/// Of many answers at a time the first makes one, and all others are answers under the same: whichever of them reaches the
/// browser brings the ticket that counts. SECURITY: but only for the network that it was made for. Who planted the ticket
/// may have had one made for themselves, and a login from elsewhere must not lead there.
fn needs_handover(before: Option<&Arc<Record>>, apply: &PendingChange<'_>) -> bool {
    // A ticket without a record may have been planted as well; one that this answer brings was not.
    let Some(before) = before else { return apply.seen.confirmed };
    let given_to = before.handed_over_to(apply.now);
    match before.match_secret(&apply.seen.secret, || apply.seen.network.tag(), apply.now) {
        SecretMatch::Current => {
            !before.was_just_shown(apply.now) || given_to != Some(apply.seen.network.tag())
        }
        // Where the browser has shown the successor, that one is not to be taken away from it.
        SecretMatch::Previous { succeeded } => given_to.is_none() && !succeeded,
        SecretMatch::Past | SecretMatch::No => false,
    }
}

/// What still counts of an answer whose ticket was spent while it was under way: an ending, where nobody has come into the
/// session since its request was shown it. Who clicked "log out" is logged out, whatever renewed the ticket meanwhile.
/// Nobody is given a ticket of that session, so what takes cookies away renews none.
fn decide_straggler(record: &Arc<Record>, apply: &PendingChange<'_>) -> UpdateAction {
    let changes = apply.changes;
    let Some(shown) = apply.seen.record.filter(|shown| record.is_still_of(shown)) else {
        return UpdateAction::Straggler;
    };
    let other = changes.names_other_than(record.principal.as_ref());
    // An app that changes its cookie with each answer means the one of today, unless a login has set that since.
    let has_new_login = record.has_new_login(shown);
    let means = |removal: &JarChange| {
        !has_new_login || shown.jar.find(&removal.cookie) == record.jar.find(&removal.cookie)
    };
    let mut removed: SmallVec<[JarChange; 2]> = changes.removals(&shown.jar).cloned().collect();
    if removed.iter().any(|removal| removal.ends) {
        // Whoever leaves the app may be given cookies of nobody's in the same answer. Nothing can be set here any more, and
        // those of before are to go.
        let anew = changes.jar.iter().filter(|change| change.keeps() && is_session_like(&change.cookie.name));
        removed.extend(anew.filter(|change| shown.jar.has(&change.cookie)).map(JarChange::removal));
    }
    removed.retain(|removal| means(removal));
    let left = removed.iter().fold(record.jar.clone(), |mut jar, removal| {
        // Taking out cannot fail for want of room; where a cookie may not be touched, it stays.
        let _ = jar.apply(removal, &apply.rules.jar, apply.now);
        jar
    });
    // SECURITY: only while nobody has come into the session since. A logout that was under way must
    // not log out the next person.
    let ends = (changes.ends() || other) && record.is_just_as(shown);
    if !ends && left == record.jar {
        return UpdateAction::Straggler;
    }
    if changes.if_version.is_some_and(|wanted| wanted != record.version) {
        return UpdateAction::Conflict;
    }
    if ends {
        let all_of = everyone(record).filter(|_| changes.destroy_principal);
        return UpdateAction::End { by: changes.end_reason(), all_of };
    }
    let mut record = Box::new(Record { jar: left, ..record.fork() });
    // Nobody could be given another ticket; what goes on under this one was opened by who has now left.
    if removed.iter().any(|removal| removal.ends) {
        record.end_tunnels(apply.now);
    }
    UpdateAction::Save { record, renewed: false, logged_in: false, taken: Vec::new(), past: None }
}

/// Realm and name of who is logged in.
fn everyone(record: &Arc<Record>) -> Option<RealmPrincipal> {
    Some((Arc::clone(&record.realm), record.principal.clone()?))
}
