//! Which fields of a session an upstream is shown, and so may change.

use std::sync::Arc;

use crate::{config::FieldGlobs, message::field::normal};

/// The fields that an upstream is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldScope(Arc<FieldGlobs>);

impl FieldScope {
    /// The scope of these names; `None` if they are all that there are.
    pub(super) fn of(names: &FieldGlobs) -> Option<Self> {
        (!names.fit_all()).then(|| Self(Arc::new(names.clone())))
    }

    /// True if this field is among them, in whatever spelling it is filed (an app for `mod_session` has keys of its
    /// own, which are one field with their normal form).
    pub fn holds(&self, field: &str) -> bool {
        let plain = |b: u8| !b.is_ascii_uppercase() && b != b'_';
        self.0.fits(field)
            || (!field.bytes().all(plain) && normal(field).is_ok_and(|name| self.0.fits(&name)))
    }
}
