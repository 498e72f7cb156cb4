//! `[[routes]]`: which request goes where, under which rules.

use std::time::Duration;

/// `[[routes]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `host`; absent: any.
    pub host: Option<HostPattern>,
    /// `path`: a prefix, by segment; begins with `/`; in normal form.
    pub path: String,
    /// `ignore_case` of the path, for apps on file systems that do.
    pub ignore_case: bool,
    /// `upstream`: index into [`Config::upstreams`](super::Config::upstreams).
    pub upstream: usize,
    /// `session`
    pub session: SessionMode,
    /// `realm`: joins hosts or parts paths on purpose; empty in the file: none.
    pub realm: Option<String>,
    /// `on_store_failure`
    pub on_store_failure: OnStoreFailure,
    /// `mint`
    pub mint: MintRule,
    /// `first_byte_timeout`; absent: the upstream's.
    pub first_byte_timeout: Option<Duration>,
    /// `body_bytes`; absent: that of `[limits]`. The inner `None` is `"off"`.
    pub body_bytes: Option<Option<u64>>,
    /// `answer_idle_timeout`: how long the app may stall within an answer; `None` is `"off"`.
    pub answer_idle_timeout: Option<Duration>,
}

/// `host` of a route, lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `"shop.example.com"`
    Exact(String),
    /// `"*.example.com"`, kept as `"example.com"`: every name below it, not the name itself.
    Below(String),
}

/// `session` of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionMode {
    /// `"on"`
    #[default]
    On,
    /// `"read_only"`: used; no mint, no activity, no instructions.
    ReadOnly,
    /// `"off"`: no session header at all; the ticket is still taken out.
    Off,
}

/// `on_store_failure`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// `"refuse"`
    #[default]
    Refuse,
    /// `"anonymous"`
    Anonymous,
}

/// `mint`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MintRule {
    /// `"visit"`
    #[default]
    Visit,
    /// `"always"`: also in answer to cross-site posts.
    Always,
}
