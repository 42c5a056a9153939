//! Pictures of configurations, and of how the rules treat packets, as SVG.
//!
//! | module | what it holds |
//! |---|---|
//! | [`layout`] | what a picture is made of: texts, lines and boxes, each at its place |
//! | [`text`] | how wide a text is, where it may be broken, and which characters it may have |
//! | [`svg`] | a layout as text |
//! | `sheet` | a layout that grows downwards |
//! | `tree` | the sequences of all doors as one tree, and where on a grid its stages stand |
//! | `doors` | draws that tree, with a card for each door |
//! | `gate` | how the rules treat every packet, question by question |
//! | [`mod@overview`] | the picture of a configuration: doors, then gate |
//! | [`mod@explanation`] | the picture of packets: the stages they lead to, and their way through the rules |
//!
//! All of it is pure: a policy or an explanation becomes a [`Picture`](layout::Picture), which is data, and that becomes
//! text. The code does not read the widths of fonts. All text is monospaced and measured generously, so nothing overlaps
//! and nothing is cut on any screen. Tests look for both in the pictures of random policies.

mod doors;
pub mod explanation;
mod gate;
pub mod layout;
pub mod overview;
mod sheet;
pub mod svg;
pub mod text;
mod tree;

#[cfg(test)]
mod tests;

pub use explanation::explanation;
pub use overview::overview;
