//! What the native configuration will say, as values.

use portcullis_core::policy::{Door as Native, InterfaceName};

use crate::knockd::DoorPlaces;

/// What the native configuration will say.
#[derive(Debug, Default)]
pub struct Plan {
    pub interface: Option<InterfaceName>,
    pub doors: Vec<Planned>,
    /// Sections that become no door of their own, with the place and a sentence on each.
    pub left_out: Vec<(usize, String)>,
    pub remarks: Vec<Remark>,
}

/// A door of the native configuration.
#[derive(Debug)]
pub struct Planned {
    /// As the native policy has it. It guards nothing if its hooks do the opening.
    pub door: Native,
    /// Whether `open_for` is of any use.
    pub closes: bool,
    /// The sections that it is made of: their names, and where these stand.
    pub sections: Vec<(String, usize)>,
    pub places: DoorPlaces,
    /// What the check will not like of its sequence.
    pub comments: Vec<String>,
}

/// Something to say to whoever imports.
#[derive(Debug)]
pub struct Remark {
    /// The byte of the text that it is about.
    pub at: usize,
    pub by_hand: bool,
    pub message: String,
    pub hint: Option<String>,
}

impl Remark {
    /// Says something.
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, by_hand: false, message: message.into(), hint: None }
    }

    /// Somebody has to do something about it.
    pub fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    /// With advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
