//! Opening UDP sockets that tell where each datagram arrived.

use crate::address::{self, Endpoint, Name, SOCKADDR_BYTES};
use crate::boundary::{During, Errno, Failure, checked};
use crate::handles::{self, Handle, Kind};
use libc::{IPPROTO_IP, IPPROTO_IPV6, SOL_SOCKET, c_int};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What a socket shall be.
pub struct Wish<'a> {
    /// Address to bind to; empty for any.
    pub address: &'a str,
    pub port: u16,
    /// Address family AF_INET6; with an empty address it carries IPv4 as well.
    pub is_v6: bool,
    /// Interface to bind to; empty for none.
    pub interface: &'a str,
    /// 0 leaves the kernel's default.
    pub receive_buffer_bytes: i32,
    pub send_buffer_bytes: i32,
}

/// Sets a socket option from bytes.
fn set_bytes(socket: &OwnedFd, option: (c_int, c_int), value: &[u8]) -> Result<(), Errno> {
    let (level, name) = option;
    // SAFETY: the descriptor is open and the value has the bytes it says.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), value.len() as u32)
    };
    checked(result.into()).map(drop)
}

fn set(socket: &OwnedFd, option: (c_int, c_int), value: c_int) -> Result<(), Errno> {
    set_bytes(socket, option, &value.to_ne_bytes())
}

/// Sets a buffer's size past the system's limit if that is allowed, else up to it.
fn set_buffer(socket: &OwnedFd, names: (c_int, c_int), bytes: i32) -> Result<(), Errno> {
    let (force, usual) = names;
    if bytes <= 0 {
        return Ok(());
    }
    set(socket, (SOL_SOCKET, force), bytes).or_else(|_| set(socket, (SOL_SOCKET, usual), bytes))
}

/// Sends datagrams whole or not at all, whatever routes are said to take; or as the kernel likes.
pub fn dont_fragment(socket: &Handle, is_on: bool) -> Result<(), Errno> {
    let value = |on, off| if is_on { on } else { off };
    let v4 = value(libc::IP_PMTUDISC_PROBE, libc::IP_PMTUDISC_WANT);
    match socket.kind {
        Kind::SocketV4 => {}
        Kind::SocketV6 => {
            let v6 = value(libc::IPV6_PMTUDISC_PROBE, libc::IPV6_PMTUDISC_WANT);
            set(&socket.descriptor, (IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER), v6)?;
        }
        _ => return Err(libc::EOPNOTSUPP),
    }
    set(&socket.descriptor, (IPPROTO_IP, libc::IP_MTU_DISCOVER), v4)
}

/// Asks for packet info of both families, so that IPv4 on an IPv6 socket has its own kind.
fn ask_for_arrivals(socket: &OwnedFd, wish: &Wish<'_>) -> Result<(), Failure> {
    if wish.is_v6 {
        let v6_only = c_int::from(!wish.address.is_empty());
        set(socket, (IPPROTO_IPV6, libc::IPV6_V6ONLY), v6_only).during("IPV6_V6ONLY")?;
        set(socket, (IPPROTO_IPV6, libc::IPV6_RECVPKTINFO), 1).during("IPV6_RECVPKTINFO")?;
    }
    set(socket, (IPPROTO_IP, libc::IP_PKTINFO), 1).during("IP_PKTINFO")
}

/// Asks to hear of ICMP errors, in a queue of their own.
fn ask_for_errors(socket: &OwnedFd, is_v6: bool) -> Result<(), Failure> {
    if is_v6 {
        set(socket, (IPPROTO_IPV6, libc::IPV6_RECVERR), 1).during("IPV6_RECVERR")?;
    }
    set(socket, (IPPROTO_IP, libc::IP_RECVERR), 1).during("IP_RECVERR")
}

/// Binds to the wish's address and port; the port that was given.
fn bind(socket: &OwnedFd, wish: &Wish<'_>) -> Result<u16, Failure> {
    let (ip, scope) = match wish.address {
        "" => (address::any(wish.is_v6), 0),
        text => address::parse(text).during("parse address")?,
    };
    if wish.is_v6 && address::mapped_v4(&ip).is_some() {
        return Err(libc::EAFNOSUPPORT).during("bind");
    }
    let mut name = Name::empty();
    let endpoint = Endpoint { ip, port: wish.port, scope };
    let bytes = name.write(&endpoint, wish.is_v6).during("bind")?;
    // SAFETY: the name is initialised and at least as long as said; the descriptor is open.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), bytes) };
    checked(result.into()).during("bind")?;
    let mut bytes = SOCKADDR_BYTES;
    // SAFETY: the name has room for the bytes said.
    let result =
        unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut name).cast(), &raw mut bytes) };
    checked(result.into()).during("getsockname")?;
    Ok(name.read().map_or(0, |endpoint| endpoint.port))
}

/// Opens and binds a socket; its handle and port.
pub fn open(wish: &Wish<'_>) -> Result<(i32, u16), Failure> {
    let family = if wish.is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
    let result = unsafe { libc::socket(family, kind, 0) };
    checked(result.into()).during("socket")?;
    // SAFETY: the descriptor was just opened and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(result) };
    ask_for_arrivals(&socket, wish)?;
    ask_for_errors(&socket, wish.is_v6)?;
    let receive = (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
    set_buffer(&socket, receive, wish.receive_buffer_bytes).during("SO_RCVBUF")?;
    let send = (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF);
    set_buffer(&socket, send, wish.send_buffer_bytes).during("SO_SNDBUF")?;
    if !wish.interface.is_empty() {
        let option = (SOL_SOCKET, libc::SO_BINDTODEVICE);
        set_bytes(&socket, option, wish.interface.as_bytes()).during("SO_BINDTODEVICE")?;
    }
    let port = bind(&socket, wish)?;
    let kind = if wish.is_v6 { Kind::SocketV6 } else { Kind::SocketV4 };
    Ok((handles::insert(kind, socket).during("keep handle")?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(address: &str, is_v6: bool) -> Wish<'_> {
        Wish {
            address,
            port: 0,
            is_v6,
            interface: "",
            receive_buffer_bytes: 0,
            send_buffer_bytes: 0,
        }
    }

    #[test]
    fn a_failure_names_its_call() {
        let failed = |wish| open(&wish).unwrap_err();
        assert_eq!(failed(wish("nonsense", false)).operation, "parse address");
        assert_eq!(failed(wish("192.0.2.77", false)).errno, libc::EADDRNOTAVAIL);
        assert_eq!(failed(wish("192.0.2.77", false)).operation, "bind");
        assert_eq!(failed(wish("127.0.0.1", true)).errno, libc::EAFNOSUPPORT);
        assert_eq!(failed(wish("::1", false)).errno, libc::EAFNOSUPPORT);
        let absent = Wish { interface: "nosuchinterface", ..wish("", false) };
        assert_eq!(failed(absent).operation, "SO_BINDTODEVICE");
    }

    #[test]
    fn a_bound_port_is_told_and_taken() {
        let (handle, port) = open(&wish("127.0.0.1", false)).unwrap();
        assert_ne!(port, 0);
        let taken = Wish { port, ..wish("127.0.0.1", false) };
        assert_eq!(open(&taken).unwrap_err().errno, libc::EADDRINUSE);
        assert_eq!(handles::close(handle), Ok(()));
        let (handle, _) = open(&taken).unwrap();
        assert_eq!(handles::close(handle), Ok(()));
    }
}
