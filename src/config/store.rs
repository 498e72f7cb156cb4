//! `[store]`: where sessions live.

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `kind`
    pub kind: StoreKind,
    /// `max_bytes`: of memory.
    pub max_bytes: u64,
}

/// `kind`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// `"memory"`
    #[default]
    Memory,
}
