//! HTTP/2, to visitors and to apps.

mod app_faults;
mod app_refusals;
mod apps;
mod attacks;
mod frames;
mod over_http2;
mod requests;
mod states;
