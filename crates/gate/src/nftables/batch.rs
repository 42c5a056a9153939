//! Transactions: messages of which the kernel does all or none.

use nix::errno::Errno;
use portcullis_linux::netlink::message::Writer;
use portcullis_linux::netlink::socket::{self, Socket};

use super::error::Object;
use super::{Error, FAMILY_HEADER, family};

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
pub const NLM_F_CREATE: u16 = 0x400;
pub const NLM_F_APPEND: u16 = 0x800;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_BATCH_GENID: u16 = 1;
/// `struct nfgenmsg` of the messages around: any family, and the subsystem nf_tables (10).
const AROUND: [u8; FAMILY_HEADER] = [0, 0, 0, 10];
/// Request numbers set aside for a transaction: more than it can have messages.
const NUMBERS: u32 = 1 << 20;

/// A transaction in the making.
#[derive(Debug)]
pub struct Batch {
    writer: Writer,
    /// The request number of the first message; the others follow.
    first: u32,
    objects: Vec<Object>,
    /// Where the last message begins, and its flags.
    last: (usize, u16),
}

impl Batch {
    /// An empty one. With a `generation`, it is refused (`ERESTART`) if the tables are not those of
    /// that number any more.
    pub fn new(socket: &mut Socket, generation: Option<u32>) -> Self {
        let first = socket.numbers(NUMBERS);
        let mut writer = Writer::new();
        writer.message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, first, |w| {
            w.raw(&AROUND);
            if let Some(generation) = generation {
                w.be32(NFNL_BATCH_GENID, generation);
            }
        });
        Self { writer, first, objects: vec![Object::Transaction], last: (0, NLM_F_REQUEST) }
    }

    /// Adds a message.
    pub fn push(&mut self, object: Object, kind: u16, flags: u16, fill: impl FnOnce(&mut Writer)) {
        self.last = (self.writer.len(), NLM_F_REQUEST | flags);
        let sequence = self.next();
        self.writer.message(kind, NLM_F_REQUEST | flags, sequence, |w| {
            family(w);
            fill(w);
        });
        self.objects.push(object);
    }

    /// Whether nothing would be done.
    pub const fn is_empty(&self) -> bool {
        self.last.0 == 0
    }

    fn next(&self) -> u32 {
        self.first.saturating_add(u32::try_from(self.objects.len()).unwrap_or(u32::MAX))
    }

    /// Does all of it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the first object that was, and nothing has changed.
    pub fn commit(mut self, socket: &mut Socket) -> Result<(), Error> {
        let end = self.next();
        let last = end.saturating_sub(1);
        if end - self.first >= NUMBERS {
            return Err(socket::Error::TooLong.into());
        }
        // The kernel says nothing about success unless it is asked to.
        let (start, flags) = self.last;
        self.writer.set_flags(start, flags | NLM_F_ACK);
        self.writer.message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, end, |w| w.raw(&AROUND));
        socket.send(&self.writer.finish().ok_or(socket::Error::TooLong)?)?;
        socket.answers(self.first, last).map_err(|error| match error {
            socket::Error::Refused { errno: Errno::EPERM, .. } => Error::NotPermitted,
            // The answer to a transaction where there is nobody to do it.
            socket::Error::Refused { errno: Errno::EOPNOTSUPP, sequence, .. }
                if sequence == self.first =>
            {
                Error::NoNfTables
            }
            socket::Error::Refused { errno, text, sequence, .. } => {
                let index = sequence.checked_sub(self.first).and_then(|i| usize::try_from(i).ok());
                let object = index.and_then(|index| self.objects.get(index));
                Error::Refused {
                    object: object.unwrap_or(&Object::Transaction).to_string(),
                    errno,
                    text,
                }
            }
            other => Error::Netlink(other),
        })
    }
}
