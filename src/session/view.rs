//! What one upstream is shown of a session, and what it may do to it.

use http::HeaderValue;

use super::change::{Changes, Name};
use crate::config::{Also, FieldGlobs, Upstream};

/// One upstream's part in sessions: `session_fields`, `session_write`, `session_login`, `also`, `proof`.
#[derive(Debug, Clone)]
pub struct View {
    /// `None`: all.
    fields: Option<FieldGlobs>,
    write: bool,
    login: bool,
    also: Vec<Also>,
    proof: Option<HeaderValue>,
}

impl Default for View {
    /// Everything.
    fn default() -> Self {
        Self { fields: None, write: true, login: true, also: Vec::new(), proof: None }
    }
}

impl View {
    /// As configured; the proof is read by whoever builds the plan.
    pub fn new(upstream: &Upstream, proof: Option<HeaderValue>) -> Self {
        Self {
            fields: (!upstream.session_fields.fit_all()).then(|| upstream.session_fields.clone()),
            write: upstream.session_write,
            login: upstream.session_login,
            also: upstream.also.clone(),
            proof,
        }
    }

    /// True if this field is shown.
    pub fn shows(&self, field: &str) -> bool {
        self.fields.as_ref().is_none_or(|globs| globs.fits(field))
    }

    /// True if every field is shown.
    pub fn shows_all(&self) -> bool {
        self.fields.is_none()
    }

    pub(super) fn also(&self) -> &[Also] {
        &self.also
    }

    pub(super) fn proof(&self) -> Option<&HeaderValue> {
        self.proof.as_ref()
    }

    /// Leaves of an answer's changes what this upstream may change; `true` if something was taken out. Whoever is not
    /// shown a field cannot change it either.
    pub fn restrict(&self, changes: &mut Changes, known: impl Iterator<Item = Name>) -> bool {
        let before = changes.clone();
        if !self.write {
            changes.clear = false;
            changes.unset.clear();
            changes.set.clear();
            changes.incr.clear();
            changes.flash.clear();
        }
        if !self.login {
            changes.principal = None;
            (changes.logout, changes.destroy, changes.destroy_principal) = (false, false, false);
            (changes.renew, changes.permanent, changes.idle, changes.max) = (false, None, None, None);
        }
        if !self.shows_all() {
            // "All" is what this upstream knows of.
            if changes.clear {
                changes.clear = false;
                changes.unset.extend(known.filter(|name| self.shows(name)));
            }
            changes.unset.retain(|name| self.shows(name));
            changes.set.retain(|(name, _)| self.shows(name));
            changes.incr.retain(|(name, _)| self.shows(name));
            changes.flash.retain(|(name, _)| self.shows(name));
        }
        before != *changes && !(before.clear && self.write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, session::Value};

    #[test]
    fn an_upstream_changes_only_what_it_is_shown() {
        let text = |t: &str| Value::Text(t.into());
        let all = Changes {
            clear: true,
            set: vec![("cart-id".into(), text("1")), ("role".into(), text("admin"))],
            principal: Some(Some("alice".into())),
            ..Changes::default()
        };
        let known = || ["cart-old", "role"].map(Name::from).into_iter();
        let view = |rules: &str| {
            let text = format!(
                "listen = [{{ address = \"127.0.0.1:1\" }}]\nroutes = [{{ upstream = \"a\" }}]\n\
                 [upstreams.a]\nservers = [\"http://127.0.0.1:2\"]\n{rules}"
            );
            View::new(&Config::parse("x.toml", &text).unwrap().0.upstreams[0], None)
        };
        let mut changes = all.clone();
        assert!(!View::default().restrict(&mut changes, known()));
        assert_eq!(changes, all);

        view("session_fields = [\"cart-*\"]\nsession_login = false").restrict(&mut changes, known());
        assert_eq!(changes.set, [("cart-id".into(), text("1"))]);
        assert_eq!((changes.clear, changes.unset, changes.principal), (false, vec!["cart-old".into()], None));

        let mut changes = all.clone();
        assert!(view("session_write = false").restrict(&mut changes, known()));
        assert_eq!(changes, Changes { principal: all.principal.clone(), ..Changes::default() });
    }
}
