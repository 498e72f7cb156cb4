//! The app's own cookies.

mod app_logouts;
mod changes_by_script;
mod jar_model;
mod jar_rules;
mod kept_logins;
mod kept_names;
mod legacy_cookies;
mod rules;
mod sealed;
mod vault;
