//! Which app is asked, who may ask, and what it is told.

mod balance;
mod explain;
mod faults;
mod gates;
mod header_hygiene;
mod health;
mod logged_in_connections;
mod pages;
mod paths;
mod secure_upstreams;
mod shares_of_apps;
mod strip;
