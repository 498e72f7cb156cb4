//! HTTP/1 on the wire, and what is cut.

mod answers;
mod connections;
mod desync;
mod framing;
mod leftovers;
mod limits;
mod malformed_headers;
mod rfc_rules;
mod slow;
mod streams;
mod tunnels;
