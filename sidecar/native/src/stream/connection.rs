//! One TCP connection: what has arrived of a packet, what is left of one that is leaving. One
//! invariant: a packet leaves whole or not at all, and no more than one waits half sent.

use super::framing::PREFIX_BYTES;
use crate::address::{Endpoint, Name, SOCKADDR_BYTES};
use crate::boundary::{Errno, checked};
use libc::{IPPROTO_TCP, MSG_DONTWAIT, MSG_NOSIGNAL, SOL_SOCKET, c_int, iovec};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

/// What may wait for a connection that is not there yet: a handshake's first packets.
const WAITING_BYTES_MAX: usize = 16_384;
/// Memory beyond this is given back when a connection has nothing left over.
const LEFTOVER_BYTES_KEPT: usize = 4096;

/// What shall be sent: the bytes of one packet.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    pub bytes: &'a [u8],
}

/// A connection and its leftovers.
pub struct Connection {
    pub remote: Endpoint,
    pub local: [u8; 16],
    /// Belongs to a session, or was dialled: nobody ends it to make room.
    pub is_kept: bool,
    pub opened: Instant,
    /// Bytes that have arrived and were not given out.
    pub arrived: Vec<u8>,
    /// More whole packets may be in `arrived`.
    pub has_more: bool,
    socket: OwnedFd,
    leaving: Vec<u8>,
    is_connecting: bool,
}

/// Sets an option of a socket to a number.
fn set(socket: &OwnedFd, level: c_int, name: c_int, value: c_int) -> Result<(), Errno> {
    let bytes = size_of::<c_int>() as u32;
    let at = (&raw const value).cast();
    // SAFETY: the descriptor is open and the value is a whole int that lives through the call.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, bytes) }.into())
        .map(drop)
}

impl Connection {
    /// Takes one that was accepted. `buffer_bytes` bounds what the kernel keeps for a slow reader.
    pub fn accepted(socket: OwnedFd, remote: Endpoint, buffer_bytes: i32) -> Result<Self, Errno> {
        let mut connection = Self::new(socket, remote);
        connection.prepare(buffer_bytes)?;
        connection.local = connection.read_local();
        Ok(connection)
    }

    /// Begins to connect; packets may be given to it at once.
    pub fn dial(remote: Endpoint, buffer_bytes: i32) -> Result<Self, Errno> {
        let is_v6 = crate::address::mapped_v4(&remote.ip).is_none();
        let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
        let result = unsafe { libc::socket(family, kind, 0) };
        checked(result.into())?;
        // SAFETY: the descriptor was just opened and nobody else owns it.
        let mut connection = Self::new(unsafe { OwnedFd::from_raw_fd(result) }, remote);
        connection.prepare(buffer_bytes)?;
        connection.is_kept = true;
        let mut name = Name::empty();
        let bytes = name.write(&remote, is_v6)?;
        let descriptor = connection.descriptor();
        // SAFETY: the name is initialised and at least as long as said; the descriptor is open.
        let result = unsafe { libc::connect(descriptor, (&raw const name).cast(), bytes) };
        match checked(result.into()) {
            Ok(_) => connection.local = connection.read_local(),
            Err(libc::EINPROGRESS) => connection.is_connecting = true,
            Err(errno) => return Err(errno),
        }
        Ok(connection)
    }

    fn new(socket: OwnedFd, remote: Endpoint) -> Self {
        Self {
            remote,
            local: [0; 16],
            is_kept: false,
            opened: Instant::now(),
            arrived: Vec::new(),
            has_more: false,
            socket,
            leaving: Vec::new(),
            is_connecting: false,
        }
    }

    fn prepare(&self, buffer_bytes: i32) -> Result<(), Errno> {
        set(&self.socket, IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        if buffer_bytes > 0 {
            set(&self.socket, SOL_SOCKET, libc::SO_SNDBUF, buffer_bytes)?;
        }
        Ok(())
    }

    pub fn descriptor(&self) -> c_int {
        self.socket.as_raw_fd()
    }

    /// Epoll has to say when it can be written to.
    pub fn wants_writing(&self) -> bool {
        self.is_connecting || !self.leaving.is_empty()
    }

    /// It can be written to: connected, or room again. An errno ends it.
    pub fn writable(&mut self) -> Result<(), Errno> {
        if self.is_connecting {
            self.outcome()?;
            self.is_connecting = false;
            self.local = self.read_local();
        }
        self.send_left()
    }

    /// Puts what is left over and what is new into `memory`; how many bytes. An errno ends the
    /// connection, 0 when the other end closed it.
    pub fn read(&mut self, memory: &mut [u8]) -> Result<usize, Errno> {
        let held = self.arrived.len();
        memory[..held].copy_from_slice(&self.arrived);
        let room = &mut memory[held..];
        let (base, length) = (room.as_mut_ptr().cast(), room.len());
        // SAFETY: the room is valid for writing through the call; the descriptor is open.
        let result = unsafe { libc::recv(self.descriptor(), base, length, MSG_DONTWAIT) };
        match checked(result as i64) {
            Ok(0) => Err(0),
            Ok(bytes) => Ok(held + bytes),
            Err(errno) => Err(errno),
        }
    }

    /// Keeps what was not used.
    pub fn keep(&mut self, rest: &[u8]) {
        self.arrived.clear();
        if rest.is_empty() && self.arrived.capacity() > LEFTOVER_BYTES_KEPT {
            self.arrived = Vec::new();
        }
        self.arrived.extend_from_slice(rest);
    }

    /// Sends packets in their order; how many of them left or will leave. EAGAIN for none.
    pub fn send(&mut self, packets: &[Packet<'_>], arrays: &mut Arrays) -> Result<usize, Errno> {
        if self.is_connecting {
            return self.wait_with(packets);
        }
        self.send_left()?;
        if !self.leaving.is_empty() {
            return Err(libc::EAGAIN);
        }
        let count = packets.len().min(arrays.prefixes.len());
        for (index, packet) in packets[..count].iter().enumerate() {
            // Fits: a packet has no more than 65535 bytes.
            arrays.prefixes[index] = (packet.bytes.len() as u16).to_be_bytes();
            arrays.vectors[2 * index] = vector(&arrays.prefixes[index]);
            arrays.vectors[2 * index + 1] = vector(packet.bytes);
        }
        let left = self.send_vectors(&arrays.vectors[..2 * count])?;
        Ok(self.keep_half(&packets[..count], left))
    }

    /// Puts packets behind what waits for the connection.
    fn wait_with(&mut self, packets: &[Packet<'_>]) -> Result<usize, Errno> {
        let mut taken = 0;
        for packet in packets {
            if self.leaving.len() + PREFIX_BYTES + packet.bytes.len() > WAITING_BYTES_MAX {
                break;
            }
            self.append(packet, 0);
            taken += 1;
        }
        if taken == 0 { Err(libc::EAGAIN) } else { Ok(taken) }
    }

    /// Of so many bytes that left: the packets that are gone, the half one kept for later.
    fn keep_half(&mut self, packets: &[Packet<'_>], mut bytes: usize) -> usize {
        for (index, packet) in packets.iter().enumerate() {
            let whole = PREFIX_BYTES + packet.bytes.len();
            if bytes >= whole {
                bytes -= whole;
                continue;
            }
            if bytes == 0 {
                return index;
            }
            self.append(packet, bytes);
            return index + 1;
        }
        packets.len()
    }

    /// Puts a packet, without its first bytes that left already, behind what waits.
    fn append(&mut self, packet: &Packet<'_>, gone: usize) {
        let prefix = (packet.bytes.len() as u16).to_be_bytes();
        self.leaving.extend_from_slice(&prefix[gone.min(PREFIX_BYTES)..]);
        self.leaving.extend_from_slice(&packet.bytes[gone.saturating_sub(PREFIX_BYTES)..]);
    }

    fn send_left(&mut self) -> Result<(), Errno> {
        if self.leaving.is_empty() {
            return Ok(());
        }
        match self.send_vectors(&[vector(&self.leaving)]) {
            Ok(bytes) => drop(self.leaving.drain(..bytes)),
            Err(libc::EAGAIN) => {}
            Err(errno) => return Err(errno),
        }
        if self.leaving.is_empty() && self.leaving.capacity() > LEFTOVER_BYTES_KEPT {
            self.leaving = Vec::new();
        }
        Ok(())
    }

    /// Bytes that the kernel took.
    fn send_vectors(&self, vectors: &[iovec]) -> Result<usize, Errno> {
        // SAFETY: all fields of a msghdr may be zero.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = vectors.as_ptr().cast_mut();
        header.msg_iovlen = vectors.len() as _;
        // SAFETY: the vectors name bytes that live through the call and are only read.
        let result = unsafe {
            libc::sendmsg(self.descriptor(), &raw const header, MSG_DONTWAIT | MSG_NOSIGNAL)
        };
        checked(result as i64)
    }

    /// How connecting went.
    fn outcome(&self) -> Result<(), Errno> {
        let mut errno: c_int = 0;
        let mut bytes = size_of::<c_int>() as u32;
        let at = (&raw mut errno).cast();
        // SAFETY: the value has room for the bytes said; the descriptor is open.
        let result = unsafe {
            libc::getsockopt(self.descriptor(), SOL_SOCKET, libc::SO_ERROR, at, &raw mut bytes)
        };
        checked(result.into())?;
        if errno == 0 { Ok(()) } else { Err(errno) }
    }

    fn read_local(&self) -> [u8; 16] {
        let mut name = Name::empty();
        let mut bytes = SOCKADDR_BYTES;
        let at = (&raw mut name).cast();
        // SAFETY: the name has room for the bytes said; the descriptor is open.
        let result = unsafe { libc::getsockname(self.descriptor(), at, &raw mut bytes) };
        checked(result.into()).ok().and_then(|_| name.read()).map_or([0; 16], |local| local.ip)
    }
}

/// Memory for one system call that sends several packets.
pub struct Arrays {
    prefixes: Box<[[u8; PREFIX_BYTES]]>,
    vectors: Box<[iovec]>,
}

impl Arrays {
    pub fn new(packets_max: usize) -> Self {
        Self {
            prefixes: vec![[0; PREFIX_BYTES]; packets_max].into_boxed_slice(),
            vectors: vec![vector(&[]); 2 * packets_max].into_boxed_slice(),
        }
    }
}

fn vector(bytes: &[u8]) -> iovec {
    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}
