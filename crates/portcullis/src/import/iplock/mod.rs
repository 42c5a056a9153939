//! x
use super::filter::draft::Draft;
pub fn read(_files: &[(String, String)], _draft: &mut Draft) {}
