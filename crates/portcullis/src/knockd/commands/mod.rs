//! Start and stop commands: one scheduler, a bounded number at once, and the pending stops on disk.
