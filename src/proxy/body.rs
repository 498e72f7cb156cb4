//! What the visitor gets: our own words, or the app's as they come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{
    RequestBody,
    exchange::Exchange,
    long_answer::{LongAnswer, SessionEnded},
};
use crate::{
    headers::{self, NominatedNames},
    message::fields::edit_trailers,
    plan::Plan,
    upstream::{AnswerBody, RequestBodyError},
};

/// What the visitor gets.
#[derive(Debug)]
pub struct ResponseBody {
    content: BodyContent,
    exchange: Option<Box<Exchange>>,
}

#[derive(Debug)]
enum BodyContent {
    Full(Option<Bytes>),
    Answer(Box<AnswerBody<RequestBody>>, Arc<Plan>, NominatedNames),
    Long(Box<LongAnswer>, NominatedNames),
}

impl ResponseBody {
    /// Our own words.
    pub fn full(bytes: Bytes) -> Self {
        Self { content: BodyContent::Full((!bytes.is_empty()).then_some(bytes)), exchange: None }
    }

    /// The app's. The head's `Connection` nominated these of its trailers.
    pub fn answer(body: AnswerBody<RequestBody>, plan: Arc<Plan>, nominated: NominatedNames) -> Self {
        Self { content: BodyContent::Answer(Box::new(body), plan, nominated), exchange: None }
    }

    /// The app's, where it may go on for long.
    pub fn long(answer: LongAnswer, nominated: NominatedNames) -> Self {
        Self { content: BodyContent::Long(Box::new(answer), nominated), exchange: None }
    }

    /// The exchange ends with this body.
    #[must_use]
    pub fn ends(mut self, mut exchange: Box<Exchange>) -> Self {
        // To HEAD nothing of it is sent, and nobody asks for it.
        exchange.cut = !self.is_over() && !exchange.head_only;
        self.exchange = Some(exchange);
        self
    }

    fn is_over(&self) -> bool {
        match &self.content {
            BodyContent::Full(bytes) => bytes.is_none(),
            BodyContent::Answer(body, ..) => http_body::Body::is_end_stream(&**body),
            BodyContent::Long(long, _) => long.is_over(),
        }
    }
}

/// What is no trailer of the app's for the visitor, if these are trailers.
fn strip_trailers(
    polled: &mut Poll<Option<Result<Frame<Bytes>, RequestBodyError>>>,
    plan: &Plan,
    nominated: &NominatedNames,
) {
    if let Poll::Ready(Some(Ok(frame))) = polled {
        edit_trailers(frame, |trailers| {
            plan.guard.strip_trailers(trailers);
            headers::strip_trailers(trailers, nominated);
        });
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.get_mut();
        let polled = match &mut this.content {
            BodyContent::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            BodyContent::Answer(body, plan, nominated) => {
                let mut polled = Pin::new(&mut **body).poll_frame(cx);
                strip_trailers(&mut polled, plan, nominated);
                polled
            }
            BodyContent::Long(long, nominated) => {
                let _scope = this.exchange.as_ref().map(|exchange| exchange.origin.enter());
                let mut polled = long.poll_frame(cx);
                strip_trailers(&mut polled, long.plan(), nominated);
                polled
            }
        };
        // After the poll: whether what was just given is the last of it.
        let over = this.is_over();
        if let Some(exchange) = &mut this.exchange {
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    exchange.sent += frame.data_ref().map_or(0, |d| d.len() as u64);
                    // Cut until proven whole: the body may be dropped after any frame.
                    exchange.cut = !over;
                }
                Poll::Ready(Some(Err(error))) if error.is::<SessionEnded>() => {
                    exchange.cut = true;
                    let _scope = exchange.origin.enter();
                    tracing::info!("an answer was cut off: its session has ended");
                }
                Poll::Ready(Some(Err(error))) => {
                    let _scope = exchange.origin.enter();
                    tracing::error!(%error, "the app's answer broke off: the visitor's is cut as well");
                }
                Poll::Ready(None) => exchange.cut = false,
                Poll::Pending => {}
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            BodyContent::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            BodyContent::Answer(body, ..) => body.size_hint(),
            BodyContent::Long(long, _) => long.size_hint(),
        }
    }
}
