//! Everything that needs the real binary, in one test program that links once: one folder a subject.

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
