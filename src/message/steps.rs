//! Counts the steps of loops over what strangers send. Tests hold them to grow with the bytes that were sent, and no
//! faster; outside of tests nothing is counted.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// So many steps are taken: a step looks at a byte, or at an element of a list.
#[inline]
pub fn step(steps: usize) {
    #[cfg(test)]
    TAKEN.set(TAKEN.get() + steps);
    #[cfg(not(test))]
    let _ = steps;
}

/// How many steps this work takes.
#[cfg(test)]
pub fn taken(work: impl FnOnce()) -> usize {
    let before = TAKEN.get();
    work();
    TAKEN.get() - before
}

/// Holds work on hostile text to be linear: twice the text takes no more than twice the steps, and a byte no more than
/// `a_byte` of them.
#[cfg(test)]
pub fn assert_linear(unit: &str, a_byte: usize, work: impl Fn(&str)) {
    let [one, two] = [8 * 1024, 16 * 1024].map(|bytes| {
        let text = unit.repeat(bytes / unit.len());
        taken(|| work(&text))
    });
    assert!(one > 0, "{unit}: nothing is counted");
    assert!(two <= 2 * one + 200, "{unit}: {one} steps, and {two} for twice as much");
    assert!(two <= a_byte * 16 * 1024, "{unit}: {two} steps for 16 KiB");
}
