//! The chunked coding (RFC 9112 section 7.1), read strictly, from a visitor as from an app. Pure.

use crate::message::Fields;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderName, HeaderValue};

/// It is no chunk.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// Its size, or where it ends.
    #[error("a chunk is malformed: {0}")]
    Malformed(&'static str),
    /// The trailers.
    #[error("the trailers are not valid fields: {0}")]
    Trailers(#[from] httparse::Error),
}

/// A size with its extensions may be this long.
const LONGEST_LINE: usize = 4096;
/// Trailers may be this long.
const LARGEST_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 64;

/// How strictly the line of a chunk's size is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkGrammar {
    /// To the letter (RFC 9112 section 7.1.1): a visitor's.
    Strict,
    /// Blanks may follow the size, and extensions may be anything: an app's.
    Lenient,
}

/// What stands in the buffer next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChunkReader {
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
pub enum ChunkedPiece {
    /// Bytes of the body.
    Data(Bytes),
    /// The trailers; after them it is over.
    Trailers(Fields),
    /// The end without trailers.
    End,
    /// More bytes are needed.
    More,
}

impl ChunkReader {
    /// True once the last chunk and the trailers were read.
    pub fn are_over(&self) -> bool {
        *self == Self::Over
    }

    /// Reads the next piece.
    ///
    /// # Errors
    /// It is no chunk.
    pub fn read(
        &mut self,
        inbound: &mut BytesMut,
        grammar: ChunkGrammar,
    ) -> Result<ChunkedPiece, ChunkError> {
        loop {
            match self {
                Self::Size => {
                    let Some(end) = memchr::memchr(b'\n', inbound) else {
                        // A size line without an end would be buffered for ever.
                        if inbound.len() > LONGEST_LINE {
                            return Err(ChunkError::Malformed("a size without end"));
                        }
                        // What can be none is told at once, and not once its time is over.
                        let line = inbound.strip_suffix(b"\r");
                        let read = SizeLine::read(line.unwrap_or(inbound), grammar)?;
                        if line.is_some() && !read.may_end(grammar) {
                            return Err(NO_SIZE);
                        }
                        return Ok(ChunkedPiece::More);
                    };
                    let line = inbound.split_to(end + 1);
                    *self = match size(&line, grammar)? {
                        0 => Self::Trailers,
                        size => Self::Data(size),
                    };
                }
                Self::Data(left) => {
                    if inbound.is_empty() {
                        return Ok(ChunkedPiece::More);
                    }
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(inbound.len());
                    *left -= take as u64;
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(ChunkedPiece::Data(inbound.split_to(take).freeze()));
                }
                Self::DataEnd => {
                    match inbound.get(..2) {
                        Some(b"\r\n") => inbound.advance(2),
                        None if b"\r\n".starts_with(inbound) => return Ok(ChunkedPiece::More),
                        _ => return Err(ChunkError::Malformed("longer than its size")),
                    }
                    *self = Self::Size;
                }
                Self::Trailers => return self.trailers(inbound, grammar),
                Self::Over => return Ok(ChunkedPiece::End),
            }
        }
    }

    fn trailers(
        &mut self,
        inbound: &mut BytesMut,
        grammar: ChunkGrammar,
    ) -> Result<ChunkedPiece, ChunkError> {
        let mut fields = [const { httparse::EMPTY_HEADER }; MOST_TRAILERS];
        let httparse::Status::Complete((length, fields)) = httparse::parse_headers(inbound, &mut fields)?
        else {
            return if inbound.len() > LARGEST_TRAILERS {
                Err(ChunkError::Malformed("trailers without end"))
            } else {
                Ok(ChunkedPiece::More)
            };
        };
        let section = inbound.get(..length).unwrap_or_default();
        let is_bare = |at: usize| at == 0 || section.get(at - 1) != Some(&b'\r');
        if grammar == ChunkGrammar::Strict && memchr::memchr_iter(b'\n', section).any(is_bare) {
            return Err(ChunkError::Malformed("a bare line feed"));
        }
        let mut trailers = Fields::with_capacity(fields.len());
        for field in fields {
            let name =
                HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| httparse::Error::HeaderName)?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| httparse::Error::HeaderValue)?;
            trailers.append(name, value);
        }
        inbound.advance(length);
        *self = Self::Over;
        Ok(if trailers.is_empty() { ChunkedPiece::End } else { ChunkedPiece::Trailers(trailers) })
    }
}

/// `1*HEXDIG [ chunk-ext ] CRLF`; the extensions mean nothing to us.
fn size(line: &[u8], grammar: ChunkGrammar) -> Result<u64, ChunkError> {
    // SECURITY: a bare line feed ends the line for some readers and not for others: the classic way
    // to hide a request in a body.
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Err(ChunkError::Malformed("a bare line feed"));
    };
    if line.len() > LONGEST_LINE {
        return Err(ChunkError::Malformed("a size without end"));
    }
    let read = SizeLine::read(line, grammar)?;
    if read.may_end(grammar) { Ok(read.size) } else { Err(NO_SIZE) }
}

const NO_SIZE: ChunkError = ChunkError::Malformed("a size that is none");
/// So many digits may a size have.
const MOST_DIGITS: u8 = 15;

/// A line with a chunk's size, as far as it has come.
#[derive(Debug, Default)]
struct SizeLine {
    size: u64,
    digits: u8,
    place: LinePosition,
    /// Blanks came since whatever was last.
    blank: bool,
}

/// Where in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum LinePosition {
    #[default]
    Size,
    /// After a `;`.
    NameStart,
    Name,
    /// After a `=`.
    ValueStart,
    Value,
    Quoted,
    Escaped,
    QuoteEnd,
    /// Of an app: whatever it says there.
    Anything,
}

impl SizeLine {
    fn read(line: &[u8], grammar: ChunkGrammar) -> Result<Self, ChunkError> {
        let mut read = Self::default();
        for byte in line {
            read.step(*byte, grammar).ok_or(NO_SIZE)?;
        }
        Ok(read)
    }

    /// `None`: this byte can be none of it.
    fn step(&mut self, byte: u8, grammar: ChunkGrammar) -> Option<()> {
        let is_blank = matches!(byte, b' ' | b'\t');
        self.place = match (self.place, byte) {
            (LinePosition::Anything, b'\r' | b'\n') => return None,
            (LinePosition::Anything, _) => LinePosition::Anything,
            (LinePosition::Quoted, b'"') => LinePosition::QuoteEnd,
            (LinePosition::Quoted, b'\\') => LinePosition::Escaped,
            (LinePosition::Quoted | LinePosition::Escaped, b'\t' | b' '..=b'~' | 0x80..) => {
                LinePosition::Quoted
            }
            (LinePosition::Quoted | LinePosition::Escaped, _) => return None,
            _ if is_blank => {
                self.blank = true;
                return (self.digits > 0).then_some(());
            }
            (LinePosition::Size, _)
                if byte.is_ascii_hexdigit() && !self.blank && self.digits < MOST_DIGITS =>
            {
                self.size = self.size << 4 | u64::from(char::from(byte).to_digit(16)?);
                self.digits += 1;
                LinePosition::Size
            }
            (LinePosition::Size, b';') if self.digits > 0 && grammar == ChunkGrammar::Lenient => {
                LinePosition::Anything
            }
            (LinePosition::Size, b';') if self.digits > 0 => LinePosition::NameStart,
            (LinePosition::Name | LinePosition::Value | LinePosition::QuoteEnd, b';') => {
                LinePosition::NameStart
            }
            (LinePosition::Name, b'=') => LinePosition::ValueStart,
            (LinePosition::ValueStart, b'"') => LinePosition::Quoted,
            (LinePosition::NameStart, _) if is_token(byte) => LinePosition::Name,
            (LinePosition::ValueStart, _) if is_token(byte) => LinePosition::Value,
            (LinePosition::Name | LinePosition::Value, _) if is_token(byte) && !self.blank => self.place,
            _ => return None,
        };
        self.blank = false;
        Some(())
    }

    fn may_end(&self, grammar: ChunkGrammar) -> bool {
        match self.place {
            LinePosition::Size => self.digits > 0 && (!self.blank || grammar == ChunkGrammar::Lenient),
            LinePosition::Name | LinePosition::Value | LinePosition::QuoteEnd => !self.blank,
            LinePosition::Anything => true,
            LinePosition::NameStart
            | LinePosition::ValueStart
            | LinePosition::Quoted
            | LinePosition::Escaped => false,
        }
    }
}

/// `tchar` (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads with the bytes coming in pieces of `step`.
    fn body(text: &[u8], step: usize) -> Result<Read, ChunkError> {
        body_by(ChunkGrammar::Lenient, text, step)
    }

    type Read = (Vec<u8>, Option<Fields>, usize);

    fn body_by(grammar: ChunkGrammar, text: &[u8], step: usize) -> Result<Read, ChunkError> {
        let mut chunks = ChunkReader::default();
        let (mut inbound, mut out) = (BytesMut::new(), Vec::new());
        let mut rest = text.chunks(step);
        loop {
            match chunks.read(&mut inbound, grammar)? {
                ChunkedPiece::Data(data) => out.extend_from_slice(&data),
                ChunkedPiece::Trailers(trailers) => return Ok((out, Some(trailers), inbound.len())),
                ChunkedPiece::End => return Ok((out, None, inbound.len())),
                ChunkedPiece::More => match rest.next() {
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

    #[test]
    fn a_visitors_line_is_read_to_the_letter_and_at_once() {
        use ChunkGrammar::{Lenient, Strict};
        for (line, strict, lenient) in [
            ("5", true, true),
            ("005", true, true),
            ("5;a", true, true),
            ("5 ; a", true, true),
            ("5;a=b;c=\"d\\\" \u{e9};\"", true, true),
            ("5;a = b ;c", true, true),
            ("5 ", false, true),
            ("5\t ", false, true),
            ("5;", false, true),
            ("5;a ", false, true),
            ("5;a b", false, true),
            ("5;=b", false, true),
            ("5;a=", false, true),
            ("5;a=\"b", false, true),
            ("5;a\u{1}", false, true),
            ("5;a=\"\u{7f}\"", false, true),
            ("5;(", false, true),
            ("5 5", false, false),
            ("5\u{c}", false, false),
            ("5\u{b}", false, false),
            ("5,", false, false),
            ("g", false, false),
            (" 5", false, false),
        ] {
            for (grammar, wanted) in [(Strict, strict), (Lenient, lenient)] {
                let text = format!("{line}\r\nhello\r\n0\r\n\r\n");
                for step in [1, 99] {
                    let read = body_by(grammar, text.as_bytes(), step);
                    assert_eq!(read.is_ok(), wanted, "{line:?} {grammar:?} by {step}");
                }
            }
        }
        for end in ["\n", "x: 1\n\r\n", "x: 1\r\n\n"] {
            let text = format!("1\r\na\r\n0\r\n{end}");
            assert!(body_by(Strict, text.as_bytes(), 99).is_err(), "{end:?}");
        }
        // Nothing more needs to come.
        for begin in ["x", "5\u{c}", "5;a\u{1}", "5;;", "\r", "5\r5"] {
            let mut inbound = BytesMut::from(begin.as_bytes());
            assert!(ChunkReader::default().read(&mut inbound, Strict).is_err(), "{begin:?}");
        }
        for begin in ["", "5", "5;", "5 ", "5;a=\"", "5\r", "0000005"] {
            let mut inbound = BytesMut::from(begin.as_bytes());
            assert_eq!(
                ChunkReader::default().read(&mut inbound, Strict).unwrap(),
                ChunkedPiece::More,
                "{begin:?}"
            );
        }
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
