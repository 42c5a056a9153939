//! Whether packets still arrive on the interfaces of the gate: rules match names, and people rename
//! interfaces, put them into bridges and remove them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use portcullis_config::topology::{Blind, Interface, Topology, Why};
use portcullis_core::policy::GatePolicy;
use portcullis_linux::clock;
use portcullis_linux::netlink::route::{AddressMonitor, Route};
use portcullis_watcher::pace::Pace;

use crate::exit::Failure;
use crate::look;
use crate::out::{line as say, warn};

/// Lines at once, and in each second: whoever sends router advertisements can make addresses come and
/// go. What is not said now is said later, if it is still true.
const LINES: (u32, u32) = (20, 1);

/// The interfaces of this host, and what has been said of those that the gate names.
pub(super) struct Interfaces {
    monitor: AddressMonitor,
    route: Route,
    /// The named interfaces that were there, by the numbers that they keep.
    known: BTreeMap<u32, String>,
    /// What has been said of which.
    said: BTreeMap<String, String>,
    pace: Pace,
    /// Something has changed and could not be read, or not be said, at once.
    behind: bool,
}

impl Interfaces {
    /// Begins to listen for changes.
    pub fn open() -> Result<Self, Failure> {
        let failed = |error| Failure::could_not(format!("cannot list the interfaces: {error}"));
        // The monitor first: no change between the first look and the first event is missed.
        let monitor = AddressMonitor::open().map_err(failed)?;
        let route = Route::open().map_err(failed)?;
        let (burst, per_second) = LINES;
        Ok(Self {
            monitor,
            route,
            known: BTreeMap::new(),
            said: BTreeMap::new(),
            pace: Pace::new(burst, per_second),
            behind: false,
        })
    }

    /// What there is now; nothing if the kernel does not say.
    pub fn now(&mut self) -> Option<Vec<Interface>> {
        look::interfaces(&mut self.route).ok()
    }

    /// Whether [`follow`](Self::follow) has to be called again although nothing has changed.
    pub const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Another configuration is in force. What is odd about it was shown when it was read.
    pub fn begin(&mut self, gate: &GatePolicy) {
        self.known.clear();
        self.said.clear();
        let Some(now) = self.now() else {
            self.behind = true;
            return;
        };
        self.remember(gate, &now);
        for blind in troubles(gate, &now) {
            self.said.insert(blind.name.clone(), self.text(&blind, &now));
        }
    }

    /// Takes the changes, and says what they mean to this gate.
    pub fn follow(&mut self, gate: Option<&GatePolicy>) {
        let changed = self.monitor.drain();
        if !changed && !self.behind {
            return;
        }
        self.behind = false;
        let Some(gate) = gate.filter(|gate| !gate.interfaces.is_empty()) else { return };
        let Some(now) = self.now() else {
            self.behind = true;
            return;
        };
        let mut blind = BTreeMap::new();
        for trouble in troubles(gate, &now) {
            blind.insert(trouble.name.clone(), self.text(&trouble, &now));
        }
        for name in gate.interfaces.iter().map(|name| name.as_str()) {
            let is = blind.get(name);
            if is == self.said.get(name) {
                continue;
            }
            if !self.pace.admits(clock()) {
                self.behind = true;
                continue;
            }
            match is {
                Some(text) => {
                    warn(format_args!("the gate is no longer active on interface {name}: {text}"));
                    self.said.insert(name.to_owned(), text.clone());
                }
                None => {
                    say(format_args!("the gate is active on interface {name} again"));
                    self.said.remove(name);
                }
            }
        }
        self.remember(gate, &now);
    }

    /// Keeps the numbers of those that are there; and of those that have another name now.
    fn remember(&mut self, gate: &GatePolicy, now: &[Interface]) {
        for interface in now {
            if gate.interfaces.iter().any(|name| name.as_str() == interface.name) {
                self.known.retain(|_, name| *name != interface.name);
                self.known.insert(interface.index, interface.name.clone());
            }
        }
        self.known.retain(|index, _| now.iter().any(|interface| interface.index == *index));
    }

    /// What is wrong and what to do, in one line.
    fn text(&self, blind: &Blind, now: &[Interface]) -> String {
        let renamed = now.iter().find(|interface| {
            self.known.get(&interface.index).is_some_and(|name| *name == blind.name)
        });
        match (&blind.why, renamed) {
            (Why::Missing, Some(interface)) => {
                let (old, new) = (&blind.name, &interface.name);
                format!(
                    "`{old}` was renamed to `{new}`, and guarded ports are open on `{new}`; hint: \
                     write \"{new}\" in `interfaces` and reload, or rename the interface back to \
                     `{old}`"
                )
            }
            (Why::Missing, None) => format!("{}; hint: {}", blind.message(), blind.hint()),
            _ => format!(
                "{}, and guarded ports are open; hint: {} and reload",
                blind.message(),
                blind.hint()
            ),
        }
    }
}

impl AsFd for Interfaces {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

/// What is worth a line in the log: an address may well come a moment later than its interface.
fn troubles(gate: &GatePolicy, now: &[Interface]) -> Vec<Blind> {
    let mut blind = Topology::new(gate, now).blind();
    blind.retain(|blind| !matches!(blind.why, Why::NoAddress { .. }));
    blind
}
