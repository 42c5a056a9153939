//! Processes, capabilities, clocks.
