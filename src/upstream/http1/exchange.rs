//! A request and its answer on one connection.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body::Body;

use super::{
    super::{
        AnswerBody, ConnectionLease, RequestBodyError, SendOptions, UploadProgress,
        error::{DeliveryState, FailedRequest, FailureReason},
        replay::SentBody,
    },
    AnswerHead, Http1Error, body,
};
use crate::{
    clock::{CoarseTimer, TICK},
    message::{Request, Response, challenges, lines::HeaderLines},
};

/// Sends a request, and waits for the head of its answer.
///
/// # Errors
/// There is none; the connection is closed.
pub(in super::super) async fn ask<B, R>(
    mut lease: ConnectionLease<B>,
    head: &Request<R>,
    added: &HeaderLines,
    body: Option<SentBody<B>>,
    options: &SendOptions<'_>,
) -> Result<Response<AnswerBody<B>>, FailedRequest<B>>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    let bodied = body.is_some();
    lease.connection.begin(head, added, body);
    let error = match converse(&mut lease, options).await {
        Some(Ok(answered)) => {
            let offers = answered.response.status() == StatusCode::UNAUTHORIZED
                && challenges::offers_to_log_in_connection(answered.response.fields());
            if offers || (options.has_credentials && challenges::logs_in_connection(head.fields())) {
                lease.belongs_to(options.visitor, offers);
            }
            let streamed = head.version() == Version::HTTP_2;
            return answer(lease, answered, options, streamed).map_err(|error| FailedRequest {
                why: FailureReason::Exchange(error.into()),
                seen: DeliveryState::Some,
            });
        }
        Some(Err(error)) => error,
        None => return Err(FailedRequest { why: FailureReason::Late, seen: DeliveryState::Some }),
    };
    let leftovers = lease.connection.holds_leftovers();
    let error = match error {
        Http1Error::Closed if lease.connection.reused => {
            lease.closed();
            Http1Error::Stale
        }
        error => error,
    };
    if leftovers {
        lease.note_leftovers();
    }
    // A body that was begun is gone.
    let seen = if bodied || !(leftovers || error.may_be_stale()) {
        DeliveryState::Some
    } else if !lease.connection.has_begun() {
        DeliveryState::Nothing(None)
    } else if lease.connection.reused {
        DeliveryState::Maybe
    } else {
        DeliveryState::Some
    };
    let why = match error {
        Http1Error::Body(source) => FailureReason::Body(source),
        error => FailureReason::Exchange(error.into()),
    };
    Err(FailedRequest { why, seen })
}

/// Polls request and answer together; `None`: the time was up.
async fn converse<B>(
    lease: &mut ConnectionLease<B>,
    options: &SendOptions<'_>,
) -> Option<Result<AnswerHead, Http1Error>>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    let mut timer = CoarseTimer::new(options.first_byte);
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = lease.connection.poll_head(cx, options.interim) {
            return Poll::Ready(Some(result));
        }
        // `first_byte_timeout` counts from the end of the request: while the visitor is still
        // sending, the app is not late.
        if options.upload.is_some_and(UploadProgress::excuses) {
            timer.reset(options.first_byte);
        }
        timer.poll_elapsed(cx).map(|()| None)
    })
    .await
}

fn answer<B>(
    mut lease: ConnectionLease<B>,
    mut head: AnswerHead,
    options: &SendOptions<'_>,
    streamed: bool,
) -> Result<Response<AnswerBody<B>>, Http1Error>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    if let Some(seconds) = head.idle {
        // Less a second, since its clock began earlier than ours.
        let ticks = seconds.saturating_sub(1).saturating_mul(1000 / TICK.as_millis() as u64);
        lease.connection.idle_ticks = lease.connection.idle_ticks.min(ticks);
    }
    let response = std::mem::take(&mut head.response);
    if !head.dropped.is_empty() {
        tracing::warn!(
            server = lease.server(),
            lines = head.dropped.join(", "),
            "header lines of an answer were dropped: they hold control characters"
        );
    }
    let body = body::Http1Body::new(lease, &head, options.answer_idle, streamed)?;
    Ok(response.map(|()| AnswerBody::Http1(body)))
}
