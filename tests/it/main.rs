//! Everything that needs the real binary, in one test program that links once: one module a subject.

mod answers;
mod apache;
mod apps;
mod browser;
mod cache;
mod check;
mod connections;
mod cookies;
mod duplicates;
mod explain;
mod faults;
mod framing;
mod house;
mod hygiene;
mod limits;
mod logs;
mod minting;
mod paths;
mod races;
mod recipes;
mod reference;
mod session;
mod session_config;
mod streams;
mod support;
