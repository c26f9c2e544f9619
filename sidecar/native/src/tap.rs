//! The kernel's tap and tun devices: opening one, reading and writing frames.

use crate::boundary::{During, Errno, Failure, checked};
use crate::handles::{self, Kind};
use crate::layout::{verdict, word};
use crate::slab::{Row, Slab, Table};
use libc::{c_int, ifreq, iovec};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Frames the kernel keeps for us to read: enough for a burst of a batch or two (the kernel's own
/// default of 500 is less than one large TCP window at 1 Gb/s and 10 ms).
const TRANSMIT_QUEUE_FRAMES: c_int = 1000;

/// A request about the interface of this name; EINVAL when the name cannot be one.
fn request(name: &str) -> Result<ifreq, Errno> {
    // SAFETY: an ifreq is integers, for all of which zero is a value.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() || name.bytes().any(|byte| byte == 0) {
        return Err(libc::EINVAL);
    }
    for (target, source) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *target = source.cast_signed();
    }
    Ok(request)
}

fn name_of(request: &ifreq) -> String {
    let bytes = request.ifr_name.iter().take_while(|byte| **byte != 0);
    String::from_utf8_lossy(&bytes.map(|byte| byte.cast_unsigned()).collect::<Vec<_>>()).into()
}

/// Sets how many frames wait in the device.
fn set_transmit_queue(device: &ifreq) -> Result<(), Errno> {
    // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
    let result = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    checked(result.into())?;
    // SAFETY: the descriptor was just opened and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(result) };
    let mut request = *device;
    // The queue length takes the same place in the union as the metric.
    request.ifr_ifru.ifru_metric = TRANSMIT_QUEUE_FRAMES;
    // SAFETY: the request is a whole ifreq that lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFTXQLEN, &raw mut request) };
    checked(result.into()).map(drop)
}

/// Opens a device of this name (empty or with `%d`: the kernel chooses); its handle and name.
pub fn open(name: &str, is_tap: bool) -> Result<(i32, String), Failure> {
    let mut request = request(name).during("TUNSETIFF")?;
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: the path is a string with a zero byte; the result is checked before it is used.
    let result = unsafe { libc::open(c"/dev/net/tun".as_ptr(), flags) };
    checked(result.into()).during("open /dev/net/tun")?;
    // SAFETY: the descriptor was just opened and nobody else owns it.
    let device = unsafe { OwnedFd::from_raw_fd(result) };
    let mode = if is_tap { libc::IFF_TAP } else { libc::IFF_TUN };
    request.ifr_ifru.ifru_flags = (mode | libc::IFF_NO_PI) as i16;
    // SAFETY: the request is a whole ifreq that lives through the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    checked(result.into()).during("TUNSETIFF")?;
    set_transmit_queue(&request).during("SIOCSIFTXQLEN")?;
    let handle = handles::insert(Kind::Tap, device).during("keep handle")?;
    Ok((handle, name_of(&request)))
}

/// Reads frames into rows from `first` on, one read each; EAGAIN when there is none.
pub fn read(
    device: BorrowedFd<'_>,
    memory: (&Slab, &Table),
    rows: (usize, usize),
    port: i32,
) -> Result<usize, Errno> {
    let (slab, frames) = memory;
    let (first, count) = rows;
    frames.check(first, count)?;
    for index in 0..count {
        let row = frames.row(first + index)?;
        match read_frame(device, slab, row) {
            Ok(()) => row.set(word::PORT, port),
            Err(errno) if index == 0 => return Err(errno),
            // What was read is handed over first; an error that lasts comes again.
            Err(_) => return Ok(index),
        }
    }
    Ok(count)
}

/// Reads one frame. The kernel cuts off silently what does not fit, so a spill behind the row's
/// room tells a frame that filled it from one that was longer.
fn read_frame(device: BorrowedFd<'_>, slab: &Slab, row: Row<'_>) -> Result<(), Errno> {
    let range = slab.range(row.get(word::START), row.get(word::LENGTH))?;
    let mut spill = [0u8; 1];
    let vectors = [
        iovec { iov_base: range.base.cast(), iov_len: range.length },
        iovec { iov_base: spill.as_mut_ptr().cast(), iov_len: spill.len() },
    ];
    // SAFETY: both vectors name memory that is valid for writing through the call: a checked
    // range of the slab, and `spill`.
    let result = unsafe { libc::readv(device.as_raw_fd(), vectors.as_ptr(), 2) };
    let bytes = checked(result as i64)?;
    let is_whole = bytes <= range.length;
    // Fits: it is no more than a row's length, which is a positive 32-bit number.
    row.set(word::LENGTH, bytes.min(range.length) as i32);
    row.set(word::VERDICT, if is_whole { verdict::NONE } else { verdict::MALFORMED });
    row.set(word::SEGMENT_BYTES, 0);
    row.set(word::SEGMENT_COUNT, 1);
    row.set(word::CHECKSUM, 0);
    row.set(word::HEADER_BYTES, 0);
    row.set(word::OFFLOAD, 0);
    Ok(())
}

/// Writes the frame of one row.
pub fn write(device: BorrowedFd<'_>, slab: &Slab, row: Row<'_>) -> Result<(), Errno> {
    let range = slab.range(row.get(word::START), row.get(word::LENGTH))?;
    // SAFETY: the range is inside the slab, which stays mapped through the call.
    let result =
        unsafe { libc::write(device.as_raw_fd(), range.base.cast_const().cast(), range.length) };
    checked(result as i64).map(drop)
}
