//! What would become of a request, asked of the process that runs: with its plan, its sessions, its servers as they are.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    admin::{ExplainerFuture, RequestExplainer, RequestQuestion},
    config::{Config, ListenConfig},
    listen::{PeerName, RequestArrival},
    plan::Plan,
    proxy,
};

/// A listener, as far as it matters to a request.
struct ListenerPlace {
    address: String,
    https: bool,
    redirect_to_https: Option<u16>,
}

impl ListenerPlace {
    fn of(listen: &ListenConfig) -> Self {
        Self {
            address: listen.address.to_string(),
            https: listen.tls.is_some(),
            redirect_to_https: listen.redirect_to_https,
        }
    }
}

/// How a request arrives that is asked about. By the first listener, unless another is named; by https at one with TLS, or
/// where that is said.
///
/// # Errors
/// There is no such listener; the text says which there are.
pub fn arrival(config: &Config, asked: &RequestQuestion) -> Result<RequestArrival, String> {
    arrival_by(&places(config), asked)
}

fn places(config: &Config) -> Vec<ListenerPlace> {
    config.listen.iter().map(ListenerPlace::of).collect()
}

fn arrival_by(places: &[ListenerPlace], asked: &RequestQuestion) -> Result<RequestArrival, String> {
    let is_named = |place: &ListenerPlace| match &asked.listener {
        Some(address) => place.address == *address,
        // Who asks about https means a listener that takes it, where there is one.
        None => place.https == asked.https || !places.iter().any(|place| place.https == asked.https),
    };
    let number = places.iter().position(is_named);
    let (number, place) = number.and_then(|number| Some((number, places.get(number)?))).ok_or_else(|| {
        let all: Vec<_> = places.iter().map(|place| place.address.as_str()).collect();
        format!("there is no such listener; there are {}", all.join(", "))
    })?;
    let https = place.https || asked.https;
    Ok(RequestArrival {
        peer: PeerName::Ip(asked.from),
        https,
        redirect_to_https: place.redirect_to_https.filter(|_| !https),
        listener: u16::try_from(number).unwrap_or(u16::MAX),
    })
}

/// Explains requests by the plan that holds when they are asked about.
pub(super) fn explainer(config: &Config, plan: Arc<ArcSwap<Plan>>) -> RequestExplainer {
    let places = places(config);
    RequestExplainer(Box::new(move |asked| -> ExplainerFuture {
        let (plan, arrival) = (plan.load_full(), arrival_by(&places, &asked));
        Box::pin(async move {
            let explained = proxy::explain(&plan, &asked.raw, (arrival?, true)).await;
            let explanation = explained.map_err(|error| error.to_string())?;
            serde_json::to_value(explanation).map_err(|error| error.to_string())
        })
    }))
}
