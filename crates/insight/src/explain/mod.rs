//! How the rules treat invented packets: which rule sees each packet, which stage follows, and which door
//! opens.
//!
//! The rules are run by the firewall's own simulator and the daemon's part by the engine itself, so
//! what is said here is what would happen. It is told once, as an [`Explanation`], which text and picture show.
//!
//! | module | what it holds |
//! |---|---|
//! | [`packet`] | packets as they are written: `tcp/22:ack`, `+6s` |
//! | [`sender`] | who sends them, and how |
//! | [`explanation`] | what becomes of them, as values |
//! | `nftables` | told by the simulator of nftables, and by the engine |
//! | `iptables` | told by the simulator of iptables |
//! | [`text`] | an explanation as text |

pub mod explanation;
mod iptables;
mod nftables;
pub mod packet;
pub mod sender;
pub mod text;

use portcullis_core::automaton::Conflict;
use portcullis_core::policy::Policy;
use portcullis_firewall::iptables::AddressStore;

use explanation::Event;
pub use explanation::Explanation;
pub use packet::Item;
pub use sender::Sender;

/// Tells what becomes of these packets; with `store` by the rules of iptables.
///
/// # Errors
/// The conflicts between doors that the check would have found.
pub fn tell(
    sender: &Sender,
    items: &[Item],
    policy: &Policy,
    store: Option<AddressStore>,
) -> Result<Vec<Event>, Vec<Conflict>> {
    match store {
        Some(store) => iptables::tell(sender, items, policy, store),
        None => nftables::tell(sender, items, policy),
    }
}
