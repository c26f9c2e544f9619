//! What a UDP socket's error queue says: ICMP errors about datagrams that left by it. One invariant:
//! nothing is believed here, it is counted by kind; whoever knows both ports may have sent it.
//!
//! The kernel also tells each error once by whatever call comes next on the socket, which is about something
//! else: `Patience` says when that call is made again.

use crate::boundary::{Errno, checked};
use libc::{MSG_DONTWAIT, MSG_ERRQUEUE, c_int, msghdr, pollfd, sock_extended_err, socklen_t};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Errors taken in one call: what is left is told again at once.
const ERRORS_MAX: usize = 256;
/// A call is made so often at most, however quickly errors come in between.
const TRIES_MAX: usize = 64;
/// Room for one extended error with its offender's address, of both families.
const CONTROL_WORDS: usize = 32;

/// How many errors of each kind; each fits ten bits.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The host, its port or its network cannot be reached.
    pub unreachable: usize,
    /// A datagram was too long for a link on the way.
    pub too_big: usize,
    pub other: usize,
}

/// Takes what the queue holds, which also ends the readiness that epoll tells.
pub fn take(socket: BorrowedFd<'_>) -> Result<Counts, Errno> {
    let mut counts = Counts::default();
    for _ in 0..ERRORS_MAX {
        let mut control = [0u64; CONTROL_WORDS];
        // SAFETY: all fields of a msghdr may be zero.
        let mut header: msghdr = unsafe { std::mem::zeroed() };
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        // SAFETY: the header names control memory of the length said and nothing else.
        let result = unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut header, MSG_ERRQUEUE | MSG_DONTWAIT)
        };
        match checked(result as i64) {
            Err(libc::EAGAIN) => {
                forget_told(socket);
                break;
            }
            other => other?,
        };
        // SAFETY: the kernel filled the header; its control memory is aligned and initialised.
        if let Some(error) = unsafe { extended_error(&header) } {
            counts.add(&error);
        }
    }
    Ok(counts)
}

/// How often a call that was refused is made again.
#[derive(Default)]
pub struct Patience {
    tries: usize,
}

impl Patience {
    /// Whether what was refused may be an error about a packet before. It is for the first one in a row, as it
    /// may be told a moment before it is in the queue, or after; then as long as the queue has any.
    pub fn lasts(&mut self, socket: BorrowedFd<'_>, errno: Errno) -> bool {
        self.tries += 1;
        let may = is_told_by_icmp(errno)
            && self.tries < TRIES_MAX
            && (self.tries == 1 || has_errors(socket));
        if !may {
            self.tries = 0;
        }
        may
    }

    /// The call was made.
    pub fn renew(&mut self) {
        self.tries = 0;
    }
}

/// Whether the kernel makes this errno of an ICMP error; it makes none of these.
fn is_told_by_icmp(errno: Errno) -> bool {
    !matches!(
        errno,
        libc::EAGAIN
            | libc::ENOBUFS
            | libc::ENETDOWN
            | libc::EADDRNOTAVAIL
            | libc::EINVAL
            | libc::ENODEV
            | libc::EAFNOSUPPORT
    )
}

fn has_errors(socket: BorrowedFd<'_>) -> bool {
    let mut asked = pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    let result = unsafe { libc::poll(&raw mut asked, 1, 0) };
    result > 0 && asked.revents & libc::POLLERR != 0
}

/// An error that is told of but not kept, as the queue was full, would wake epoll for ever.
fn forget_told(socket: BorrowedFd<'_>) {
    let mut errno: c_int = 0;
    let mut bytes = size_of::<c_int>() as socklen_t;
    // SAFETY: the value has the bytes it says. The result does not matter: there is nothing to do about it.
    let _ = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut errno).cast(),
            &raw mut bytes,
        )
    };
}

impl Counts {
    fn add(&mut self, error: &sock_extended_err) {
        const ICMP: u8 = libc::SO_EE_ORIGIN_ICMP;
        const ICMP6: u8 = libc::SO_EE_ORIGIN_ICMP6;
        match (error.ee_origin, error.ee_type, error.ee_code) {
            // RFC 792: destination unreachable, of which code 4 is "fragmentation needed".
            (ICMP, 3, 4) | (ICMP6, 2, _) => self.too_big += 1,
            // RFC 4443, 3.1.
            (ICMP, 3, _) | (ICMP6, 1, _) => self.unreachable += 1,
            (ICMP | ICMP6, _, _) => self.other += 1,
            // This host's own: whoever sent has had the errno.
            _ => {}
        }
    }
}

/// The extended error among the control messages.
///
/// # Safety
/// `header` was filled by the kernel and its control memory is valid, aligned and initialised.
unsafe fn extended_error(header: &msghdr) -> Option<sock_extended_err> {
    // SAFETY: the caller vouches for header and control memory; the CMSG macros stay inside it.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: `at` is a whole header inside the control memory.
        let message = unsafe { at.read_unaligned() };
        let is_error = matches!(
            (message.cmsg_level, message.cmsg_type),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        );
        let bytes = message.cmsg_len.saturating_sub(size_of::<libc::cmsghdr>());
        if is_error && bytes >= size_of::<sock_extended_err>() {
            // SAFETY: the message is at least as long as the value read.
            return Some(unsafe {
                libc::CMSG_DATA(at).cast::<sock_extended_err>().read_unaligned()
            });
        }
        // SAFETY: `at` came from this header's control memory.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    None
}
