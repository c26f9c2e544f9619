//! Opening what a hub is made of: a listening socket, or the wish to dial.

use crate::address::{self, Endpoint, Name, SOCKADDR_BYTES};
use crate::boundary::{During, Failure, checked};
use crate::handles::{self, Kind};
use libc::{IPPROTO_IPV6, SOL_SOCKET, c_int};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: c_int = 256;

/// What a socket shall be.
pub struct Wish {
    /// A port to listen on, with any address; None to dial.
    pub port: Option<u16>,
    pub is_v6: bool,
    /// Send buffer of each connection; 0 leaves the kernel's default.
    pub send_buffer_bytes: i32,
}

/// Opens it; its handle and the port that it listens on.
pub fn open(wish: &Wish) -> Result<(i32, u16), Failure> {
    let buffer_bytes = wish.send_buffer_bytes;
    let Some(port) = wish.port else {
        // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
        let result = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        checked(result.into()).during("eventfd")?;
        // SAFETY: the descriptor was just opened and nobody else owns it.
        let place = unsafe { OwnedFd::from_raw_fd(result) };
        let kind = Kind::StreamDialler { buffer_bytes };
        return Ok((handles::insert(kind, place).during("keep handle")?, 0));
    };
    let family = if wish.is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain system call; the result is checked before it becomes an OwnedFd.
    let result = unsafe { libc::socket(family, kind, 0) };
    checked(result.into()).during("socket")?;
    // SAFETY: the descriptor was just opened and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(result) };
    // Connections of a process that ended a moment ago do not hold the port.
    set(&socket, (SOL_SOCKET, libc::SO_REUSEADDR), 1).during("SO_REUSEADDR")?;
    if wish.is_v6 {
        set(&socket, (IPPROTO_IPV6, libc::IPV6_V6ONLY), 0).during("IPV6_V6ONLY")?;
    }
    let port = bind(&socket, port, wish.is_v6)?;
    // SAFETY: the descriptor is open.
    let result = unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) };
    checked(result.into()).during("listen")?;
    let kind = Kind::StreamListener { buffer_bytes };
    Ok((handles::insert(kind, socket).during("keep handle")?, port))
}

fn set(socket: &OwnedFd, option: (c_int, c_int), value: c_int) -> Result<(), i32> {
    let (level, name) = option;
    let at = (&raw const value).cast();
    let bytes = size_of::<c_int>() as u32;
    // SAFETY: the descriptor is open and the value is a whole int that lives through the call.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, bytes) }.into())
        .map(drop)
}

/// Binds to any address; the port that was given.
fn bind(socket: &OwnedFd, port: u16, is_v6: bool) -> Result<u16, Failure> {
    let mut name = Name::empty();
    let endpoint = Endpoint { ip: address::any(is_v6), port, scope: 0 };
    let bytes = name.write(&endpoint, is_v6).during("bind")?;
    // SAFETY: the name is initialised and at least as long as said; the descriptor is open.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), bytes) };
    checked(result.into()).during("bind")?;
    let mut bytes = SOCKADDR_BYTES;
    let at = (&raw mut name).cast();
    // SAFETY: the name has room for the bytes said; the descriptor is open.
    let result = unsafe { libc::getsockname(socket.as_raw_fd(), at, &raw mut bytes) };
    checked(result.into()).during("getsockname")?;
    Ok(name.read().map_or(0, |endpoint| endpoint.port))
}
