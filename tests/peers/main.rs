//! Tests before real neighbours: servers, apps, browsers, clients and tools. Each says which package is missing; `tests/run`
//! installs them all.

mod admin;
mod apache;
mod apps;
mod apps_in_vault;
mod browser;
mod cache;
mod clients;
mod commands;
mod flask;
mod harness;
mod jar;
mod package;
mod paths;
mod recipes;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the other program of tests needs more of it")]
mod support;
mod systemd;
mod vault;
