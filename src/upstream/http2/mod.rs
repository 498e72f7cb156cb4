//! HTTP/2 towards an app (RFC 9113): many requests at a time on one connection, with trailers, such as gRPC needs.
//!
//! Here live the conversation's streams. Never: which connection, when to try again (`send`), what is forwarded
//! (`proxy`). The frames are h2's; what is here decides what a request becomes in a stream, how much of its body is
//! taken at a time, what an app may have seen of one that failed, and when a connection is no good any more.

mod body;
mod connection;
mod error;
mod exchange;
mod head;
mod sending;

pub use error::Http2Error;

pub(super) use body::Http2Body;
pub(super) use connection::{ConnectionShare, Http2Connection};
pub(super) use exchange::ask;
