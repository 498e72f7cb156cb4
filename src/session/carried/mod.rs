//! Sessions that visitors carry themselves: the record travels in the cookie, and no server keeps it.
//!
//! What that cannot hold is in the nature of it: of two answers at a time the later one's copy is what the browser has;
//! a copy that was made of a cookie is as good as the cookie until it is over, unless this node remembers that its session
//! [`Ended`]; nobody can be logged out who is not there.

mod ended;
mod letter;
mod opened;
mod parts;
mod sealed;

pub use ended::Ended;
pub(super) use letter::size;
pub use sealed::Sealed;
pub(super) use sealed::{Gift, room};
