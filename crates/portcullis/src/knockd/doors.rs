//! The doors of a configuration, and which of their one-time sequences come next.

use std::path::Path;

use portcullis_config::knockd::{CommandLine, Configuration, Door, Knocks};
use portcullis_core::knockd as core;
use portcullis_core::policy::Port;

use super::one_time::{self, OneTime};
use crate::exit::Failure;

/// All doors, in the order of the file.
#[derive(Debug, Default)]
pub struct Doors(Vec<Keyed>);

/// A door, and the sequences that open it.
#[derive(Debug)]
pub struct Keyed {
    /// What the configuration says.
    pub door: Door,
    one_time: Option<OneTime>,
}

/// What comes of a sequence that was knocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// The door opens by it, now and later.
    Reusable,
    /// It was used for the first and last time; whether another one follows.
    Once {
        /// Whether the door can be opened again.
        more: bool,
    },
    /// It was used before: nothing may open.
    Again,
    /// Nobody can say, because the file cannot be changed: nothing may open.
    Unknown(Failure),
}

impl Doors {
    /// Reads the files of one-time sequences; those without a folder in their name from `base`.
    /// `warn` is given the lines that are wrong.
    ///
    /// # Errors
    ///
    /// One of them cannot be read, or used sequences could not be marked in it.
    pub fn open(
        configuration: Configuration,
        base: &Path,
        warn: impl Fn(&OneTime),
    ) -> Result<Self, Failure> {
        let doors = configuration.doors.into_iter().map(|door| {
            let one_time = match &door.knocks {
                Knocks::OneTime(path) => Some(one_time::load(&base.join(path))?),
                Knocks::Sequence(_) => None,
            };
            one_time.iter().for_each(&warn);
            Ok(Keyed { door, one_time })
        });
        Ok(Self(doors.collect::<Result<_, Failure>>()?))
    }

    /// The door of this number.
    pub fn get(&self, number: usize) -> Option<&Door> {
        self.0.get(number).map(|keyed| &keyed.door)
    }

    /// Those whose one-time sequences are used up.
    pub fn exhausted(&self) -> impl Iterator<Item = &Door> {
        self.0.iter().filter(|keyed| keyed.is_exhausted()).map(|keyed| &keyed.door)
    }

    /// Whether some door has a stop command, so that there will be pending ones.
    pub fn have_stops(&self) -> bool {
        let some = |command: &Option<CommandLine>| {
            command.as_ref().is_some_and(|command| !command.as_bytes().is_empty())
        };
        self.0
            .iter()
            .any(|Keyed { door, .. }| some(&door.stop_command) || some(&door.stop_command_6))
    }

    /// This sequence was knocked at this door. If it opens only once, that is on the disk when this
    /// returns. It need not be the current one: another door may just have used that.
    pub fn use_up(&mut self, number: usize, knocked: &[Port]) -> Use {
        let Some(keyed) = self.0.get_mut(number) else { return Use::Again };
        let Some(one_time) = &mut keyed.one_time else { return Use::Reusable };
        let used = one_time.use_up(knocked);
        let path = keyed.path().map(Path::to_path_buf);
        self.refresh_all_of(path.as_deref(), number);
        match used {
            Ok(used) if used.was_there => Use::Once { more: used.next.is_some() },
            Ok(_) => Use::Again,
            Err(failure) => Use::Unknown(failure),
        }
    }

    /// Reads all files of one-time sequences again. A door whose file cannot be read stays closed.
    pub fn refresh(&mut self) {
        for one_time in self.0.iter_mut().filter_map(|keyed| keyed.one_time.as_mut()) {
            // Nothing is current then: see there.
            let _ = one_time.refresh();
        }
    }

    /// Other doors with the same file.
    fn refresh_all_of(&mut self, path: Option<&Path>, but: usize) {
        for (number, keyed) in self.0.iter_mut().enumerate() {
            if number != but
                && keyed.path() == path
                && let Some(one_time) = &mut keyed.one_time
            {
                // As above.
                let _ = one_time.refresh();
            }
        }
    }

    /// As the recogniser wants to have them, with the same numbers.
    pub fn to_recognise(&self) -> Vec<core::Door> {
        self.0.iter().map(Keyed::to_recognise).collect()
    }
}

impl Keyed {
    fn path(&self) -> Option<&Path> {
        match &self.door.knocks {
            Knocks::OneTime(path) => Some(path),
            Knocks::Sequence(_) => None,
        }
    }

    fn is_exhausted(&self) -> bool {
        self.one_time.as_ref().is_some_and(|one_time| one_time.current().is_none())
    }

    fn to_recognise(&self) -> core::Door {
        let Door { seq_timeout, flags, target, .. } = self.door;
        let sequence = match (&self.door.knocks, &self.one_time) {
            (Knocks::Sequence(sequence), _) => sequence.clone(),
            (Knocks::OneTime(_), one_time) => {
                let current = one_time.as_ref().and_then(OneTime::current);
                current.map(<[_]>::to_vec).unwrap_or_default()
            }
        };
        let once = self.one_time.is_some();
        core::Door { sequence, flags, timeout: seq_timeout, target, once }
    }
}
