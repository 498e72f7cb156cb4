//! Which rules a name may fall under, found without asking each of them: what a client sends decides how many names are
//! looked at, and the operator how many rules there are.

use std::{cell::Cell, collections::HashMap};

use smallvec::SmallVec;

use super::lookalikes;
use crate::{config::CookieRule, message::glob};

/// What the names of one request may cost: a unit is a byte of a name that is looked at, or a pattern that it is held
/// against. An honest request with 180 cookies and twenty patterns needs a tenth of it.
const BUDGET: u32 = 256 * 1024;

/// What was spent of the budget of one request.
#[derive(Debug)]
pub struct NameWork(Cell<u32>);

impl Default for NameWork {
    fn default() -> Self {
        Self(Cell::new(BUDGET))
    }
}

impl NameWork {
    /// So much more; false once it is too much.
    fn spend(&self, units: usize) -> bool {
        let left = self.0.get().saturating_sub(u32::try_from(units).unwrap_or(u32::MAX));
        self.0.set(left);
        left > 0
    }

    /// A name is looked at; false once it is too much.
    pub(super) fn looks_at(&self, name: &[u8]) -> bool {
        self.spend(1 + name.len())
    }

    /// It was too much: not every name was looked at.
    pub fn is_over(&self) -> bool {
        self.0.get() == 0
    }

    /// What was spent.
    #[cfg(test)]
    pub(super) fn spent(&self) -> u32 {
        BUDGET - self.0.get()
    }
}

/// Rules by their names, as disguised names are compared with them.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    /// Names without `*` and `?`.
    plain: HashMap<Box<[u8]>, SmallVec<[usize; 2]>, foldhash::quality::RandomState>,
    /// Patterns.
    globs: Vec<(Box<[u8]>, usize)>,
}

impl NameIndex {
    pub(super) fn of(rules: &[CookieRule]) -> Self {
        let mut index = Self::default();
        for (number, rule) in rules.iter().enumerate() {
            let name = rule.name.as_bytes();
            let decoded = lookalikes::decode(name);
            let both = [name, &*decoded];
            for name in both.get(..if *decoded == *name { 1 } else { 2 }).unwrap_or_default() {
                let folded: Box<[u8]> = name.iter().map(|byte| lookalikes::fold(*byte)).collect();
                if name.iter().any(|byte| matches!(byte, b'*' | b'?')) {
                    index.globs.push((folded, number));
                } else {
                    index.plain.entry(folded).or_default().push(number);
                }
            }
        }
        index
    }

    /// Tells the numbers of the rules whose names this one, as it stands, may pass for.
    pub(super) fn look_up(&self, name: &[u8], work: &NameWork, mut found: impl FnMut(usize)) {
        if !work.looks_at(name) {
            return;
        }
        let folded: SmallVec<[u8; 64]> = name.iter().map(|byte| lookalikes::fold(*byte)).collect();
        self.plain.get(&*folded).into_iter().flatten().copied().for_each(&mut found);
        for (pattern, number) in &self.globs {
            // Charged before the match: a pattern that is looked at costs even when it does not
            // fit.
            if !work.spend(1 + if begins_alike(pattern, &folded) { folded.len() } else { 0 }) {
                return;
            }
            if begins_alike(pattern, &folded) && glob::fits(pattern, &folded) {
                found(*number);
            }
        }
    }
}

/// The first letter tells most patterns from most names.
fn begins_alike(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (Some(b'*' | b'?'), _) | (None, None) => true,
        (first, own) => first == own,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{
        config::CookieAction,
        cookies::{CookieRules, CookieScope, PairContext},
        crypto::KeySecrets,
        message::cookie,
    };

    /// What a request's Cookie costs under so many rules of a kind.
    fn cost(line: &str, pattern: &str, rules: usize) -> u32 {
        let rule = |number: usize| CookieRule {
            name: pattern.replace('#', &number.to_string()),
            action: CookieAction::Keep,
            ..CookieRule::default()
        };
        let rules: Vec<_> = (0..rules).map(rule).collect();
        let rules = CookieRules::build(&rules, &KeySecrets::ephemeral());
        let now = UNIX_EPOCH + Duration::from_hours(24 * 365 * 60);
        let realm = (b'h', "a");
        let (host, path, upstream) = ("a", "/", "a");
        let scope = CookieScope { host, path, request_paths: &[], upstream, https: true, realm, now };
        let work = NameWork::default();

        let sent = PairContext::alone(&scope, &work);
        drop(cookie::edit(line.as_bytes(), |pair| rules.read(pair, &sent)));
        work.spent()
    }

    const HOSTILE: [&str; 14] = [
        "{%61=",
        "a=",
        "{a=",
        "%=",
        "%61%62=",
        ".=",
        " a =",
        "a, ",
        "s0 s1=",
        "=",
        "\"=",
        "{\"a\":b=",
        "a; ",
        "%61; ",
    ];

    #[test]
    fn cookie_cost_is_linear_in_bytes() {
        for unit in HOSTILE {
            let line = unit.repeat(8 * 1024 / unit.len());
            let (one, many) = (cost(&line, "sid#", 1), cost(&line, "sid#", 100));
            assert_eq!(one, many, "{unit}: names without a star are found at once");
            assert!(many <= 8 * 8 * 1024, "{unit}: {many} for 8 KiB");
            let longer = cost(&line.repeat(2), "sid#", 100);
            assert!(longer <= 2 * many + 100, "{unit}: {many}, and {longer} for twice as much");
        }
    }

    #[test]
    fn no_cookie_costs_more_than_the_budget_of_a_request() {
        for unit in HOSTILE {
            for pattern in ["*sid#*", "?id#", "s*#"] {
                assert!(
                    cost(&unit.repeat(16 * 1024 / unit.len()), pattern, 100) <= BUDGET,
                    "{unit} {pattern}"
                );
            }
        }
        let hostile = cost(&"{%61=".repeat(3000), "*sid#*", 100);
        assert_eq!(hostile, BUDGET, "it is used up, and the request is refused");
    }

    /// As many cookies as there may be, under as many rules as anybody has.
    #[test]
    fn an_honest_request_needs_a_fraction_of_it() {
        let cookies: Vec<_> = (0..180).map(|number| format!("_ga_{number}=GS1.1.17.1")).collect();
        let json = "prefs={\"theme\":\"dark\",\"q\":\"a=1&b=2\"}; utm=%7B%22a%22%3A1%7D";
        let all = format!("{}; {json}", cookies.join("; "));
        for pattern in ["app#_*", "*_session#", "sess#"] {
            let spent = cost(&all, pattern, 20);
            assert!(spent < BUDGET / 4, "{pattern}: {spent}");
        }
    }
}
