//! Header fields on their way through: what ends here, what nobody may forge, who the visitor is.

mod element;
mod forwarded;
mod hop_by_hop;
mod prefix;
mod spoof;

pub use forwarded::{ClientInfo, ForwardingRules, PeerAddress};
pub use hop_by_hop::{ConnectionOptions, NominatedNames, overrides_method, strip_hop_by_hop, strip_trailers};
pub use prefix::{StrippedPrefix, X_FORWARDED_PREFIX};
pub use spoof::HeaderGuard;
