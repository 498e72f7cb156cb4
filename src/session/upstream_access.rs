//! What one upstream is shown of a session, and what it may do to it.

use http::HeaderValue;

use super::{change::SessionChanges, field_scope::FieldScope};
use crate::config::{HeaderAlias, UpstreamConfig};

/// One upstream's part in sessions: `session_fields`, `session_write`, `session_login`, `header_aliases`, `proof`.
#[derive(Debug, Clone)]
pub struct UpstreamAccess {
    /// `None`: all.
    fields: Option<FieldScope>,
    write: bool,
    login: bool,
    header_aliases: Vec<HeaderAlias>,
    proof: Option<HeaderValue>,
}

impl Default for UpstreamAccess {
    /// Everything.
    fn default() -> Self {
        Self { fields: None, write: true, login: true, header_aliases: Vec::new(), proof: None }
    }
}

impl UpstreamAccess {
    /// As configured; the proof is read by whoever builds the plan.
    pub fn new(upstream: &UpstreamConfig, proof: Option<HeaderValue>) -> Self {
        Self {
            fields: FieldScope::of(&upstream.session_fields),
            write: upstream.session_write,
            login: upstream.session_login,
            header_aliases: upstream.header_aliases.clone(),
            proof,
        }
    }

    /// True if this field is shown.
    pub fn shows(&self, field: &str) -> bool {
        self.fields.as_ref().is_none_or(|scope| scope.holds(field))
    }

    /// True if every field is shown.
    pub fn shows_all(&self) -> bool {
        self.fields.is_none()
    }

    /// Whether what it answers may log somebody in or out.
    pub(super) fn may_log_in(&self) -> bool {
        self.login
    }

    pub(super) fn header_aliases(&self) -> &[HeaderAlias] {
        &self.header_aliases
    }

    pub(super) fn proof(&self) -> Option<&HeaderValue> {
        self.proof.as_ref()
    }

    /// Leaves of an answer's changes what this upstream may change; `true` if something was taken out. Whoever is not
    /// shown a field cannot change it either.
    pub fn restrict(&self, changes: &mut SessionChanges) -> bool {
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
            changes.unset.retain(|name| self.shows(name));
            changes.set.retain(|(name, _)| self.shows(name));
            changes.incr.retain(|(name, _)| self.shows(name));
            changes.flash.retain(|(name, _)| self.shows(name));
        }
        // Measured here: what follows narrows what the changes mean, and takes nothing out of them.
        let less = before != *changes;
        changes.spares_session = !self.login;
        // "All" is what this upstream knows of.
        changes.clear_within.clone_from(&self.fields);
        less
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, record::FieldValue};

    #[test]
    fn an_upstream_changes_only_what_it_is_shown() {
        let text = |t: &str| FieldValue::Text(t.into());
        let all = SessionChanges {
            clear: true,
            set: vec![("cart-id".into(), text("1")), ("role".into(), text("admin"))],
            principal: Some(Some("alice".into())),
            ..SessionChanges::default()
        };
        let view = |rules: &str| {
            let text = format!(
                "listen = [{{ address = \"127.0.0.1:1\" }}]\nroutes = [{{ upstream = \"a\" }}]\n\
                 [upstreams.a]\nservers = [\"http://127.0.0.1:2\"]\n{rules}"
            );
            UpstreamAccess::new(&Config::parse("x.toml", &text).unwrap().0.upstreams[0], None)
        };
        let mut changes = all.clone();
        assert!(!UpstreamAccess::default().restrict(&mut changes));
        assert_eq!(changes, all);

        view("session_fields = [\"cart-*\"]\nsession_login = false").restrict(&mut changes);
        assert_eq!(changes.set, [("cart-id".into(), text("1"))]);
        assert_eq!(changes.principal, None);
        let within = changes.clear_within.unwrap();
        assert_eq!((changes.clear, within.holds("cart-old"), within.holds("role")), (true, true, false));
        assert!(within.holds("Cart_Id"), "the key of an app for mod_session");

        let mut changes = all.clone();
        assert!(view("session_write = false").restrict(&mut changes));
        assert_eq!(changes, SessionChanges { principal: all.principal.clone(), ..SessionChanges::default() });
    }
}
