//! File descriptors: how many there may be, and how many are kept back.
//!
//! A new descriptor is always the lowest free number (POSIX). So the number itself tells how many are in use, and nothing
//! has to be counted.

use std::{
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{AtomicI32, Ordering},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many are kept back for accepting, the store and logs.
const KEPT_BACK: i32 = 64;
/// So many of these are not for accepting.
const KEPT_FOR_FILES: i32 = 32;

/// What the process may have; before it is known, any number.
static MOST: AtomicI32 = AtomicI32::new(i32::MAX);

/// Takes as many as the system gives, and remembers how many that are.
pub fn take_all() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Where there is no limit, or it cannot be raised, what holds is what there is.
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    MOST.store(now.and_then(|most| i32::try_from(most).ok()).unwrap_or(i32::MAX), Ordering::Relaxed);
    now.unwrap_or(u64::MAX)
}

/// Whether a connection to an app would take what is kept back.
pub fn are_too_few_for_apps(new: &impl AsFd) -> bool {
    is_beyond(new, KEPT_BACK)
}

/// Whether a visitor's connection would take what the store and logs need.
pub fn are_too_few_for_visitors(new: &impl AsFd) -> bool {
    is_beyond(new, KEPT_FOR_FILES)
}

fn is_beyond(new: &impl AsFd, kept: i32) -> bool {
    new.as_fd().as_raw_fd() >= MOST.load(Ordering::Relaxed).saturating_sub(kept)
}
