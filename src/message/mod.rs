//! Reading, writing and editing the parts of HTTP messages, on bytes: apps send UTF-8 and Latin-1 alike.

pub mod authority;
pub mod case;
pub mod challenges;
pub mod chunked;
pub mod cookie;
pub mod cookie_date;
pub mod cookie_scope;
pub mod field;
pub mod fields;
pub mod framing;
pub mod glob;
pub mod head;
pub mod lines;
pub mod name;
pub mod outbound;
pub mod set_cookie;
pub mod steps;
pub mod visible;

pub use fields::Fields;
pub use head::{Request, Response};
