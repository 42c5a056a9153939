//! Who sends packets, and how.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_core::policy::{Policy, Stance};
use portcullis_firewall::simulator::{Packet, Socket};

use super::packet::Sent;

/// Who sends packets, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The address.
    pub from: IpAddr,
    /// The interface that they come in on; `None` for the first one of the configuration, or eth0.
    pub interface: Option<String>,
    /// The packets belong to a connection that both sides have spoken in.
    pub established: bool,
    /// Every rule that a packet meets is to be shown, not only those that match it.
    pub rules: bool,
}

impl Sender {
    /// The packet as the rules see it.
    pub(super) fn dress(&self, policy: &Policy, sent: Sent) -> Packet {
        let interface = match (&self.interface, policy.gate.interfaces.first()) {
            (Some(name), _) => name.clone(),
            (None, Some(name)) => name.as_str().to_owned(),
            (None, None) => "eth0".to_owned(),
        };
        let destination = match self.from {
            IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        };
        let packet = Packet {
            interface,
            // Where the gate accepts only what it knows, this assumes the worst case.
            socket: match policy.gate.stance {
                Stance::Closed => Socket::Listener,
                Stance::Guard => Socket::None,
            },
            ..Packet::new(self.from, destination, sent.payload(self.from.is_ipv4()))
        };
        if self.established { packet.of_connection() } else { packet }
    }
}
