//! Which back end a configuration is for.

/// In which way the kernel is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// One table of nftables, over netlink.
    #[default]
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
