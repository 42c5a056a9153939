//! The rules to load, and the rules to restore.

use std::fmt;

use portcullis_gate::Rules;

use super::chains::Chains;
use super::configured::Configured;
use super::kernel::Kernel;
use super::state::State;
use crate::exit::Failure;

/// What the kernel held before, ready to be loaded.
#[derive(Debug)]
pub struct Prepared {
    before: Option<Configured>,
    /// If it was chains: as they were read back when they had been loaded.
    chains: Option<Chains>,
}

impl Prepared {
    /// Of a text; nothing stands for no gate.
    ///
    /// # Errors
    ///
    /// The text is no good configuration, or the kernel could not be asked.
    pub(super) fn new(
        text: Option<&str>,
        chains: Option<&Chains>,
        kernel: &mut Kernel,
    ) -> Result<Self, Failure> {
        let again = |text| {
            let mut before = Configured::again("the previous configuration", text)?;
            if matches!(before.rules, Rules::Table(_)) {
                before.rules = Rules::Table(kernel.known(&before)?);
            }
            Ok::<_, Failure>(before)
        };
        let before = text.map(again).transpose()?;
        let chains = chains.filter(|_| before.as_ref().is_some_and(Configured::is_chains)).cloned();
        Ok(Self { before, chains })
    }

    /// Makes the kernel hold it. Where it does, nothing is touched; living grants are carried over.
    ///
    /// # Errors
    ///
    /// The kernel refuses; then it holds what it held.
    pub(super) fn restore(&mut self, kernel: &mut Kernel) -> Result<(), Failure> {
        let Some(before) = &self.before else { return kernel.remove().map(|_| ()) };
        if kernel.difference(before, self.chains.as_ref())?.is_some() {
            kernel.load(before)?;
            self.chains = kernel.chains_of(before)?;
        }
        Ok(())
    }

    /// The state once this is in force again.
    pub(super) fn state(&self, state: &State) -> State {
        let mut state = state.with_pending(None);
        if self.chains.is_some() {
            state.chains.clone_from(&self.chains);
        }
        state
    }
}

impl fmt::Display for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.before {
            None => "rolled back; as before, no gate is loaded and guarded ports are open",
            Some(_) => "rolled back; the previous rules are active again",
        })
    }
}
