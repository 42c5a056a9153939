//! `knockd.conf`: every directive and alias of knockd 0.8, with located errors.
