//! All connections of one listening or dialling socket, behind one descriptor that epoll can wait
//! for. One invariant: a remote address and port name one connection at most, and connections,
//! their memory and the work of a call are bounded.

use super::connection::{Arrays, Connection, Packet};
use super::framing::{Step, step};
use super::rows::{Ended, Rows};
use crate::address::{Endpoint, Name, SOCKADDR_BYTES};
use crate::boundary::{Errno, checked};
use crate::handles::{Handle, Kind};
use crate::layout::size::{BATCH_MAX, CONNECTIONS_MAX, UNPROVEN_MAX};
use crate::layout::{verdict, word};
use crate::slab::{Range, Table};
use libc::{EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLIN, EPOLLOUT, epoll_event};
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The largest beginning of a packet, and what one read adds.
const MEMORY_BYTES: usize = 2 * 65_536 + 2;
/// Connections looked at in one call, and accepted in one call.
const EVENTS_MAX: usize = 64;
const ACCEPTS_MAX: usize = 32;
/// What epoll says of the listening socket.
const LISTENER: u64 = u64::MAX;

/// What tells one connection from another.
type Remote = ([u8; 16], u16);

/// One packet on its way out.
pub struct Leaving {
    pub remote: Endpoint,
    pub range: Range,
    /// The order that it is of.
    pub order: usize,
}

/// Connections and what is under way with them.
pub struct Hub {
    poll: Arc<OwnedFd>,
    listener: Option<Arc<OwnedFd>>,
    buffer_bytes: i32,
    connections: Vec<Option<Connection>>,
    by_remote: HashMap<Remote, usize>,
    ended: VecDeque<Ended>,
    /// Connections with whole packets that no row was left for.
    more: VecDeque<usize>,
    memory: Box<[u8]>,
    arrays: Arrays,
    /// Connections ended or turned away since the last sweep because nothing came of them.
    dropped: usize,
}

impl Hub {
    /// A hub over what `stream::open` opened; EBADF for anything else.
    pub fn new(handle: Handle) -> Result<Self, Errno> {
        // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
        let result = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        checked(result.into())?;
        // SAFETY: the descriptor was just opened and nobody else owns it.
        let poll = Arc::new(unsafe { OwnedFd::from_raw_fd(result) });
        let (buffer_bytes, listener) = match handle.kind {
            Kind::StreamListener { buffer_bytes } => (buffer_bytes, Some(handle.descriptor)),
            Kind::StreamDialler { buffer_bytes } => (buffer_bytes, None),
            _ => return Err(libc::EBADF),
        };
        let hub = Self {
            poll,
            listener,
            buffer_bytes,
            connections: Vec::new(),
            by_remote: HashMap::new(),
            ended: VecDeque::new(),
            more: VecDeque::new(),
            memory: vec![0; MEMORY_BYTES].into_boxed_slice(),
            arrays: Arrays::new(BATCH_MAX),
            dropped: 0,
        };
        if let Some(listener) = &hub.listener {
            hub.watch(EPOLL_CTL_ADD, listener.as_raw_fd(), EPOLLIN, LISTENER)?;
        }
        Ok(hub)
    }

    /// What a lane waits for.
    pub fn handle(&self) -> Handle {
        Handle { kind: Kind::Stream, descriptor: Arc::clone(&self.poll) }
    }

    /// There is something to receive that no descriptor tells of.
    pub fn has_pending(&self) -> bool {
        !self.ended.is_empty() || !self.more.is_empty()
    }

    /// Fills rows with packets and ends of connections; EAGAIN when there is nothing.
    pub fn receive(&mut self, mut rows: Rows<'_>) -> Result<usize, Errno> {
        rows.count = rows.count.min(BATCH_MAX);
        rows.received.check(rows.first, rows.count)?;
        rows.arrivals.check(rows.first, rows.count)?;
        for _ in 0..self.more.len() {
            match self.more.pop_front() {
                Some(index) if !rows.is_full() => self.pump(index, false, &mut rows)?,
                Some(index) => self.more.push_back(index),
                None => break,
            }
        }
        if !rows.is_full() {
            self.take_events(&mut rows)?;
        }
        self.tell_ended(&mut rows)?;
        if rows.used == 0 { Err(libc::EAGAIN) } else { Ok(rows.used) }
    }

    /// Sends packets in their order and writes their orders' verdicts; how many left.
    pub fn send(&mut self, packets: &[Leaving], orders: &Table) -> Result<usize, Errno> {
        let mut sent = 0;
        let mut at = 0;
        while at < packets.len() {
            let remote = packets[at].remote;
            let run = packets[at..].iter().take_while(|next| next.remote == remote).count();
            let left = self.send_run(&remote, &packets[at..at + run]);
            for (index, packet) in packets[at..at + run].iter().enumerate() {
                let outcome = match left {
                    Ok(count) if index < count => verdict::DONE,
                    Ok(_) => -libc::EAGAIN,
                    Err(errno) => -errno,
                };
                orders.row(packet.order)?.set(word::VERDICT, outcome);
            }
            sent += left.unwrap_or(0);
            at += run;
        }
        Ok(sent)
    }

    /// The connection belongs to a session from now on.
    pub fn keep(&mut self, remote: &Endpoint) -> Result<(), Errno> {
        let index = *self.by_remote.get(&key(remote)).ok_or(libc::ENOTCONN)?;
        self.connections[index].as_mut().ok_or(libc::ENOTCONN)?.is_kept = true;
        Ok(())
    }

    /// Closes a connection; nothing is told of it.
    pub fn close(&mut self, remote: &Endpoint) -> Result<(), Errno> {
        let index = *self.by_remote.get(&key(remote)).ok_or(libc::ENOTCONN)?;
        self.remove(index).map(drop).ok_or(libc::ENOTCONN)
    }

    /// Ends connections that nothing came of for so long; how many since the last call, those that
    /// made room for others included.
    pub fn sweep(&mut self, age_max: Duration) -> usize {
        for index in 0..self.connections.len() {
            let is_old = self.connections[index].as_ref().is_some_and(|connection| {
                !connection.is_kept && connection.opened.elapsed() >= age_max
            });
            if is_old {
                self.dropped += 1;
                self.end(index, libc::ETIMEDOUT);
            }
        }
        std::mem::take(&mut self.dropped)
    }

    fn send_run(&mut self, remote: &Endpoint, packets: &[Leaving]) -> Result<usize, Errno> {
        let index = match self.by_remote.get(&key(remote)) {
            Some(index) => *index,
            None if self.listener.is_some() => return Err(libc::ENOTCONN),
            None => self.dial(remote)?,
        };
        let connection = self.connections[index].as_mut().ok_or(libc::ENOTCONN)?;
        let views: Vec<Packet<'_>> = packets
            .iter()
            .map(|packet| Packet {
                // SAFETY: the range is inside the slab or output memory, both of which stay
                // mapped through the call that made it, and nobody writes there meanwhile.
                bytes: unsafe {
                    std::slice::from_raw_parts(packet.range.base, packet.range.length)
                },
            })
            .collect();
        let wanted_writing = connection.wants_writing();
        let result = connection.send(&views, &mut self.arrays);
        match result {
            Ok(_) | Err(libc::EAGAIN) => self.rewatch(index, wanted_writing)?,
            Err(errno) => self.end(index, errno),
        }
        result
    }

    fn dial(&mut self, remote: &Endpoint) -> Result<usize, Errno> {
        match Connection::dial(*remote, self.buffer_bytes) {
            Ok(connection) => self.add(connection),
            Err(errno) => {
                self.ended.push_back(Ended {
                    remote: *remote,
                    local: [0; 16],
                    errno,
                    was_kept: true,
                });
                Err(errno)
            }
        }
    }

    fn add(&mut self, connection: Connection) -> Result<usize, Errno> {
        if let Some(index) = self.by_remote.get(&key(&connection.remote)) {
            self.end(*index, libc::ECONNABORTED);
        }
        let index = match self.connections.iter().position(Option::is_none) {
            Some(index) => index,
            None if self.connections.len() < CONNECTIONS_MAX => {
                self.connections.push(None);
                self.connections.len() - 1
            }
            None => return Err(libc::ENOBUFS),
        };
        let events = interest(connection.wants_writing());
        self.watch(EPOLL_CTL_ADD, connection.descriptor(), events, index as u64)?;
        self.by_remote.insert(key(&connection.remote), index);
        self.connections[index] = Some(connection);
        Ok(index)
    }

    fn take_events(&mut self, rows: &mut Rows<'_>) -> Result<(), Errno> {
        let mut events = [epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        let limit = EVENTS_MAX as i32;
        // SAFETY: the array has room for the events said; the descriptor is open.
        let result =
            unsafe { libc::epoll_wait(self.poll.as_raw_fd(), events.as_mut_ptr(), limit, 0) };
        let count = match checked(result.into()) {
            Err(libc::EINTR) => 0,
            other => other?,
        };
        for event in &events[..count] {
            let (flags, which) = (event.events as i32, event.u64);
            if which == LISTENER {
                self.accept();
                continue;
            }
            let index = which as usize;
            if flags & EPOLLOUT != 0 {
                self.write_on(index)?;
            }
            let has_more =
                self.connections.get(index).and_then(Option::as_ref).is_none_or(|one| one.has_more);
            if flags & !EPOLLOUT != 0 && !has_more && !rows.is_full() {
                self.pump(index, true, rows)?;
            }
        }
        Ok(())
    }

    fn write_on(&mut self, index: usize) -> Result<(), Errno> {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        match connection.writable() {
            Ok(()) => self.rewatch(index, true),
            Err(errno) => {
                self.end(index, errno);
                Ok(())
            }
        }
    }

    /// Gives the whole packets of a connection to rows, after reading what is new if asked to.
    fn pump(&mut self, index: usize, reads: bool, rows: &mut Rows<'_>) -> Result<(), Errno> {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        let memory = &mut self.memory;
        let filled = if reads {
            match connection.read(memory) {
                Ok(filled) => filled,
                Err(libc::EAGAIN | libc::EINTR) => return Ok(()),
                Err(errno) => {
                    self.end(index, errno);
                    return Ok(());
                }
            }
        } else {
            memory[..connection.arrived.len()].copy_from_slice(&connection.arrived);
            connection.arrived.len()
        };
        let mut at = 0;
        while !rows.is_full() {
            match step(&memory[..filled], at) {
                Step::Packet(range) => {
                    at = range.end;
                    rows.put(&memory[range], connection)?;
                }
                Step::Incomplete => break,
                Step::Malformed => {
                    self.end(index, libc::EPROTO);
                    return Ok(());
                }
            }
        }
        let rest = &memory[at..filled];
        connection.keep(rest);
        connection.has_more = rows.is_full() && step(rest, 0) != Step::Incomplete;
        if connection.has_more {
            self.more.push_back(index);
        }
        Ok(())
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            let Some(listener) = &self.listener else { return };
            let mut name = Name::empty();
            let mut bytes = SOCKADDR_BYTES;
            let (at, flags) = ((&raw mut name).cast(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
            // SAFETY: the name has room for the bytes said; the descriptor is open.
            let result = unsafe { libc::accept4(listener.as_raw_fd(), at, &raw mut bytes, flags) };
            if checked(result.into()).is_err() {
                return;
            }
            // SAFETY: the descriptor was just opened and nobody else owns it.
            let socket = unsafe { OwnedFd::from_raw_fd(result) };
            self.make_room();
            let Some(remote) = name.read() else { continue };
            let added = Connection::accepted(socket, remote, self.buffer_bytes)
                .and_then(|connection| self.add(connection));
            self.dropped += usize::from(added.is_err());
        }
    }

    /// The oldest connection that is nobody's gives way when there are too many of those.
    fn make_room(&mut self) {
        let unproven = || {
            self.connections
                .iter()
                .enumerate()
                .filter_map(|(index, one)| Some((index, one.as_ref().filter(|one| !one.is_kept)?)))
        };
        if unproven().count() < UNPROVEN_MAX {
            return;
        }
        if let Some((index, _)) = unproven().min_by_key(|(_, one)| one.opened) {
            self.dropped += 1;
            self.end(index, libc::ECONNABORTED);
        }
    }

    fn tell_ended(&mut self, rows: &mut Rows<'_>) -> Result<(), Errno> {
        while !rows.is_full() {
            let Some(ended) = self.ended.pop_front() else { break };
            rows.tell(&ended)?;
        }
        Ok(())
    }

    /// Closes a connection that cannot go on; a row will tell. 0: the other end closed it.
    fn end(&mut self, index: usize, errno: Errno) {
        if let Some(connection) = self.remove(index) {
            let Connection { remote, local, is_kept: was_kept, .. } = connection;
            self.ended.push_back(Ended { remote, local, errno, was_kept });
        }
    }

    fn remove(&mut self, index: usize) -> Option<Connection> {
        let connection = self.connections.get_mut(index).and_then(Option::take)?;
        self.by_remote.remove(&key(&connection.remote));
        Some(connection)
    }

    fn rewatch(&self, index: usize, wanted_writing: bool) -> Result<(), Errno> {
        let Some(connection) = self.connections[index].as_ref() else { return Ok(()) };
        let wants = connection.wants_writing();
        if wants == wanted_writing {
            return Ok(());
        }
        self.watch(EPOLL_CTL_MOD, connection.descriptor(), interest(wants), index as u64)
    }

    fn watch(&self, call: i32, descriptor: i32, events: i32, name: u64) -> Result<(), Errno> {
        let mut event = epoll_event { events: events as u32, u64: name };
        // SAFETY: both descriptors are open and the event lives through the call.
        let result =
            unsafe { libc::epoll_ctl(self.poll.as_raw_fd(), call, descriptor, &raw mut event) };
        checked(result.into()).map(drop)
    }
}

fn interest(wants_writing: bool) -> i32 {
    if wants_writing { EPOLLIN | EPOLLOUT } else { EPOLLIN }
}

fn key(remote: &Endpoint) -> Remote {
    (remote.ip, remote.port)
}
