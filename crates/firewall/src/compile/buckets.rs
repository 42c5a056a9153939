//! Where the kernel keeps how far a source has come: in one of a fixed number of buckets.
//!
//! A map from addresses fills up when addresses are forged, since the kernel does not evict; then
//! nobody can knock who is not in it. A map from buckets cannot: it has room for all of them. What
//! forged packets can do is hit the bucket of somebody who is knocking, between two of his knocks; with a
//! million buckets and 250,000 packets a second that is one attempt in some forty, and it has only to
//! be made again. `docs/flood.md` has what was measured, and what else was tried.
//!
//! Sources in one bucket share an attempt. That opens nothing: a grant is for the address that has made
//! the last knock, and none of the ports is easier to guess. To disturb a certain knocker without
//! forging his address, one would have to know which addresses share his bucket, so the hash has a
//! secret seed. It is made of the sequences: who knows them can knock, and the same doors always have
//! the same rules, and understand the attempts that were begun before a reload.

use core::net::IpAddr;

use portcullis_core::automaton::Automaton;
use portcullis_core::limits::KERNEL_BUCKETS;

use crate::jhash::{jhash, scaled};
use crate::ruleset::{Field, Value};

/// Which bucket a source is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    seed: u32,
}

impl Buckets {
    /// Those of an automaton. They are the same for the same states, entered by the same knocks.
    pub fn of(automaton: &Automaton) -> Self {
        let seed = automaton.states().fold(0, |seed, (_, state)| {
            let [high, low] = state.entered_by.number.get().to_be_bytes();
            jhash(&[state.entered_by.protocol.number(), high, low], seed)
        });
        Self { seed }
    }

    /// The bucket of a source, as a key of the maps [`STATE`](super::STATE) and [`LIVE`](super::LIVE).
    pub fn key(self, source: IpAddr) -> Value {
        Value::Class(self.of_source(source))
    }

    /// The bucket of a source, below [`KERNEL_BUCKETS`].
    pub fn of_source(self, source: IpAddr) -> u32 {
        bucket(source, self.seed)
    }

    /// The same for the source of a packet of IPv4, and of IPv6.
    pub(super) const fn fields(self) -> [Field; 2] {
        [Field::IpSaddrBucket { seed: self.seed }, Field::Ip6SaddrBucket { seed: self.seed }]
    }
}

/// What `jhash ip saddr mod N seed S` is.
pub(crate) fn bucket(source: IpAddr, seed: u32) -> u32 {
    let hash = match source {
        IpAddr::V4(address) => jhash(&address.octets(), seed),
        IpAddr::V6(address) => jhash(&address.octets(), seed),
    };
    scaled(hash, KERNEL_BUCKETS)
}
