//! Everything that needs the real binary, and beside it Rust and Python alone, in one test program that links once: one folder
//! a subject. What wants neighbours is in `tests/peers`.

mod allocations;
mod cookies;
mod house;
mod http1;
mod http2;
mod operations;
mod routes;
mod sessions;
mod stores;
mod support;
mod threats;
mod tls;
