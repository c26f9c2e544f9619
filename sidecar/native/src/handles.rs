//! The process-wide table of file descriptors that TypeScript names by small positive integers.
//! One invariant: a handle names the descriptor it was given for or nothing at all; the number
//! carries a generation, so a closed handle stays wrong when its place is used again.
//!
//! Closing takes a descriptor out of the table; it stays open while a lane has it attached.

use crate::boundary::{Errno, checked};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const INDEX_BITS: u32 = 10;
const HANDLES_MAX: usize = 1 << INDEX_BITS;
const GENERATION_MAX: u32 = (1 << (31 - INDEX_BITS)) - 1;

/// What a descriptor is; decides what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Event,
    Tap,
    /// A netlink socket that hears of changes of links, addresses and routes.
    Watch,
    /// A UDP socket of address family AF_INET.
    SocketV4,
    /// A UDP socket of address family AF_INET6, which may also carry IPv4.
    SocketV6,
    /// A listening TCP socket; each connection gets a send buffer of this size.
    StreamListener {
        buffer_bytes: i32,
    },
    /// The place of a socket that dials by TCP.
    StreamDialler {
        buffer_bytes: i32,
    },
    /// All connections of a listener or dialler in a lane.
    Stream,
}

/// An open descriptor and its kind.
#[derive(Clone)]
pub struct Handle {
    pub kind: Kind,
    pub descriptor: Arc<OwnedFd>,
}

struct Place {
    generation: u32,
    handle: Option<Handle>,
}

static PLACES: Mutex<Vec<Place>> = Mutex::new(Vec::new());

fn places() -> MutexGuard<'static, Vec<Place>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a descriptor and returns its handle; ENFILE (and the descriptor is closed) when full.
pub fn insert(kind: Kind, descriptor: OwnedFd) -> Result<i32, Errno> {
    let mut places = places();
    let free = places.iter().position(|place| place.handle.is_none());
    let index = match free {
        Some(index) => index,
        None if places.len() < HANDLES_MAX => {
            places.push(Place { generation: 0, handle: None });
            places.len() - 1
        }
        None => return Err(libc::ENFILE),
    };
    let place = &mut places[index];
    place.generation = place.generation % GENERATION_MAX + 1;
    place.handle = Some(Handle { kind, descriptor: Arc::new(descriptor) });
    let number = (place.generation << INDEX_BITS) | index as u32;
    i32::try_from(number).map_err(|_| libc::EOVERFLOW)
}

/// Index of the place a handle names, or EBADF.
fn find(places: &[Place], handle: i32) -> Result<usize, Errno> {
    let number = u32::try_from(handle).map_err(|_| libc::EBADF)?;
    let index = (number as usize) & (HANDLES_MAX - 1);
    match places.get(index) {
        Some(place) if place.generation == number >> INDEX_BITS && place.handle.is_some() => {
            Ok(index)
        }
        _ => Err(libc::EBADF),
    }
}

/// A share of what a handle names, or EBADF.
pub fn get(handle: i32) -> Result<Handle, Errno> {
    let places = places();
    let index = find(&places, handle)?;
    places[index].handle.clone().ok_or(libc::EBADF)
}

/// Forgets a handle; the descriptor is closed once no lane has it attached.
pub fn close(handle: i32) -> Result<(), Errno> {
    let mut places = places();
    let index = find(&places, handle)?;
    places[index].handle = None;
    Ok(())
}

/// Opens an eventfd.
pub fn event_open() -> Result<i32, Errno> {
    // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
    let result = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    checked(result.into())?;
    // SAFETY: the descriptor was just opened and nobody else owns it.
    insert(Kind::Event, unsafe { OwnedFd::from_raw_fd(result) })
}

/// Adds 1 to an eventfd, which wakes the lane it is attached to. A full counter is awake already.
pub fn kick(handle: i32) -> Result<(), Errno> {
    let Handle { kind: Kind::Event, descriptor } = get(handle)? else {
        return Err(libc::EBADF);
    };
    let one = 1u64.to_ne_bytes();
    // SAFETY: the descriptor is open while `descriptor` lives and `one` has the 8 bytes named.
    let result = unsafe { libc::write(descriptor.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    match checked(result as i64) {
        Ok(_) | Err(libc::EAGAIN) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_handle_stays_wrong_when_its_place_is_used_again() {
        let first = event_open().unwrap();
        assert_eq!(kick(first), Ok(()));
        assert_eq!(close(first), Ok(()));
        let second = event_open().unwrap();
        assert_ne!(first, second);
        assert_eq!(kick(first), Err(libc::EBADF));
        assert_eq!(close(first), Err(libc::EBADF));
        assert_eq!(close(second), Ok(()));
    }

    #[test]
    fn numbers_that_were_never_handles_are_refused() {
        for handle in [0, -1, 1, i32::MAX, i32::MIN, 1 << INDEX_BITS | 1023] {
            assert_eq!(close(handle), Err(libc::EBADF), "{handle}");
        }
    }
}
