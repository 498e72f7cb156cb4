//! `[store]`: where sessions live.

use super::value::{Mistake, Reader};

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `kind`
    pub kind: StoreKind,
    /// `max_bytes`: of memory.
    pub max_bytes: u64,
}

/// `durability`: when a change counts as kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// `"group"`: synced, together with all that came while the sync before ran.
    #[default]
    Group,
    /// `"sync"`: synced, each by itself.
    Sync,
    /// `"os"`: handed to the operating system; a power cut may lose the last seconds.
    Os,
}

/// `kind`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// `"memory"`
    #[default]
    Memory,
}

impl Store {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let kind =
            reader.parsed("kind", "\"memory\"", |kind| match kind {
                "memory" => Ok(StoreKind::Memory),
                "disk" | "redis" | "cookie" | "flask" => Err(Mistake::why("not built yet")
                    .help("use kind = \"memory\": sessions end with the process")),
                _ => Err(Mistake::VALUE),
            });
        let store = Self {
            kind: kind.unwrap_or_default(),
            max_bytes: reader.size("max_bytes", &(1 << 20..=1 << 50), 512 << 20),
        };
        reader.finish();
        store
    }
}
