//! Tests of all kinds of stores. They decide as sessions do, and so know that room, which the stores do not.

pub(super) mod conformance;
