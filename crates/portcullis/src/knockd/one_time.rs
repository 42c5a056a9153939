//! Files of one-time sequences: one sequence per line, each opens its door once.
