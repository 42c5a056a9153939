//! One rule: what it asks, and what it does.

use std::time::Duration;

use portcullis_core::policy::{Port, Protocol};

use super::syntax::{KEYS, Section};
use super::value;
use super::variables::{Variables, condition};
use crate::duration;
use crate::import::draft::{At, Draft, Said, Wanted};
use crate::import::filter::{Rule, Transport, Verdict};
use crate::import::ports;

/// Where packets for this host come in.
pub const INPUT: &str = "INPUT";

/// What a rule becomes.
pub enum Made {
    /// It does nothing.
    Nothing,
    /// Rules, each with its chain.
    Rules(Vec<(String, Rule)>),
    /// A door.
    Door(Box<Rule>, Box<Wanted>),
}

/// Makes what a section says.
pub fn make(section: &Section, variables: &mut Variables<'_>, draft: &mut Draft) -> Made {
    variables.missed = false;
    let mut reading = Reading { section, variables, draft };
    for entry in section.entries.iter().filter(|entry| !KEYS.contains(&&*entry.key)) {
        let message = format!("unknown key `{}` in a rule", entry.key);
        reading.draft.say(Said::hand(entry.at, message).hint("ipload(5) lists the keys"));
    }
    if let Some(enabled) = reading.value(&["enabled"])
        && !["true", "on", "1", "yes"].contains(&&*enabled)
    {
        let message = format!("rule `{}` is left out: it is not enabled", section.name);
        reading.draft.say(Said::note(reading.at(&["enabled"]), message));
        return Made::Nothing;
    }
    let keys = ["condition", "conditions"];
    let holds = reading.value(&keys).map_or(Some(true), |text| condition(&text));
    if holds == Some(false) {
        let message = format!("rule `{}` is left out: its condition does not hold", section.name);
        reading.draft.say(Said::note(reading.at(&keys), message));
        return Made::Nothing;
    }
    let mut rule = Rule::new(section.at, shown(section), String::new());
    reading.verdict(&mut rule);
    let chains = reading.asks(&mut rule);
    if holds.is_none() {
        reading.draft.say(Said::hand(reading.at(&keys), "cannot evaluate this condition"));
        reading.draft.leave(&rule, "its condition cannot be evaluated", true);
        return Made::Nothing;
    }
    let (pseudo, chains): (Vec<_>, Vec<_>) =
        chains.into_iter().partition(|chain| ["ipv4", "ipv6"].contains(&&**chain));
    if let [one] = &pseudo[..] {
        rule.asks.four = Some(one == "ipv4");
    }
    if chains.is_empty() {
        reading.draft.leave(&rule, "it names no chain", true);
        return Made::Nothing;
    }
    let elsewhere =
        |chain: &&String| ["OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"].contains(&&***chain);
    if chains.iter().any(|chain| elsewhere(&chain)) {
        let why = "the gate filters only incoming packets; keep this rule in iplock or iptables";
        reading.draft.leave(&rule, why, false);
    }
    let tables = section.get(&["table", "tables"]).map(|entry| value::list(&entry.value));
    if tables.is_some_and(|tables| !tables.iter().any(|table| table == "filter")) {
        reading.draft.leave(&rule, "it is not in the table `filter`; keep this rule", false);
        return Made::Nothing;
    }
    let chains: Vec<_> = chains.into_iter().filter(|chain| !elsewhere(&chain)).collect();
    if chains.iter().any(|chain| chain == INPUT) {
        match reading.door(&rule) {
            Some(Ok(wanted)) => return Made::Door(Box::new(rule), Box::new(wanted)),
            Some(Err(why)) => {
                reading.draft.leave(&rule, &why, true);
                return Made::Nothing;
            }
            None => {}
        }
    }
    // Who is let in must not be read as everybody.
    if reading.variables.missed && rule.verdict == Verdict::Accept && !rule.asks.only_known() {
        let why = "it needs a variable that these files do not set, so it is unknown which packets it \
                   accepts";
        reading.draft.leave(&rule, why, true);
        return Made::Nothing;
    }
    let each = chains.into_iter().map(|chain| {
        let mut rule = rule.clone();
        rule.command = command(&chain, &rule);
        (chain, rule)
    });
    Made::Rules(each.collect())
}

/// The rule in one line.
fn shown(section: &Section) -> String {
    let parts: Vec<_> =
        section.entries.iter().map(|entry| format!("{} = {}", entry.key, entry.value)).collect();
    let name =
        if section.headless { "(no header)".into() } else { format!("[rule::{}]", section.name) };
    format!("{name} {}", parts.join("; "))
}

struct Reading<'a, 'b> {
    section: &'a Section,
    variables: &'a mut Variables<'b>,
    draft: &'a mut Draft,
}

impl Reading<'_, '_> {
    /// Where the value of the first of these keys is.
    fn at(&self, keys: &[&str]) -> At {
        self.section.get(keys).map_or(self.section.at, |entry| entry.at)
    }

    fn value(&mut self, keys: &[&str]) -> Option<String> {
        let entry = self.section.get(keys)?;
        let value = self.variables.expand(&entry.value, entry.at, self.draft);
        let value = value.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    fn list(&mut self, keys: &[&str]) -> Vec<String> {
        self.value(keys).map(|value| value::list(&value)).unwrap_or_default()
    }

    fn verdict(&mut self, rule: &mut Rule) {
        let action = self.value(&["action"]).unwrap_or_default();
        let (first, rest) = action.split_once(char::is_whitespace).unwrap_or((&action, ""));
        rule.verdict = match &*first.to_ascii_uppercase() {
            "ACCEPT" | "ALLOW" => Verdict::Accept,
            "DROP" | "DENY" | "BLACKHOLE" => Verdict::Drop,
            "REJECT" if rest.contains("reset") || rest.contains("rst") => Verdict::Reset,
            "REJECT" => Verdict::Reject,
            "CALL" => Verdict::Jump(rest.trim().to_owned(), false),
            "LOG" => Verdict::Log,
            "RETURN" => Verdict::Return,
            "NONE" => Verdict::None,
            _ => Verdict::Other(action),
        };
        if self.section.get(&["log"]).is_some() && rule.verdict != Verdict::Log {
            let message = format!("the log of rule `{}` is left out", self.section.name);
            let hint = "in the stance `closed`, the gate can log refused packets (`log_refused`)";
            self.draft.say(Said::note(self.at(&["log"]), message).hint(hint));
        }
    }

    /// What it asks. Returns its chains.
    fn asks(&mut self, rule: &mut Rule) -> Vec<String> {
        let asks = &mut rule.asks;
        asks.interfaces =
            self.list(&["source_interfaces", "source_interface", "interfaces", "interface"]);
        asks.sources = self.list(&["sources", "source"]);
        let protocols = self.list(&["protocols", "protocol"]);
        let known: Vec<Transport> = protocols
            .iter()
            .filter(|name| *name != "all")
            .map(|name| Transport::named(name))
            .collect();
        asks.protocol = match &known[..] {
            [] => None,
            [one] => Some(*one),
            all if all.iter().all(|one| *one == Transport::Icmp) => Some(Transport::Icmp),
            _ => Some(Transport::Other),
        };
        let with_ports: Vec<_> = known.iter().copied().filter_map(Transport::with_ports).collect();
        let named = self.list(&["destination_ports", "destination_port"]);
        if !named.is_empty() {
            let mut all: Vec<Port> = Vec::new();
            for name in &named {
                let name = name.replace('-', ":");
                match ports::all([&*name], ':', &with_ports) {
                    Ok(more) => all.extend(more),
                    Err(_) => asks.others.push(format!("destination_port {name}")),
                }
            }
            if let [protocol] = with_ports[..] {
                asks.protocol = Some(Transport::Port(protocol));
            } else if !all.is_empty() {
                asks.protocol = None;
            }
            asks.ports = Some(all);
        }
        if let Some(states) = self.value(&["states", "state"]) {
            match value::states(&states) {
                Some(states) => asks.states = states,
                None if asks.protocol == Some(Transport::Icmp) => {}
                None => asks.others.push(format!("state {states}")),
            }
        }
        for keys in [
            &["except_sources", "except_source"][..],
            &["destinations", "destination"],
            &["except_destinations", "except_destination"],
            &["source_ports", "source_port"],
            &["destination_interfaces", "destination_interface"],
            &["recent"],
            &["limits", "limit"],
            &["conntrack"],
            &["set"],
            &["set_from_file"],
            &["set_data"],
        ] {
            if let (Some(value), Some(key)) = (self.value(keys), keys.last()) {
                asks.others.push(format!("{key} {value}"));
            }
        }
        self.list(&["chains", "chain"])
    }

    /// The door, if knocks are asked for.
    fn door(&mut self, rule: &Rule) -> Option<Result<Wanted, String>> {
        let text = self.value(&["knocks", "knock"])?;
        let at = self.at(&["knocks", "knock"]);
        if rule.verdict != Verdict::Accept {
            return Some(Err("it asks for knocks, but opens nothing".into()));
        }
        let default = rule.asks.protocol.and_then(Transport::with_ports).unwrap_or(Protocol::Tcp);
        let knocks = match value::knocks(&text, default) {
            Ok(knocks) => knocks,
            Err(why) => return Some(Err(why)),
        };
        let guards = rule.asks.ports.clone().unwrap_or_default();
        if guards.is_empty() {
            return Some(Err("it asks for knocks, but names no port to open".into()));
        }
        if let Some(cleared) = self.value(&["knock_clear"]) {
            let message = format!(
                "`knock_clear = {cleared}` is left out: here a complete sequence passes a ban"
            );
            self.draft.say(Said::note(at, message));
        }
        let (last, before) = knocks.split_last()?;
        let step_timeout: Option<Duration> = before.iter().map(|(_, time)| *time).max();
        if let Some(longest) = step_timeout
            && before.iter().any(|(_, time)| *time != longest)
        {
            let message = format!(
                "here the time for each knock is {}, the longest of these times",
                duration::format(longest)
            );
            self.draft.say(Said::note(at, message));
        }
        let name = (!self.section.headless).then(|| self.section.name.clone());
        let from = name.iter().map(|name| (name.clone(), rule.at)).collect();
        let sequence = knocks.iter().map(|(port, _)| *port).collect();
        let open_for = Some(last.1);
        let places = rule.at.into();
        Some(Ok(Wanted { name, from, places, guards, sequence, step_timeout, open_for }))
    }
}

/// In the words of iptables, for a rule that asks for no more than these.
fn command(chain: &str, rule: &Rule) -> String {
    let asks = &rule.asks;
    let target = match rule.verdict {
        Verdict::Drop => "DROP",
        Verdict::Reject | Verdict::Reset => "REJECT",
        _ => return String::new(),
    };
    if !asks.others.is_empty() || !asks.lists.is_empty() {
        return String::new();
    }
    let any = [String::new()];
    let of = |words: &[String]| if words.is_empty() { any.to_vec() } else { words.to_vec() };
    let mut commands = Vec::new();
    for interface in of(&asks.interfaces) {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let ports = asks.ports.as_deref().unwrap_or_default();
            let ports = ports.iter().filter(|port| port.protocol == protocol);
            let numbers: Vec<_> = ports.map(|port| port.number.to_string()).collect();
            let whole = asks.ports.is_none() && protocol == Protocol::Tcp;
            for part in numbers.chunks(15).chain(whole.then_some(&[][..])) {
                let mut line = vec![format!("iptables -A {chain}")];
                line.extend((!interface.is_empty()).then(|| format!("-i {interface}")));
                line.extend(
                    (!asks.sources.is_empty()).then(|| format!("-s {}", asks.sources.join(","))),
                );
                if !part.is_empty() {
                    line.push(format!("-p {protocol} -m multiport --dports {}", part.join(",")));
                } else if let Some(Transport::Port(protocol)) = asks.protocol {
                    line.push(format!("-p {protocol}"));
                }
                if !asks.states.is_empty() {
                    let states = asks.states.join(",").to_ascii_uppercase();
                    line.push(format!("-m conntrack --ctstate {states}"));
                }
                line.push(format!("-j {target}"));
                commands.push(line.join(" "));
            }
        }
    }
    // Nobody copies more than these.
    if commands.len() > 8 { String::new() } else { commands.join("; ") }
}
