//! What the watcher is told: the text of an [`Order`](crate::message::Order).

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::knockd::{Door, FlagFilter};
use portcullis_core::policy::InterfaceName;
use portcullis_core::wire::TcpFlags;
use portcullis_linux::capture::Interfaces;
use serde::{Deserialize, Serialize};

/// What a watcher shall look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where. Only the first order decides: knockd does not change it while it runs.
    pub interfaces: Interfaces,
    /// Whether they may come later.
    pub may_come_later: bool,
    /// Whether IPv6 is as if it did not exist (`-4`).
    pub only_v4: bool,
    /// For what.
    pub doors: Vec<Door>,
}

#[derive(Serialize, Deserialize)]
struct Text {
    /// None for all there are.
    interfaces: Option<Vec<String>>,
    may_come_later: bool,
    only_v4: bool,
    doors: Vec<DoorText>,
}

#[derive(Serialize, Deserialize)]
struct DoorText {
    knocks: Vec<String>,
    set: u8,
    clear: u8,
    seconds: u64,
    target: Option<IpAddr>,
    once: bool,
}

impl Wanted {
    /// As text.
    pub fn to_text(&self) -> String {
        let interfaces = match &self.interfaces {
            Interfaces::Named(names) => Some(names.iter().map(ToString::to_string).collect()),
            Interfaces::All | Interfaces::AllButLoopback => None,
        };
        let text = Text {
            interfaces,
            may_come_later: self.may_come_later,
            only_v4: self.only_v4,
            doors: self.doors.iter().map(DoorText::of).collect(),
        };
        // Cannot fail: nothing in it has an error, and no key is other than a string.
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// From text; `None` if that is none of [`to_text`](Self::to_text).
    pub fn from_text(text: &str) -> Option<Self> {
        let text: Text = serde_json::from_str(text).ok()?;
        let named = |names: Vec<String>| {
            let names = names.iter().map(|name| InterfaceName::new(name).ok());
            Some(Interfaces::Named(names.collect::<Option<_>>()?))
        };
        Some(Self {
            interfaces: text.interfaces.map_or(Some(Interfaces::All), named)?,
            may_come_later: text.may_come_later,
            only_v4: text.only_v4,
            doors: text.doors.into_iter().map(DoorText::door).collect::<Option<_>>()?,
        })
    }
}

impl DoorText {
    fn of(door: &Door) -> Self {
        Self {
            knocks: door.sequence.iter().map(ToString::to_string).collect(),
            set: door.flags.set.bits(),
            clear: door.flags.clear.bits(),
            seconds: door.timeout.as_secs(),
            target: door.target,
            once: door.once,
        }
    }

    fn door(self) -> Option<Door> {
        let knocks = self.knocks.iter().map(|knock| knock.parse().ok());
        let flags = FlagFilter {
            set: TcpFlags::from_bits(self.set),
            clear: TcpFlags::from_bits(self.clear),
        };
        Some(Door {
            sequence: knocks.collect::<Option<_>>()?,
            flags,
            timeout: Duration::from_secs(self.seconds),
            target: self.target,
            once: self.once,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let door = Door {
            sequence: vec!["tcp/7000".parse().unwrap(), "udp/8000".parse().unwrap()],
            flags: FlagFilter { set: TcpFlags::SYN, clear: TcpFlags::ACK },
            timeout: Duration::from_secs(2_147_483_647),
            target: Some("2001:db8::1".parse().unwrap()),
            once: true,
        };
        let empty = Door { sequence: Vec::new(), target: None, once: false, ..door.clone() };
        for interfaces in
            [Interfaces::All, Interfaces::Named(vec![InterfaceName::new("eth0.5").unwrap()])]
        {
            let wanted = Wanted {
                interfaces,
                may_come_later: true,
                only_v4: false,
                doors: vec![door.clone(), empty.clone()],
            };
            assert_eq!(Wanted::from_text(&wanted.to_text()), Some(wanted));
        }
        for text in ["", "{}", "[]"] {
            assert_eq!(Wanted::from_text(text), None);
        }
    }
}
