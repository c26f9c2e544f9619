//! One thread's way through the kernel: an epoll instance, its sockets and taps, and the memory
//! it shares with TypeScript. One invariant: a lane is used by the one JavaScript thread that
//! made it, and keeps alive everything its pointers name.

use crate::boundary::{Errno, checked, count, guard_count, guard_errno, integer};
use crate::errors;
use crate::handles::{self, Handle, Kind};
use crate::keys::Held;
use crate::layout::size::{LANE_SOCKETS_MAX, LANE_TAPS_MAX};
use crate::layout::{CHANGES_SHIFT, path_word, ready, verdict, word};
use crate::netlink;
use crate::open::open_row;
use crate::receive::{Receiver, Request};
use crate::send::{Sender, Sockets, Sources, remote_of};
use crate::slab::{Row, SharedBytes, SharedWords, Slab, Table};
use crate::stream::{Hub, Rows, Streams};
use crate::tap;
use crate::udp;
use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, epoll_event};
use napi::{Error, Result};
use napi_derive::napi;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Descriptors one lane can wait for: the control eventfd, sockets, taps, the netlink watch.
const EVENTS_MAX: usize = 2 + LANE_SOCKETS_MAX + LANE_TAPS_MAX;

/// See `native.ts`. Views over any other buffer than a SharedArrayBuffer are refused.
#[napi(object, object_to_js = false)]
pub struct LaneMemory {
    pub slab: SharedBytes,
    pub received: SharedWords,
    pub arrivals: SharedWords,
    pub frames: SharedWords,
    pub orders: SharedWords,
    pub writes: SharedWords,
    pub paths: SharedWords,
}

/// See `native.ts`; `lane_face.rs` gives it to JavaScript.
pub struct Lane {
    slab: Slab,
    received: Table,
    arrivals: Table,
    frames: Table,
    orders: Table,
    writes: Table,
    paths: Table,
    epoll: OwnedFd,
    control: Option<Handle>,
    changes: Option<Handle>,
    sockets: Sockets,
    streams: Streams,
    taps: [Option<Handle>; LANE_TAPS_MAX],
    receiver: Receiver,
    sender: Sender,
}

/// Puts a descriptor in the first free place and under epoll; its index.
fn attach(
    epoll: &OwnedFd,
    places: &mut [Option<Handle>],
    handle: Handle,
    shift: usize,
) -> core::result::Result<usize, Errno> {
    let index = places.iter().position(Option::is_none).ok_or(libc::ENOSPC)?;
    watch(epoll, &handle, (shift + index) as u64)?;
    places[index] = Some(handle);
    Ok(index)
}

/// Lets epoll report a descriptor as ready to read under a bit number.
fn watch(epoll: &OwnedFd, handle: &Handle, bit: u64) -> core::result::Result<(), Errno> {
    let mut event = epoll_event { events: libc::EPOLLIN as u32, u64: bit };
    let descriptor = handle.descriptor.as_raw_fd();
    // SAFETY: both descriptors are open and the event lives through the call.
    let result =
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), EPOLL_CTL_ADD, descriptor, &raw mut event) };
    checked(result.into()).map(drop)
}

/// Takes a descriptor out of its place and from epoll.
fn detach(
    epoll: &OwnedFd,
    places: &mut [Option<Handle>],
    index: usize,
) -> core::result::Result<(), Errno> {
    let handle = places.get_mut(index).and_then(Option::take).ok_or(libc::EBADF)?;
    let descriptor = handle.descriptor.as_raw_fd();
    // SAFETY: both descriptors are open; a null event is allowed for this operation.
    let result = unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), EPOLL_CTL_DEL, descriptor, std::ptr::null_mut())
    };
    checked(result.into()).map(drop)
}

impl Lane {
    /// Opens the epoll instance; fails when memory is not as a lane needs it.
    pub fn new(memory: LaneMemory) -> Result<Self> {
        // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
        let result = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        checked(result.into())
            .map_err(|errno| Error::from_reason(format!("epoll_create1: errno {errno}")))?;
        // SAFETY: the descriptor was just opened and nobody else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(result) };
        Ok(Self {
            slab: Slab::new(memory.slab)?,
            received: Table::new(memory.received),
            arrivals: Table::new(memory.arrivals),
            frames: Table::new(memory.frames),
            orders: Table::new(memory.orders),
            writes: Table::new(memory.writes),
            paths: Table::new(memory.paths),
            epoll,
            control: None,
            changes: None,
            sockets: Default::default(),
            streams: Default::default(),
            taps: Default::default(),
            receiver: Receiver::new(),
            sender: Sender::new(),
        })
    }

    pub fn attach_control(&mut self, handle: f64) -> i32 {
        guard_errno(|| {
            let handle = handles::get(integer(handle)?)?;
            if handle.kind != Kind::Event {
                return Err(libc::EBADF);
            }
            if self.control.is_some() {
                return Err(libc::EEXIST);
            }
            watch(&self.epoll, &handle, 0)?;
            self.control = Some(handle);
            Ok(())
        })
    }

    pub fn attach_watch(&mut self, handle: f64) -> i32 {
        guard_errno(|| {
            let handle = handles::get(integer(handle)?)?;
            if handle.kind != Kind::Watch {
                return Err(libc::EBADF);
            }
            if self.changes.is_some() {
                return Err(libc::EEXIST);
            }
            watch(&self.epoll, &handle, CHANGES_SHIFT as u64)?;
            self.changes = Some(handle);
            Ok(())
        })
    }

    pub fn attach_socket(&mut self, handle: f64) -> i32 {
        guard_count(|| {
            let handle = handles::get(integer(handle)?)?;
            if matches!(handle.kind, Kind::SocketV4 | Kind::SocketV6) {
                return attach(&self.epoll, &mut self.sockets, handle, ready::SOCKET_SHIFT);
            }
            let hub = Hub::new(handle)?;
            let index = attach(&self.epoll, &mut self.sockets, hub.handle(), ready::SOCKET_SHIFT)?;
            self.streams[index] = Some(Box::new(hub));
            Ok(index)
        })
    }

    pub fn attach_tap(&mut self, handle: f64) -> i32 {
        guard_count(|| {
            let handle = handles::get(integer(handle)?)?;
            if handle.kind != Kind::Tap {
                return Err(libc::EBADF);
            }
            attach(&self.epoll, &mut self.taps, handle, ready::TAP_SHIFT)
        })
    }

    pub fn detach_socket(&mut self, index: f64) -> i32 {
        guard_errno(|| {
            let index = count(index)?;
            detach(&self.epoll, &mut self.sockets, index)?;
            self.streams[index] = None;
            Ok(())
        })
    }

    /// Whether what leaves by a socket may be cut, by this host or on the way.
    pub fn dont_fragment(&mut self, index: f64, is_on: bool) -> i32 {
        guard_errno(|| {
            let socket = self.sockets.get(count(index)?).and_then(Option::as_ref);
            udp::dont_fragment(socket.ok_or(libc::EBADF)?, is_on)
        })
    }

    pub fn detach_tap(&mut self, index: f64) -> i32 {
        guard_errno(|| detach(&self.epoll, &mut self.taps, count(index)?))
    }

    /// Waits until something can be read; a mask of `Ready` bits, 0 after the time or a signal.
    pub fn wait(&mut self, timeout_ms: f64) -> i32 {
        guard_count(|| {
            let mut events = [epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
            let pending = self.pending();
            let timeout_ms = if pending == 0 { integer(timeout_ms)? } else { 0 };
            // SAFETY: the array has room for the events said; the descriptor is open.
            let result = unsafe {
                libc::epoll_wait(
                    self.epoll.as_raw_fd(),
                    events.as_mut_ptr(),
                    EVENTS_MAX as i32,
                    timeout_ms,
                )
            };
            let filled = match checked(result.into()) {
                Err(libc::EINTR) => 0,
                other => other?,
            };
            let mask =
                events.iter().take(filled).fold(pending, |mask, event| mask | self.bits(event));
            if mask & ready::CONTROL as usize != 0 {
                self.drain_control();
            }
            if let Some(changes) = &self.changes
                && mask & ready::CHANGES as usize != 0
            {
                netlink::drain(changes.descriptor.as_fd());
            }
            Ok(mask)
        })
    }

    /// The bits of what epoll says: a UDP socket with an error need not have anything to read.
    fn bits(&self, event: &epoll_event) -> usize {
        let bit = 1usize << event.u64;
        let socket = (event.u64 as usize).wrapping_sub(ready::SOCKET_SHIFT);
        let is_udp = self.sockets.get(socket).is_some_and(|handle| {
            handle.as_ref().is_some_and(|handle| handle.kind != Kind::Stream)
        });
        if !is_udp || event.events & libc::EPOLLERR as u32 == 0 {
            return bit;
        }
        let errors = 1usize << (ready::ERRORS_SHIFT + socket);
        if event.events & libc::EPOLLIN as u32 == 0 { errors } else { errors | bit }
    }

    /// What ICMP said about what left by a UDP socket: how often in ten bits for each kind.
    pub fn udp_errors(&mut self, socket: f64) -> i32 {
        guard_count(|| {
            let handle = self.sockets.get(count(socket)?).and_then(Option::as_ref);
            let handle = handle.ok_or(libc::EBADF)?;
            if handle.kind == Kind::Stream {
                return Err(libc::EOPNOTSUPP);
            }
            let counts = errors::take(handle.descriptor.as_fd())?;
            Ok(counts.unreachable | counts.too_big << 10 | counts.other << 20)
        })
    }

    /// Bits of the streams that have packets which no descriptor tells of.
    fn pending(&self) -> usize {
        let bit = |index: usize| 1 << (ready::SOCKET_SHIFT + index);
        let has = |hub: &Option<Box<Hub>>| hub.as_ref().is_some_and(|hub| hub.has_pending());
        (0..LANE_SOCKETS_MAX).filter(|index| has(&self.streams[*index])).map(bit).sum()
    }

    /// The stream that a row of the path table names, and the row.
    fn stream_of(&mut self, path: f64) -> core::result::Result<(&mut Hub, Row<'_>), Errno> {
        let row = self.paths.row(count(path)?)?;
        let socket = usize::try_from(row.get(path_word::SOCKET)).map_err(|_| libc::EBADF)?;
        let hub = self.streams.get_mut(socket).and_then(Option::as_mut).ok_or(libc::EBADF)?;
        Ok((hub, row))
    }

    /// Sets the control eventfd back to 0, so that it is silent until the next kick.
    fn drain_control(&self) {
        if let Some(control) = &self.control {
            let mut counter = [0u8; 8];
            let descriptor = control.descriptor.as_raw_fd();
            // SAFETY: the array has the 8 bytes an eventfd gives. The result does not matter: it
            // fails only when another lane has drained the same eventfd in between.
            let _ = unsafe { libc::read(descriptor, counter.as_mut_ptr().cast(), counter.len()) };
        }
    }

    pub fn udp_receive(&mut self, socket: f64, first: f64, count_max: f64) -> i32 {
        guard_count(|| {
            let socket = count(socket)?;
            let handle = self.sockets.get(socket).and_then(Option::as_ref).ok_or(libc::EBADF)?;
            if let Some(hub) = &mut self.streams[socket] {
                let (first, count) = (count(first)?, count(count_max)?);
                let (slab, received, arrivals) = (&self.slab, &self.received, &self.arrivals);
                return hub.receive(Rows {
                    slab,
                    received,
                    arrivals,
                    socket,
                    first,
                    count,
                    used: 0,
                });
            }
            let request = Request {
                descriptor: handle.descriptor.as_fd(),
                socket,
                first: count(first)?,
                count: count(count_max)?,
            };
            self.receiver.receive(&self.slab, (&self.received, &self.arrivals), &request)
        })
    }

    pub fn open_batch(&mut self, first: f64, row_count: f64) -> i32 {
        guard_count(|| {
            let (first, row_count) = (count(first)?, count(row_count)?);
            self.received.check(first, row_count)?;
            let mut held = Held::default();
            let mut opened = 0;
            for index in first..first + row_count {
                let row = self.received.row(index)?;
                opened += usize::from(open_row(&self.slab, row, &mut held));
            }
            Ok(opened)
        })
    }

    pub fn send(&mut self, row_count: f64) -> i32 {
        guard_count(|| {
            let sources = Sources {
                slab: &self.slab,
                orders: &self.orders,
                paths: &self.paths,
                sockets: &self.sockets,
            };
            self.sender.send(&sources, &mut self.streams, count(row_count)?)
        })
    }

    pub fn stream_keep(&mut self, path: f64) -> i32 {
        guard_errno(|| {
            let (hub, row) = self.stream_of(path)?;
            hub.keep(&remote_of(row)?)
        })
    }

    pub fn stream_close(&mut self, path: f64) -> i32 {
        guard_errno(|| {
            let (hub, row) = self.stream_of(path)?;
            hub.close(&remote_of(row)?)
        })
    }

    pub fn stream_sweep(&mut self, age_ms_max: f64) -> i32 {
        guard_count(|| {
            let age_max = Duration::from_millis(count(age_ms_max)? as u64);
            Ok(self.streams.iter_mut().flatten().map(|hub| hub.sweep(age_max)).sum())
        })
    }

    pub fn tap_read(&mut self, tap: f64, first: f64, row_count: f64) -> i32 {
        guard_count(|| {
            let index = count(tap)?;
            let handle = self.taps.get(index).and_then(Option::as_ref).ok_or(libc::EBADF)?;
            let rows = (count(first)?, count(row_count)?);
            let memory = (&self.slab, &self.frames);
            tap::read(handle.descriptor.as_fd(), memory, rows, index as i32)
        })
    }

    pub fn tap_write(&mut self, row_count: f64) -> i32 {
        guard_count(|| {
            let row_count = count(row_count)?;
            self.writes.check(0, row_count)?;
            let mut written = 0;
            for index in 0..row_count {
                let row = self.writes.row(index)?;
                let port = usize::try_from(row.get(word::PORT)).ok();
                let handle = port.and_then(|port| self.taps.get(port)?.as_ref());
                let result = match handle {
                    Some(handle) => tap::write(handle.descriptor.as_fd(), &self.slab, row),
                    None => Err(libc::EBADF),
                };
                written += usize::from(result.is_ok());
                row.set(word::VERDICT, result.err().map_or(verdict::DONE, |errno| -errno));
            }
            Ok(written)
        })
    }
}
