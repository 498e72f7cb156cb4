//! Which rule a cookie falls under.

use std::time::SystemTime;

use crate::{
    config::CookieRule,
    message::{glob, set_cookie::name},
};

use super::rewrite::{Verdict, rewrite};

/// The rules of the configuration, first match wins.
#[derive(Debug, Clone, Default)]
pub struct CookieRules {
    rules: Vec<CookieRule>,
}

impl CookieRules {
    /// Takes the rules over.
    pub fn build(rules: &[CookieRule]) -> Self {
        Self { rules: rules.to_vec() }
    }

    /// Whether no cookie is ever touched.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What becomes of one `Set-Cookie` line of a visitor who came by https or not.
    pub fn apply(&self, line: &[u8], https: bool, now: SystemTime) -> Verdict {
        if self.rules.is_empty() {
            return Verdict::Untouched;
        }
        let name = name(line);
        match self.rules.iter().find(|rule| glob::fits(rule.name.as_bytes(), name)) {
            Some(rule) => rewrite(rule, line, https, now),
            None => Verdict::Untouched,
        }
    }
}
