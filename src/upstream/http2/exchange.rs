//! A request and its answer in one stream.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{RecvStream, client::ResponseFuture};
use http::StatusCode;
use http_body::Body;

use super::{
    super::{
        AnswerBody, Endpoint, RequestBodyError, SendOptions, UploadProgress,
        answer::MOST_INTERIM,
        error::{DeliveryState, FailedRequest, FailureReason},
        replay::ReplayBody,
    },
    ConnectionShare, Http2Error, body,
    head::{self, DeclaredLength},
    sending::RequestBodySender,
};
use crate::{
    clock::CoarseTimer,
    message::{Request, Response, lines::HeaderLines},
};

/// Sends a request, and waits for the head of its answer.
///
/// # Errors
/// There is none; the app was told that nobody waits any more.
pub(in super::super) async fn ask<B, R>(
    share: ConnectionShare,
    server: &Endpoint,
    head: &Request<R>,
    added: &HeaderLines,
    body: Option<Box<ReplayBody<B>>>,
    options: SendOptions<'_>,
) -> Result<Response<AnswerBody<B>>, FailedRequest<B>>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    let length = match body.as_ref().map(|body| body.size_hint().exact()) {
        None => DeclaredLength::Empty,
        Some(Some(length)) => DeclaredLength::Known(length),
        Some(None) => DeclaredLength::Open,
    };
    let began = head::write(head, added, length, server).and_then(|request| {
        let end = body.is_none();
        share.sender().send_request(request.into(), end).map_err(Http2Error::from)
    });
    let (answer, stream) = match began {
        Ok(began) => began,
        // Nothing of it was begun.
        Err(error) => {
            return Err(FailedRequest {
                why: FailureReason::Exchange(error.into()),
                seen: DeliveryState::Nothing(body),
            });
        }
    };
    let (reused, came) = (share.reused, share.came());
    let mut sending = RequestBodySender::new(stream, body);
    match converse(answer, &mut sending, options).await {
        Ok(answer) => {
            share.answered();
            if let Some(upload) = options.upload {
                upload.answered();
            }
            // An answer has begun: the request will not be sent a second time, and its body need
            // not be kept.
            sending.forget();
            let answer = body::Http2Body::of(answer, sending, share, options.answer_idle);
            Ok(answer.map(|body| AnswerBody::Http2(Box::new(body))))
        }
        Err(FailureReason::Late) => {
            share.waited_in_vain(came);
            Err(FailedRequest { why: FailureReason::Late, seen: DeliveryState::Some })
        }
        Err(why) => {
            let seen = match &why {
                FailureReason::Exchange(error) if error.is_unprocessed() => {
                    sending.into_body().map_or(DeliveryState::Some, DeliveryState::Nothing)
                }
                FailureReason::Exchange(error) if reused && error.may_be_stale() => DeliveryState::Maybe,
                _ => DeliveryState::Some,
            };
            Err(FailedRequest { why, seen })
        }
    }
}

/// Polls request and answer together.
async fn converse<B>(
    mut answer: ResponseFuture,
    sending: &mut RequestBodySender<B>,
    options: SendOptions<'_>,
) -> Result<Response<RecvStream>, FailureReason>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    let mut timer = CoarseTimer::new(options.first_byte);
    let mut interim = 0;
    poll_fn(|cx: &mut Context<'_>| {
        sending.poll(cx).map_err(FailureReason::Body)?;
        // Before the answer itself is polled, or the hints would come after it.
        while let Poll::Ready(Some(Ok(head))) = answer.poll_informational(cx) {
            interim += 1;
            if interim > MOST_INTERIM {
                return Poll::Ready(Err(FailureReason::Exchange(Http2Error::Interim.into())));
            }
            // Another protocol is nothing that a stream could change to (RFC 9113 section 8.6).
            let passed = ![StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS].contains(&head.status());
            if let Some(super::super::InterimHandler(hear)) = options.interim.filter(|_| passed) {
                hear(head.into());
            }
        }
        if let Poll::Ready(result) = Pin::new(&mut answer).poll(cx) {
            return Poll::Ready(
                result
                    .map(Response::from)
                    .map_err(|error| FailureReason::Exchange(Http2Error::from(error).into())),
            );
        }
        if options.upload.is_some_and(UploadProgress::excuses) {
            timer.reset(options.first_byte);
        }
        timer.poll_elapsed(cx).map(|()| Err(FailureReason::Late))
    })
    .await
}
