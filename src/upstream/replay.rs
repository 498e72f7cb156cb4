//! A request's body that can be sent once more, as long as it is short: an app that is being replaced refuses requests
//! that are under way already, and says that it did nothing with them. And a body that is held until it is whole, so that who
//! sends it slowly holds no worker of the app.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::UploadProgress;
use http::HeaderMap;

/// What is kept of a body that is on its way, in bytes.
const MOST_KEPT: usize = 64 * 1024;

/// All bodies together hold so many bytes, of the whole process; what comes beyond that is passed on as it comes.
const MOST_HELD: usize = 128 * 1024 * 1024;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// What one body holds of [`MOST_HELD`].
#[derive(Debug, Default)]
struct HeldBytes(usize);

impl HeldBytes {
    /// So many more; false if there is no room for them, and the body goes on as it is.
    fn add(&mut self, more: usize) -> bool {
        self.0 += more;
        HELD.fetch_add(more, Ordering::Relaxed) + more <= MOST_HELD
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone)]
enum ReplayPiece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl From<ReplayPiece> for Frame<Bytes> {
    fn from(piece: ReplayPiece) -> Self {
        match piece {
            ReplayPiece::Data(data) => Self::data(data),
            ReplayPiece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

/// A body, and what was taken of it.
#[derive(Debug)]
pub(super) struct ReplayBody<B> {
    body: B,
    /// To be taken before the body goes on.
    again: VecDeque<ReplayPiece>,
    /// Taken; `None` once it was too much.
    taken: Option<Vec<ReplayPiece>>,
    kept: usize,
    held: HeldBytes,
    /// It came without a length, and is sent so.
    is_open: bool,
}

/// What is sent to an app.
pub(super) type SentBody<B> = Box<ReplayBody<B>>;

impl<B> ReplayBody<B> {
    /// The body from its beginning; `None` if that is gone.
    pub(super) fn rewound(mut self) -> Option<Self> {
        for piece in self.taken.take()?.into_iter().rev() {
            self.again.push_front(piece);
        }
        Some(Self { taken: Some(Vec::new()), kept: 0, ..self })
    }

    /// It will not be asked for again.
    pub(super) fn forget(&mut self) {
        self.taken = None;
    }

    fn keep(&mut self, piece: &ReplayPiece) {
        self.kept += match piece {
            ReplayPiece::Data(data) => data.len(),
            ReplayPiece::Trailers(_) => 0,
        };
        match &mut self.taken {
            Some(taken) if self.kept <= MOST_KEPT => taken.push(piece.clone()),
            taken => *taken = None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> ReplayBody<B> {
    pub(super) fn new(body: B) -> Self {
        let is_open = body.size_hint().exact().is_none();
        Self {
            body,
            again: VecDeque::new(),
            taken: Some(Vec::new()),
            kept: 0,
            held: HeldBytes::default(),
            is_open,
        }
    }

    /// Waits until the body is whole, or longer than so many bytes. Where there is no room to hold it, that is noted: what
    /// comes slowly would hold a worker of the app.
    ///
    /// # Errors
    /// The body breaks off, or comes too slowly.
    pub(super) async fn hold(
        body: B,
        most: usize,
        upload: Option<&UploadProgress>,
    ) -> Result<Self, B::Error> {
        let mut held = Self { taken: None, ..Self::new(body) };
        // Copied: a slice of a few bytes holds the whole of what was read with it.
        let mut bytes = BytesMut::new();
        let trailers = poll_fn(|cx| {
            loop {
                if held.body.is_end_stream() || bytes.len() > most {
                    return Poll::Ready(Ok(None));
                }
                let Some(frame) = ready!(Pin::new(&mut held.body).poll_frame(cx)).transpose()? else {
                    return Poll::Ready(Ok(None));
                };
                match frame.into_data() {
                    Ok(data) => {
                        let before = bytes.capacity();
                        bytes.extend_from_slice(&data);
                        if !held.held.add(bytes.capacity().saturating_sub(before)) {
                            if let Some(upload) = upload {
                                upload.pass_on();
                            }
                            return Poll::Ready(Ok(None));
                        }
                    }
                    Err(frame) => return Poll::Ready(Ok(frame.into_trailers().ok())),
                }
            }
        })
        .await?;
        if !bytes.is_empty() {
            held.again.push_back(ReplayPiece::Data(bytes.freeze()));
        }
        held.again.extend(trailers.map(ReplayPiece::Trailers));
        Ok(held)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let Some(piece) = this.again.pop_front() {
            // It may have to be sent once more after this time, too.
            this.keep(&piece);
            return Poll::Ready(Some(Ok(piece.into())));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if this.taken.is_some()
            && let Poll::Ready(Some(Ok(frame))) = &polled
        {
            let data = frame.data_ref().cloned().map(ReplayPiece::Data);
            if let Some(piece) = data.or_else(|| frame.trailers_ref().cloned().map(ReplayPiece::Trailers)) {
                this.keep(&piece);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let again = |piece: &ReplayPiece| match piece {
            ReplayPiece::Data(data) => data.len() as u64,
            ReplayPiece::Trailers(_) => 0,
        };
        match self.body.size_hint().exact() {
            // What came chunked is sent chunked, even if it is whole by now: apps read the two in
            // different ways.
            Some(rest) if !self.is_open => {
                SizeHint::with_exact(rest + self.again.iter().map(again).sum::<u64>())
            }
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, task::Waker};

    use super::*;

    struct QueuedFrames(VecDeque<Frame<Bytes>>);

    impl Body for QueuedFrames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn body(sizes: &[usize]) -> ReplayBody<QueuedFrames> {
        let data = |size: &usize| Frame::data(Bytes::from(vec![b'x'; *size]));
        let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("a"))]);
        let mut pieces: VecDeque<_> = sizes.iter().map(data).collect();
        pieces.push_back(Frame::trailers(trailers));
        ReplayBody::new(QueuedFrames(pieces))
    }

    /// The sizes of so many frames; trailers are 1000.
    fn take<B: Body<Data = Bytes, Error = Infallible> + Unpin>(
        body: &mut ReplayBody<B>,
        most: usize,
    ) -> Vec<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let next = || match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => Some(frame.data_ref().map_or(1000, Bytes::len)),
            _ => None,
        };
        std::iter::from_fn(next).take(most).collect()
    }

    #[test]
    fn what_was_taken_is_there_again_whatever_was_taken() {
        for taken in 0..5 {
            let mut first = body(&[3, 0, 5]);
            take(&mut first, taken);
            let mut second = first.rewound().unwrap();
            assert!(!second.is_end_stream());
            take(&mut second, 1);
            let mut third = second.rewound().unwrap();
            assert_eq!(take(&mut third, 9), [3, 0, 5, 1000], "{taken}");
            assert!(third.is_end_stream());
        }
    }

    #[test]
    fn what_is_long_or_answered_is_not_kept() {
        let mut long = body(&[MOST_KEPT, 1]);
        take(&mut long, 1);
        let mut long = long.rewound().unwrap();
        take(&mut long, 2);
        assert!(long.taken.is_none() && long.rewound().is_none());
        let mut answered = body(&[3]);
        answered.forget();
        assert_eq!(take(&mut answered, 9), [3, 1000]);
        assert!(answered.rewound().is_none());
    }

    /// Slow senders that are too many to be held are held to the pace of those who hold a worker of the app.
    #[test]
    fn what_there_is_no_room_to_hold_goes_on_and_is_told() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut held = |sizes: &[usize]| {
            let upload = UploadProgress::default();
            let polled =
                Box::pin(ReplayBody::hold(body(sizes), MOST_KEPT, Some(&upload))).as_mut().poll(&mut cx);
            let Poll::Ready(Ok(mut whole)) = polled else { panic!("it waits, or fails") };
            let frames = whole.again.iter().filter(|piece| matches!(piece, ReplayPiece::Data(_))).count();
            assert_eq!(take(&mut whole, 9).last(), Some(&1000), "nothing is lost");
            (frames, upload.is_passed_on())
        };
        assert_eq!(held(&[1000, 1000]), (1, false));
        let others = HELD.fetch_add(MOST_HELD, Ordering::Relaxed);
        assert_eq!(held(&[1000, 1000]), (1, true));
        HELD.fetch_sub(MOST_HELD, Ordering::Relaxed);
        assert_eq!((others, HELD.load(Ordering::Relaxed)), (0, 0), "what was held is given back");
        assert_eq!(held(&[1000, 1000]), (1, false));
    }
}
