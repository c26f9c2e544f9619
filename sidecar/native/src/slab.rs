//! Checked views of the memory shared with TypeScript: the slab of bytes and tables of words.
//! One invariant: no address is formed from a row or an offset that was not checked against the
//! size taken when the lane was made (a SharedArrayBuffer can neither shrink nor be detached).
//!
//! Other threads may write this memory at any time. Words are therefore read and written as
//! relaxed atomics, once each; bytes are reached by raw pointers and slices that live as long as
//! one cipher call, over a range that TypeScript grants to that call.

use crate::boundary::Errno;
use crate::layout::size::DESCRIPTOR_WORDS;
use napi::bindgen_prelude::{FromNapiValue, Int32Array, TypeName, Uint8Array, ValidateNapiValue};
use napi::{Error, Result, Status, ValueType, sys};
use std::sync::atomic::{AtomicI32, Ordering};

/// Refuses a view whose buffer is not a SharedArrayBuffer.
///
/// # Safety
/// `env` and `value` come from the engine and are valid for this call.
unsafe fn refuse_unshared(env: sys::napi_env, value: sys::napi_value) -> Result<()> {
    let mut kind = 0;
    let mut length = 0;
    let mut data = std::ptr::null_mut();
    let mut buffer = std::ptr::null_mut();
    let mut offset = 0;
    let mut is_unshared = true;
    // SAFETY: every out pointer names a local of the type the call expects; `buffer` is valid
    // once the first call succeeded.
    let is_view = unsafe {
        sys::napi_get_typedarray_info(
            env,
            value,
            &mut kind,
            &mut length,
            &mut data,
            &mut buffer,
            &mut offset,
        ) == sys::Status::napi_ok
            && sys::napi_is_arraybuffer(env, buffer, &mut is_unshared) == sys::Status::napi_ok
    };
    if is_view && !is_unshared {
        return Ok(());
    }
    Err(Error::new(Status::InvalidArg, "EINVAL: a lane needs views of a SharedArrayBuffer"))
}

/// Declares a view that keeps its SharedArrayBuffer alive and is refused over any other buffer.
macro_rules! shared_view {
    ($name:ident, $inner:ident) => {
        pub struct $name($inner);

        impl TypeName for $name {
            fn type_name() -> &'static str {
                stringify!($inner)
            }
            fn value_type() -> ValueType {
                ValueType::Object
            }
        }

        impl ValidateNapiValue for $name {}

        impl FromNapiValue for $name {
            unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
                // SAFETY: the engine's own arguments are passed on unchanged.
                unsafe {
                    refuse_unshared(env, value)?;
                    Ok(Self($inner::from_napi_value(env, value)?))
                }
            }
        }
    };
}

shared_view!(SharedBytes, Uint8Array);
shared_view!(SharedWords, Int32Array);

/// The slab of packet bytes.
pub struct Slab {
    base: *mut u8,
    bytes: usize,
    _view: Option<SharedBytes>,
}

impl Slab {
    pub fn new(view: SharedBytes) -> Result<Self> {
        let bytes = view.0.len();
        if bytes == 0 || i32::try_from(bytes).is_err() {
            return Err(Error::new(Status::InvalidArg, "EINVAL: a slab has 1 to 2^31 - 1 bytes"));
        }
        Ok(Self { base: view.0.as_ptr().cast_mut(), bytes, _view: Some(view) })
    }

    /// The range that two descriptor words name, or EINVAL.
    pub fn range(&self, start: i32, length: i32) -> core::result::Result<Range, Errno> {
        let (start, length) = match (usize::try_from(start), usize::try_from(length)) {
            (Ok(start), Ok(length)) => (start, length),
            _ => return Err(libc::EINVAL),
        };
        match start.checked_add(length) {
            Some(limit) if limit <= self.bytes => {
                // SAFETY: start <= limit <= bytes, so the address is inside the slab or one past it.
                Ok(Range { base: unsafe { self.base.add(start) }, length })
            }
            _ => Err(libc::EINVAL),
        }
    }

    #[cfg(test)]
    pub fn over(memory: &mut [u8]) -> Self {
        Self { base: memory.as_mut_ptr(), bytes: memory.len(), _view: None }
    }
}

/// Bytes inside the slab, checked.
#[derive(Clone, Copy)]
pub struct Range {
    pub base: *mut u8,
    pub length: usize,
}

/// A table of rows of `DESCRIPTOR_WORDS` words. Words behind the last whole row do not exist.
pub struct Table {
    base: *mut i32,
    rows: usize,
    _view: Option<SharedWords>,
}

impl Table {
    pub fn new(view: SharedWords) -> Self {
        let rows = view.0.len() / DESCRIPTOR_WORDS;
        Self { base: view.0.as_ptr().cast_mut(), rows, _view: Some(view) }
    }

    /// A row by its index, or EINVAL.
    pub fn row(&self, index: usize) -> core::result::Result<Row<'_>, Errno> {
        if index >= self.rows {
            return Err(libc::EINVAL);
        }
        // SAFETY: index < rows and rows * DESCRIPTOR_WORDS words are inside the view; a view's
        // first word is aligned; all access to these words is atomic.
        let first = unsafe { self.base.add(index * DESCRIPTOR_WORDS) };
        Ok(Row { first, _table: self })
    }

    /// EINVAL unless rows `first` to `first + count - 1` all exist.
    pub fn check(&self, first: usize, count: usize) -> core::result::Result<(), Errno> {
        match first.checked_add(count) {
            Some(limit) if limit <= self.rows => Ok(()),
            _ => Err(libc::EINVAL),
        }
    }

    #[cfg(test)]
    pub fn over(memory: &mut [i32]) -> Self {
        Self { base: memory.as_mut_ptr(), rows: memory.len() / DESCRIPTOR_WORDS, _view: None }
    }
}

/// One row of a table.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    first: *mut i32,
    _table: &'a Table,
}

impl Row<'_> {
    fn word(&self, index: usize) -> &AtomicI32 {
        assert!(index < DESCRIPTOR_WORDS, "a word is inside its row");
        // SAFETY: the row was checked when it was made and the index just now; the address is
        // aligned and stays mapped while the table, which this row borrows, keeps its view.
        unsafe { AtomicI32::from_ptr(self.first.add(index)) }
    }

    pub fn get(&self, index: usize) -> i32 {
        self.word(index).load(Ordering::Relaxed)
    }

    pub fn set(&self, index: usize, value: i32) {
        self.word(index).store(value, Ordering::Relaxed);
    }

    /// Four words of an IP address, v4-mapped for IPv4, as its 16 bytes.
    pub fn ip(&self, index: usize) -> [u8; 16] {
        let mut ip = [0; 16];
        for (part, bytes) in ip.chunks_exact_mut(4).enumerate() {
            bytes.copy_from_slice(&self.get(index + part).to_be_bytes());
        }
        ip
    }

    pub fn set_ip(&self, index: usize, ip: &[u8; 16]) {
        for (part, bytes) in ip.chunks_exact(4).enumerate() {
            let word = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            self.set(index + part, word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_inside_the_slab_or_refused() {
        let mut memory = [0u8; 64];
        let slab = Slab::over(&mut memory);
        for (start, length) in [(0, 0), (0, 64), (63, 1), (64, 0)] {
            assert!(slab.range(start, length).is_ok(), "{start} {length}");
        }
        for (start, length) in [
            (-1, 1),
            (0, -1),
            (0, 65),
            (64, 1),
            (65, 0),
            (i32::MAX, i32::MAX),
            (i32::MIN, 1),
            (1, i32::MIN),
        ] {
            assert!(slab.range(start, length).is_err(), "{start} {length}");
        }
    }

    #[test]
    fn words_behind_the_last_whole_row_do_not_exist() {
        let mut memory = [0i32; 16 * 2 + 15];
        let table = Table::over(&mut memory);
        assert!(table.row(1).is_ok());
        assert!(table.row(2).is_err());
        assert!(table.row(usize::MAX).is_err());
        assert!(table.check(0, 2).is_ok());
        assert!(table.check(2, 0).is_ok());
        assert!(table.check(1, 2).is_err());
        assert!(table.check(usize::MAX, 2).is_err());
    }

    #[test]
    fn an_address_goes_through_four_words_and_back() {
        let mut memory = [0i32; 16];
        let table = Table::over(&mut memory);
        let ip: [u8; 16] = core::array::from_fn(|i| 0xf0 | i as u8);
        let row = table.row(0).unwrap();
        row.set_ip(6, &ip);
        assert_eq!(row.ip(6), ip);
        assert_eq!(row.get(6), i32::from_be_bytes([0xf0, 0xf1, 0xf2, 0xf3]));
        assert_eq!(row.get(5), 0);
        assert_eq!(row.get(10), 0);
    }
}
