//! What changes the kernel's firewall, over netlink.
//!
//! | module | what it holds |
//! |---|---|
//! | [`nftables`] | the gate's table: loaded, read back, opened for somebody |
//! | [`cut`] | ends what one source has with some ports |

pub mod cut;
pub mod nftables;
