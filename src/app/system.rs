//! What the process asks of the system before it begins.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::net::descriptors;

/// As many descriptors as there are; and nobody reads its memory.
pub(super) fn settle() {
    descriptors::take_all();
    // SECURITY: keys and fields of sessions lie in memory. No core file is written of it, and no other process of the same
    // user may look into it. Where the system refuses that, it is as it was.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
