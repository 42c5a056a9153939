//! The gate as chains of iptables: what is loaded, who is in its lists, and whether it is what a policy
//! means. The lists are those of `recent`, or sets of ipset.
//!
//! The rules say all that is needed for it: which door is behind a port, by which name it goes, which list
//! has its grants and for how long they last. So no configuration has to be known.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::policy::{DoorName, Network, Policy, Port, Protocol};
use portcullis_firewall::iptables::compile::compile;
use portcullis_firewall::iptables::text::{Jump, is_ours};
use portcullis_firewall::iptables::{AddressStore, Family, Filter, SetKind};

use super::ipset::Sets;
use super::recent;
use super::state::State;
use super::words::{after, usual, words};
use crate::Error;
use crate::nftables::{Grant, LoadedDoor, View};

/// What the chain of a door begins with; its number follows.
const DOOR: &str = "portcullis-door-";
/// The chain in which sources are looked up that may be knocking.
const KNOCK: &str = "portcullis-knock";
/// What the name of a list of grants has before the name of its door.
const OPEN: &str = "_open_";
/// What the comment begins with of rules that put a source in because its knock is complete.
const OPENS: &str = "opens ";

/// A rule of ours, in words.
#[derive(Debug)]
struct Line {
    family: Family,
    chain: String,
    words: Vec<String>,
}

impl Line {
    fn after(&self, option: &str) -> Option<&str> {
        after(&self.words, option)
    }

    /// The list of `recent`, or the set, that it looks a source up in.
    fn looks_up(&self) -> Option<List> {
        let (name, seconds) = match self.after("--match-set") {
            Some(name) => (name, None),
            None => {
                let seconds = self.after("--seconds")?.parse().ok()?;
                (self.after("--name")?, Some(seconds))
            }
        };
        is_ours(name).then(|| List {
            family: self.family,
            name: name.to_owned(),
            length: seconds.map(Duration::from_secs),
        })
    }

    /// The ports that it is about.
    fn ports(&self) -> Vec<Port> {
        let protocol = match self.after("-p") {
            Some("tcp") => Protocol::Tcp,
            Some("udp") => Protocol::Udp,
            _ => return Vec::new(),
        };
        let numbers = self.after("--dport").or_else(|| self.after("--dports")).unwrap_or_default();
        let numbers = numbers.split(',').filter_map(|number| number.parse().ok());
        numbers.filter_map(|number| Port::new(protocol, number)).collect()
    }
}

/// Where addresses are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List {
    family: Family,
    name: String,
    /// For how long an address counts that is in a list of `recent`. In a set each has its own time.
    length: Option<Duration>,
}

/// An address in a list that still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    address: IpAddr,
    /// `None` is never.
    left: Option<Duration>,
}

/// A door as its rules have it.
#[derive(Debug)]
struct Door {
    loaded: LoadedDoor,
    /// Where its grants are.
    lists: Vec<List>,
    /// For how long it opens; `None` where no rule opens it.
    open_for: Option<Duration>,
}

/// What different rules say of one door.
#[derive(Debug, Default)]
struct Parts {
    name: Option<String>,
    guards: BTreeSet<Port>,
    lists: Vec<List>,
}

/// The loaded chains of both families.
#[derive(Debug)]
pub struct Chains {
    states: Vec<State>,
    lines: Vec<Line>,
}

impl Chains {
    /// Those that are there now. `None` if there are none, or no programs that could have made them.
    ///
    /// # Errors
    ///
    /// A program fails.
    pub fn read() -> Result<Option<Self>, Error> {
        let mut states = Vec::new();
        for family in Family::BOTH {
            states.extend(State::read_if_there(family)?);
        }
        let is_there = states.iter().any(|state| !state.is_empty());
        Ok(is_there.then(|| Self::of(states)))
    }

    /// Those of these families.
    pub fn of(states: Vec<State>) -> Self {
        let lines = states.iter().flat_map(|state| {
            state.rules.iter().filter_map(|rule| {
                let mut words = words(rule.strip_prefix("-A ")?).into_iter();
                let chain = words.next()?;
                Some(Line { family: state.family, chain, words: words.collect() })
            })
        });
        let lines = lines.collect();
        Self { states, lines }
    }

    /// Who remembers addresses for them.
    pub fn store(&self) -> AddressStore {
        let sets = |line: &Line| {
            ["--match-set", "--add-set", "--del-set"]
                .iter()
                .any(|option| line.after(option).is_some_and(is_ours))
        };
        if self.lines.iter().any(sets) { AddressStore::Ipset } else { AddressStore::Recent }
    }

    /// Doors and grants.
    ///
    /// # Errors
    ///
    /// That a list cannot be read.
    pub fn view(&self) -> Result<View, Error> {
        let doors = self.doors();
        let mut members = Members::new()?;
        let mut grants = Vec::new();
        for door in &doors {
            for list in &door.lists {
                grants.extend(members.of(list)?.into_iter().map(|member| Grant {
                    class: door.loaded.class,
                    address: member.address,
                    expires: member.left,
                    // A set only knows what is left.
                    timeout: list.length,
                }));
            }
        }
        grants.sort_unstable_by_key(|grant| (grant.class, grant.address));
        grants.dedup_by_key(|grant| (grant.class, grant.address));
        Ok(View { doors: doors.into_iter().map(|door| door.loaded).collect(), grants })
    }

    /// For how long a door opens.
    ///
    /// # Errors
    ///
    /// There is no such door.
    pub fn open_for(&self, door: &str) -> Result<Option<Duration>, Error> {
        self.door(door).map(|door| door.open_for)
    }

    /// Puts an address into the list of a door; for how long, which may be rounded up. Without a time for
    /// as long as the door opens.
    ///
    /// # Errors
    ///
    /// There is no such door; the list may not be written or is full; or its grants cannot have this time.
    pub fn grant(&self, door: &str, address: IpAddr, time: Duration) -> Result<Duration, Error> {
        let found = self.door(door)?;
        let like = |list: &&List| address.is_ipv4() == (list.family == Family::V4);
        let list = found.lists.iter().find(like);
        let list = list.ok_or_else(|| Error::NoList { door: found.loaded.name.clone() })?;
        match list.length {
            Some(fixed) if fixed == time => {
                // The kernel makes room by ending the oldest grant, which nobody asked for.
                let living = Members::new()?.of(list)?;
                let is_new = living.iter().all(|member| member.address != address);
                if is_new && living.len() >= recent::room() {
                    return Err(Error::Full { list: list.name.clone() });
                }
                recent::add(&list.name, address).map(|()| time)
            }
            Some(fixed) => Err(Error::FixedTime { door: found.loaded.name.clone(), time: fixed }),
            None => {
                let seconds = time.as_millis().div_ceil(1000).max(1);
                let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
                Sets::open()?.add(&list.name, address, seconds)?;
                Ok(Duration::from_secs(seconds.into()))
            }
        }
    }

    /// Takes grants out of the lists: of one door or of all, of one address or of all. What is left of the
    /// view is what has ended.
    ///
    /// # Errors
    ///
    /// There is no such door, or a list may not be written. Some may have ended then.
    pub fn revoke(&self, door: Option<&str>, address: Option<IpAddr>) -> Result<View, Error> {
        let mut view = self.view()?;
        let class = door.map(|name| view.door(name).map(|door| door.class)).transpose()?;
        let meant = |class_: u32, who: IpAddr| {
            class.is_none_or(|class| class == class_) && address.is_none_or(|it| it == who)
        };
        view.grants.retain(|grant| meant(grant.class, grant.address));
        let doors = self.doors();
        for grant in &view.grants {
            let family = if grant.address.is_ipv4() { Family::V4 } else { Family::V6 };
            let lists = doors.iter().filter(|door| door.loaded.class == grant.class);
            for list in lists.flat_map(|door| &door.lists).filter(|list| list.family == family) {
                match list.length {
                    Some(_) => recent::remove(&list.name, grant.address)?,
                    None => drop(Sets::open()?.remove(&list.name, grant.address)?),
                }
            }
        }
        Ok(view)
    }

    /// How many sources are in the middle of a knock. Who has just come to the end of one is not.
    ///
    /// # Errors
    ///
    /// That a list cannot be read.
    pub fn knocking(&self) -> Result<usize, Error> {
        let ends = self.lines.iter().filter(|line| {
            line.after("--comment").is_some_and(|comment| comment.starts_with(OPENS))
        });
        let ends: HashSet<&str> = ends
            .flat_map(|line| &line.words)
            .filter(|word| is_ours(word))
            .map(String::as_str)
            .collect();
        let mut members = Members::new()?;
        let mut sources = BTreeSet::new();
        for line in self.lines.iter().filter(|line| line.chain == KNOCK) {
            if let Some(list) = line.looks_up()
                && !ends.contains(list.name.as_str())
            {
                sources.extend(members.of(&list)?.into_iter().map(|member| member.address));
            }
        }
        Ok(sources.len())
    }

    /// In what these chains are not what a policy means, in words.
    ///
    /// # Errors
    ///
    /// That a set cannot be read.
    pub fn difference(
        &self,
        policy: &Policy,
        store: AddressStore,
    ) -> Result<Option<String>, Error> {
        let generation = self.states.iter().flat_map(State::generations).next();
        let generation = generation.unwrap_or_default();
        for family in Family::BOTH {
            let filter = compile(policy, store, family, generation).map_err(|_| Error::Conflict)?;
            let found = self.states.iter().find(|state| state.family == family);
            let difference = match found {
                None => Some("no chains are loaded".to_owned()),
                Some(state) => self.chains_differ(state, &filter),
            };
            let difference = match difference {
                None => sets_differ(&filter)?,
                some => some,
            };
            if let Some(difference) = difference {
                return Ok(Some(format!("{}: {difference}", program(family))));
            }
        }
        Ok(None)
    }

    fn chains_differ(&self, state: &State, filter: &Filter) -> Option<String> {
        match state.jump() {
            Jump::Keep => {}
            Jump::Insert => return Some("INPUT does not jump to the gate".to_owned()),
            Jump::Renew(1) => {
                return Some("INPUT has another rule before the jump to the gate".to_owned());
            }
            Jump::Renew(_) => return Some("INPUT jumps to the gate more than once".to_owned()),
        }
        if let Some(extra) = state.chains.iter().find(|name| filter.chain(name).is_none()) {
            return Some(format!("chain {extra} should not exist"));
        }
        let mut loaded: BTreeMap<&str, Vec<Vec<Vec<String>>>> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.family == state.family) {
            loaded.entry(&line.chain).or_default().push(usual(&line.words));
        }
        for chain in &filter.chains {
            let name = &chain.name;
            if !state.chains.contains(name) {
                return Some(format!("chain {name} is missing"));
            }
            let found = loaded.remove(name.as_str()).unwrap_or_default();
            let wanted = chain.rules.iter().map(|rule| usual(&words(&filter.rule_text(rule))));
            let different = wanted.zip(&found).position(|(wanted, found)| wanted != *found);
            if let Some(number) = different {
                return Some(format!(
                    "rule {} of chain {name} is different",
                    number.saturating_add(1)
                ));
            }
            if found.len() != chain.rules.len() {
                let (found, wanted) = (found.len(), chain.rules.len());
                return Some(format!("chain {name} has {found} rules instead of {wanted}"));
            }
        }
        None
    }

    fn door(&self, name: &str) -> Result<Door, Error> {
        let mut doors = self.doors();
        match doors.iter().position(|door| door.loaded.name == name) {
            Some(at) => Ok(doors.swap_remove(at)),
            None => {
                let view = View {
                    doors: doors.into_iter().map(|door| door.loaded).collect(),
                    grants: Vec::new(),
                };
                // Which is the error, with the names that there are.
                view.door(name)?;
                Err(Error::NoList { door: name.to_owned() })
            }
        }
    }

    /// The doors, in the order of their numbers.
    fn doors(&self) -> Vec<Door> {
        let mut all: BTreeMap<u32, Parts> = BTreeMap::new();
        let number = |chain: &str| chain.strip_prefix(DOOR)?.parse::<u32>().ok();
        for line in &self.lines {
            if let Some(door) = line.after("-g").and_then(number) {
                let parts = all.entry(door).or_default();
                parts.guards.extend(line.ports());
                parts.name = line.after("--comment").map(safe).or(parts.name.take());
            } else if let Some(door) = number(&line.chain) {
                // It looks sources up in lists of stages, too.
                let grants = line.looks_up().filter(|list| list.name.contains(OPEN));
                all.entry(door).or_default().lists.extend(grants);
            }
        }
        let door = |(class, Parts { name, guards, lists })| {
            // A door that guards nothing has its name in that of its list alone.
            let of_list = || lists.first()?.name.split_once(OPEN).map(|(_, name)| safe(name));
            let name = name.or_else(of_list).unwrap_or_else(|| format!("(door {class})"));
            let open_for = lists.iter().find_map(|list| self.open_for_of(list));
            let loaded = LoadedDoor { class, name, guards: guards.into_iter().collect() };
            Door { loaded, lists, open_for }
        };
        all.into_iter().map(door).collect()
    }

    /// For how long an address is put into a list.
    fn open_for_of(&self, list: &List) -> Option<Duration> {
        list.length.or_else(|| {
            let adds = |line: &&Line| line.after("--add-set") == Some(&list.name);
            let seconds = self.lines.iter().find(adds)?.after("--timeout")?.parse().ok()?;
            Some(Duration::from_secs(seconds))
        })
    }
}

/// A name from the kernel, which somebody else may have written: what could harm a terminal is escaped.
fn safe(name: &str) -> String {
    match DoorName::new(name) {
        Ok(name) => name.as_str().to_owned(),
        Err(_) => name.escape_debug().to_string(),
    }
}

/// The addresses in lists of both kinds.
struct Members {
    ticks: recent::Ticks,
    sets: Option<Sets>,
}

impl Members {
    fn new() -> Result<Self, Error> {
        Ok(Self { ticks: recent::Ticks::now()?, sets: None })
    }

    /// Those that still count. None are in a list that is not there.
    fn of(&mut self, list: &List) -> Result<Vec<Member>, Error> {
        if let Some(length) = list.length {
            let entries = recent::entries(&list.name)?.unwrap_or_default();
            let members = entries.into_iter().filter_map(|entry| {
                let left = entry.left(self.ticks, length)?;
                Some(Member { address: entry.address, left: Some(left) })
            });
            return Ok(members.collect());
        }
        let sets = match &mut self.sets {
            Some(sets) => sets,
            none => none.insert(Sets::open()?),
        };
        let members = sets.members(&list.name)?.unwrap_or_default().into_iter();
        let members = members.map(|member| {
            let seconds = member.timeout.filter(|&seconds| seconds > 0);
            Member {
                address: member.address,
                left: seconds.map(|it| Duration::from_secs(it.into())),
            }
        });
        Ok(members.collect())
    }
}

/// The sets that rules speak of are there; what is in those of allowed networks is looked at.
fn sets_differ(filter: &Filter) -> Result<Option<String>, Error> {
    let mut sets = None;
    for set in &filter.sets {
        let open = match &mut sets {
            Some(open) => open,
            none => none.insert(Sets::open()?),
        };
        let Some(found) = open.members(&set.name)? else {
            return Ok(Some(format!("set {} is missing", set.name)));
        };
        let SetKind::Networks(wanted) = &set.kind else { continue };
        let network = |member: &super::ipset::Member| {
            let whole = if member.address.is_ipv4() { 32 } else { 128 };
            Network::new(member.address, member.prefix.unwrap_or(whole)).ok()
        };
        let found: Option<Vec<Network>> = found.iter().map(network).collect();
        let sorted = |networks: Vec<Network>| {
            let mut all: Vec<String> = networks.iter().map(Network::to_string).collect();
            all.sort();
            all
        };
        if found.map(sorted) != Some(sorted(wanted.clone())) {
            return Ok(Some(format!("set {} has other networks", set.name)));
        }
    }
    Ok(None)
}

const fn program(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAVED: &str = "\
*filter
:INPUT ACCEPT [0:0]
:portcullis-door-0 - [0:0]
:portcullis-door-3 - [0:0]
-A INPUT -j portcullis-input
-A portcullis-plain -p tcp -m tcp --dport 22 -m comment --comment ssh -g portcullis-door-0
-A portcullis-plain -p udp -m udp -m multiport --dports 53,5353 -m comment --comment \"a\u{1b}b\" -g portcullis-door-3
-A portcullis-door-0 -m recent --rcheck --seconds 20 --name portcullis4_open_ssh --mask 255.255.255.255 --rsource -m comment --comment knocked -j RETURN
-A portcullis-door-0 -m recent --rcheck --seconds 5 --name portcullis4_0_0_1 --mask 255.255.255.255 --rsource -g portcullis-refuse
-A portcullis-door-3 -m set --match-set portcullis4_open_x src -j RETURN
-A portcullis-at-3-2 -p tcp -m tcp --dport 1 -j SET --add-set portcullis4_open_x src --exist --timeout 7
-A portcullis-door-9 -m set --match-set portcullis4_open_lonely src -j RETURN
-A portcullis-door-9 -m set --match-set theirs src -j RETURN
COMMIT
";

    #[test]
    fn doors_are_read_from_their_rules() {
        let chains = Chains::of(vec![State::parse(Family::V4, SAVED)]);
        let doors = chains.doors();
        let doors: Vec<_> = doors
            .iter()
            .map(|door| {
                let guards = door.loaded.guards.iter().map(Port::to_string).collect::<Vec<_>>();
                let lists = door.lists.iter().map(|list| list.name.as_str()).collect::<Vec<_>>();
                let open_for = door.open_for.map(|time| time.as_secs());
                (door.loaded.class, door.loaded.name.as_str(), guards.join(" "), lists, open_for)
            })
            .collect();
        assert_eq!(
            doors,
            [
                (0, "ssh", "tcp/22".to_owned(), vec!["portcullis4_open_ssh"], Some(20)),
                (3, "a\\u{1b}b", "udp/53 udp/5353".to_owned(), vec!["portcullis4_open_x"], Some(7)),
                (9, "lonely", String::new(), vec!["portcullis4_open_lonely"], None),
            ]
        );
        assert_eq!(chains.store(), AddressStore::Ipset);
    }

    proptest! {
        #[test]
        fn any_saved_rules_can_be_read(
            lines in proptest::collection::vec(
                "(-A |:)?portcullis-(door-[0-9]{1,12}|knock|input)( (-g|-j|-p|--name|--seconds|--dports|\
                 --match-set|--add-set|--timeout|--comment|!|\"|\\\\|portcullis4_open_x|portcullis-door-1|\
                 tcp|udp|[0-9,]{1,9})){0,9}",
                0..20,
            )
        ) {
            let state = State::parse(Family::V4, &lines.join("\n"));
            let chains = Chains::of(vec![state]);
            let _ = (chains.store(), chains.doors());
            let _ = chains.open_for("x");
        }
    }
}
