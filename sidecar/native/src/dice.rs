//! Random choices for tests and fuzzing, the same for the same seed (xorshift64*).

/// A generator.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A whole number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit.max(1)
    }

    /// A byte, most often one at the edge of something.
    pub fn edge(&mut self) -> u8 {
        const EDGES: [u8; 8] = [0, 0, 1, 2, 4, 0x7f, 0x80, 0xff];
        if self.below(3) == 0 { self.next() as u8 } else { EDGES[self.below(EDGES.len())] }
    }
}
