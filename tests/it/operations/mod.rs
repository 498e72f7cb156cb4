//! What an operator does and sees.

mod admin;
mod check;
mod drain;
mod log_messages;
mod logged_out;
mod logs;
mod reference;
mod reload;
mod reload_under_load;
mod systemd;
