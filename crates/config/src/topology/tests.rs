//! Topologies, and what a gate sees there.

use portcullis_core::policy::InterfaceName;

use super::*;

/// An interface of this number, as `name`, `name@link`, `name>master`.
fn interface(index: u32, name: &str, kind: &str, addresses: &[&str]) -> Interface {
    let kind = (!kind.is_empty()).then(|| kind.to_owned());
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Interface { index, name: name.to_owned(), kind, addresses, up: true, ..Interface::default() }
}

fn on(link: u32, interface: Interface) -> Interface {
    Interface { link: Some(link), ..interface }
}

fn in_master(master: u32, kind: &str, interface: Interface) -> Interface {
    Interface { master: Some(master), member_kind: Some(kind.to_owned()), ..interface }
}

fn gate(names: &[&str]) -> GatePolicy {
    let interfaces = names.iter().map(|name| InterfaceName::new(name).unwrap()).collect();
    GatePolicy { interfaces, ..GatePolicy::default() }
}

/// The codes of what is found for these names, and what should be named instead.
fn found(names: &[&str], interfaces: &[Interface]) -> Vec<(&'static str, Vec<String>)> {
    let gate = gate(names);
    let blind = Topology::new(&gate, interfaces).blind();
    blind.into_iter().map(|blind| (blind.why.code(), blind.instead)).collect()
}

fn lo() -> Interface {
    interface(1, "lo", "", &["127.0.0.1", "::1"])
}

#[test]
fn gate_on_an_ordinary_interface_sees_packets() {
    let all = [lo(), interface(2, "eth0", "", &["10.0.0.1", "fe80::1"])];
    assert_eq!(found(&["eth0"], &all), []);
    assert_eq!(found(&[], &all), []);
    // Both ends of a cable here.
    let ends =
        [on(3, interface(2, "a", "veth", &[])), on(2, interface(3, "b", "veth", &["10.0.0.1"]))];
    assert_eq!(found(&["b"], &ends), []);
}

#[test]
fn gate_on_a_member_is_led_to_the_last_master() {
    let all = [
        lo(),
        in_master(4, "bond", interface(2, "eth0", "", &["fe80::1"])),
        in_master(4, "bond", interface(3, "eth1", "", &[])),
        in_master(5, "bridge", interface(4, "bond0", "bond", &[])),
        interface(5, "br0", "bridge", &["10.0.0.1"]),
        interface(6, "wan", "", &["203.0.113.1"]),
    ];
    let instead = || vec!["wan".to_owned(), "br0".to_owned()];
    let expected = ("interface-member", instead());
    assert_eq!(found(&["wan", "eth0", "eth1"], &all), [expected.clone(), expected]);
    assert_eq!(found(&["wan", "bond0"], &all), [("interface-member", instead())]);
    assert_eq!(found(&["br0"], &all), []);
    assert_eq!(found(&["eth0", "br0"], &all), []);
    let both = gate(&["eth0", "br0"]);
    assert_eq!(Topology::new(&both, &all).superfluous(), [(0, "br0")]);
    assert!(Topology::new(&gate(&["wan", "eth0"]), &all).may_see());
    assert!(!Topology::new(&gate(&["eth1", "eth0"]), &all).may_see());
}

#[test]
fn gate_on_a_member_of_a_vrf_is_led_to_the_vrf() {
    let all = [
        in_master(3, "vrf", interface(2, "eth0", "", &["10.0.0.1"])),
        interface(3, "vrf0", "vrf", &[]),
        in_master(3, "vrf", on(2, interface(4, "eth0.7", "vlan", &["10.7.0.1"]))),
    ];
    assert_eq!(found(&["eth0"], &all), [("interface-member", vec!["vrf0".to_owned()])]);
    assert_eq!(found(&["vrf0"], &all), []);
    // Link-local packets of old kernels stay on the member.
    assert_eq!(Topology::new(&gate(&["vrf0", "eth0"]), &all).superfluous(), []);
}

#[test]
fn gate_below_what_has_the_address_is_led_to_both() {
    let eth0 = || interface(2, "eth0", "", &["fe80::1"]);
    for kind in ["vlan", "macvlan", "ipvlan"] {
        let all = [eth0(), on(2, interface(3, "top", kind, &["10.0.0.1"]))];
        let instead = vec!["eth0".to_owned(), "top".to_owned()];
        assert_eq!(found(&["eth0"], &all), [("interface-below", instead)], "{kind}");
        assert!(Topology::new(&gate(&["eth0"]), &all).may_see());
        assert_eq!(found(&["top"], &all), []);
        assert_eq!(found(&["eth0", "top"], &all), []);
    }
    // A VLAN in a bridge that has the address.
    let all = [
        eth0(),
        in_master(4, "bridge", on(2, interface(3, "eth0.7", "vlan", &[]))),
        interface(4, "br7", "bridge", &["10.0.0.1"]),
    ];
    let instead = vec!["eth0".to_owned(), "br7".to_owned()];
    assert_eq!(found(&["eth0"], &all), [("interface-below", instead)]);
    // A tunnel takes nothing away from what it goes through.
    let all = [eth0(), on(2, interface(3, "tun", "gre", &["10.0.0.1"]))];
    assert_ne!(found(&["eth0"], &all)[0].0, "interface-below");
}

#[test]
fn other_names_missing_ones_and_gates_without_an_address_are_told() {
    let mut eth0 = interface(2, "eth0", "", &["10.0.0.1"]);
    eth0.other_names = vec!["enp1s0".to_owned()];
    let eth1 = interface(3, "eth1", "", &["fe80::1"]);
    let all = [lo(), eth0, eth1];
    let eth0 = || vec!["eth0".to_owned()];
    assert_eq!(found(&["enp1s0"], &all), [("interface-other-name", eth0())]);
    assert_eq!(found(&["eth7"], &all), [("interface-missing", vec![])]);
    assert_eq!(found(&["eth1"], &all), [("interface-no-address", eth0())]);
    assert_eq!(found(&["eth0", "eth1"], &all), []);
    // Addresses on loopback and dummies are reached by way of others.
    let all = [lo(), interface(3, "eth1", "", &[]), interface(4, "d", "dummy", &["10.0.0.1"])];
    assert_eq!(found(&["eth1"], &all), []);
}

#[test]
fn interface_on_top_without_a_gate_is_told_beside_one_that_sees() {
    let all = [
        interface(2, "eth0", "", &["10.0.0.1"]),
        on(2, interface(3, "eth0.7", "vlan", &["10.7.0.1"])),
    ];
    let beside = |names: &[&str]| {
        let gate = gate(names);
        let found = Topology::new(&gate, &all).beside();
        found.into_iter().map(|beside| beside.top).collect::<Vec<_>>()
    };
    assert_eq!(beside(&["eth0"]), ["eth0.7"]);
    assert_eq!(beside(&["eth0", "eth0.7"]), [""; 0]);
    assert_eq!(beside(&["eth0.7"]), [""; 0]);
}

#[test]
fn circles_of_masters_end() {
    let all = [
        in_master(3, "bridge", interface(2, "a", "", &[])),
        in_master(2, "bridge", interface(3, "b", "", &[])),
    ];
    assert_eq!(found(&["a"], &all).len(), 1);
}
