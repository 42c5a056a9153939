//! The keys: tree to policy.

use portcullis_core::policy::{Allowed, AllowedError, Ban, InterfaceName, Policy, Refuse, Stance};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::backend::Backend;
use super::door::{self, DoorSpans};
use super::reader::{self, Key, List, Value, entries, unknown_key, wrong_type};
use super::report::{Diagnostic, Span, error};
use super::{keys, suggest};

/// A policy, and where each part of it stands.
#[derive(Debug, Default)]
pub struct Meaning {
    /// Holds only doors whose guarded ports and sequence are there.
    pub policy: Policy,
    pub backend: Backend,
    pub backend_span: Option<Span>,
    pub refuse_span: Option<Span>,
    pub interfaces: List,
    pub public: List,
    pub allow: List,
    /// The table.
    pub ban: Option<Span>,
    pub ban_strikes: Option<Span>,
    pub ban_within: Option<Span>,
    pub ban_time: Option<Span>,
    pub stance: Option<Span>,
    pub log_refused: Option<Span>,
    /// As many as the policy has doors.
    pub doors: Vec<DoorSpans>,
    /// Whether there is something that was meant to be a door, right or wrong.
    pub has_door: bool,
}

const TABLES: [&str; 3] = ["gate", "ban", "door"];
const BAN_KEYS: [&str; 3] = keys::names("ban");
const GATE_KEYS: [&str; 7] = keys::names("gate");

/// Reads the whole tree.
pub fn read(tree: &Spanned<DeTable<'_>>, found: &mut Vec<Diagnostic>) -> Meaning {
    let mut meaning = Meaning::default();
    for (key, value) in entries(tree.get_ref()) {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("gate", DeValue::Table(table)) => meaning.gate(table, found),
            ("gate", _) => found.push(wrong_type(value, "a table").hint("write `[gate]`")),
            ("door", DeValue::Table(table)) => meaning.doors(table, found),
            ("door", _) => {
                meaning.has_door = true;
                found.push(wrong_type(value, "a table").hint("write a table such as `[door.ssh]`"));
            }
            ("ban", DeValue::Table(table)) => {
                meaning.ban = Some(key.span());
                meaning.ban(table, found);
            }
            ("ban", _) => found.push(wrong_type(value, "a table").hint("write `[ban]`")),
            (_, DeValue::Table(table)) => {
                meaning.has_door = true;
                found.push(unknown_table(key, table));
            }
            _ => {
                let message = format!("unknown key `{}` outside of any table", key.get_ref());
                let diagnostic = error("unknown-key", key.span(), message);
                found.push(if GATE_KEYS.contains(&key.get_ref().as_ref()) {
                    diagnostic.hint("move it below `[gate]`")
                } else if door::KEYS.contains(&key.get_ref().as_ref()) {
                    meaning.has_door = true;
                    diagnostic.hint("move it below the table of a door, such as `[door.ssh]`")
                } else {
                    diagnostic.hint("keys belong below `[gate]` or a door such as `[door.ssh]`")
                });
            }
        }
    }
    meaning
}

fn unknown_table(key: &Key<'_>, table: &DeTable<'_>) -> Diagnostic {
    let name = key.get_ref();
    let diagnostic = error("unknown-table", key.span(), format!("unknown table `{name}`"));
    let is_door = door::KEYS.iter().any(|key| table.contains_key(*key));
    diagnostic.hint(if is_door {
        format!("a door is written `[door.{name}]`")
    } else {
        suggest::hint(suggest::nearest(name, &TABLES), &TABLES)
    })
}

impl Meaning {
    fn doors(&mut self, table: &DeTable<'_>, found: &mut Vec<Diagnostic>) {
        for (key, value) in entries(table) {
            self.has_door = true;
            if let Some((door, spans)) = door::read(key, value, found) {
                self.policy.doors.push(door);
                self.doors.push(spans);
            }
        }
    }

    fn ban(&mut self, table: &DeTable<'_>, found: &mut Vec<Diagnostic>) {
        let mut ban = Ban::default();
        for (key, value) in entries(table) {
            let result = match key.get_ref().as_ref() {
                "strikes" => {
                    self.ban_strikes = Some(value.span());
                    // What does not fit is out of range too, which the check says.
                    reader::number(value).map(|strikes| {
                        ban.strikes = u32::try_from(strikes.max(0)).unwrap_or(u32::MAX);
                    })
                }
                "within" => {
                    self.ban_within = Some(value.span());
                    reader::duration(value).map(|within| ban.within = within)
                }
                "for" => {
                    self.ban_time = Some(value.span());
                    reader::duration(value).map(|time| ban.time = time)
                }
                _ => {
                    unknown_key(key, "`ban`", &BAN_KEYS, found);
                    Ok(())
                }
            };
            found.extend(result.err());
        }
        self.policy.gate.ban = Some(ban);
    }

    fn gate(&mut self, table: &DeTable<'_>, found: &mut Vec<Diagnostic>) {
        let mut asked_to_refuse = None;
        for (key, value) in entries(table) {
            let result = match key.get_ref().as_ref() {
                "stance" => {
                    self.stance = Some(value.span());
                    stance(value).map(|stance| self.policy.gate.stance = stance)
                }
                "log_refused" => {
                    self.log_refused = Some(value.span());
                    reader::boolean(value).map(|log| self.policy.gate.log_refused = log)
                }
                "backend" => {
                    self.backend_span = Some(value.span());
                    backend(value).map(|backend| self.backend = backend)
                }
                "refuse" => {
                    self.refuse_span = Some(value.span());
                    refuse(value).map(|refuse| asked_to_refuse = Some(refuse))
                }
                "allow" => {
                    self.allow.key = Some(value.span());
                    let expected = "an array such as `[\"203.0.113.7\", \"admin.example.org\"]`";
                    if let Some((allow, spans)) = reader::list(value, expected, found, allowed) {
                        self.policy.gate.allow = allow;
                        self.allow.elements = spans;
                    }
                    Ok(())
                }
                "interfaces" => {
                    self.interfaces.key = Some(value.span());
                    let expected = "an array of interfaces such as `[\"eth0\"]`";
                    let list = reader::list(value, expected, found, interface);
                    if let Some((interfaces, spans)) = list {
                        self.policy.gate.interfaces = interfaces;
                        self.interfaces.elements = spans;
                    }
                    Ok(())
                }
                "public" => {
                    self.public.key = Some(value.span());
                    let expected = "an array of ports such as `[\"tcp/80\"]`";
                    if let Some((public, spans)) =
                        reader::list(value, expected, found, reader::port)
                    {
                        self.policy.gate.public = public;
                        self.public.elements = spans;
                    }
                    Ok(())
                }
                _ => {
                    unknown_key(key, "`gate`", &GATE_KEYS, found);
                    Ok(())
                }
            };
            found.extend(result.err());
        }
        self.policy.gate.refuse =
            asked_to_refuse.unwrap_or(Refuse::default_of(self.policy.gate.stance));
    }
}

fn backend(value: &Value<'_>) -> Result<Backend, Diagnostic> {
    Ok(match reader::word(value, &["nftables", "iptables", "ipset"])? {
        "iptables" => Backend::Iptables,
        "ipset" => Backend::Ipset,
        _ => Backend::Nftables,
    })
}

fn stance(value: &Value<'_>) -> Result<Stance, Diagnostic> {
    Ok(match reader::word(value, &["guard", "closed"])? {
        "closed" => Stance::Closed,
        _ => Stance::Guard,
    })
}

fn refuse(value: &Value<'_>) -> Result<Refuse, Diagnostic> {
    Ok(match reader::word(value, &["like-closed", "drop", "reject"])? {
        "drop" => Refuse::Drop,
        "reject" => Refuse::Reject,
        _ => Refuse::LikeClosed,
    })
}

fn allowed(value: &Value<'_>) -> Result<Allowed, Diagnostic> {
    let DeValue::String(text) = value.get_ref() else {
        return Err(wrong_type(value, "an address, a network or a name in quotes"));
    };
    text.parse().map_err(|problem: AllowedError| {
        let hint = match problem {
            AllowedError::HostBits(network, prefix) => {
                format!("write `{network}/{prefix}` for all of it, or the address alone")
            }
            AllowedError::MappedAddress => "write the IPv4 address itself".to_owned(),
            AllowedError::Interface(_) => "write the name that `ip link` shows".to_owned(),
            _ => {
                "write it as in `203.0.113.7`, `2001:db8::/32`, `admin.example.org` or `iface:wg0`"
                    .to_owned()
            }
        };
        error("bad-allow", value.span(), problem.to_string()).hint(hint)
    })
}

fn interface(value: &Value<'_>) -> Result<InterfaceName, Diagnostic> {
    let DeValue::String(name) = value.get_ref() else {
        return Err(wrong_type(value, "the name of an interface such as `\"eth0\"`"));
    };
    InterfaceName::new(name).map_err(|problem| {
        let hint = "write the name that `ip link` shows; there are no wildcards";
        error("bad-name", value.span(), problem.to_string()).hint(hint)
    })
}
