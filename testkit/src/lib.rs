//! What the tests of several crates share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@reference`] | what a knock means, in a dozen obvious lines |
//! | [`policies`] | random policies that pass the check |
//! | [`script`] | random packets from several sources, with the time between them |
//! | [`frames`] | those packets as bytes |
//! | [`knockd`] | the same for the drop-in for knockd: its model, random doors and scripts |

pub mod frames;
pub mod knockd;
pub mod policies;
pub mod reference;
pub mod script;
