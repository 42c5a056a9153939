//! What `/proc` says about processes and about this life of the machine.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// Which boot of the machine this is (`/proc/sys/kernel/random/boot_id`); empty when that cannot be
/// read.
pub fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

/// The line of a process in `/proc` (proc(5)), if there is such a process.
pub fn stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// When a process began, in nanoseconds of CLOCK_BOOTTIME, from its line (the 22nd field, in clock
/// ticks, rounded down).
pub fn began(stat: &str) -> Option<u64> {
    let ticks: u64 = field(stat, 19)?.parse().ok()?;
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    ticks.checked_mul(1_000_000_000)?.checked_div(per_second)
}

/// The parent of a process, from its line (the 4th field); `None` where it has none that can be seen.
pub fn parent(stat: &str) -> Option<u32> {
    field(stat, 1)?.parse().ok().filter(|pid| *pid != 0)
}

/// A field after the name, counted from 0. A name may hold anything.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(number)
}
