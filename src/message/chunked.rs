//! The chunked coding (RFC 9112 section 7.1), read strictly, from a visitor as from an app. Pure.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// It is no chunk.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// Its size, or where it ends.
    #[error("a chunk is malformed: {0}")]
    Malformed(&'static str),
    /// The trailers.
    #[error("the trailers are no fields: {0}")]
    Trailers(#[from] httparse::Error),
}

/// A size with its extensions may be this long.
const LONGEST_LINE: usize = 4096;
/// Trailers may be this long.
const LARGEST_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 64;

/// What stands in the buffer next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chunks {
    /// The line with a chunk's size.
    #[default]
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line end after a chunk.
    DataEnd,
    /// Trailers and the blank line.
    Trailers,
    /// Nothing: it is over.
    Over,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// The trailers; after them it is over.
    Trailers(HeaderMap),
    /// The end without trailers.
    End,
    /// More bytes are needed.
    More,
}

impl Chunks {
    /// True once the last chunk and the trailers were read.
    pub fn are_over(&self) -> bool {
        *self == Self::Over
    }

    /// Reads the next piece.
    ///
    /// # Errors
    /// It is no chunk.
    pub fn read(&mut self, inbound: &mut BytesMut) -> Result<Piece, ChunkError> {
        loop {
            match self {
                Self::Size => {
                    let Some(end) = memchr::memchr(b'\n', inbound) else {
                        return if inbound.len() > LONGEST_LINE {
                            Err(ChunkError::Malformed("a size without end"))
                        } else {
                            Ok(Piece::More)
                        };
                    };
                    let line = inbound.split_to(end + 1);
                    *self = match size(&line)? {
                        0 => Self::Trailers,
                        size => Self::Data(size),
                    };
                }
                Self::Data(left) => {
                    if inbound.is_empty() {
                        return Ok(Piece::More);
                    }
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(inbound.len());
                    *left -= take as u64;
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Piece::Data(inbound.split_to(take).freeze()));
                }
                Self::DataEnd => {
                    match inbound.get(..2) {
                        Some(b"\r\n") => inbound.advance(2),
                        None if b"\r\n".starts_with(inbound) => return Ok(Piece::More),
                        _ => return Err(ChunkError::Malformed("longer than its size")),
                    }
                    *self = Self::Size;
                }
                Self::Trailers => return self.trailers(inbound),
                Self::Over => return Ok(Piece::End),
            }
        }
    }

    fn trailers(&mut self, inbound: &mut BytesMut) -> Result<Piece, ChunkError> {
        let mut fields = [const { httparse::EMPTY_HEADER }; MOST_TRAILERS];
        let httparse::Status::Complete((length, fields)) = httparse::parse_headers(inbound, &mut fields)?
        else {
            return if inbound.len() > LARGEST_TRAILERS {
                Err(ChunkError::Malformed("trailers without end"))
            } else {
                Ok(Piece::More)
            };
        };
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name =
                HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| httparse::Error::HeaderName)?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| httparse::Error::HeaderValue)?;
            trailers.append(name, value);
        }
        inbound.advance(length);
        *self = Self::Over;
        Ok(if trailers.is_empty() { Piece::End } else { Piece::Trailers(trailers) })
    }
}

/// `1*HEXDIG [ chunk-ext ] CRLF`; the extensions mean nothing to us.
fn size(line: &[u8]) -> Result<u64, ChunkError> {
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Err(ChunkError::Malformed("a bare line feed"));
    };
    if line.len() > LONGEST_LINE || line.contains(&b'\r') {
        return Err(ChunkError::Malformed("a size that is none"));
    }
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(ChunkError::Malformed("a size that is none"));
    }
    Ok(digits.iter().fold(0, |sum, d| sum << 4 | u64::from(char::from(*d).to_digit(16).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads with the bytes coming in pieces of `step`.
    fn body(text: &[u8], step: usize) -> Result<(Vec<u8>, Option<HeaderMap>, usize), ChunkError> {
        let mut chunks = Chunks::default();
        let (mut inbound, mut out) = (BytesMut::new(), Vec::new());
        let mut rest = text.chunks(step);
        loop {
            match chunks.read(&mut inbound)? {
                Piece::Data(data) => out.extend_from_slice(&data),
                Piece::Trailers(trailers) => return Ok((out, Some(trailers), inbound.len())),
                Piece::End => return Ok((out, None, inbound.len())),
                Piece::More => match rest.next() {
                    Some(more) => inbound.extend_from_slice(more),
                    None => return Err(ChunkError::Malformed("incomplete")),
                },
            }
        }
    }

    #[test]
    fn chunks() {
        for step in 1..40 {
            let (out, trailers, _) =
                body(b"5;a=\"b\"\r\nhello\r\n01 \r\n!\r\n0\r\nX-Sum: 1\r\n\r\n", step).unwrap();
            assert_eq!((out.as_slice(), trailers.unwrap().len()), (&b"hello!"[..], 1), "{step}");
            let (out, trailers, _) = body(b"A\r\n0123456789\r\n0\r\n\r\n", step).unwrap();
            assert_eq!((out.len(), trailers), (10, None));
        }
        assert_eq!(body(b"0\r\n\r\nHTTP/1.1 200 OK", 99).unwrap().2, 15, "what follows is left over");
    }

    #[test]
    fn what_is_no_chunk() {
        for bad in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhelloo\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "-5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            ";a\r\n",
            "\r\n",
            "1000000000000000\r\n",
            "5\r;x\r\nhello\r\n",
            "0\r\nA B: x\r\n\r\n",
            "5\r\nhell",
            "5\r\nhello\r\n",
            "5\r\nhello\r\n0\r\n",
        ] {
            assert!(body(bad.as_bytes(), 99).is_err(), "{bad:?}");
        }
        assert!(body(&[b'1'; 5000], 99).is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_read(pieces in proptest::collection::vec(proptest::collection::vec(0_u8.., 1..50), 0..9), step in 1_usize..30) {
            let mut text = Vec::new();
            for piece in &pieces {
                text.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                text.extend_from_slice(piece);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            assert_eq!(body(&text, step).unwrap().0, pieces.concat());
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(0_u8.., 0..100), step in 1_usize..30) {
            let _ = body(&bytes, step);
        }
    }
}
