//! What needs no packets: texts, pictures, tables of the documentation, and the house itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is a test"
)]

mod check;
mod count;
mod import;
mod import_rules;
mod manual;
mod pictures;
mod seeds;
mod snapshot;
mod tidy;
