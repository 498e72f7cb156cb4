//! One visitor's connection, for what is to live no longer than it.

use std::{
    cell::Cell,
    rc::{Rc, Weak},
};

/// A visitor's connection that carries one request at a time (HTTP/1). Held by whoever serves it; its end is its drop.
#[derive(Debug, Clone, Default)]
pub struct VisitorConnection(Rc<Cell<bool>>);

/// Something that belongs to a visitor's connection.
#[derive(Debug, Clone)]
pub struct VisitorOwnership(Weak<Cell<bool>>);

impl VisitorConnection {
    /// What is marked like this belongs to it.
    pub fn ownership(&self) -> VisitorOwnership {
        self.0.set(true);
        VisitorOwnership(Rc::downgrade(&self.0))
    }

    /// Whether anything may belong to it: most have nothing, and need not be looked for.
    pub fn owns_anything(&self) -> bool {
        self.0.get()
    }
}

impl VisitorOwnership {
    /// Whether it belongs to this one.
    pub fn is_of(&self, connection: &VisitorConnection) -> bool {
        std::ptr::eq(self.0.as_ptr(), Rc::as_ptr(&connection.0))
    }

    /// Whether its connection is still there.
    pub fn has_owner(&self) -> bool {
        self.0.strong_count() > 0
    }
}
