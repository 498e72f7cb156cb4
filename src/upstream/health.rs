//! Active health checks: each server is asked, now and then, how it is.
//!
//! By a connection of its own each time, so that what is checked is what the next new connection will meet. What checks
//! find comes on top of what requests find (`endpoint`): a server is used while neither speaks against it.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body, Frame};
use tokio_util::sync::CancellationToken;

use super::{
    BodyError, Endpoint, Endpoints, ExchangeError, Terms, UpstreamError,
    connect::{Patience, connect, connect_http2},
    error::{Failed, Failure},
    http1, http2,
};
use crate::{
    clock::{self, Timestamp},
    config::{Health, UpstreamHost},
    message::lines::Lines,
    tasks,
};

/// Checks the servers of an upstream, if it says so, until that is cancelled; `added` goes with every check. Called on a
/// loop with a ticker ([`clock::drive`]).
pub fn watch(upstream: &Arc<Endpoints>, added: &Lines, until: &CancellationToken) {
    let Some(rules) = &upstream.rules.health else { return };
    for index in 0..upstream.all.len() {
        let (upstream, rules, added) = (Arc::clone(upstream), rules.clone(), added.clone());
        let until = until.clone();
        tasks::spawn(async move {
            let Some(endpoint) = upstream.all.get(index) else { return };
            until.run_until_cancelled(checks(&upstream, endpoint, &rules, &added)).await;
        });
    }
}

async fn checks(upstream: &Endpoints, endpoint: &Endpoint, rules: &Health, added: &Lines) {
    let Some(head) = request(upstream, endpoint, rules) else { return };
    let mut run = Run { unwell: endpoint.failed_its_checks(), against: 0 };
    loop {
        let found = match clock::timeout(Some(rules.timeout), check(upstream, endpoint, &head, added)).await {
            Ok(found) => found,
            Err(_) => Err(Unwell::Late),
        };
        match run.hear(found.is_ok(), rules) {
            Some(true) => endpoint.is_well(),
            Some(false) => {
                let why = found.err().map(|why| why.to_string()).unwrap_or_default();
                endpoint.is_unwell(rules.fall, &why);
            }
            None => {}
        }
        clock::pause(rules.interval).await;
    }
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
enum Unwell {
    #[error("no answer within health.timeout")]
    Late,
    #[error(transparent)]
    Unreachable(#[from] UpstreamError),
    #[error(transparent)]
    Broken(#[from] ExchangeError),
    #[error("it answered {0}")]
    Status(http::StatusCode),
}

async fn check(
    upstream: &Endpoints,
    endpoint: &Endpoint,
    head: &Request<()>,
    added: &Lines,
) -> Result<(), Unwell> {
    let status = if upstream.rules.http2 {
        let connection = connect_http2(endpoint, None, Patience::None, 0).await?;
        let now = Timestamp::now();
        let terms =
            Terms { first_byte: None, answer_idle: None, session: None, upload: None, interim: None, now };
        let share = http2::Share::of(&connection);
        match http2::ask::<Nothing, _>(share, endpoint, head, added, None, terms).await {
            Ok(answer) => answer.status(),
            Err(Failed { why: Failure::Exchange(error), .. }) => return Err(error.into()),
            Err(_) => return Err(Unwell::Late),
        }
    } else {
        let stream = connect(endpoint, None, Patience::None).await?;
        let mut connection = http1::Connection::<Nothing>::new(stream, 0);
        connection.begin(head, added, None);
        let answered = poll_fn(|cx| connection.poll_head(cx, None)).await;
        answered.map_err(ExchangeError::from)?.response.status()
    };
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(Unwell::Status(status)) }
}

fn request(upstream: &Endpoints, endpoint: &Endpoint, rules: &Health) -> Option<Request<()>> {
    let host = match &upstream.rules.host {
        UpstreamHost::Name(name) => name.as_str(),
        _ if endpoint.name.starts_with("unix:") => "localhost",
        _ => endpoint.name.as_str(),
    };
    let request = Request::get(rules.path.as_str())
        .header(header::HOST, host)
        .header(header::USER_AGENT, "cloakroom (health check)");
    // Of HTTP/2 a connection is never a header's matter (RFC 9113 section 8.2.2).
    let request = if upstream.rules.http2 { request } else { request.header(header::CONNECTION, "close") };
    // The configuration was checked: it is a request.
    request.body(()).ok()
}

/// What the last checks in a row said.
#[derive(Debug, Default)]
struct Run {
    unwell: bool,
    /// So many that speak against it.
    against: u32,
}

impl Run {
    /// Hears of a check; tells when that changes what the server is.
    fn hear(&mut self, good: bool, rules: &Health) -> Option<bool> {
        if good != self.unwell {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < if good { rules.rise } else { rules.fall } {
            return None;
        }
        *self = Self { unwell: !good, against: 0 };
        Some(good)
    }
}

/// A check has no body.
#[derive(Debug)]
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_takes_several_in_a_row_either_way() {
        let second = Duration::from_secs(1);
        let rules = |rise, fall| Health { path: "/".into(), interval: second, timeout: second, rise, fall };
        for (rise, fall, heard, wanted) in [
            (2, 3, "+++", "..."),
            (2, 3, "---", "..-"),
            (2, 3, "--+--+---", "........-"),
            (2, 3, "---+-++++", "..-...+.."),
            (2, 3, "-----++---", "..-...+..-"),
            (1, 1, "-+--+", "-+-.+"),
        ] {
            let mut run = Run::default();
            let said: String = heard
                .chars()
                .map(|check| match run.hear(check == '+', &rules(rise, fall)) {
                    Some(true) => '+',
                    Some(false) => '-',
                    None => '.',
                })
                .collect();
            assert_eq!(said, wanted, "{heard}");
        }
    }
}
