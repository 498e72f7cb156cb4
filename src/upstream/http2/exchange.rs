//! A request and its answer in one stream.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{RecvStream, client::ResponseFuture};
use http::{Request, Response, StatusCode};
use http_body::Body;

use super::{
    super::{
        AnswerBody, BodyError, Endpoint, Terms, Upload,
        answer::MOST_INTERIM,
        error::{Failed, Failure, Seen},
        replay::Replay,
    },
    Http2Error, Share, body,
    head::{self, Length},
    sending::Sending,
};
use crate::{clock::Timer, message::lines::Lines};

/// Sends a request, and waits for the head of its answer.
///
/// # Errors
/// There is none; the app was told that nobody waits any more.
pub(in super::super) async fn ask<B, R>(
    share: Share,
    server: &Endpoint,
    head: &Request<R>,
    added: &Lines,
    body: Option<Box<Replay<B>>>,
    terms: Terms<'_>,
) -> Result<Response<AnswerBody<B>>, Failed<B>>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let length = match body.as_ref().map(|body| body.size_hint().exact()) {
        None => Length::Empty,
        Some(Some(length)) => Length::Known(length),
        Some(None) => Length::Open,
    };
    let began = head::write(head, added, length, server).and_then(|request| {
        let end = body.is_none();
        share.sender().send_request(request, end).map_err(Http2Error::from)
    });
    let (answer, stream) = match began {
        Ok(began) => began,
        // Nothing of it was begun.
        Err(error) => return Err(Failed { why: Failure::Exchange(error.into()), seen: Seen::Nothing(body) }),
    };
    let (reused, came) = (share.reused, share.came());
    let mut sending = Sending::new(stream, body);
    match converse(answer, &mut sending, terms).await {
        Ok(answer) => {
            share.answered();
            if let Some(upload) = terms.upload {
                upload.answered();
            }
            sending.forget();
            let answer = body::AnswerBody::of(answer, sending, share, terms.answer_idle);
            Ok(answer.map(|body| AnswerBody::Http2(Box::new(body))))
        }
        Err(Failure::Late) => {
            share.waited_in_vain(came);
            Err(Failed { why: Failure::Late, seen: Seen::Some })
        }
        Err(why) => {
            let seen = match &why {
                Failure::Exchange(error) if error.is_unprocessed() => {
                    sending.into_body().map_or(Seen::Some, Seen::Nothing)
                }
                Failure::Exchange(error) if reused && error.may_be_stale() => Seen::Perhaps,
                _ => Seen::Some,
            };
            Err(Failed { why, seen })
        }
    }
}

/// Polls request and answer together.
async fn converse<B>(
    mut answer: ResponseFuture,
    sending: &mut Sending<B>,
    terms: Terms<'_>,
) -> Result<Response<RecvStream>, Failure>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let mut timer = Timer::new(terms.first_byte);
    let mut interim = 0;
    poll_fn(|cx: &mut Context<'_>| {
        sending.poll(cx).map_err(Failure::Body)?;
        while let Poll::Ready(Some(Ok(head))) = answer.poll_informational(cx) {
            interim += 1;
            if interim > MOST_INTERIM {
                return Poll::Ready(Err(Failure::Exchange(Http2Error::Interim.into())));
            }
            // Another protocol is nothing that a stream could change to (RFC 9113 section 8.6).
            let passed = ![StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS].contains(&head.status());
            if let Some(super::super::Interim(hear)) = terms.interim.filter(|_| passed) {
                hear(head);
            }
        }
        if let Poll::Ready(result) = Pin::new(&mut answer).poll(cx) {
            return Poll::Ready(result.map_err(|error| Failure::Exchange(Http2Error::from(error).into())));
        }
        if terms.upload.is_some_and(Upload::excuses) {
            timer.reset(terms.first_byte);
        }
        timer.poll_elapsed(cx).map(|()| Err(Failure::Late))
    })
    .await
}
