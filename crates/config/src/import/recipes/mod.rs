//! Knocking as recipes write it: `recent` of iptables, and sets of nftables.
//!
//! | module | what it holds |
//! |---|---|
//! | `save` | what `iptables-save` prints, and scripts that call `iptables` |
//! | `option` | what one rule of it asks |
//! | `ruleset` | what `nft list ruleset` prints, and scripts for `nft -f` |
//! | `statement` | what one rule of that asks |

mod option;
mod ruleset;
mod save;
mod statement;
mod token;

pub use ruleset::read as nft;
pub use save::read as iptables;
