//! Where sessions are kept.

mod conformance;
mod earlier_formats;
mod faults;
