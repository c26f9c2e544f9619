//! One request and its answer over a netlink socket of its own.

use crate::boundary::{Errno, checked};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::os::fd::AsRawFd;

/// The kernel answers at once; this only bounds what would otherwise be a hang.
const ANSWER_SECONDS_MAX: i64 = 5;
/// A dump during which the tables changed is taken again, this often at most.
const DUMPS_MAX: usize = 8;
const SEQUENCE: u32 = 1;

fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn open() -> Result<Socket, Errno> {
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(|error| errno_of(&error))?;
    let timeout = libc::timeval { tv_sec: ANSWER_SECONDS_MAX, tv_usec: 0 };
    // SAFETY: the descriptor is open and the value has the size said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const timeout).cast(),
            size_of::<libc::timeval>() as u32,
        )
    };
    checked(result.into())?;
    socket.bind_auto().map_err(|error| errno_of(&error))?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(|error| errno_of(&error))?;
    Ok(socket)
}

fn send(socket: &Socket, message: RouteNetlinkMessage, flags: u16) -> Result<(), Errno> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = SEQUENCE;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop).map_err(|error| errno_of(&error))
}

/// What became of reading one datagram of an answer.
enum Progress {
    More,
    Done,
}

/// The errno that an error or done message carries as its first word, 0 for none.
fn status(payload: &[u8]) -> Errno {
    match payload.first_chunk::<4>() {
        Some(code) => i32::from_ne_bytes(*code).wrapping_neg(),
        None => 0,
    }
}

/// Reads the messages of one datagram and gives those that are neither error nor end to `each`.
fn read(bytes: &[u8], each: &mut impl FnMut(&[u8])) -> Result<Progress, Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest).map_err(|_| libc::EBADMSG)?;
        let length = message.length() as usize;
        if message.sequence_number() == SEQUENCE {
            if message.flags() & NLM_F_DUMP_INTR != 0 {
                return Err(libc::EINTR);
            }
            match message.message_type() {
                NLMSG_ERROR | NLMSG_DONE => {
                    return match status(message.payload()) {
                        0 => Ok(Progress::Done),
                        errno => Err(errno),
                    };
                }
                NLMSG_OVERRUN => return Err(libc::ENOBUFS),
                _ => each(message.payload()),
            }
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Progress::More)
}

fn answer(socket: &Socket, each: &mut impl FnMut(&[u8])) -> Result<(), Errno> {
    loop {
        let (bytes, _) = socket.recv_from_full().map_err(|error| errno_of(&error))?;
        if let Progress::Done = read(&bytes, each)? {
            return Ok(());
        }
    }
}

/// Sends a request that changes something and waits for the kernel's word on it.
pub fn change(message: RouteNetlinkMessage, flags: u16) -> Result<(), Errno> {
    let socket = open()?;
    send(&socket, message, NLM_F_ACK | flags)?;
    answer(&socket, &mut |_| ())
}

/// Asks for a whole table; `parse` makes an entry of each message, or None to leave it out.
pub fn dump<T>(
    message: &RouteNetlinkMessage,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>, Errno> {
    for _ in 0..DUMPS_MAX {
        let socket = open()?;
        send(&socket, message.clone(), NLM_F_DUMP)?;
        let mut entries = Vec::new();
        match answer(&socket, &mut |payload| entries.extend(parse(payload))) {
            Err(libc::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(()) => return Ok(entries),
        }
    }
    Err(libc::EAGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(SEQUENCE.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn answers_are_read_to_their_end() {
        let mut seen = Vec::new();
        let mut bytes = message(16, b"one");
        bytes.extend(message(16, b"three"));
        assert!(matches!(read(&bytes, &mut |p| seen.push(p.to_vec())), Ok(Progress::More)));
        assert_eq!(seen, [b"one".to_vec(), b"three".to_vec()]);
        bytes.extend(message(NLMSG_DONE, &[0; 4]));
        assert!(matches!(read(&bytes, &mut |_| ()), Ok(Progress::Done)));
        let refused = message(NLMSG_ERROR, &(-libc::EPERM).to_ne_bytes());
        assert!(matches!(read(&refused, &mut |_| ()), Err(libc::EPERM)));
    }

    #[test]
    fn broken_answers_are_refused() {
        let whole = message(16, b"payload!");
        for length in 1..whole.len() {
            assert!(read(&whole[..length], &mut |_| ()).is_err(), "{length}");
        }
        let mut long = whole.clone();
        long[0] = 0xff;
        assert!(read(&long, &mut |_| ()).is_err());
        let mut zero = whole;
        zero[0] = 0;
        assert!(read(&zero, &mut |_| ()).is_err());
    }
}
