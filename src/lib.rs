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
//! | 6 | [`cli`] [`testing`] | one verb a file; what tests reach of the rooms |
//! | 5 | [`app`] | composition: workers, signals, systemd, logging |
//! | 4 | [`proxy`] [`admin`] | the life of one request: the only place where the wings meet; what the operator is shown |
//! | 3 | [`plan`] | everything compiled from one configuration, immutable |
//! | 2 | [`listen`] [`router`] [`upstream`] [`headers`] [`cookies`] [`session`] | wings; they do not know each other |
//! | 1c | [`store`] | where records are kept: memory, disk; knows no header, no cookie, no policy |
//! | 1b | [`record`] | what is kept of a session, and its ticket |
//! | 1 | [`config`] | from text to values, every mistake with its place |
//! | 0 | [`clock`] [`crypto`] [`message`] [`metrics`] [`net`] [`tasks`] | ground: nothing of ours below |
//!
//! Would a line know its room? It asks the time: [`clock`]. It spawns: [`tasks`]. It parses bytes: [`message`], or a
//! parser in its wing. It decides: a pure file, such as `session::commit`. It awaits the network: [`listen`] or
//! [`upstream`]. It prints: [`cli`]. It picks a status: `proxy::error` or `proxy::admit`; `listen::http1` where there is
//! no request that they could judge.
//!
//! # The life of a request
//!
//! 1. **accept** ([`listen::serve`]): a task for each connection; TLS is begun there ([`listen::Acceptor`]), an idle
//!    connection gives its buffers back.
//! 2. **begin** (`proxy::exchange`): the [`plan::Plan`] is pinned, one timestamp taken.
//! 3. **admit** (`proxy::admit`): a bad host, too large: refused before any thought. Framing that can be read in two ways
//!    was no request in the first place (`listen::http1::head`).
//! 4. **route** ([`router::Router::find`]): on the path as an app may read it. From here on the stages share one
//!    `proxy::call`.
//! 5. **strip** ([`headers::HeaderGuard::strip_request`]): names that only cloakroom may write are gone. What another site
//!    made a browser ask for is refused here, where the route says so (`proxy::gate`).
//! 6. **resolve** ([`session::SessionManager::resolve`]): cookie, ticket, record; whatever is forged or dead makes a
//!    stranger, never an error. Then the route's gate: does it require somebody to be logged in? Whoever passes is
//!    shown what is told once ([`session::SessionManager::deliver`]).
//! 7. **rewrite the request** (`proxy::request`): hop-by-hop out, forwarding headers in, session headers last;
//!    `proxy::cookies`: our cookie out, the rules of [`cookies::CookieRules`] undone, cookies that the session keeps in.
//!    Where the route says so its prefix is taken off the path ([`router::below`]).
//! 8. **forward** ([`upstream::send()`]): balance, a pooled connection, the one safe retry. The conversation itself is
//!    `upstream::http1`: head out, head in, framing that nobody can read in two ways; or, where the upstream says so,
//!    `upstream::http2`.
//! 9. **rewrite the response** (`proxy::response`): hop-by-hop out, instructions read and removed, the prefix put back
//!    ([`headers::StrippedPrefix`]); `proxy::cookies`: the app's cookies through their rules, to the browser or to the
//!    session.
//! 10. **commit** ([`session::SessionManager::commit`]): before the visitor's first byte. Here a login renews the ticket:
//!     decided in `session::commit`, carried out in `session::apply_answer`. If the visitor goes while the app works,
//!     [`proxy::AbortHandover`] lets steps 8 to 10 go on in a task of their own.
//! 11. **stream** ([`proxy::ResponseBody`]; what goes on for long ends with its session, `proxy::long_answer`), or
//!     **tunnel** after a 101 (`proxy::upgrade`).
//! 12. **finish** (`proxy::exchange`, on drop): the counts and the access log. Always runs.
//!
//! # More
//!
//! Words: `docs/glossary.md`. Threats, rules of HTTP and the tests that hold them: `docs/threats.md`, `docs/rfc.md`. The house
//! in two pages: `docs/architecture.md`.

pub(crate) mod clock;
pub(crate) mod crypto;
pub(crate) mod message;
pub(crate) mod metrics;
pub(crate) mod net;
pub(crate) mod tasks;

pub(crate) mod config;

pub(crate) mod record;

pub(crate) mod store;

pub(crate) mod cookies;
pub(crate) mod headers;
pub(crate) mod listen;
pub(crate) mod router;
pub(crate) mod session;
pub(crate) mod upstream;

pub(crate) mod plan;

pub(crate) mod proxy;

pub(crate) mod admin;
pub(crate) mod app;

pub(crate) mod cli;

#[doc(hidden)]
pub mod testing;

pub use cli::main;
