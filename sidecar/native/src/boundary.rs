//! What every call from TypeScript passes through: numbers are checked, panics stop here.
//! One invariant: no value of a number and no panic leaves as anything but an errno.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A positive errno.
pub type Errno = i32;

/// Runs one call; a panic (a defect of the addon) becomes ENOTRECOVERABLE, never an unwinding
/// across the C frames of the JavaScript engine.
pub fn guard<T>(call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(libc::ENOTRECOVERABLE))
}

/// As `guard`, for calls that return a count or a negative errno.
pub fn guard_count(call: impl FnOnce() -> Result<usize, Errno>) -> i32 {
    match guard(call) {
        Ok(count) => i32::try_from(count).unwrap_or(-libc::EOVERFLOW),
        Err(errno) => -errno,
    }
}

/// As `guard`, for calls that return 0 or a positive errno.
pub fn guard_errno(call: impl FnOnce() -> Result<(), Errno>) -> i32 {
    guard(call).err().unwrap_or(0)
}

/// A JavaScript number that is an integer of 32 bits, or EINVAL.
pub fn integer(value: f64) -> Result<i32, Errno> {
    let whole = value as i32;
    if f64::from(whole) == value { Ok(whole) } else { Err(libc::EINVAL) }
}

/// A JavaScript number that is an unsigned integer of 32 bits, or EINVAL.
pub fn unsigned(value: f64) -> Result<u32, Errno> {
    let whole = value as u32;
    if f64::from(whole) == value { Ok(whole) } else { Err(libc::EINVAL) }
}

/// A JavaScript number that is a count or an index, or EINVAL.
pub fn count(value: f64) -> Result<usize, Errno> {
    usize::try_from(integer(value)?).map_err(|_| libc::EINVAL)
}

/// The 32 bits of a word that TypeScript may hold signed or unsigned, or EINVAL.
pub fn bits(value: f64) -> Result<i32, Errno> {
    integer(value).or_else(|_| unsigned(value).map(u32::cast_signed))
}

/// The calling thread's errno after a failed system call.
pub fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// The result of a system call that says -1 when it failed.
pub fn checked(result: i64) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| last_errno())
}

/// An errno with the name of the call that failed.
#[derive(Debug)]
pub struct Failure {
    pub errno: Errno,
    pub operation: &'static str,
}

/// Names the call that an errno came from.
pub trait During<T> {
    fn during(self, operation: &'static str) -> Result<T, Failure>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, operation: &'static str) -> Result<T, Failure> {
        self.map_err(|errno| Failure { errno, operation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_of_the_range_are_taken() {
        for bad in
            [f64::NAN, f64::INFINITY, -f64::INFINITY, 0.5, 2_147_483_648.0, 9e15, -2_147_483_649.0]
        {
            assert_eq!(integer(bad), Err(libc::EINVAL));
            assert_eq!(count(bad), Err(libc::EINVAL));
        }
        assert_eq!(integer(-1.0), Ok(-1));
        assert_eq!(count(-1.0), Err(libc::EINVAL));
        assert_eq!(unsigned(4_294_967_295.0), Ok(u32::MAX));
        assert_eq!(unsigned(4_294_967_296.0), Err(libc::EINVAL));
        assert_eq!(unsigned(-1.0), Err(libc::EINVAL));
        assert_eq!(bits(4_294_967_295.0), Ok(-1));
    }

    #[test]
    fn a_panic_becomes_an_errno() {
        assert_eq!(guard_errno(|| panic!("expected by this test")), libc::ENOTRECOVERABLE);
    }
}
