//! cloakroom: a reverse proxy that adds sessions to web apps that have none.

pub mod clock;
pub mod crypto;
pub mod message;
pub mod metrics;
pub mod net;
pub mod tasks;

pub mod config;

pub mod cookies;
pub mod headers;
pub mod listen;
pub mod router;
pub mod session;
pub mod upstream;

pub mod plan;

pub mod proxy;

pub mod app;

pub mod cli;
