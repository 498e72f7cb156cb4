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

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn nobody_reads_the_memory_and_no_core_is_written() {
        settle();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let unit = include_str!("../../systemd/cloakroom.service");
        assert!(unit.lines().any(|line| line == "LimitCORE=0"));
    }
}
