//! The rows that a stream's packets are given to. One invariant: a packet is copied only into the
//! bytes that its row grants.

use super::connection::Connection;
use crate::address::Endpoint;
use crate::boundary::Errno;
use crate::layout::{path_word, verdict, word};
use crate::slab::{Row, Slab, Table};

/// Rows to receive into.
pub struct Rows<'a> {
    pub slab: &'a Slab,
    pub received: &'a Table,
    pub arrivals: &'a Table,
    /// What to note as their socket.
    pub socket: usize,
    pub first: usize,
    pub count: usize,
    pub used: usize,
}

/// The end of a connection that is still to be told.
pub struct Ended {
    pub remote: Endpoint,
    pub local: [u8; 16],
    pub errno: Errno,
    pub was_kept: bool,
}

impl Rows<'_> {
    pub fn is_full(&self) -> bool {
        self.used >= self.count
    }

    /// Both rows of the next packet, with their path filled in.
    fn next(&mut self, remote: &Endpoint, local: &[u8; 16]) -> Result<Row<'_>, Errno> {
        let row = self.received.row(self.first + self.used)?;
        let arrival = self.arrivals.row(self.first + self.used)?;
        self.used += 1;
        arrival.set_ip(path_word::REMOTE_IP, &remote.ip);
        arrival.set(path_word::REMOTE_PORT, remote.port.into());
        arrival.set(path_word::REMOTE_SCOPE, remote.scope.cast_signed());
        arrival.set_ip(path_word::LOCAL_IP, local);
        arrival.set(path_word::INTERFACE_INDEX, 0);
        arrival.set(path_word::SOCKET, self.socket as i32);
        row.set(word::SEGMENT_BYTES, 0);
        row.set(word::SEGMENT_COUNT, 1);
        Ok(row)
    }

    /// Copies a packet into the next row; one that does not fit is `malformed`.
    pub fn put(&mut self, packet: &[u8], connection: &Connection) -> Result<(), Errno> {
        let slab = self.slab;
        let row = self.next(&connection.remote, &connection.local)?;
        let range = slab.range(row.get(word::START), row.get(word::LENGTH))?;
        let is_whole = packet.len() <= range.length;
        if is_whole {
            // SAFETY: the range is inside the slab and as long as the packet or longer; the
            // packet is in the hub's own memory.
            unsafe { std::ptr::copy_nonoverlapping(packet.as_ptr(), range.base, packet.len()) };
        }
        // Fits: a packet has no more than 65535 bytes.
        row.set(word::LENGTH, packet.len() as i32);
        row.set(word::VERDICT, if is_whole { verdict::NONE } else { verdict::MALFORMED });
        Ok(())
    }

    /// Tells of the end of a connection.
    pub fn tell(&mut self, ended: &Ended) -> Result<(), Errno> {
        let row = self.next(&ended.remote, &ended.local)?;
        row.set(word::LENGTH, 0);
        row.set(word::ID_LOW, ended.errno);
        row.set(word::ID_HIGH, ended.was_kept.into());
        row.set(word::VERDICT, verdict::ENDED);
        Ok(())
    }
}
