//! Netlink messages: a header, a fixed part that depends on the kind, and a tree of attributes
//! (`include/uapi/linux/netlink.h`). Headers are in the byte order of the machine; each attribute
//! says for itself, nf_tables nearly always big-endian.
//!
//! [`Writer`] makes them, [`Messages`] and [`Attributes`] take them apart without trusting a length.

/// Bytes of a message header.
const HEADER: usize = 16;
/// Bytes of an attribute header.
const ATTRIBUTE: usize = 4;
/// The attribute holds attributes.
pub(super) const NESTED: u16 = 0x8000;
/// The bits of the kind that are the kind (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;

/// Rounded up to where the next message or attribute begins.
const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// Writes messages one after another into one buffer.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Writer {
    /// Nothing written.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), too_long: false }
    }

    /// How many bytes have been written.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has been written; `None` if an attribute was longer than its length field can say
    /// (65,535 bytes).
    pub fn finish(self) -> Option<Vec<u8>> {
        (!self.too_long).then_some(self.bytes)
    }

    /// A message: its kind (`nlmsg_type`), flags (`NLM_F_*`), number, and what `fill` writes.
    pub fn message(&mut self, kind: u16, flags: u16, sequence: u32, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        fill(self);
        match u32::try_from(self.bytes.len() - start) {
            Ok(length) => self.patch(start, &length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
    }

    /// Gives the message that begins at `start` other flags.
    pub fn set_flags(&mut self, start: usize, flags: u16) {
        self.patch(start.saturating_add(6), &flags.to_ne_bytes());
    }

    /// Bytes as they are: the fixed part of a message, or attributes made before.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// An attribute with a value.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
    }

    /// An attribute with a text, ended by a zero byte as the kernel wants it.
    pub fn text(&mut self, kind: u16, value: &str) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.close(start);
    }

    /// An attribute with a big-endian number.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute with a big-endian number.
    pub fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute with a number in the byte order of the machine.
    pub fn ne32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// An attribute that holds those that `fill` writes.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.open(kind | NESTED);
        fill(self);
        self.close(start);
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.patch(start, &length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self.pad();
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }

    fn pad(&mut self) {
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }
}

/// A message that the kernel sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The number of the request that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind a fixed part of so many bytes.
    pub fn attributes(&self, fixed: usize) -> Attributes<'a> {
        Attributes(self.body.get(aligned(fixed)..).unwrap_or_default())
    }
}

/// The messages of one datagram. Ends at the first that is longer than what is there.
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::try_from(ne32(self.0)?).ok()?;
        let body = self.0.get(HEADER..length)?;
        let kind = ne16(self.0.get(4..)?)?;
        let flags = ne16(self.0.get(6..)?)?;
        let sequence = ne32(self.0.get(8..)?)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some(Message { kind, flags, sequence, body })
    }
}

/// A sequence of attributes, which is an iterator over them. Ends at the first that is longer than
/// what is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of this kind.
    pub fn get(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find(|attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// The attributes in the first attribute of this kind; none if there is none.
    pub fn within(self, kind: u16) -> Self {
        Self(self.get(kind).unwrap_or_default())
    }

    /// A big-endian number of 32 bits.
    pub fn be32(self, kind: u16) -> Option<u32> {
        self.get(kind)?.first_chunk().copied().map(u32::from_be_bytes)
    }

    /// A big-endian number of 64 bits.
    pub fn be64(self, kind: u16) -> Option<u64> {
        self.get(kind)?.first_chunk().copied().map(u64::from_be_bytes)
    }

    /// A text, without the zero byte that ends it.
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.get(kind)?;
        str::from_utf8(value.split(|&byte| byte == 0).next()?).ok()
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its kind, without flags.
    pub kind: u16,
    /// Whether its writer said that it holds attributes. nf_tables does not when it dumps.
    pub nested: bool,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(ne16(self.0)?);
        let kind = ne16(self.0.get(2..)?)?;
        let value = self.0.get(ATTRIBUTE..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some(Attribute { kind: kind & KIND, nested: kind & NESTED != 0, value })
    }
}

/// The number of 16 bits that begins here, in the byte order of the machine.
pub fn ne16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_ne_bytes)
}

/// The number of 32 bits that begins here, in the byte order of the machine.
pub fn ne32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new();
        writer.message(7, 5, 42, |w| {
            w.raw(&[1, 2, 3, 4]);
            w.text(1, "ab");
            w.nested(2, |w| {
                w.be32(3, 0x0102_0304);
                w.be64(4, 5);
            });
        });
        writer.message(8, 0, 43, |_| {});
        let bytes = writer.finish().unwrap();
        let messages: Vec<_> = Messages(&bytes).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].kind, messages[0].flags, messages[0].sequence), (7, 5, 42));
        let attributes = messages[0].attributes(4);
        assert_eq!(attributes.text(1), Some("ab"));
        assert_eq!(attributes.within(2).be32(3), Some(0x0102_0304));
        assert_eq!(attributes.within(2).be64(4), Some(5));
        assert_eq!(attributes.within(2).be64(3), None);
        assert_eq!(attributes.get(9), None);
    }

    #[test]
    fn an_attribute_that_is_too_long_is_an_error() {
        let mut writer = Writer::new();
        writer.bytes(1, &vec![0; 65_532]);
        assert_eq!(writer.finish(), None);
        let mut writer = Writer::new();
        writer.bytes(1, &vec![0; 65_531]);
        assert!(writer.finish().is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            for message in Messages(&bytes) {
                for attribute in message.attributes(4) {
                    let _ = Attributes(attribute.value).count();
                }
            }
            let _ = Attributes(&bytes).count();
        }
    }
}
