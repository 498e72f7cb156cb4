//! One connection to one server: a request on its way out, bytes on their way in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::Body;
use tokio_util::io::poll_read_buf;

use super::{
    super::{
        InterimHandler, RequestBodyError, answer::MOST_INTERIM, habits::AnswerEnd, slots::ConnectionSlot,
    },
    AnswerHead, Http1Error, LARGEST_READ, SMALLEST_READ,
    head::{self, AnswerFraming},
};
use crate::{
    message::{
        Request,
        lines::HeaderLines,
        outbound::{BodyEnding, MessageWriter, OutboundError},
    },
    net::{NetStream, UnreadInput},
};

/// A connection. Dropped, it is closed.
pub(in super::super) struct Http1Connection<B> {
    stream: NetStream,
    pub(super) inbound: BytesMut,
    outbound: MessageWriter<B>,
    /// The app takes no more; what it has to say of that may still be read.
    refused: Option<io::Error>,
    asked: Method,
    /// What the request's body leaves to doubt.
    body_use: BodyUse,
    interim: u8,
    lines_came: bool,
    /// In how many reads the answer came.
    reads: usize,
    read_size: usize,
    /// How the last answer ended.
    pub(in super::super) ended: AnswerEnd,
    /// The last answer leaves it usable.
    pub(super) keep_alive: bool,
    /// It has answered before.
    pub(in super::super) reused: bool,
    /// Ticks that it may be unused: shorter than configured if the app said so.
    pub(in super::super) idle_ticks: u64,
    /// The tick since when it is unused.
    pub(in super::super) since: u64,
    /// Its place among those of its server; checks of a server's health take none.
    slot: Option<ConnectionSlot>,
}

/// Whether an app reads the body of a request.
///
/// SECURITY: an app that answers without having read a body, and goes on with the connection, takes the body for the next
/// request. A visitor would write requests to the app past all that is checked here, and the answers would go to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyUse {
    /// There is none.
    None,
    /// It has a meaning, and is read unless the app refuses the request.
    Expected,
    /// It has none with this method (RFC 9110 sections 9.3.1 to 9.3.7): many apps pass over it.
    Unexpected,
}

impl BodyUse {
    fn of(method: &Method, ending: BodyEnding) -> Self {
        match ending {
            BodyEnding::Empty | BodyEnding::Length(0) => Self::None,
            _ if matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS) => {
                Self::Unexpected
            }
            _ => Self::Expected,
        }
    }

    /// Whether the app may not have read it.
    fn may_be_left_after(self, status: StatusCode) -> bool {
        match self {
            Self::None => false,
            Self::Expected => status.is_client_error() || status.is_server_error(),
            Self::Unexpected => true,
        }
    }
}

impl<B> Http1Connection<B> {
    /// So many wait for its place, on all workers.
    pub(in super::super) fn waiters(&self) -> usize {
        self.slot.as_ref().map_or(0, ConnectionSlot::waiters)
    }

    /// The stream, and what was read of it after the last answer. Its place among those of its server is free: a tunnel
    /// waits for nothing, and apps that have them have many.
    pub(super) fn into_parts(self) -> (NetStream, Bytes) {
        (self.stream, self.inbound.freeze())
    }
}

impl<B> Http1Connection<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    /// A connection that was just opened.
    pub(in super::super) fn new(stream: NetStream, idle_ticks: u64) -> Self {
        Self {
            stream,
            inbound: BytesMut::new(),
            outbound: MessageWriter::default(),
            refused: None,
            asked: Method::GET,
            body_use: BodyUse::None,
            interim: 0,
            lines_came: false,
            reads: 0,
            read_size: SMALLEST_READ,
            ended: AnswerEnd::Body,
            keep_alive: false,
            reused: false,
            idle_ticks,
            since: 0,
            slot: None,
        }
    }

    /// It takes this place for as long as it is open.
    pub(in super::super) fn within(mut self, slot: ConnectionSlot) -> Self {
        self.slot = Some(slot);
        self
    }

    /// Begins a request. Nothing is sent before it is polled.
    pub(in super::super) fn begin<R>(&mut self, head: &Request<R>, added: &HeaderLines, body: Option<B>) {
        let ending = match body.as_ref().map(|body| body.size_hint().exact()) {
            None => BodyEnding::Empty,
            Some(Some(length)) => BodyEnding::Length(length),
            Some(None) => BodyEnding::Chunked { trailers: true },
        };
        self.body_use = BodyUse::of(head.method(), ending);
        // The app is asked to close: an app that skips the body of a GET would read it as the next
        // request.
        let close = self.body_use == BodyUse::Unexpected;
        self.outbound.begin(ending, body, |out| head::write(head, added, ending, close, out));
        self.refused = None;
        self.asked.clone_from(head.method());
        self.interim = 0;
        self.lines_came = false;
        self.reads = 0;
        self.keep_alive = false;
    }

    /// True once something of the request has left.
    pub(in super::super) fn has_begun(&self) -> bool {
        self.outbound.has_begun()
    }

    /// Sends what can be sent and reads until the answer's head is there; `interim` hears what comes before it.
    ///
    /// # Errors
    /// See [`Http1Error`]; the connection is then to be dropped.
    pub(in super::super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        interim: Option<InterimHandler<'_>>,
    ) -> Poll<Result<AnswerHead, Http1Error>> {
        self.poll_send(cx)?;
        loop {
            // A head that drips is not read anew for each drop.
            if std::mem::take(&mut self.lines_came)
                && let Some(head) = head::read(&mut self.inbound, &self.asked)?
            {
                let status = head.response.status();
                if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                    self.interim += 1;
                    if self.interim > MOST_INTERIM {
                        return Poll::Ready(Err(Http1Error::Framing("too many interim responses")));
                    }
                    if let Some(InterimHandler(hear)) = interim.filter(|_| status != StatusCode::CONTINUE) {
                        hear(head.response);
                    }
                    self.lines_came = !self.inbound.is_empty();
                    continue;
                }
                // SECURITY: a refusal may have come before the body was read; see `BodyUse`.
                self.keep_alive = head.keep_alive && !self.body_use.may_be_left_after(status);
                self.ended =
                    if head.framing == AnswerFraming::Nothing { AnswerEnd::Head } else { AnswerEnd::Body };
                return Poll::Ready(Ok(head));
            }
            match ready!(self.poll_read(cx, SMALLEST_READ / 2)) {
                // An error of writing is the better explanation, where there was one: the app
                // closed before it had read all.
                Ok(0) if self.inbound.is_empty() => {
                    let refused = self.refused.take();
                    return Poll::Ready(Err(refused.map_or(Http1Error::Closed, Http1Error::Broken)));
                }
                Ok(0) => return Poll::Ready(Err(Http1Error::Incomplete)),
                // The length of a first frame (RFC 9113 section 3.4), and the beginning of no answer in HTTP/1.
                Ok(_) if self.inbound.first() == Some(&0) => return Poll::Ready(Err(Http1Error::Http2)),
                Ok(_) if !self.lines_came && self.inbound.len() > head::LARGEST => {
                    return Poll::Ready(Err(Http1Error::HeadTooLarge));
                }
                Ok(_) => {}
                Err(e) => return Poll::Ready(Err(self.refused.take().unwrap_or(e).into())),
            }
        }
    }

    /// Sends on: the app may answer before it has read the whole request.
    ///
    /// # Errors
    /// [`Http1Error::Body`]: the request breaks off, and so must the connection.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Http1Error> {
        if self.refused.is_some() || self.outbound.is_done() {
            return Ok(());
        }
        match self.outbound.poll(&mut self.stream, cx) {
            Poll::Ready(Err(OutboundError::Broken(error))) => {
                // Not an error yet: an app that refuses a large upload answers 413 and closes, and
                // that answer is on its way.
                self.refused = Some(error);
                Ok(())
            }
            Poll::Ready(result) => Ok(result?),
            Poll::Pending => Ok(()),
        }
    }

    /// Reads some bytes, at most `most` at once.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let room = self.read_size.min(most);
        // Small answers follow each other through one buffer.
        if self.inbound.capacity() - self.inbound.len() < room {
            self.inbound.reserve(room.max(2 * SMALLEST_READ));
        }
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.inbound))?;
        self.reads += 1;
        let came = self.inbound.get(self.inbound.len() - read..).unwrap_or_default();
        self.lines_came |= memchr::memchr(b'\n', came).is_some();
        if read >= room {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// True if the last exchange is over and another can follow: bytes that nobody asked for are never the beginning
    /// of the next answer.
    pub(super) fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.inbound.is_empty()
            && !self.stream.holds_unread()
            && self.outbound.is_done()
            && self.refused.is_none()
    }

    /// What the other side has said since the last answer. Asks the system: the runtime knows only of what came before
    /// the loop last looked, and what came after that would be read as the next answer.
    pub(in super::super) fn unread(&self) -> UnreadInput {
        self.stream.unread()
    }

    /// Bytes followed the last answer at once.
    pub(super) fn holds_more(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// What came instead of an answer is no HTTP/1: on a connection that was used before it belongs to the answer before.
    pub(super) fn holds_leftovers(&self) -> bool {
        self.reused
            && !self.inbound.is_empty()
            && !b"HTTP/1.".starts_with(self.inbound.get(..7).unwrap_or(&self.inbound))
    }

    /// Gives memory back before it is put aside.
    pub(super) fn rest(&mut self) {
        // SECURITY: what the app's system holds back behind the answer is to come before the connection is used again. To
        // ask for it costs a tenth of a small request, so it is asked for where more is to be feared: the app writes its
        // answers in pieces, or may go on to read the request's body as a request.
        if self.reads > 1 || self.body_use != BodyUse::None {
            self.stream.acknowledge();
        }
        self.read_size = SMALLEST_READ;
        if self.inbound.capacity() > 2 * SMALLEST_READ {
            self.inbound = BytesMut::new();
        }
        self.outbound.rest();
    }
}
