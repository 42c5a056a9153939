//! The native configuration: TOML to policy, with located errors.
