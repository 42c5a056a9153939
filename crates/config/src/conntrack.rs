//! Whether the kernel's table of connections has room, which the gate's rules switch on
//! (`docs/flood.md`).

use portcullis_core::policy::Severity;

use super::report::Diagnostic;

/// The table of connections of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracking {
    /// How many connections it may hold (`nf_conntrack_max`); 0 is no limit.
    pub max: u32,
    /// How many it holds (`nf_conntrack_count`).
    pub count: u32,
    /// How many chains they are in (`nf_conntrack_buckets`).
    pub buckets: u32,
    /// How many seconds a datagram that nobody answers stays (`nf_conntrack_udp_timeout`).
    pub udp_timeout: u32,
    /// Whether it checks checksums (`nf_conntrack_checksum`).
    pub checks: bool,
}

/// So many unanswered packets a second (the strongest flood of `docs/flood.md`) leave a connection a
/// quarter of a second to be answered in, which is a long way round the world.
const SMALL: u32 = 65_536;

/// What a person is told to set.
const ENOUGH: u32 = 262_144;

/// A full table makes room by looking for an unanswered connection in eight chains
/// (`NF_CT_EVICTION_RANGE`); each connection is in two. With so many chains for each connection it finds
/// none for one packet in sixty.
const SPARSE: u32 = 4;

/// What is odd about this table.
pub fn warnings(table: Tracking) -> Vec<Diagnostic> {
    let Tracking { max, count, buckets, udp_timeout, checks } = table;
    let mut found = Vec::new();
    if !checks {
        let message = "connection tracking does not check checksums, so closed and guarded ports do not \
                       answer connections with TCP options (`like-closed`)";
        let hint = "sysctl -w net.netfilter.nf_conntrack_checksum=1 (and a line in /etc/sysctl.d to keep it)";
        found.push(warning("conntrack-unchecked", message.to_owned()).hint(hint.to_owned()));
    }
    if max == 0 {
        return found;
    }
    let rate = max.div_ceil(udp_timeout.max(1));
    let fills = format!("{rate} datagrams a second from new ports keep the table full");
    if max < SMALL {
        let message = format!(
            "the connection table of the kernel is small (at most {max} connections): {fills}"
        );
        found.push(warning("conntrack-small", message).hint(set(ENOUGH.max(buckets))));
    } else if buckets >= max.saturating_mul(SPARSE) {
        let message = format!(
            "the connection table of the kernel has {buckets} chains for {max} connections, so a \
             full table drops new packets: {fills}"
        );
        found.push(warning("conntrack-sparse", message).hint(set(buckets)));
    }
    if u64::from(count).saturating_mul(10) >= u64::from(max).saturating_mul(9) {
        let message = format!(
            "the connection table of the kernel is nearly full ({count} of {max}), so new \
             connections and knocks may be lost"
        );
        let more = max.saturating_mul(4).max(ENOUGH);
        found.push(warning("conntrack-full", message).hint(set(more)));
    }
    found
}

fn set(max: u32) -> String {
    format!(
        "sysctl -w net.netfilter.nf_conntrack_max={max} (and a line in /etc/sysctl.d to keep it; \
         see docs/flood.md)"
    )
}

fn warning(code: &'static str, message: String) -> Diagnostic {
    let severity = Severity::Warning;
    Diagnostic { severity, code, message, span: None, related: None, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Tracking =
        Tracking { max: 262_144, count: 12, buckets: 262_144, udp_timeout: 30, checks: true };

    fn codes(table: Tracking) -> Vec<&'static str> {
        warnings(table).iter().map(|found| found.code).collect()
    }

    #[test]
    fn a_usual_table_has_room() {
        assert_eq!(warnings(USUAL), []);
        assert_eq!(codes(Tracking { max: 65_536, buckets: 65_536, ..USUAL }), [""; 0]);
        assert_eq!(codes(Tracking { max: 0, ..USUAL }), [""; 0]);
        assert_eq!(codes(Tracking { checks: false, ..USUAL }), ["conntrack-unchecked"]);
    }

    #[test]
    fn a_small_table_is_told_with_the_rate_that_fills_it() {
        let small = Tracking { max: 16_384, ..USUAL };
        let [found] = &warnings(small)[..] else { panic!("{:?}", warnings(small)) };
        assert_eq!(found.code, "conntrack-small");
        assert!(found.message.contains("547 datagrams a second"), "{}", found.message);
        let hint = found.hint.as_deref().unwrap();
        assert!(hint.starts_with("sysctl -w net.netfilter.nf_conntrack_max=262144 "), "{hint}");
    }

    #[test]
    fn a_sparse_and_a_full_table_are_told() {
        let sparse = Tracking { max: 65_536, ..USUAL };
        assert_eq!(codes(sparse), ["conntrack-sparse"]);
        assert_eq!(codes(Tracking { count: 235_930, ..USUAL }), ["conntrack-full"]);
        assert_eq!(codes(Tracking { count: 235_900, ..USUAL }), [""; 0]);
        let both = Tracking { max: 9, count: 9, buckets: 9, udp_timeout: 0, checks: true };
        assert_eq!(codes(both), ["conntrack-small", "conntrack-full"]);
    }
}
