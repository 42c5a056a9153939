//! Who is banned.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_firewall::compile::BANS;

use super::elements::address_and_rest;
use super::{Error, Gate};

/// That a source is banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banned {
    /// Who: an IPv4 address, or the first address of an IPv6 network of 64 bits.
    pub address: IpAddr,
    /// For how long still; `None` for ever, which only a person at `nft` can have said.
    pub expires: Option<Duration>,
}

impl Gate {
    /// All living bans but the late ones, which found no room. None if there is no table, or nobody is
    /// banned by its rules.
    ///
    /// # Errors
    ///
    /// That the kernel could not be asked.
    pub fn bans(&mut self) -> Result<Vec<Banned>, Error> {
        let mut all = Vec::new();
        for (version, set) in BANS.into_iter().enumerate() {
            all.extend(self.elements(set, |element| {
                let (address, _) = address_and_rest(element.key()?, version)?;
                Some(Banned { address, expires: element.expires().map(Duration::from_millis) })
            })?);
        }
        all.sort_unstable_by_key(|ban: &Banned| ban.address);
        all.dedup_by_key(|ban| ban.address);
        Ok(all)
    }
}
