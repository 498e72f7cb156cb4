//! What this crate's own tests and benches reach of its rooms. No part of what it offers: anything may change here.

/// Of [`crate::clock`].
pub mod clock {
    pub use crate::clock::{Timestamp, drive, instant, sleep};
}

/// Of [`crate::config`].
pub mod config {
    pub use crate::config::{
        AliasValue, AttributeRule, CacheRule, Config, CookieAction, CookiePriority, CookieRule, CrossSite,
        Durability, HeaderPreset, JarLimits, OnConflict, OnTooMany, OnUnauthorized, PreflightRule,
        RequiredLogin, RuleSecure, SameSite, SecretSource, SessionConfig, SessionStart, Severity, StoreKind,
        ValueEncoding,
    };
}

/// Of [`crate::cookies`].
pub mod cookies {
    pub use crate::cookies::{
        CookieInventory, CookieRules, CookieScope, LineVerdict, NameWork, PairContext, SealedFor,
    };
}

/// Of [`crate::crypto`].
pub mod crypto {
    pub use crate::crypto::{KeySecrets, Keyring, sha256};
}

/// Of [`crate::message`].
pub mod message {
    pub use crate::message::{Fields, cookie, lines};
}

/// Of [`crate::plan`].
pub mod plan {
    pub use crate::plan::{Plan, RoutePlan};
}

/// Of [`crate::record`].
pub mod record {
    pub use crate::record::{FieldValue, Realm, flask_format, jar};
}

/// Of [`crate::session`].
pub mod session {
    pub use crate::session::{
        CookieForm, FetchContext, PresentedCookies, ResolveRequest, ResolvedSession, SessionAnswer,
        SessionChanges, SessionManager, SessionState, StreamActivity, UpstreamAccess,
    };
}

/// Of [`crate::store`].
pub mod store {
    pub use crate::store::{DiskStore, MemoryStore, RecordStore, StoreError, disk};
}

/// Of [`crate::tasks`].
pub mod tasks {
    pub use crate::tasks::{at_once, spawn, thread};
}

/// Of [`crate::upstream`].
pub mod upstream {
    pub use crate::upstream::{Endpoints, RequestBodyError, SendOptions, UpstreamConnections, send};
}
