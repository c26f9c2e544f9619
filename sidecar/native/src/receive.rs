//! Receiving datagrams into rows: one recvmmsg for a few, a second one when there are more.

use crate::batch::{Batch, headers};
use crate::boundary::{Errno, checked};
use crate::control_message;
use crate::errors::Patience;
use crate::layout::{path_word, size::BATCH_MAX, verdict, word};
use crate::slab::{Row, Slab, Table};
use libc::{MSG_DONTWAIT, MSG_TRUNC, mmsghdr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams that are asked for at first. Headers for a whole batch are written in 30 KiB of memory,
/// which costs a datagram that comes alone more than all else does.
const FEW: usize = 8;

/// The arrays for receiving.
pub struct Receiver {
    batch: Batch,
    headers: Box<[mmsghdr]>,
}

/// Rows to receive into, and what to note as their socket.
pub struct Request<'a> {
    pub descriptor: BorrowedFd<'a>,
    pub socket: usize,
    pub first: usize,
    pub count: usize,
}

impl Receiver {
    pub fn new() -> Self {
        Self { batch: Batch::new(), headers: headers() }
    }

    /// Receives up to `count` datagrams into rows from `first` on; EAGAIN when there is none.
    pub fn receive(
        &mut self,
        slab: &Slab,
        tables: (&Table, &Table),
        request: &Request<'_>,
    ) -> Result<usize, Errno> {
        let (received, arrivals) = tables;
        received.check(request.first, request.count)?;
        arrivals.check(request.first, request.count)?;
        let count = request.count.min(BATCH_MAX);
        let few = count.min(FEW);
        let filled = self.receive_rows(slab, tables, &Request { count: few, ..*request })?;
        let rest = Request { first: request.first + filled, count: count - filled, ..*request };
        if filled < few || rest.count == 0 {
            return Ok(filled);
        }
        // An error that lasts comes again with the next call.
        Ok(filled + self.receive_rows(slab, tables, &rest).unwrap_or(0))
    }

    /// The same by one system call.
    fn receive_rows(
        &mut self,
        slab: &Slab,
        tables: (&Table, &Table),
        request: &Request<'_>,
    ) -> Result<usize, Errno> {
        let (received, arrivals) = tables;
        let count = request.count;
        for index in 0..count {
            let row = received.row(request.first + index)?;
            let range = slab.range(row.get(word::START), row.get(word::LENGTH))?;
            self.headers[index] = self.batch.header(index, range);
        }
        if count == 0 {
            return Ok(0);
        }
        // An ICMP error is told once by whatever call comes next: what arrived is asked for again.
        let mut patience = Patience::default();
        let filled = loop {
            match self.receive_batch(request, count) {
                Err(errno) if patience.lasts(request.descriptor, errno) => {}
                other => break other?,
            }
        };
        for index in 0..filled {
            let row = received.row(request.first + index)?;
            let arrival = arrivals.row(request.first + index)?;
            self.report(index, row, arrival);
            arrival.set(path_word::SOCKET, request.socket as i32);
        }
        Ok(filled)
    }

    /// One recvmmsg with the headers that are filled.
    fn receive_batch(&mut self, request: &Request<'_>, count: usize) -> Result<usize, Errno> {
        // SAFETY: `count` headers were just filled with the batch's own arrays and with ranges
        // inside the slab, which stays mapped; the descriptor is open while it is borrowed.
        let result = unsafe {
            libc::recvmmsg(
                request.descriptor.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as u32,
                MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        Ok(checked(result.into())?.min(count))
    }

    /// Writes what recvmmsg said about message `index` into its two rows.
    fn report(&self, index: usize, row: Row<'_>, arrival: Row<'_>) {
        let header = &self.headers[index];
        let is_truncated = header.msg_hdr.msg_flags & MSG_TRUNC != 0;
        let remote = self.batch.names[index].read();
        let is_whole = !is_truncated && remote.is_some();
        row.set(word::LENGTH, header.msg_len.cast_signed());
        row.set(word::VERDICT, if is_whole { verdict::NONE } else { verdict::MALFORMED });
        row.set(word::SEGMENT_BYTES, 0);
        row.set(word::SEGMENT_COUNT, 1);
        if let Some(remote) = remote {
            arrival.set_ip(path_word::REMOTE_IP, &remote.ip);
            arrival.set(path_word::REMOTE_PORT, remote.port.into());
            arrival.set(path_word::REMOTE_SCOPE, remote.scope.cast_signed());
        }
        // SAFETY: the kernel filled the header, whose control memory is this batch's: aligned,
        // initialised, and of the length the header came with or less.
        let local = unsafe { control_message::read(&header.msg_hdr) };
        arrival.set_ip(path_word::LOCAL_IP, &local.ip);
        arrival.set(path_word::INTERFACE_INDEX, local.interface.cast_signed());
    }
}
