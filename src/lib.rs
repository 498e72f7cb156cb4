//! cloakroom: a reverse proxy that adds sessions to web apps that have none.
//!
//! A visitor hands in a coat and gets a ticket: the browser holds one opaque cookie, what belongs to the visitor stays
//! here and is passed to the app, request by request, in plain request headers; the app answers with plain response
//! headers when it wants something kept.
//!
//! # Floors
//!
//! A room imports only from lower floors, and never from a neighbour; `tests/it/house.rs` holds that.
//!
//! | floor | rooms | what they are |
//! | --- | --- | --- |
//! | 6 | [`cli`] | one verb a file |
//! | 5 | [`app`] | composition: workers, signals, systemd, logging |
//! | 4 | [`proxy`] | the life of one request: the only place where the wings meet |
//! | 3 | [`plan`] | everything compiled from one configuration, immutable |
//! | 2 | [`listen`] [`router`] [`upstream`] [`headers`] [`cookies`] [`session`] | wings; they do not know each other |
//! | 1 | [`config`] | from text to values, every mistake with its place |
//! | 0 | [`clock`] [`crypto`] [`message`] [`metrics`] [`net`] [`tasks`] | ground: nothing of ours below |
//!
//! Would a line know its room? It asks the time: [`clock`]. It spawns: [`tasks`]. It parses bytes: [`message`], or a
//! parser in its wing. It decides: a pure file, such as `session::commit`. It awaits the network: [`listen`] or
//! [`upstream`]. It prints: [`cli`]. It picks a status: `proxy::error` or `proxy::admit`.
//!
//! # The life of a request
//!
//! 1. **accept** ([`listen::serve`]): a task for each connection; an idle one is parked outside hyper.
//! 2. **begin** (`proxy::exchange`): the [`plan::Plan`] is pinned, one timestamp taken.
//! 3. **admit** (`proxy::admit`): ambiguous framing, a bad host, too large: refused before any thought.
//! 4. **route** ([`router::Router::find`]): on the path as an app may read it.
//! 5. **cleanse** ([`headers::Guard::strip_request`]): names that only cloakroom may write are gone. What another site
//!    made a browser ask for is refused here, where the route says so (`proxy::gate`).
//! 6. **resolve** ([`session::SessionManager::resolve`]): cookie, ticket, record; whatever is forged or dead makes a
//!    stranger, never an error. Then the route's gate: does it require somebody to be logged in?
//! 7. **dress** (`proxy::request`): our cookie out, hop-by-hop out, forwarding headers in, session headers last.
//! 8. **send** ([`upstream::send()`]): balance, a pooled connection, the one safe retry. The conversation itself is
//!    `upstream::http1`: head out, head in, framing that nobody can read in two ways.
//! 9. **undress** (`proxy::response`): hop-by-hop out, instructions read and removed, the app's cookies through
//!    [`cookies::CookieRules`].
//! 10. **commit** ([`session::SessionManager::commit`]): before the visitor's first byte. If the visitor goes while
//!     the app works, [`proxy::Handover`] lets steps 8 to 10 go on in a task of their own.
//! 11. **stream** ([`proxy::Body`]).
//! 12. **finish** (`proxy::exchange`, on drop): the access log. Always runs.
//!
//! # Glossary
//!
//! - **visitor**, downstream: who sends requests. **app**, upstream: who answers them; an [`upstream::Endpoint`] is
//!   one of its servers.
//! - **ticket**: what the cookie holds; secret, replaced at every renewal. **id**: public, constant for the session's
//!   life. **realm**: what a ticket is bound to, the host unless configured otherwise.
//! - **record** ([`session::Record`]): what the store holds. A session without data has none.
//! - **principal**: who is logged in. At most one in a session's life.
//! - **spent**: a ticket that was replaced. **tombstone**: what stays of an ended session. **straggler**: an answer
//!   whose request came under a ticket that was spent meanwhile; it changes nothing.
//! - **stranger**: a request without a ticket that leads anywhere.

pub mod clock;
pub mod crypto;
pub mod message;
pub mod metrics;
pub mod net;
pub mod tasks;

pub mod config;

pub mod cookies;
pub mod headers;
pub mod listen;
pub mod router;
pub mod session;
pub mod upstream;

pub mod plan;

pub mod proxy;

pub mod app;

pub mod cli;
