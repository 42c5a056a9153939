//! Chains of iptables as they are remembered.

use portcullis_firewall::iptables::Family;
use portcullis_gate::iptables::state::State;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// Our chains as the programs of iptables print them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chains {
    v4: Vec<String>,
    v6: Vec<String>,
}

impl Chains {
    /// Those that are there now; `None` if there are none, or no such programs.
    ///
    /// # Errors
    ///
    /// A program fails.
    pub fn now() -> Result<Option<Self>, Failure> {
        let [v4, v6] = [Family::V4, Family::V6].map(State::read_if_there);
        let (Some(v4), Some(v6)) = (v4?, v6?) else { return Ok(None) };
        let is_empty = v4.is_empty() && v6.is_empty();
        Ok((!is_empty).then(|| Self { v4: v4.lines(), v6: v6.lines() }))
    }
}
