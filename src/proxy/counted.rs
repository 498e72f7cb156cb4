//! What a worker counts of its requests, and where: its rows by listener and route, found without a lock.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use crate::{
    metrics::{RequestMetrics, RouteMetrics},
    plan::{Plan, RoutePlan},
};

/// The row of requests that no route was found for.
const NO_ROUTE: &str = "-";

/// One worker's counts.
#[derive(Debug)]
pub struct WorkerCounts {
    requests: Arc<RequestMetrics>,
    known: RefCell<PlanRows>,
}

/// A row, as this worker's requests hold it: without a locked instruction each.
#[derive(Debug)]
pub(super) struct CountedRow(Arc<RouteMetrics>);

impl std::ops::Deref for CountedRow {
    type Target = RouteMetrics;

    fn deref(&self) -> &RouteMetrics {
        &self.0
    }
}

/// What matters here of a plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlanShape {
    number: u64,
    routes: usize,
}

impl From<&Plan> for PlanShape {
    fn from(plan: &Plan) -> Self {
        Self { number: plan.number, routes: plan.routes }
    }
}

/// Rows under one plan.
#[derive(Debug, Default)]
struct PlanRows {
    plan: u64,
    rows: Vec<Option<Rc<CountedRow>>>,
}

impl WorkerCounts {
    /// Counts there, where the operator's view reads it.
    pub fn to(requests: Arc<RequestMetrics>) -> Self {
        Self { requests, known: RefCell::default() }
    }

    /// The row of requests that came in there, under that plan, and go that way.
    pub(super) fn row(
        &self,
        (listener, plan): (u16, PlanShape),
        route: Option<&RoutePlan>,
    ) -> Rc<CountedRow> {
        let mut known = self.known.borrow_mut();
        // Rows are kept by number, and a reload gives the numbers to other routes.
        if known.plan != plan.number {
            *known = PlanRows { plan: plan.number, rows: Vec::new() };
        }
        // The first of each listener is for what has no route.
        let place = usize::from(listener) * (plan.routes + 1) + route.map_or(0, |route| route.number + 1);
        if let Some(Some(row)) = known.rows.get(place) {
            return Rc::clone(row);
        }
        let row =
            Rc::new(CountedRow(self.requests.row(listener, route.map_or(NO_ROUTE, |route| &route.name))));
        if known.rows.len() <= place {
            known.rows.resize(place + 1, None);
        }
        if let Some(there) = known.rows.get_mut(place) {
            *there = Some(Rc::clone(&row));
        }
        row
    }
}
