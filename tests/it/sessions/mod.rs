//! Sessions as apps and visitors see them.

mod client_side_config;
mod client_side_sessions;
mod config;
mod contract;
mod contract_clock;
mod contract_flash;
mod contract_lives;
mod contract_model;
mod contract_people;
mod contract_races;
mod contract_rights;
mod contract_values;
mod duplicate_tickets;
mod endings;
mod events;
mod flask;
mod flask_cookie;
mod flask_keys;
mod handover;
mod life;
mod new_sessions;
mod races;
mod rotation;
mod withheld_cookies;
