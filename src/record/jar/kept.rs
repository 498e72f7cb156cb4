//! Kept cookies with named fields, as they lie on disk and travel: a later version reads what an earlier one wrote.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{JarCookie, LastUse, SameSiteRule};
use crate::clock::Timestamp;

/// A kept cookie as it is written down.
#[derive(Serialize, Deserialize)]
pub struct StoredCookie {
    owner: Option<Arc<str>>,
    #[serde(with = "serde_bytes")]
    name: Vec<u8>,
    #[serde(with = "serde_bytes")]
    value: Vec<u8>,
    domain: Arc<str>,
    host_only: bool,
    #[serde(with = "serde_bytes")]
    path: Vec<u8>,
    secure: bool,
    /// 0 Strict, 1 Lax, 2 None.
    same_site: u8,
    expires: Option<u64>,
    /// Absent: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    outlives_browser: bool,
}

impl StoredCookie {
    /// To be written.
    pub(crate) fn of(cookie: &JarCookie) -> Self {
        Self {
            owner: cookie.owner.clone(),
            name: cookie.name.to_vec(),
            value: cookie.value.to_vec(),
            domain: Arc::clone(&cookie.domain),
            host_only: cookie.host_only,
            path: cookie.path.to_vec(),
            secure: cookie.secure,
            same_site: match cookie.same_site {
                SameSiteRule::Strict => 0,
                SameSiteRule::Lax => 1,
                SameSiteRule::None => 2,
            },
            expires: cookie.expires.map(|at| at.0),
            outlives_browser: cookie.outlives_browser,
        }
    }

    /// As it was read.
    pub(crate) fn cookie(self) -> JarCookie {
        JarCookie {
            owner: self.owner,
            name: self.name.into(),
            value: self.value.into(),
            domain: self.domain,
            host_only: self.host_only,
            path: self.path.into(),
            secure: self.secure,
            // What a later version may have written is taken for the strictest.
            same_site: match self.same_site {
                1 => SameSiteRule::Lax,
                2 => SameSiteRule::None,
                _ => SameSiteRule::Strict,
            },
            expires: self.expires.map(Timestamp),
            outlives_browser: self.outlives_browser,
            used: LastUse::default(),
        }
    }
}
