//! A netlink socket that becomes readable when links, addresses or routes change. What the
//! messages say is not read: whoever is woken takes new dumps, so a lost message loses nothing.

use crate::boundary::{Errno, checked};
use crate::handles::{self, Kind};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const GROUPS: u32 = (libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_ROUTE) as u32;
/// Messages thrown away at once; more wait for the next call, epoll is level triggered.
const MESSAGES_MAX: usize = 256;

/// Opens the socket in the calling thread's network namespace.
pub fn open() -> Result<i32, Errno> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
    let result = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
    checked(result.into())?;
    // SAFETY: the descriptor was just opened and nobody else owns it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(result) };
    // SAFETY: all zero is a valid address of this plain structure.
    let mut address: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    address.nl_groups = GROUPS;
    // SAFETY: the address has the size said and lives through the call.
    let result = unsafe {
        libc::bind(
            descriptor.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_nl>() as u32,
        )
    };
    checked(result.into())?;
    handles::insert(Kind::Watch, descriptor)
}

/// Throws away what waits; an overrun (ENOBUFS) is a change like any other.
pub fn drain(descriptor: BorrowedFd) {
    let mut bytes = [0u8; 64];
    for _ in 0..MESSAGES_MAX {
        // SAFETY: the array has the room said; what does not fit is cut off by the kernel.
        let result = unsafe {
            libc::recv(
                descriptor.as_raw_fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                libc::MSG_TRUNC,
            )
        };
        if result < 0 && checked(result as i64) == Err(libc::EAGAIN) {
            return;
        }
    }
}
