//! Sessions in a cookie: from its bytes to what it holds, and back.
//!
//! Here live formats, pure: no clock, no store, no request. Never: whether a cookie is sent, or what a session means.

pub mod flask;
