//! The app's own cookies, by the rules of `[[cookies]]` (RFC 6265bis).
//!
//! Here live what becomes of a `Set-Cookie` line ([`CookieRules::apply`]) and of a cookie on its way back
//! ([`CookieRules::read`]), and the [`CookieInventory`] of what apps were seen to set. Never: a session, whose jar keeps what
//! a rule keeps here; a header map. Called by `proxy`.

mod describe;
mod expire;
mod inbound;
mod inventory;
mod known_names;
mod lookalikes;
mod names;
mod request_path;
mod rewrite;
mod rule;
mod seal;

pub use describe::describe;
pub use inbound::PairContext;
pub use inventory::{CookieFinding, CookieInventory};
pub use known_names::KnownNames;
pub use names::NameWork;
pub use rule::{CookieRules, CookieScope, LineForJar, LineVerdict, SealedFor};
