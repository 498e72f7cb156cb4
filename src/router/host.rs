//! Routes by host: exact names, then wildcards from the longest on, then routes of any host.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{config::HostPattern, message::case};

use super::path;

/// What no client sends raw in a path (URL Standard, path percent-encode set).
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}').add(b'^');

/// Whether the case of a prefix's letters counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CaseRule {
    /// `ignore_case = false`, written out: the app tells `/Admin` from `/admin`.
    Counts,
    /// Nothing is said: it counts, and what some app may read without it is found by [`HostTable::pick_folded`].
    MayCount,
    /// `ignore_case = true`
    Ignored,
}

/// The spellings of a prefix, without a trailing `/`.
#[derive(Debug)]
struct PrefixSpellings {
    /// As written.
    raw: Vec<u8>,
    /// As it comes where it holds what is always escaped, in either case of the digits.
    escaped: Option<[String; 2]>,
    /// As apps read it.
    read: Vec<u8>,
}

impl PrefixSpellings {
    fn of(prefix: &str) -> Self {
        let upper = utf8_percent_encode(prefix, ENCODED).to_string();
        let escaped = (upper != prefix).then(|| [lower_escapes(&upper), upper]);
        let mut read = Vec::with_capacity(prefix.len());
        path::decode_ordinary(prefix.as_bytes(), &mut read);
        Self { raw: prefix.as_bytes().to_vec(), escaped, read }
    }

    fn folded(&self) -> Self {
        let fold = |text: &[u8]| case::fold(text).into_owned();
        let escaped =
            self.escaped.as_ref().map(|[lower, upper]| [lower, upper].map(|it| it.to_ascii_lowercase()));
        Self { raw: fold(&self.raw), escaped, read: fold(&self.read) }
    }

    /// Whether a path begins with it; `literal`: the path's escapes stand as they came.
    fn begin(&self, path: &[u8], literal: bool, ignore_case: bool) -> bool {
        let escaped = || self.escaped.iter().flatten();
        starts(path, &self.read, ignore_case)
            || (literal && starts(path, &self.raw, ignore_case))
            || (literal && escaped().any(|it| starts(path, it.as_bytes(), ignore_case)))
    }
}

/// One route.
#[derive(Debug)]
struct RouteEntry<T> {
    prefix: PrefixSpellings,
    folded: PrefixSpellings,
    case: CaseRule,
    target: T,
}

/// The routes of one host, longest prefix first.
type HostRoutes<T> = Vec<RouteEntry<T>>;

/// All routes.
#[derive(Debug)]
pub(super) struct HostTable<T> {
    exact: HashMap<String, HostRoutes<T>>,
    below: HashMap<String, HostRoutes<T>>,
    any: HostRoutes<T>,
    /// There is a prefix with letters whose case may count.
    folds: bool,
}

impl<T> HostTable<T> {
    pub(super) fn new(
        routes: impl IntoIterator<Item = (Option<HostPattern>, String, Option<bool>, T)>,
    ) -> Self {
        let mut hosts = Self { exact: HashMap::new(), below: HashMap::new(), any: Vec::new(), folds: false };
        for (host, prefix, ignore_case, target) in routes {
            let group = match host {
                Some(HostPattern::Exact(name)) => hosts.exact.entry(name).or_default(),
                Some(HostPattern::Below(name)) => hosts.below.entry(name).or_default(),
                None => &mut hosts.any,
            };
            let prefix = prefix.trim_end_matches('/');
            let case = match ignore_case {
                Some(false) => CaseRule::Counts,
                Some(true) => CaseRule::Ignored,
                None => CaseRule::MayCount,
            };
            hosts.folds |= case == CaseRule::MayCount && prefix.chars().any(char::is_alphabetic);
            let prefix = PrefixSpellings::of(prefix);
            group.push(RouteEntry { folded: prefix.folded(), prefix, case, target });
        }
        let groups = hosts.exact.values_mut().chain(hosts.below.values_mut());
        for group in groups.chain(std::iter::once(&mut hosts.any)) {
            // The longest prefix first, so that the first that fits is the most specific. The sort
            // is stable: of equal ones the earlier route wins.
            group.sort_by_key(|entry| std::cmp::Reverse(entry.prefix.read.len()));
        }
        hosts
    }

    /// The groups of a host, most specific first.
    fn groups(&self, host: &str) -> impl Iterator<Item = &HostRoutes<T>> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
        let dots = if self.below.is_empty() { "" } else { host };
        let below = dots.match_indices('.').filter(|(at, _)| *at > 0);
        let below = below.filter_map(|(at, _)| self.below.get(dots.get(at + 1..)?));
        exact.into_iter().chain(below).chain(std::iter::once(&self.any))
    }

    /// Every route; with the host that it is for, where that is one by name.
    pub(super) fn each(&self) -> impl Iterator<Item = (Option<&str>, &T)> {
        let exact = self
            .exact
            .iter()
            .flat_map(|(host, group)| group.iter().map(|entry| (Some(host.as_str()), entry)));
        let others = self.below.values().chain(std::iter::once(&self.any)).flatten();
        exact.chain(others.map(|entry| (None, entry))).map(|(host, entry)| (host, &entry.target))
    }

    /// All routes that a request to this host may take.
    pub(super) fn all(&self, host: &str) -> impl Iterator<Item = &T> {
        self.groups(host).flatten().map(|entry| &entry.target)
    }

    /// The route of this reading of a path; `literal`: its escapes stand as they came.
    pub(super) fn pick(&self, host: &str, path: &[u8], literal: bool) -> Option<&T> {
        let fits =
            |entry: &&RouteEntry<T>| entry.prefix.begin(path, literal, entry.case == CaseRule::Ignored);
        self.groups(host).find_map(|group| group.iter().find(fits)).map(|entry| &entry.target)
    }

    /// Whether any route may be another one to an app that ignores case.
    pub(super) fn folds(&self) -> bool {
        self.folds
    }

    /// The route of this reading of a path to an app that ignores case where nothing is said of it.
    pub(super) fn pick_folded(&self, host: &str, path: &[u8], literal: bool) -> Option<&T> {
        let folded = case::fold(path);
        let fits = |entry: &&RouteEntry<T>| match entry.case {
            CaseRule::Counts => entry.prefix.begin(path, literal, false),
            CaseRule::MayCount | CaseRule::Ignored => entry.folded.begin(&folded, literal, false),
        };
        self.groups(host).find_map(|group| group.iter().find(fits)).map(|entry| &entry.target)
    }

    /// The route that every path of this host takes, if there is only one.
    pub(super) fn only(&self, host: &str) -> Option<&T> {
        match self.groups(host).find(|group| !group.is_empty())?.as_slice() {
            [entry] if entry.prefix.raw.is_empty() => Some(&entry.target),
            _ => None,
        }
    }
}

/// With the digits of its escapes in lower case.
fn lower_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        lower.extend(["%", &digits.to_ascii_lowercase(), rest]);
    }
    lower
}

/// Whether the path begins with the prefix, by segment.
fn starts(path: &[u8], prefix: &[u8], ignore_case: bool) -> bool {
    if prefix.is_empty() {
        return true;
    }
    let Some((head, rest)) = path.split_at_checked(prefix.len()) else { return false };
    matches!(rest.first(), None | Some(b'/'))
        && (head == prefix || (ignore_case && head.eq_ignore_ascii_case(prefix)))
}
