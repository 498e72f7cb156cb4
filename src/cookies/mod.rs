//! The app's own cookies: rules that set attributes in place (RFC 6265).

mod date;
mod rewrite;
mod rule;

pub use rewrite::Verdict;
pub use rule::CookieRules;
