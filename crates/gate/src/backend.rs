//! The names of the back ends.

use portcullis_firewall::iptables::AddressStore;

/// By which means the kernel guards ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// One table of nftables.
    Nftables,
    /// Chains of iptables and ip6tables, with the match `recent`.
    Iptables,
    /// Chains of iptables and ip6tables, with sets of ipset.
    Ipset,
}

impl Backend {
    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::Ipset => "ipset",
        }
    }
}

impl From<AddressStore> for Backend {
    fn from(store: AddressStore) -> Self {
        match store {
            AddressStore::Recent => Self::Iptables,
            AddressStore::Ipset => Self::Ipset,
        }
    }
}
