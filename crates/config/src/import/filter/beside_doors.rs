//! What is open and closed beside the doors: public ports, addresses that need no knock, the stance.

use std::collections::BTreeSet;

use portcullis_core::limits::{MAX_ALLOWED, MAX_PUBLIC};
use portcullis_core::policy::{Allowed, Port, Refuse, Stance};

use super::{Asks, Rule, Transport, Verdict};
use crate::import::draft::{At, Draft, Said, add_entry};

/// Goes through the rules that belong to no door, in their order. `closed` is what becomes of packets
/// that no rule decides about, with its place, if they are refused.
pub fn read(rules: &[Rule], of_door: &[bool], closed: Option<At>, draft: &mut Draft) {
    let ends = rules.iter().position(|rule| rule.asks.nothing() && rule.verdict.decides());
    let closing =
        ends.and_then(|index| rules.get(index)).filter(|rule| rule.verdict != Verdict::Accept);
    let is_closed = closing.is_some() || (ends.is_none() && closed.is_some());
    if is_closed {
        draft.stance = Stance::Closed;
        let at = closing.map(|rule| rule.at).or(closed).unwrap_or_default();
        draft.say(Said::note(at, "these rules refuse everything else, so the stance is `closed`"));
        if let Some(rule) = closing {
            draft.log_refused |= rule.logs;
            draft.refuse = rule.verdict.refuses().filter(|refuse| *refuse != Refuse::Drop);
            if rule.verdict == Verdict::Reject {
                let message = "an error as the answer shows that a host is there";
                let hint = "`refuse = \"drop\"` does not answer; `\"like-closed\"` answers like a \
                            host without a firewall";
                draft.say(Said::note(rule.at, message).hint(hint));
            }
        }
    }
    let guarded: BTreeSet<Port> =
        draft.doors.iter().flat_map(|sketch| sketch.door.guards.iter().copied()).collect();
    let mut beside = BesideDoors { draft, guarded, is_closed, refused: BTreeSet::new() };
    for (index, rule) in rules.iter().enumerate() {
        if rule.logs && ends != Some(index) {
            let message = "the log of this rule is left out";
            let hint =
                "`portcullis run` logs doors that open, and `log_refused` logs refused packets";
            beside.draft.say(Said::note(rule.at, message).hint(hint));
        }
        if of_door.get(index) == Some(&true) {
            continue;
        }
        match ends {
            Some(end) if index == end => {}
            Some(end) if index > end => {
                beside.draft.leave(rule, "no packet reaches this rule", false);
            }
            _ => beside.rule(rule, ends == index.checked_add(1)),
        }
    }
}

impl Verdict {
    /// Whether the packet's way ends here.
    pub const fn decides(&self) -> bool {
        matches!(self, Self::Accept | Self::Drop | Self::Reset | Self::Reject)
    }

    /// How it refuses.
    const fn refuses(&self) -> Option<Refuse> {
        match self {
            Self::Drop => Some(Refuse::Drop),
            Self::Reset => Some(Refuse::LikeClosed),
            Self::Reject => Some(Refuse::Reject),
            _ => None,
        }
    }
}

/// What the rules that belong to no door come to, and what they have said so far.
struct BesideDoors<'a> {
    draft: &'a mut Draft,
    guarded: BTreeSet<Port>,
    is_closed: bool,
    /// Refused to everyone before anything else is said of them.
    refused: BTreeSet<Port>,
}

impl BesideDoors<'_> {
    /// `then_ends` if the next rule decides about everything.
    fn rule(&mut self, rule: &Rule, then_ends: bool) {
        match &rule.verdict {
            Verdict::Accept => self.accepts(rule),
            Verdict::Drop | Verdict::Reset | Verdict::Reject => self.refuses(rule),
            Verdict::Log if then_ends && rule.asks.lists.is_empty() && self.is_closed => {
                self.draft.log_refused = true;
                let message = "this rule logs refused packets, and so does `log_refused`, with at most one line \
                     a second";
                self.draft.say(Said::note(rule.at, message));
            }
            Verdict::Log => self.draft.leave(rule, "the gate logs only refused packets", false),
            Verdict::None if rule.asks.lists.is_empty() => {
                let by_hand = !rule.asks.others.is_empty();
                self.draft.leave(rule, "it neither accepts nor refuses packets", by_hand);
            }
            Verdict::None => {
                let why =
                    "no door uses this list; for sources that fail too often, the gate has `[ban]`";
                self.draft.leave(rule, why, true);
            }
            Verdict::Jump(to, _) => {
                let why = format!("the rules do not contain the chain `{to}`");
                self.draft.leave(rule, &why, true);
            }
            Verdict::Return => self.draft.leave(rule, "a return cannot be converted", true),
            Verdict::Other(what) => {
                let why = format!("`{what}` cannot be converted");
                self.draft.leave(rule, &why, true);
            }
        }
    }

    fn accepts(&mut self, rule: &Rule) {
        let asks = &rule.asks;
        let at = rule.at;
        let only = |interface: &str| asks.interfaces.iter().all(|name| name == interface);
        if asks.only_known() || (!asks.interfaces.is_empty() && only("lo")) {
            // The gate does that of itself.
            return;
        }
        if !asks.lists.is_empty() || !asks.others.is_empty() {
            let why = "the gate does not have one of its conditions, and without the condition it \
                       would accept more packets";
            self.draft.leave(rule, why, true);
            return;
        }
        match (&asks.ports, asks.protocol) {
            (_, Some(Transport::Icmp)) => {
                let message =
                    "the gate lets in the ICMP that a network needs, and a limited rate of pings";
                if self.is_closed {
                    self.draft.say(Said::note(at, message));
                }
            }
            (None, None) if asks.nothing() => {}
            (None, None) => self.allows(rule),
            (None, Some(_)) => {
                let why = "it accepts a whole protocol";
                self.draft.leave(rule, why, true);
            }
            (Some(ports), _) => self.public(rule, ports),
        }
    }

    /// All ports, for some.
    fn allows(&mut self, rule: &Rule) {
        let Asks { interfaces, sources, .. } = &rule.asks;
        let why = (!interfaces.is_empty() && !sources.is_empty())
            .then(|| format!("was allowed only at the interface {}", interfaces.join(", ")));
        let names: Vec<String> = match sources.is_empty() {
            true => interfaces.iter().map(|name| format!("iface:{name}")).collect(),
            false => sources.clone(),
        };
        if names.is_empty() {
            self.draft.leave(rule, "it accepts everything", true);
            return;
        }
        for name in names {
            self.allow(rule, &name, why.clone());
        }
    }

    fn allow(&mut self, rule: &Rule, name: &str, why: Option<String>) {
        match name.parse::<Allowed>() {
            Ok(allowed) if self.draft.allow.len() < MAX_ALLOWED => {
                let entry = (allowed.clone(), rule.at, why.clone());
                if add_entry(&mut self.draft.allow, entry)
                    && let Some(why) = why
                {
                    let message = format!(
                        "`{allowed}` is not allowed yet: it {why}, but `allow` is for every port"
                    );
                    let hint = "if that is right, remove the `#` before it in `allow`";
                    self.draft.say(Said::hand(rule.at, message).hint(hint));
                }
            }
            Ok(_) => self.draft.leave(rule, "`allow` is full", true),
            Err(problem) => {
                let why = format!("`{name}` cannot be allowed: {problem}");
                self.draft.leave(rule, &why, true);
            }
        }
    }

    fn public(&mut self, rule: &Rule, ports: &[Port]) {
        let asks = &rule.asks;
        if !asks.sources.is_empty() {
            let list: Vec<_> = ports.iter().take(4).map(ToString::to_string).collect();
            let more = if ports.len() > 4 { " and others" } else { "" };
            let why = format!("was allowed only for {}{more}", list.join(", "));
            for source in &asks.sources {
                self.allow(rule, source, Some(why.clone()));
            }
            return;
        }
        if ports.len().saturating_add(self.draft.public.len()) > MAX_PUBLIC {
            self.draft.leave(rule, "`public` cannot hold so many ports", true);
            return;
        }
        let interfaces: Vec<_> =
            asks.interfaces.iter().filter(|name| *name != "lo").cloned().collect();
        let mut why = None;
        if !interfaces.is_empty() {
            why = Some(format!("was open only at the interface {}", interfaces.join(", ")));
            let message = "these ports are not public yet: they were open only at some interfaces, \
                           but `public` is for all interfaces";
            let hint = "if that is right, remove the `#` before them in `public`";
            self.draft.say(Said::hand(rule.at, message).hint(hint));
        }
        let over = |four| format!("was open only over {}", if four { "IPv4" } else { "IPv6" });
        let twin = asks.four.map(|four| over(!four));
        why = why.or(asks.four.map(over));
        for port in ports {
            let mut entries = self.draft.public.iter_mut();
            // Over both, each in a rule of its own.
            if let Some((.., other)) =
                entries.find(|(known, _, other)| known == port && other.is_some() && *other == twin)
            {
                *other = None;
                continue;
            }
            if self.refused.contains(port) {
                let message = format!("an earlier rule refuses `{port}`, so it was never open");
                self.draft.say(Said::note(rule.at, message));
            } else {
                add_entry(&mut self.draft.public, (*port, rule.at, why.clone()));
            }
        }
    }

    fn refuses(&mut self, rule: &Rule) {
        let asks = &rule.asks;
        let everybody = asks.four.is_none()
            && asks.interfaces.is_empty()
            && asks.sources.is_empty()
            && asks.lists.is_empty()
            && asks.others.is_empty()
            && asks.states.iter().all(|state| state == "new");
        let open = |port: &Port| {
            self.draft.public.iter().any(|(public, ..)| public == port)
                || !self.guarded.contains(port)
        };
        match &asks.ports {
            Some(ports) if everybody => {
                self.refused.extend(ports);
                if self.draft.refuse.is_none()
                    && !self.is_closed
                    && ports.iter().any(|port| self.guarded.contains(port))
                {
                    self.draft.refuse =
                        rule.verdict.refuses().filter(|refuse| *refuse != Refuse::LikeClosed);
                }
                if ports.iter().any(open) && !self.is_closed {
                    let why = "in the stance `guard` the gate leaves all other ports alone";
                    self.draft.leave(rule, why, true);
                }
            }
            _ if !asks.lists.is_empty() => {
                let why = "for sources that fail too often, the gate has `[ban]`";
                self.draft.leave(rule, why, true);
            }
            _ => {
                let harmless = asks.states == ["invalid"];
                let why = "the gate has no rule that always refuses such packets";
                self.draft.leave(rule, why, !harmless);
            }
        }
    }
}
