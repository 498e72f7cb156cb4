//! https, certificates, and who is at the other end.

mod client_certificates;
mod https;
mod proxy_protocol;
