//! Knocks as knockd understands them, without its faults: the recogniser of the drop-in.
//!
//! It differs from the [engine](crate::engine) of native doors in what a knock means: any TCP flags
//! may be asked for, the time runs from the first knock, ports of other doors break an attempt and
//! ports of no door do not, up to a point. `docs/knockd-compatibility.md` lists where it differs from
//! knockd on purpose.

//!
//! | file | what it holds |
//! |---|---|
//! | `door` | what opens a door, as a value |
//! | `book` | all doors, arranged by what is asked about them for each packet |
//! | `knockers` | who is knocking: a bounded table with the stages and a timer |
//! | `carry` | what of that stays when the doors change |
//! | `engine` | puts these together: a packet and the time in, events out |

mod book;
mod carry;
mod door;
mod engine;
mod knockers;

pub use door::{Door, FlagFilter};
pub use engine::{Event, KnockdEngine, Options, Seen};
