//! Knocks as knockd understands them, without its faults: the recogniser of the drop-in.
//!
//! It differs from the [engine](crate::engine) of native doors in what a knock means: any TCP flags
//! may be asked for, the time runs from the first knock, ports of other doors break an attempt and
//! ports of no door do not, up to a point. `docs/knockd-compatibility.md` lists where it differs from
//! knockd on purpose.

mod door;

pub use door::{Door, FlagFilter};
