//! A machine whose kernel has no newer system calls than Linux 5.4.

use std::collections::BTreeMap;
use std::thread;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The numbers from `close_range` (Linux 5.9) on; `pidfd_open` and `clone3` of 5.3 are right before it. The
/// same on every architecture since 5.1.
const NEWER: std::ops::Range<i64> = 436..500;

/// Runs this with a kernel to which newer calls are unknown, in a thread of its own, for the thread and all
/// that it starts keep that kernel. The network stays that of the calling thread.
pub fn run(test: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let rules: BTreeMap<i64, _> = NEWER.map(|call| (call, Vec::new())).collect();
            let unknown = SeccompAction::Errno(nix::errno::Errno::ENOSYS as u32);
            let machine = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, unknown, machine).unwrap();
            seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
