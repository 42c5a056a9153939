//! How the rules treat invented packets: which rule sees each packet, which stage follows, and which door
//! opens.
//!
//! The firewall's own simulator runs the rules, and the engine itself plays the daemon. So the result is what
//! would really happen. The result is one [`Explanation`]; text and picture both show it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`packet`] | packets as they are written: `tcp/22:ack`, `+6s` |
//! | [`sender`] | who sends them, and how |
//! | [`explanation`] | the result, as values |
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

/// Says how the rules treat these packets; with `store`, the rules of iptables.
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
