//! Real neighbours: other servers, apps, browsers and clients.

mod apache;
mod apps;
mod browser;
mod cache;
mod clients;
mod recipes;
