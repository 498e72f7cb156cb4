//! A request's body that can be sent once more, as long as it is short: an app that is being replaced refuses requests
//! that are under way already, and says that it did nothing with them.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// What is kept of a body that is on its way, in bytes.
const MOST_KEPT: usize = 64 * 1024;

#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

/// A body, and what was taken of it.
#[derive(Debug)]
pub(super) struct Replay<B> {
    body: B,
    /// To be taken before the body goes on.
    again: VecDeque<Piece>,
    /// Taken; `None` once it was too much.
    taken: Option<Vec<Piece>>,
    kept: usize,
}

impl<B> Replay<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, again: VecDeque::new(), taken: Some(Vec::new()), kept: 0 }
    }

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

    fn keep(&mut self, piece: &Piece) {
        self.kept += match piece {
            Piece::Data(data) => data.len(),
            Piece::Trailers(_) => 0,
        };
        match &mut self.taken {
            Some(taken) if self.kept <= MOST_KEPT => taken.push(piece.clone()),
            taken => *taken = None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Replay<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let Some(piece) = this.again.pop_front() {
            this.keep(&piece);
            return Poll::Ready(Some(Ok(piece.into())));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if this.taken.is_some()
            && let Poll::Ready(Some(Ok(frame))) = &polled
        {
            let data = frame.data_ref().cloned().map(Piece::Data);
            if let Some(piece) = data.or_else(|| frame.trailers_ref().cloned().map(Piece::Trailers)) {
                this.keep(&piece);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let again = |piece: &Piece| match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Trailers(_) => 0,
        };
        match self.body.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest + self.again.iter().map(again).sum::<u64>()),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, task::Waker};

    use super::*;

    struct Pieces(VecDeque<Frame<Bytes>>);

    impl Body for Pieces {
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

    fn body(sizes: &[usize]) -> Replay<Pieces> {
        let data = |size: &usize| Frame::data(Bytes::from(vec![b'x'; *size]));
        let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("a"))]);
        let mut pieces: VecDeque<_> = sizes.iter().map(data).collect();
        pieces.push_back(Frame::trailers(trailers));
        Replay::new(Pieces(pieces))
    }

    /// The sizes of so many frames; trailers are 1000.
    fn take(body: &mut Replay<Pieces>, most: usize) -> Vec<usize> {
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
}
