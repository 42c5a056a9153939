//! The kernel, spoken to directly: nf_tables and rtnetlink.
