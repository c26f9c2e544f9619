//! The arrays that recvmmsg and sendmmsg work on, made once. One invariant: a header points at
//! this batch's own arrays (which never move) and at a checked range of bytes.

use crate::address::{Name, SOCKADDR_BYTES};
use crate::control_message::{CONTROL_BYTES, Control};
use crate::layout::size::BATCH_MAX;
use crate::slab::Range;
use libc::{iovec, mmsghdr};

/// An mmsghdr that points nowhere.
fn empty_header() -> mmsghdr {
    // SAFETY: an mmsghdr is integers and pointers, for all of which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// Headers that stand side by side, as one system call takes them.
pub fn headers() -> Box<[mmsghdr]> {
    (0..BATCH_MAX).map(|_| empty_header()).collect()
}

/// Names, control memory and I/O vectors of up to BATCH_MAX messages.
pub struct Batch {
    pub vectors: Box<[iovec]>,
    pub names: Box<[Name]>,
    pub controls: Box<[Control]>,
}

impl Batch {
    pub fn new() -> Self {
        let vector = iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self {
            vectors: vec![vector; BATCH_MAX].into_boxed_slice(),
            names: vec![Name::empty(); BATCH_MAX].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_BYTES]); BATCH_MAX].into_boxed_slice(),
        }
    }

    /// A header whose bytes, name and control memory are those of message `index`.
    pub fn header(&mut self, index: usize, range: Range) -> mmsghdr {
        self.vectors[index] = iovec { iov_base: range.base.cast(), iov_len: range.length };
        let mut header = empty_header();
        header.msg_hdr.msg_iov = &raw mut self.vectors[index];
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = (&raw mut self.names[index]).cast();
        header.msg_hdr.msg_namelen = SOCKADDR_BYTES;
        header.msg_hdr.msg_control = (&raw mut self.controls[index]).cast();
        header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
        header
    }
}
