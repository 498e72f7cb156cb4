//! Where sessions are kept.

mod conformance;
mod faults;
