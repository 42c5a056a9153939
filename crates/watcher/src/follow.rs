//! Packets for `portcullis trace`: the process opens everything first, and then gives up its privileges.

use std::io;
use std::net::IpAddr;

use portcullis_core::engine::{Direction, Frame};
use portcullis_core::wire::Packet;
use portcullis_linux::capture::{self, Capture, Interfaces, Unwatchable};
use portcullis_linux::privileges::{self, TRACE};

use super::filter;
use super::reader::Reader;

/// Why the process cannot read packets.
#[derive(Debug)]
pub enum Error {
    /// The kernel does not say which addresses this host has, for this reason.
    Addresses(String),
    /// Packets cannot be read.
    Packets(Unwatchable),
    /// It cannot give up the privileges that it no longer needs.
    Privileges(io::Error),
}

/// This host's addresses, which [`Handler::set_local_addresses`](super::reader::Handler::set_local_addresses)
/// keeps current.
pub struct Local(pub Vec<IpAddr>);

/// Opens everything, then gives up the privileges for that. After this, the process can only read packets.
///
/// # Errors
/// Something cannot be opened, or a privilege cannot be given up.
pub fn open(interfaces: Interfaces) -> Result<(Reader, Local), Error> {
    let mut reader = Reader::open().map_err(|error| Error::Addresses(error.to_string()))?;
    let route = &mut reader.sources.route;
    let addresses =
        capture::addresses(route).map_err(|errno| Error::Addresses(errno.desc().to_owned()))?;
    // Packets to guarded and public ports are reported too, so nothing is hidden.
    let capture = Capture::open(interfaces, filter::program(&[]), route).map_err(Error::Packets)?;
    reader.sources.capture = Some(capture);
    // All sockets are open: from here on nothing more is needed.
    privileges::give_up_all_but(&TRACE).map_err(Error::Privileges)?;
    Ok((reader, Local(addresses)))
}

impl Local {
    /// What a frame holds, if that can be read.
    pub fn packet(&self, frame: &Frame<'_>) -> Option<(Packet, Direction)> {
        let packet = frame.captured.parse().ok()?;
        // Packets for another host do not concern the gate.
        let ours = frame.direction != Direction::ToHost || self.0.contains(&packet.destination);
        Some((packet, if ours { frame.direction } else { Direction::Elsewhere }))
    }
}
