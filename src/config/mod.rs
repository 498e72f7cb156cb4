//! Configuration: from the text that an operator wrote to values that the program may rely on.

mod cookie_rule;
mod limits;
mod listen;
mod log;
mod process;
mod route;
mod session;
mod store;
mod upstream;

pub use cookie_rule::{CookieRule, RuleSecure};
pub use limits::Limits;
pub use listen::{Listen, ListenAddress};
pub use log::{AccessFormat, Level, Log};
pub use process::{ForwardedFamily, Process, TrustedProxies};
pub use route::{HostPattern, MintRule, OnStoreFailure, Route, SessionMode};
pub use session::{CookiePrefix, Headers, Lifetimes, SameSite, Secure, Session, SessionCookie};
pub use store::{Store, StoreKind};
pub use upstream::{Server, ServerAddress, Upstream, UpstreamHost};

/// Everything that the program was told, valid as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[process]`
    pub process: Process,
    /// `[[listen]]`, at least one.
    pub listen: Vec<Listen>,
    /// `[upstreams.NAME]`, in the order of the file, at least one.
    pub upstreams: Vec<Upstream>,
    /// `[[routes]]`, in the order of the file, at least one.
    pub routes: Vec<Route>,
    /// `[session]`
    pub session: Session,
    /// `[store]`
    pub store: Store,
    /// `[[cookies]]`, first match wins.
    pub cookies: Vec<CookieRule>,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
}
