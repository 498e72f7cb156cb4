//! From where forms lately logged somebody in by a cookie that is kept here.
//!
//! SECURITY: an answer that was under way when its ticket was spent may begin a session with the cookie that it keeps
//! (a login's form that was sent twice). Whoever planted the ticket may have a request under way too, and an app that
//! does not change its session at a login answers it as one of the person who has logged in. So it counts only from where
//! the login came.

use std::{net::IpAddr, time::Duration};

use moka::sync::Cache;
use uuid::Uuid;

/// How long a form that was sent twice may take.
const KNOWN_FOR: Duration = Duration::from_mins(1);
/// So many are known.
const MOST: u64 = 10_000;

/// The addresses, by session.
#[derive(Debug)]
pub struct LoginAddresses(Cache<Uuid, Option<IpAddr>>);

impl Default for LoginAddresses {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(KNOWN_FOR).build())
    }
}

impl LoginAddresses {
    /// A login renewed this session's ticket.
    pub fn note(&self, session: Uuid, client: Option<IpAddr>) {
        self.0.insert(session, client);
    }

    /// Whoever logged in has logged out again: nothing that was under way may begin beside it.
    pub fn forget(&self, session: Uuid) {
        self.0.invalidate(&session);
    }

    /// Whether the last of this session's came from there.
    pub fn came_from(&self, session: Uuid, client: Option<IpAddr>) -> bool {
        // Where all come by one socket, and nobody says for whom, that all are the same means nothing.
        client.is_some() && self.0.get(&session).is_some_and(|known| known == client)
    }
}
