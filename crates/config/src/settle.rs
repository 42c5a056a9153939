//! What the choice of a back end changes in a policy, and where a configuration says what.

use portcullis_core::policy::{DoorId, Place, Recogniser};

use super::backend::Backend;
use super::locate;
use super::meaning::Meaning;
use super::report::{Diagnostic, Span, error};

/// Gives doors that say nothing of it the recogniser that the back end has.
pub(crate) fn settle(meaning: &mut Meaning, found: &mut Vec<Diagnostic>) {
    if meaning.backend == Backend::Nftables {
        return;
    }
    for (door, spans) in meaning.policy.doors.iter_mut().zip(&meaning.doors) {
        if spans.recogniser.is_none() {
            door.recogniser = Recogniser::Kernel;
        }
    }
    if meaning.policy.gate.ban.is_some() {
        let span = meaning.ban.clone().unwrap_or(0..0);
        found.push(
            error("backend-cannot", span, "`ban` works only with nftables".to_owned())
                .hint("write `backend = \"nftables\"`, or remove the table"),
        );
    }
}

/// Where a configuration says what.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a>(&'a Meaning);

impl<'a> Places<'a> {
    pub(crate) const fn of(meaning: &'a Meaning) -> Self {
        Self(meaning)
    }

    /// The choice of the back end; `None` where nothing is said.
    pub fn backend(self) -> Option<Span> {
        self.0.backend_span.clone()
    }

    /// The allow-list as a whole, if there is one.
    pub fn allow(self) -> Option<Span> {
        self.0.allow.key.clone()
    }

    /// How guarded ports are refused; the choice of the back end where nothing is said.
    pub fn refuse(self) -> Option<Span> {
        self.0.refuse_span.as_ref().or(self.0.backend_span.as_ref()).cloned()
    }

    /// Who recognises the knocks of a door; its name where nothing is said.
    pub fn recogniser(self, id: DoorId) -> Option<Span> {
        let door = self.0.doors.get(id.index())?;
        Some(door.recogniser.as_ref().unwrap_or(&door.name).clone())
    }

    /// A place that every policy has.
    pub fn policy(self, place: Place) -> Option<Span> {
        locate::span(self.0, place)
    }
}
