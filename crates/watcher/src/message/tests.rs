use std::os::fd::AsFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = InterfaceName> {
    "[a-z][a-z0-9.-]{0,14}".prop_map(|text| InterfaceName::new(&text).unwrap())
}

fn message() -> impl Strategy<Value = Message> {
    let door = any::<u32>().prop_map(DoorId);
    let open = (any::<u32>(), door.clone(), any::<IpAddr>(), any::<u32>());
    let stage = (any::<u32>(), door, any::<IpAddr>(), any::<u8>());
    let timed_out = stage.clone();
    prop_oneof![
        open.prop_map(|(epoch, door, address, ms)| {
            Message::Open { epoch, door, address, open_for: Duration::from_millis(ms.into()) }
        }),
        stage.prop_map(|(epoch, door, address, stage)| {
            Message::Stage { epoch, door, address, stage }
        }),
        timed_out.prop_map(|(epoch, door, address, stage)| {
            Message::TimedOut { epoch, door, address, stage }
        }),
        any::<u32>().prop_map(Message::Suppressed),
        name().prop_map(Message::Watching),
        name().prop_map(Message::Unwatched),
        (name(), any::<u32>()).prop_map(|(name, count)| Message::Lost(name, count)),
        any::<u32>().prop_map(Message::Ready),
        (any::<u32>(), name()).prop_map(|(epoch, name)| Message::Missing(epoch, name)),
        (any::<u32>(), any::<i32>()).prop_map(|(epoch, errno)| Message::Failed(epoch, errno)),
    ]
}

proptest! {
    #[test]
    fn there_and_back(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Some(message));
    }

    #[test]
    fn one_spelling(bytes in any::<[u8; SIZE]>(), kind in 0u8..12, family in 0u8..8) {
        let mut bytes = bytes;
        (bytes[0], bytes[1], bytes[3]) = (VERSION, kind, family);
        if let Some(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn no_bit_too_many(message in message(), byte in 0..SIZE, bit in 0..8) {
        let bytes = message.encode();
        let mut changed = bytes;
        changed[byte] ^= 1u8 << bit;
        prop_assert_ne!(Message::decode(&changed), Some(message));
    }
}

#[test]
fn as_written_down() {
    let open = Message::Open {
        epoch: 0x01020304,
        door: DoorId(7),
        address: "203.0.113.7".parse().unwrap(),
        open_for: Duration::from_secs(30),
    };
    #[rustfmt::skip]
    assert_eq!(open.encode(), [
        1, 1, 0, 4, 1, 2, 3, 4, 0, 0, 0, 7, 0, 0, 0x75, 0x30,
        203, 0, 113, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    let mut newer = open.encode();
    newer[0] = 2;
    assert_eq!(Message::decode(&newer), None);
}

#[test]
fn over_a_socket() {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
    assert_eq!(Message::receive(other.as_fd(), false), Err(Errno::EAGAIN));
    Message::Ready(3).send(one.as_fd(), true).unwrap();
    assert_eq!(Message::receive(other.as_fd(), true), Ok(Some(Message::Ready(3))));
    for wrong in [&[1u8; SIZE - 1][..], &[1; SIZE + 1], &[0; SIZE], &[1; 4096]] {
        send(one.as_fd(), wrong, true).unwrap();
        assert_eq!(Message::receive(other.as_fd(), true), Err(Errno::EBADMSG));
    }

    let order = Order { epoch: 9, verbose: true, text: "# ä\n".repeat(50_000) };
    let expected = order.clone();
    let sender = std::thread::spawn(move || {
        for packet in order.packets().unwrap() {
            send(one.as_fd(), &packet, true).unwrap();
        }
    });
    assert_eq!(Order::receive(other.as_fd()), Ok(Some(expected)));
    sender.join().unwrap();
    assert_eq!(Order::receive(other.as_fd()), Ok(None));
    assert_eq!(Message::receive(other.as_fd(), true), Ok(None));
    assert_eq!(Message::Ready(3).send(other.as_fd(), true), Err(Errno::EPIPE));
}

#[test]
fn a_runner_is_told_of_both() {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
    assert_eq!(Told::receive(other.as_fd()), Err(Errno::EAGAIN));
    let order = Order { epoch: 9, verbose: false, text: "# ä\n".repeat(20_000) };
    let (door, address) = (DoorId(3), "2001:db8::7".parse().unwrap());
    let open = Message::Open { epoch: 9, door, address, open_for: Duration::from_secs(30) };
    for packet in order.packets().unwrap() {
        send(one.as_fd(), &packet, true).unwrap();
    }
    open.send(one.as_fd(), true).unwrap();
    for wrong in [&[1u8; SIZE - 1][..], &[1; SIZE + 1], &[0; SIZE], &[1; 4096]] {
        send(one.as_fd(), wrong, true).unwrap();
    }
    assert_eq!(Told::receive(other.as_fd()), Ok(Some(Told::Order(order))));
    assert_eq!(Told::receive(other.as_fd()), Ok(Some(Told::Message(open))));
    for _ in 0..4 {
        assert_eq!(Told::receive(other.as_fd()), Err(Errno::EBADMSG));
    }
    drop(one);
    assert_eq!(Told::receive(other.as_fd()), Ok(None));
}
