//! What root of the machine may do, and root of a user namespace may not.

use portcullis_core::policy::Recogniser;
use portcullis_firewall::compile::compile;
use portcullis_gate::nftables::Table;
use portcullis_linux::netlink::socket::{Error, Family, Socket};

use crate::{Test, corpus};

pub const TESTS: [Test; 2] = [
    ("what_is_too_much_to_send_is_said", what_is_too_much_to_send_is_said),
    (
        "a_transaction_may_be_longer_than_a_send_buffer",
        a_transaction_may_be_longer_than_a_send_buffer,
    ),
];

fn what_is_too_much_to_send_is_said() {
    let mut socket = Socket::open(Family::Netfilter).unwrap();
    // More than any machine allows by default; zeros are no message.
    let error = socket.send(&vec![0; 512 << 20]).unwrap_err();
    assert_eq!(error, Error::SendBuffer(512 << 20));
    assert!(error.to_string().contains("net.core.wmem_max"), "{error}");
    // The socket is as good as before.
    socket.get(0x0a10, |w| w.raw(&[0; 4]), |message| message.attributes(4).be32(1)).unwrap();
}

/// With the usual 208 KiB of buffer: it grows to twice of what net.core.wmem_max says.
fn a_transaction_may_be_longer_than_a_send_buffer() {
    let ruleset = compile(&corpus::doors(500, Recogniser::Both)).unwrap();
    Table::open().unwrap().load(&ruleset).unwrap();
}
