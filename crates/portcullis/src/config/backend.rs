//! What the back ends of iptables cannot do with a policy, said where the configuration says it.

use portcullis_config::settle::Places;
use portcullis_config::{Backend, Diagnostic};
use portcullis_core::policy::Policy;
use portcullis_firewall::iptables::AddressStore;
use portcullis_firewall::iptables::check::{Site, check};

/// Who remembers addresses; `None` for nftables.
pub const fn store(backend: Backend) -> Option<AddressStore> {
    match backend {
        Backend::Nftables => None,
        Backend::Iptables => Some(AddressStore::Recent),
        Backend::Ipset => Some(AddressStore::Ipset),
    }
}

/// What the back end cannot do.
pub(super) fn limits(policy: &Policy, backend: Backend, places: Places<'_>) -> Vec<Diagnostic> {
    let Some(store) = store(backend) else { return Vec::new() };
    let findings = check(policy, store).into_iter().map(|finding| {
        let span = match finding.site {
            Site::Backend => places.backend(),
            Site::Allow => places.allow(),
            Site::Refuse => places.refuse(),
            Site::Recogniser(id) => places.recogniser(id),
            Site::Policy(place) => places.policy(place),
        };
        let problem = finding.problem;
        Diagnostic {
            severity: problem.severity(),
            code: problem.code(),
            message: problem.to_string(),
            span: Some(span.unwrap_or(0..0)),
            related: None,
            hint: Some(problem.hint()),
        }
    });
    findings.collect()
}
