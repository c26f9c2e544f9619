//! Reed-Solomon over blocks of sealed packets: parity made of data, and lost data made again. One
//! invariant: arithmetic happens in memory of the addon alone, so rows that overlap in the slab
//! can spoil their own bytes and nothing else.
//!
//! Rows 0 to data_max - 1 of the table are data, the next parity_max rows are parity. A shard that
//! is shorter than the block's counts as if zeros followed.

use crate::boundary::{Errno, count, guard, guard_count};
use crate::layout::size::{PARITY_DATA_MAX, PARITY_MAX};
use crate::layout::{verdict, word};
use crate::slab::{Range, Row, SharedBytes, SharedWords, Slab, Table};
use napi::Result;
use napi_derive::napi;
use reed_solomon_erasure::galois_8::ReedSolomon;

/// Codecs kept: making one costs tens of microseconds, for the largest shape milliseconds.
const CODECS_MAX: usize = 8;
/// No UDP datagram is larger.
const SHARD_BYTES_MAX: usize = 65_535;

/// Whether this processor has what the arithmetic was compiled for.
pub fn is_usable() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // The crate's C is compiled for Haswell.
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("movbe")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

/// How many data and parity packets a block has, and bytes of the longest.
struct Shape {
    data_max: usize,
    parity_max: usize,
    bytes: usize,
}

impl Shape {
    fn new(data_max: f64, parity_max: f64, bytes: f64) -> core::result::Result<Self, Errno> {
        let (data_max, parity_max) = (count(data_max)?, count(parity_max)?);
        let bytes = count(bytes)?;
        if !is_usable() {
            return Err(libc::EOPNOTSUPP);
        }
        let is_valid = (1..=PARITY_DATA_MAX).contains(&data_max)
            && (1..=PARITY_MAX).contains(&parity_max)
            && (1..=SHARD_BYTES_MAX).contains(&bytes);
        if is_valid { Ok(Self { data_max, parity_max, bytes }) } else { Err(libc::EINVAL) }
    }
}

/// See `native.ts`.
#[napi]
pub struct Parity {
    slab: Slab,
    shards: Table,
    codecs: Vec<((usize, usize), ReedSolomon)>,
    next: usize,
    /// The shards of one block, side by side, each as long as the longest.
    scratch: Vec<u8>,
}

#[napi]
impl Parity {
    /// Takes views of SharedArrayBuffers; anything else is refused with an exception.
    #[napi(constructor)]
    pub fn new(slab: SharedBytes, shards: SharedWords) -> Result<Self> {
        Ok(Self {
            slab: Slab::new(slab)?,
            shards: Table::new(shards),
            codecs: Vec::new(),
            next: 0,
            scratch: Vec::new(),
        })
    }

    /// Fills the parity rows that have a length; how many.
    #[napi]
    pub fn encode(&mut self, data_max: f64, parity_max: f64, bytes: f64) -> i32 {
        guard_count(|| self.encode_block(&Shape::new(data_max, parity_max, bytes)?))
    }

    /// Makes the data rows marked `open` again from those marked `done`; how many.
    #[napi]
    pub fn recover(&mut self, data_max: f64, parity_max: f64, bytes: f64) -> i32 {
        guard_count(|| self.recover_block(&Shape::new(data_max, parity_max, bytes)?))
    }

    fn encode_block(&mut self, shape: &Shape) -> core::result::Result<usize, Errno> {
        let Self { slab, shards, codecs, next, scratch } = self;
        shards.check(0, shape.data_max + shape.parity_max)?;
        let codec = codec(codecs, next, shape)?;
        scratch.clear();
        scratch.resize(shape.parity_max * shape.bytes, 0);
        for index in 0..shape.data_max {
            let range = row_range(slab, shards.row(index)?, shape)?;
            if range.length == 0 {
                continue;
            }
            // SAFETY: the range is inside the slab, which stays mapped; TypeScript grants its
            // bytes to this call, and scratch memory is elsewhere.
            let data = unsafe { std::slice::from_raw_parts(range.base, range.length) };
            let mut parity: [&mut [u8]; PARITY_MAX] = core::array::from_fn(|_| &mut [][..]);
            for (slice, whole) in parity.iter_mut().zip(scratch.chunks_exact_mut(shape.bytes)) {
                *slice = &mut whole[..range.length];
            }
            codec
                .encode_single_sep(index, data, &mut parity[..shape.parity_max])
                .map_err(|_| libc::EINVAL)?;
        }
        let mut written = 0;
        for (index, bytes) in scratch.chunks_exact(shape.bytes).enumerate() {
            let row = shards.row(shape.data_max + index)?;
            if row.get(word::LENGTH) != 0 {
                write(slab, row, bytes)?;
                written += 1;
            }
        }
        Ok(written)
    }

    fn recover_block(&mut self, shape: &Shape) -> core::result::Result<usize, Errno> {
        let Self { slab, shards, codecs, next, scratch } = self;
        let total = shape.data_max + shape.parity_max;
        shards.check(0, total)?;
        let codec = codec(codecs, next, shape)?;
        scratch.clear();
        scratch.resize(total * shape.bytes, 0);
        let mut wanted = [false; PARITY_DATA_MAX];
        let mut block = Vec::with_capacity(total);
        for (index, bytes) in scratch.chunks_exact_mut(shape.bytes).enumerate() {
            let row = shards.row(index)?;
            let is_data = index < shape.data_max;
            let is_present = match row.get(word::VERDICT) {
                verdict::DONE => {
                    read(slab, row, shape, bytes)?;
                    true
                }
                verdict::OPEN if is_data => {
                    wanted[index] = true;
                    false
                }
                // What a short block does not have is zero.
                verdict::NONE => is_data,
                _ => return Err(libc::EINVAL),
            };
            block.push((bytes, is_present));
        }
        codec.reconstruct_data(&mut block).map_err(|_| libc::ENODATA)?;
        let mut restored = 0;
        for (index, (bytes, _)) in block.iter().enumerate().take(shape.data_max) {
            if wanted[index] {
                let row = shards.row(index)?;
                write(slab, row, bytes)?;
                row.set(word::VERDICT, verdict::OPENED);
                restored += 1;
            }
        }
        Ok(restored)
    }
}

/// Whether this machine can do the arithmetic.
#[napi]
pub fn parity_usable() -> bool {
    guard(|| Ok(is_usable())).unwrap_or(false)
}

/// The codec of a shape, made when it is not among those kept.
fn codec<'a>(
    codecs: &'a mut Vec<((usize, usize), ReedSolomon)>,
    next: &mut usize,
    shape: &Shape,
) -> core::result::Result<&'a ReedSolomon, Errno> {
    let key = (shape.data_max, shape.parity_max);
    let place = match codecs.iter().position(|(kept, _)| *kept == key) {
        Some(place) => place,
        None => {
            let made = ReedSolomon::new(key.0, key.1).map_err(|_| libc::EINVAL)?;
            let place = *next;
            *next = (place + 1) % CODECS_MAX;
            if place < codecs.len() {
                codecs[place] = (key, made);
            } else {
                codecs.push((key, made));
            }
            place
        }
    };
    codecs.get(place).map(|(_, codec)| codec).ok_or(libc::EINVAL)
}

/// The bytes that a row names, at most a shard.
fn row_range(slab: &Slab, row: Row<'_>, shape: &Shape) -> core::result::Result<Range, Errno> {
    let range = slab.range(row.get(word::START), row.get(word::LENGTH))?;
    if range.length <= shape.bytes { Ok(range) } else { Err(libc::EINVAL) }
}

/// Copies a row's bytes to the front of `bytes`, which are zero.
fn read(
    slab: &Slab,
    row: Row<'_>,
    shape: &Shape,
    bytes: &mut [u8],
) -> core::result::Result<(), Errno> {
    let range = row_range(slab, row, shape)?;
    // SAFETY: the range is inside the slab, whose bytes TypeScript grants to this call, and it is
    // no longer than `bytes`, which are elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(range.base, bytes.as_mut_ptr(), range.length) };
    Ok(())
}

/// Copies a whole shard to where a row begins; its length must have room for it, and becomes it.
fn write(slab: &Slab, row: Row<'_>, bytes: &[u8]) -> core::result::Result<(), Errno> {
    let range = slab.range(row.get(word::START), row.get(word::LENGTH))?;
    if range.length < bytes.len() {
        return Err(libc::EINVAL);
    }
    // SAFETY: the range is inside the slab, whose bytes TypeScript grants to this call, it has
    // room for `bytes`, and these are elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), range.base, bytes.len()) };
    row.set(word::LENGTH, bytes.len() as i32);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field of the code, by long multiplication modulo x^8 + x^4 + x^3 + x^2 + 1.
    fn product(a: u8, b: u8) -> u8 {
        let (mut a, mut b, mut sum) = (u16::from(a), b, 0u16);
        while b != 0 {
            if b & 1 != 0 {
                sum ^= a;
            }
            a <<= 1;
            if a & 0x100 != 0 {
                a ^= 0x11d;
            }
            b >>= 1;
        }
        sum as u8
    }

    /// Parity of every length is what the field says, whatever instructions compute it.
    #[test]
    fn parity_is_linear_in_the_field_at_every_length() {
        if !is_usable() {
            return;
        }
        let codec = ReedSolomon::new(10, 3).unwrap();
        for bytes in [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1400, 1426] {
            for index in 0..10 {
                let coefficients = parity_of(&codec, index, &[1]);
                let data: Vec<u8> = (0..bytes).map(|at| (at * 37 + index) as u8).collect();
                for (parity, coefficient) in
                    parity_of(&codec, index, &data).iter().zip(coefficients)
                {
                    let naive: Vec<u8> =
                        data.iter().map(|byte| product(coefficient[0], *byte)).collect();
                    assert_eq!(parity, &naive, "{bytes} {index}");
                }
            }
        }
    }

    fn parity_of(codec: &ReedSolomon, index: usize, data: &[u8]) -> Vec<Vec<u8>> {
        let mut parity = vec![vec![0; data.len()]; 3];
        // The first data shard overwrites, so only it may come first.
        let zero = vec![0; data.len()];
        codec.encode_single_sep(0, &zero, &mut parity).unwrap();
        codec.encode_single_sep(index, data, &mut parity).unwrap();
        parity
    }
}
