//! Which back end a configuration is for.

use portcullis_core::policy::Recogniser;
use portcullis_firewall::iptables::Matcher;
use portcullis_firewall::iptables::check::{self, Site};

use super::meaning::Meaning;
use super::report::{Diagnostic, Span};
use super::{error, locate};

/// In which way the kernel is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// One table of nftables, over netlink.
    #[default]
    Nftables,
    /// Chains of iptables and ip6tables, with the match `recent`.
    Iptables,
    /// Chains of iptables and ip6tables, with sets of ipset.
    Ipset,
}

impl Backend {
    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::Ipset => "ipset",
        }
    }

    /// Who remembers addresses; `None` for nftables.
    pub const fn matcher(self) -> Option<Matcher> {
        match self {
            Self::Nftables => None,
            Self::Iptables => Some(Matcher::Recent),
            Self::Ipset => Some(Matcher::Ipset),
        }
    }
}

/// Gives doors that say nothing of it the recogniser that the back end has, and says what the back
/// end cannot do.
pub fn settle(meaning: &mut Meaning, found: &mut Vec<Diagnostic>) {
    let Some(matcher) = meaning.backend.matcher() else { return };
    for (door, spans) in meaning.policy.doors.iter_mut().zip(&meaning.doors) {
        if spans.recogniser.is_none() {
            door.recogniser = Recogniser::Kernel;
        }
    }
    if meaning.policy.gate.ban.is_some() {
        let span = meaning.ban.clone().unwrap_or(0..0);
        found.push(
            error(
                "backend-cannot",
                span,
                "`ban` works with nftables alone, which counts strikes".to_owned(),
            )
            .hint("write `backend = \"nftables\"`, or take it out"),
        );
    }
    for finding in check::check(&meaning.policy, matcher) {
        let problem = finding.problem;
        found.push(Diagnostic {
            severity: problem.severity(),
            code: problem.code(),
            message: problem.to_string(),
            span: Some(span(meaning, finding.site).unwrap_or(0..0)),
            related: None,
            hint: Some(problem.hint()),
        });
    }
}

fn span(meaning: &Meaning, site: Site) -> Option<Span> {
    match site {
        Site::Backend => meaning.backend_span.clone(),
        Site::Allow => meaning.allow.key.clone(),
        Site::Refuse => meaning.refuse_span.as_ref().or(meaning.backend_span.as_ref()).cloned(),
        Site::Recogniser(id) => {
            let door = meaning.doors.get(id.index())?;
            Some(door.recogniser.as_ref().unwrap_or(&door.name).clone())
        }
        Site::Policy(place) => locate::span(meaning, place),
    }
}
