//! `/api/why`: what became of a ticket, in words that support staff can pass on.
//!
//! SECURITY: the ticket comes in a header of its own, and stands in no address, no log and no answer.

use http::{HeaderMap, HeaderName};
use serde::Serialize;
use uuid::Uuid;

use super::{
    AdminSources,
    status::{SessionSummary, time},
};
use crate::{
    clock::Timestamp,
    config::SessionMode,
    plan::Plan,
    record::{EndReason, Realm},
    session::{CookieForm, TicketReport, TicketState},
    store::StoreError,
};

/// What the ticket, the cookie line or the id comes in.
const SHOWN: HeaderName = HeaderName::from_static("x-cloakroom-ticket");

/// Routes that name no host give tickets for whichever host visitors ask for: none of these.
const NO_HOST: &str = "";

/// What became of a ticket.
#[derive(Debug, Serialize)]
pub(super) struct TicketStory {
    /// As the access log says it.
    ticket: &'static str,
    ended_by: Option<&'static str>,
    ended: Option<String>,
    session_id: Option<Uuid>,
    /// Its session, if it lives.
    session: Option<SessionSummary>,
    /// When its session began, and when the ticket was last given, as it says itself.
    session_began: Option<String>,
    given: Option<String>,
    explanation: String,
}

impl TicketStory {
    /// Of what these headers show; `None` if they show nothing. `host`: where the visitor is.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn of(
        sources: &AdminSources,
        headers: &HeaderMap,
        host: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let Some(shown) = headers.get(SHOWN).and_then(|shown| shown.to_str().ok()) else { return Ok(None) };
        let plan = sources.plan.load();
        let report =
            plan.sessions.inquire(cookie_line(shown), (&places(&plan, host), host.is_none()), now).await?;
        Ok(Some(Self::tell(&plan, &report, host)))
    }

    fn tell(plan: &Plan, report: &TicketReport, host: Option<&str>) -> Self {
        let rules = plan.sessions.rules();
        Self {
            ticket: report.verdict.state.as_str(),
            ended_by: report.verdict.ended_by.map(EndReason::as_str),
            ended: report.ended_at.map(time),
            session_id: report.verdict.session,
            session: report.record.as_ref().map(|record| SessionSummary::of(record, rules)),
            session_began: report.ticket.map(|ticket| time(ticket.minted)),
            given: report.ticket.map(|ticket| time(ticket.stamped)),
            explanation: explanation(plan, report, host),
        }
    }
}

/// Without the name of the header, where somebody has pasted all of the line.
fn cookie_line(shown: &str) -> &str {
    let shown = shown.trim();
    let (name, rest) = shown.split_once(':').unwrap_or(("", shown));
    let is_header = ["cookie", "set-cookie"].iter().any(|header| name.eq_ignore_ascii_case(header));
    if is_header { rest.trim() } else { shown }
}

/// Where a ticket may be good: on this host, or on each that a route names.
fn places<'p>(plan: &'p Plan, host: Option<&'p str>) -> Vec<(Realm<'p>, &'p CookieForm)> {
    let of_host = host.into_iter().flat_map(|host| plan.router.of_host(host).map(move |route| (host, route)));
    let of_all = plan.router.each().map(|(named, route)| (named.unwrap_or(NO_HOST), route));
    let all = of_host.chain(of_all).filter(|(_, route)| route.session != SessionMode::Off);
    all.map(|(host, route)| (route.realm_of(host), &route.cookie)).collect()
}

fn explanation(plan: &Plan, report: &TicketReport, host: Option<&str>) -> String {
    let verdict = report.verdict;
    let ended = || {
        let when = report.ended_at.map(|at| format!(" at {}", time(at))).unwrap_or_default();
        let by = verdict.ended_by.unwrap_or_default().in_words();
        format!("its session has ended{when}: {by}")
    };
    match verdict.state {
        TicketState::Ok => match &report.record {
            Some(record) => {
                let who = record.principal.as_ref().map_or_else(
                    || "nobody is logged in".to_owned(),
                    |principal| format!("{principal} is logged in"),
                );
                let until = time(record.ends(plan.sessions.rules()));
                format!("it is good: {who}, and the session lives until {until} if nobody comes")
            }
            None => "it is good, and nothing is stored for its session: nobody is logged in".to_owned(),
        },
        TicketState::Expired | TicketState::Ended | TicketState::Revoked => ended(),
        TicketState::Spent => {
            "another ticket took its place: the visitor logged in, the app asked for it, a kept cookie changed or \
             its time had come. A browser that still shows this one never got the new one, or put the old one back"
                .to_owned()
        }
        TicketState::OtherRealm => {
            let realm = report.record.as_ref().map(|record| Realm::in_words(&record.realm));
            format!("it is genuine, and good elsewhere alone: {}", realm.unwrap_or_default())
        }
        TicketState::UnknownKey => {
            "it was made under a key that is not in [keys]: a key was replaced and not listed in `previous`, or \
             another cloakroom made it"
                .to_owned()
        }
        TicketState::Forged if host.is_none() && plan.router.each().any(|(_, route)| route.any_host) => {
            "it is not genuine, or was made for a host that no route names: say which (--host)".to_owned()
        }
        TicketState::Forged => {
            "it is not genuine: cloakroom never made it so, for any host that its routes name".to_owned()
        }
        TicketState::None | TicketState::New | TicketState::Ambiguous | TicketState::Unavailable => {
            "nothing is known of this session: it never had data, or it ended so long ago that it was forgotten"
                .to_owned()
        }
    }
}
