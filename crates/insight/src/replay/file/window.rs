//! A window of fixed size over a stream: what does not fit is never kept.

use std::io::{self, Read};
use std::ops::Range;

/// Most bytes that can be looked at in one piece.
pub const MOST: usize = 512 << 10;

/// Bytes read at once, beside those still looked at.
const SIZE: usize = MOST * 2;

/// Why there are not as many bytes as were asked for.
#[derive(Debug)]
pub enum Short {
    /// There are none: the stream has ended before them.
    End,
    /// There are some, but the stream ends within them.
    Cut,
    /// The stream cannot be read on.
    Failed(io::Error),
    /// More than [`MOST`] were asked for.
    TooMany,
}

/// The bytes at hand of a stream.
pub struct Window<'s> {
    source: Box<dyn Read + 's>,
    buffer: Vec<u8>,
    filled: Range<usize>,
    passed: u64,
    /// It has broken off.
    cut: bool,
}

impl<'s> Window<'s> {
    /// At the beginning of `source`.
    pub fn new(source: Box<dyn Read + 's>) -> Self {
        Self { source, buffer: vec![0; SIZE], filled: 0..0, passed: 0, cut: false }
    }

    /// Whether the stream is known to have broken off.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// How many bytes have been taken or skipped.
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// The next bytes, which stay the next ones; fewer only at the end of the stream.
    ///
    /// # Errors
    /// The stream cannot be read on.
    pub fn peek(&mut self, length: usize) -> Result<&[u8], Short> {
        match self.fill(length) {
            Ok(()) | Err(Short::End | Short::Cut) => {}
            Err(short) => return Err(short),
        }
        let there = self.buffer.get(self.filled.clone()).unwrap_or_default();
        Ok(there.get(..length).unwrap_or(there))
    }

    /// Takes the next bytes. The range is good for [`get`](Self::get) until more are asked for.
    ///
    /// # Errors
    /// There are not so many; then none is taken.
    pub fn take(&mut self, length: usize) -> Result<Range<usize>, Short> {
        self.fill(length)?;
        let start = self.filled.start;
        self.filled.start = start.saturating_add(length);
        self.passed = self.passed.saturating_add(length as u64);
        Ok(start..self.filled.start)
    }

    /// The bytes that were taken last, or a part of them.
    pub fn get(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// Takes a piece of fixed length.
    ///
    /// # Errors
    /// There are not so many bytes; then none is taken.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let range = self.take(N)?;
        self.get(range).try_into().map_err(|_| Short::Cut)
    }

    /// Takes so many bytes, however many, without looking at them.
    ///
    /// # Errors
    /// There are not so many.
    pub fn skip(&mut self, length: u64) -> Result<(), Short> {
        let mut left = length;
        while left > 0 {
            let step = left.min(MOST as u64);
            self.take(step as usize).map_err(|short| match short {
                Short::End if left < length => Short::Cut,
                short => short,
            })?;
            left = left.saturating_sub(step);
        }
        Ok(())
    }

    /// What is at hand, and the stream behind it.
    pub fn into_parts(self) -> (Vec<u8>, Box<dyn Read + 's>) {
        let there = self.buffer.get(self.filled).unwrap_or_default().to_vec();
        (there, self.source)
    }

    /// Reads until so many bytes are there.
    fn fill(&mut self, length: usize) -> Result<(), Short> {
        if length > MOST {
            return Err(Short::TooMany);
        }
        if self.filled.len() >= length {
            return Ok(());
        }
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        while self.filled.len() < length {
            let room = self.buffer.get_mut(self.filled.end..).unwrap_or_default();
            match self.source.read(room) {
                Ok(0) if self.filled.is_empty() && !self.cut => return Err(Short::End),
                Ok(0) => return Err(Short::Cut),
                Ok(got) => self.filled.end = self.filled.end.saturating_add(got),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What a compressed stream says when it breaks off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.cut = true;
                    return Err(Short::Cut);
                }
                Err(error) => return Err(Short::Failed(error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Drops(u32);

    impl Read for Drops {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 || into.is_empty() {
                return Ok(0);
            }
            self.0 -= 1;
            into[0] = self.0 as u8;
            Ok(1)
        }
    }

    #[test]
    fn bytes_come_in_order_however_they_arrive() {
        let mut window = Window::new(Box::new(Drops(10)));
        assert_eq!(window.peek(2).unwrap(), [9, 8]);
        let range = window.take(3).unwrap();
        assert_eq!(window.get(range), [9, 8, 7]);
        window.skip(2).unwrap();
        assert_eq!(window.array::<4>().unwrap(), [4, 3, 2, 1]);
        assert!(matches!(window.take(2), Err(Short::Cut)));
        assert_eq!(window.peek(2).unwrap(), [0]);
        assert_eq!(window.passed(), 9);
        window.skip(1).unwrap();
        assert!(matches!(window.take(1), Err(Short::End)));
    }

    #[test]
    fn more_than_fits_can_be_skipped_but_not_taken() {
        let mut window = Window::new(Box::new(io::repeat(7).take(10 << 20)));
        assert!(matches!(window.take(MOST + 1), Err(Short::TooMany)));
        window.skip(9 << 20).unwrap();
        assert_eq!(window.take(MOST).unwrap().len(), MOST);
        assert!(matches!(window.skip(9 << 20), Err(Short::Cut)));
    }
}
