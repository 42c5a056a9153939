//! The daemon: one process reads packets, another keeps the firewall.
