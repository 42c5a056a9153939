//! An interpreter of classic BPF, as linux/Documentation/networking/filter.rst describes it: enough
//! to hold the filter to the engine in tests.

use portcullis_linux::sys::packet::Instruction;

/// What the kernel knows about a packet.
pub struct About {
    /// The EtherType.
    pub protocol: u16,
    /// `PACKET_HOST` and its siblings.
    pub kind: u8,
    /// The tag that was taken off.
    pub tag: u16,
    /// What the kernel draws when a program asks for a random number.
    pub random: u32,
}

/// How many bytes the filter lets through.
pub fn run(program: &[Instruction], about: &About, packet: &[u8]) -> u32 {
    let (mut a, mut x, mut next) = (0u32, 0u32, 0usize);
    loop {
        let Instruction { code, yes, no, operand } = program[next];
        next += 1;
        // A load beyond the packet ends the program with 0.
        let load = |at: u32, size: usize| -> Option<u32> {
            let bytes = packet.get(at as usize..)?.get(..size)?;
            Some(bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
        };
        let loaded = match code {
            0x20 if operand == 0xffff_f000 => Some(about.protocol.into()),
            0x20 if operand == 0xffff_f004 => Some(about.kind.into()),
            0x20 if operand == 0xffff_f02c => Some(about.tag.into()),
            0x20 if operand == 0xffff_f038 => Some(about.random),
            0x28 => load(operand, 2),
            0x30 => load(operand, 1),
            0x48 => load(x + operand, 2),
            0x50 => load(x + operand, 1),
            0x01 => {
                x = operand;
                Some(a)
            }
            0xb1 => load(operand, 1).map(|byte| {
                x = 4 * (byte & 15);
                a
            }),
            0x54 => Some(a & operand),
            0x05 => {
                next += operand as usize;
                Some(a)
            }
            0x15 => {
                next += usize::from(if a == operand { yes } else { no });
                Some(a)
            }
            0x45 => {
                next += usize::from(if a & operand != 0 { yes } else { no });
                Some(a)
            }
            0x06 => return operand,
            other => panic!("unknown operation {other:#x} at {}", next - 1),
        };
        match loaded {
            Some(value) => a = value,
            None => return 0,
        }
    }
}
