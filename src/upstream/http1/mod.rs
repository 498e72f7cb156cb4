//! HTTP/1.1 towards an app: one request and its answer at a time on one connection (RFC 9112).
//!
//! Here live the bytes of that conversation. Never: which connection, when to try again (`send`), what is forwarded
//! (`proxy`). Written here and not taken from a library's client because this is the path that every request takes:
//! request, connection and answer are polled in one task, without channels between them; a request is encoded from
//! its parts, so that it can be encoded again; and each fault of framing is told apart, since each is a way in.

mod body;
mod connection;
mod error;
mod exchange;
mod head;

pub use error::Http1Error;

pub(super) use body::Http1Body;
pub(super) use connection::Http1Connection;
pub(super) use exchange::ask;
use head::AnswerHead;

/// What a read asks for at first; it doubles up to [`LARGEST_READ`] while answers fill it.
const SMALLEST_READ: usize = 8 * 1024;
/// The largest piece of an answer that is held at once.
const LARGEST_READ: usize = 128 * 1024;
/// The same where it is one of many answers on the visitor's connection (HTTP/2), whose frames are no larger: whoever
/// opens every window and reads nothing makes us hold such a piece for each of them.
const LARGEST_STREAMED_READ: usize = 16 * 1024;
