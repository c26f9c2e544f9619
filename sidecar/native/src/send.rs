//! Sealing and sending orders: packets are sealed side by side into output memory, queued per
//! socket, and leave with one sendmmsg per socket. One invariant: every order of a call ends with
//! a verdict, and an order that fails never stops one behind it.

use crate::address::Endpoint;
use crate::batch::{Batch, headers};
use crate::boundary::{Errno, checked};
use crate::control_message::{self, Local};
use crate::errors::Patience;
use crate::handles::{Handle, Kind};
use crate::keys::Held;
use crate::layout::size::{BATCH_MAX, LANE_SOCKETS_MAX};
use crate::layout::{path_word, verdict, word};
use crate::seal::{Header, seal, sealed_bytes};
use crate::slab::{Range, Row, Slab, Table};
use crate::stream::{Leaving, Streams};
use libc::{MSG_DONTWAIT, mmsghdr};
use std::os::fd::{AsFd, AsRawFd};

/// Output memory: a batch of packets of 4 KiB each. When it is full the batch leaves early.
const OUTPUT_BYTES: usize = 1 << 20;
/// No UDP datagram is larger; a larger packet is refused with EMSGSIZE.
const PACKET_BYTES_MAX: usize = 65_535;
/// Packets in output memory start at cache lines.
const OUTPUT_ALIGNMENT: usize = 64;

/// The sockets of a lane.
pub type Sockets = [Option<Handle>; LANE_SOCKETS_MAX];

/// Shared memory that sending reads, and the sockets it sends by.
pub struct Sources<'a> {
    pub slab: &'a Slab,
    pub orders: &'a Table,
    pub paths: &'a Table,
    pub sockets: &'a Sockets,
}

/// The far end of a path.
pub fn remote_of(path: Row<'_>) -> Result<Endpoint, Errno> {
    Ok(Endpoint {
        ip: path.ip(path_word::REMOTE_IP),
        port: u16::try_from(path.get(path_word::REMOTE_PORT)).map_err(|_| libc::EINVAL)?,
        scope: path.get(path_word::REMOTE_SCOPE).cast_unsigned(),
    })
}

/// Messages that wait for one socket.
struct Queue {
    headers: Box<[mmsghdr]>,
    /// The order each message is of.
    rows: Box<[usize]>,
    count: usize,
    /// The same for a stream, whose packets need no header.
    leaving: Vec<Leaving>,
}

/// The words that decide what a sealed packet's bytes are.
type Sealed = [i32; 7];

/// The arrays and the memory for sending.
pub struct Sender {
    batch: Batch,
    queues: Vec<Queue>,
    queued: usize,
    output: Box<[u8]>,
    used: usize,
    held: Held,
    /// The packet sealed last and where it is, for the same packet over another path.
    last: Option<(Sealed, Range)>,
}

impl Sender {
    pub fn new() -> Self {
        let queue = || Queue {
            headers: headers(),
            rows: vec![0; BATCH_MAX].into_boxed_slice(),
            count: 0,
            leaving: Vec::new(),
        };
        Self {
            batch: Batch::new(),
            queues: (0..LANE_SOCKETS_MAX).map(|_| queue()).collect(),
            queued: 0,
            output: vec![0; OUTPUT_BYTES].into_boxed_slice(),
            used: 0,
            held: Held::default(),
            last: None,
        }
    }

    /// Seals and sends the first `count` orders; the number that left.
    pub fn send(
        &mut self,
        sources: &Sources<'_>,
        streams: &mut Streams,
        count: usize,
    ) -> Result<usize, Errno> {
        sources.orders.check(0, count)?;
        let mut sent = 0;
        for index in 0..count {
            if self.queued == BATCH_MAX || self.used + PACKET_BYTES_MAX > OUTPUT_BYTES {
                sent += self.flush(sources, streams)?;
            }
            let row = sources.orders.row(index)?;
            if let Err(errno) = self.enqueue(sources, row, index) {
                row.set(word::VERDICT, -errno);
            }
        }
        sent += self.flush(sources, streams)?;
        Ok(sent)
    }

    /// Makes the message of one order and puts it in its socket's queue.
    fn enqueue(&mut self, sources: &Sources<'_>, row: Row<'_>, order: usize) -> Result<(), Errno> {
        let path = usize::try_from(row.get(word::PATH)).map_err(|_| libc::EINVAL)?;
        let path = sources.paths.row(path)?;
        let socket = usize::try_from(path.get(path_word::SOCKET)).map_err(|_| libc::EBADF)?;
        let handle = sources.sockets.get(socket).and_then(Option::as_ref).ok_or(libc::EBADF)?;
        let remote = remote_of(path)?;
        if handle.kind == Kind::Stream {
            let range = self.packet(sources.slab, row)?;
            if range.length == 0 || range.length > PACKET_BYTES_MAX {
                return Err(libc::EMSGSIZE);
            }
            self.queues[socket].leaving.push(Leaving { remote, range, order });
            self.queued += 1;
            return Ok(());
        }
        let local = Local {
            ip: path.ip(path_word::LOCAL_IP),
            interface: path.get(path_word::INTERFACE_INDEX).cast_unsigned(),
        };
        let message = self.queued;
        let class = u8::try_from(row.get(word::TRAFFIC_CLASS)).ok();
        let name_bytes = self.batch.names[message].write(&remote, handle.kind == Kind::SocketV6)?;
        let control = &mut self.batch.controls[message];
        let control_bytes = control_message::write(control, &remote.ip, &local, class)?;
        let range = self.packet(sources.slab, row)?;
        let mut header = self.batch.header(message, range);
        header.msg_hdr.msg_namelen = name_bytes;
        header.msg_hdr.msg_controllen = control_bytes as _;
        if control_bytes == 0 {
            header.msg_hdr.msg_control = std::ptr::null_mut();
        }
        let queue = &mut self.queues[socket];
        queue.headers[queue.count] = header;
        queue.rows[queue.count] = order;
        queue.count += 1;
        self.queued += 1;
        Ok(())
    }

    /// The bytes an order sends: the slab's own without a key, else sealed into output memory.
    fn packet(&mut self, slab: &Slab, row: Row<'_>) -> Result<Range, Errno> {
        let (start, length) = (row.get(word::START), row.get(word::LENGTH));
        let range = slab.range(start, length)?;
        let slot = row.get(word::KEY);
        if slot < 0 {
            return Ok(range);
        }
        let generation = row.get(word::GENERATION);
        let header = Header {
            opcode: row.get(word::OPCODE),
            id_low: row.get(word::ID_LOW),
            id_high: row.get(word::ID_HIGH),
        };
        let sealed: Sealed =
            [start, length, slot, generation, header.opcode, header.id_low, header.id_high];
        if let Some((last, range)) = self.last
            && last == sealed
        {
            return Ok(range);
        }
        let key = self.held.key(slot, generation).ok_or(libc::ENOKEY)?;
        let bytes = sealed_bytes(key.format, range.length);
        if bytes > PACKET_BYTES_MAX {
            return Err(libc::EMSGSIZE);
        }
        // `send` has left room for the largest packet.
        let output = &mut self.output[self.used..self.used + bytes];
        // SAFETY: the range is inside the slab, which stays mapped; TypeScript grants its bytes
        // to this call, and output memory is elsewhere.
        let text = unsafe { std::slice::from_raw_parts(range.base, range.length) };
        if !seal(key, header, text, output) {
            return Err(libc::EINVAL);
        }
        let copy = row.get(word::COPY);
        if copy != 0 {
            let target = slab.range(copy, bytes as i32)?;
            // SAFETY: the range is inside the slab, whose bytes TypeScript grants to this call,
            // and output memory is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(output.as_ptr(), target.base, bytes) };
        }
        let range = Range { base: output.as_mut_ptr(), length: bytes };
        self.used += bytes.next_multiple_of(OUTPUT_ALIGNMENT);
        self.last = Some((sealed, range));
        Ok(range)
    }

    /// Sends all queues and empties output memory; the number of messages that left.
    fn flush(&mut self, sources: &Sources<'_>, streams: &mut Streams) -> Result<usize, Errno> {
        self.held.release();
        self.last = None;
        self.used = 0;
        self.queued = 0;
        let mut sent = 0;
        for ((queue, socket), stream) in
            self.queues.iter_mut().zip(sources.sockets).zip(streams.iter_mut())
        {
            if let Some(hub) = stream {
                sent += hub.send(&queue.leaving, sources.orders)?;
                queue.leaving.clear();
            }
            let count = std::mem::take(&mut queue.count);
            if let Some(handle) = socket {
                sent += queue.send(handle, sources.orders, count)?;
            }
        }
        Ok(sent)
    }
}

impl Queue {
    /// Sends the first `count` messages and writes their orders' verdicts.
    fn send(&mut self, handle: &Handle, orders: &Table, count: usize) -> Result<usize, Errno> {
        let mut done = 0;
        let mut at = 0;
        let mut patience = Patience::default();
        while at < count {
            let rest = &mut self.headers[at..count];
            // SAFETY: each header points at the batch's own arrays and at output memory or a
            // checked range of the slab, all of which live through the call.
            let result = unsafe {
                libc::sendmmsg(
                    handle.descriptor.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as u32,
                    MSG_DONTWAIT,
                )
            };
            match checked(result.into()) {
                Ok(sent) if sent > 0 => {
                    for order in &self.rows[at..at + sent] {
                        orders.row(*order)?.set(word::VERDICT, verdict::DONE);
                    }
                    at += sent;
                    done += sent;
                    patience.renew();
                }
                // The socket's buffer is full: asking again for each message would not empty it.
                Err(libc::EAGAIN) => {
                    for order in &self.rows[at..count] {
                        orders.row(*order)?.set(word::VERDICT, -libc::EAGAIN);
                    }
                    at = count;
                }
                // An ICMP error about a packet before: not about this one.
                Err(errno) if patience.lasts(handle.descriptor.as_fd(), errno) => {}
                other => {
                    let errno = other.err().unwrap_or(libc::EIO);
                    orders.row(self.rows[at])?.set(word::VERDICT, -errno);
                    at += 1;
                }
            }
        }
        Ok(done)
    }
}
