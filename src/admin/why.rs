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
    plan::{Plan, RoutePlan},
    record::{EndReason, Realm},
    session::{CookieForm, TicketReport},
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
            explanation: report.explanation(rules, host.is_some() || !any_host(plan)),
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

/// Whether there are hosts where tickets are good and that no route names.
fn any_host(plan: &Plan) -> bool {
    let by_host = |route: &RoutePlan| route.realm.is_none() && route.cookie.domain().is_none();
    plan.router.each().any(|(named, route)| named.is_none() && by_host(route))
}
