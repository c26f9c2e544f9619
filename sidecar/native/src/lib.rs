//! What JavaScript cannot do for the data plane: system calls in batches, AEAD over batches,
//! epoll, netlink. It holds no policy. Every call returns errno; the one that may throw is
//! `laneOpen` over memory that is not shared. `native.ts` is its only face.

#![deny(unsafe_op_in_unsafe_fn)]
// The napi macros register nothing in a test build, so what only TypeScript calls looks unused.
#![cfg_attr(test, allow(dead_code))]

mod address;
mod batch;
mod boundary;
mod control_message;
#[cfg(test)]
mod dice;
mod errors;
mod handles;
mod keys;
mod lane;
mod lane_face;
mod layout;
mod netlink;
mod open;
mod parity;
mod receive;
mod seal;
mod send;
mod slab;
mod stream;
mod tap;
mod udp;

use boundary::{Failure, bits, guard, guard_errno, integer};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use std::collections::HashMap;

/// An errno and, when it is 0, a handle.
#[napi(object)]
pub struct HandleResult {
    pub errno: i32,
    pub handle: i32,
}

/// What became of opening a device or a socket.
#[napi(object)]
#[derive(Default)]
pub struct OpenResult {
    pub errno: i32,
    pub handle: i32,
    pub name: String,
    pub port: i32,
    pub operation: String,
}

impl OpenResult {
    fn failed(failure: &Failure) -> Self {
        Self { errno: failure.errno, operation: failure.operation.to_owned(), ..Self::default() }
    }
}

/// The constants of `layout.rs` by their names in `layout.ts`.
#[napi]
pub fn layout() -> HashMap<String, i64> {
    layout::names()
}

#[napi]
pub fn event_open() -> HandleResult {
    match guard(handles::event_open) {
        Ok(handle) => HandleResult { errno: 0, handle },
        Err(errno) => HandleResult { errno, handle: 0 },
    }
}

#[napi]
pub fn watch_open() -> HandleResult {
    match guard(netlink::watch_open) {
        Ok(handle) => HandleResult { errno: 0, handle },
        Err(errno) => HandleResult { errno, handle: 0 },
    }
}

#[napi]
pub fn kick(handle: f64) -> i32 {
    guard_errno(|| handles::kick(integer(handle)?))
}

#[napi]
pub fn handle_close(handle: f64) -> i32 {
    guard_errno(|| handles::close(integer(handle)?))
}

#[napi]
pub fn tap_open(name: String, is_tap: bool) -> OpenResult {
    match guard(|| Ok(tap::open(&name, is_tap))) {
        Ok(Ok((handle, name))) => OpenResult { handle, name, ..OpenResult::default() },
        Ok(Err(failure)) => OpenResult::failed(&failure),
        Err(errno) => OpenResult::failed(&Failure { errno, operation: "tapOpen" }),
    }
}

/// What a socket shall be; see `udp::Wish`.
#[napi(object)]
pub struct UdpWish {
    pub address: String,
    pub port: f64,
    pub family: f64,
    pub interface: Option<String>,
    pub receive_buffer_bytes: f64,
    pub send_buffer_bytes: f64,
}

#[napi]
pub fn udp_open(wish: UdpWish) -> OpenResult {
    let opened = guard(|| {
        let family = integer(wish.family)?;
        if family != 4 && family != 6 {
            return Err(libc::EAFNOSUPPORT);
        }
        Ok(udp::open(&udp::Wish {
            address: &wish.address,
            port: u16::try_from(integer(wish.port)?).map_err(|_| libc::EINVAL)?,
            is_v6: family == 6,
            interface: wish.interface.as_deref().unwrap_or(""),
            receive_buffer_bytes: integer(wish.receive_buffer_bytes)?,
            send_buffer_bytes: integer(wish.send_buffer_bytes)?,
        }))
    });
    match opened {
        Ok(Ok((handle, port))) => OpenResult { handle, port: port.into(), ..OpenResult::default() },
        Ok(Err(failure)) => OpenResult::failed(&failure),
        Err(errno) => OpenResult::failed(&Failure { errno, operation: "udpOpen" }),
    }
}

/// What a TCP socket shall be; see `stream::Wish`.
#[napi(object)]
pub struct TcpWish {
    /// Absent: to dial.
    pub port: Option<f64>,
    pub family: f64,
    pub send_buffer_bytes: f64,
}

#[napi]
pub fn tcp_open(wish: TcpWish) -> OpenResult {
    let opened = guard(|| {
        let family = integer(wish.family)?;
        if family != 4 && family != 6 {
            return Err(libc::EAFNOSUPPORT);
        }
        let port = match wish.port {
            None => None,
            Some(port) => Some(u16::try_from(integer(port)?).map_err(|_| libc::EINVAL)?),
        };
        let send_buffer_bytes = integer(wish.send_buffer_bytes)?;
        Ok(stream::open(&stream::Wish { port, is_v6: family == 6, send_buffer_bytes }))
    });
    match opened {
        Ok(Ok((handle, port))) => OpenResult { handle, port: port.into(), ..OpenResult::default() },
        Ok(Err(failure)) => OpenResult::failed(&failure),
        Err(errno) => OpenResult::failed(&Failure { errno, operation: "tcpOpen" }),
    }
}

/// A key and the slot it goes to; see `keys::Key`.
#[napi(object)]
pub struct KeyWish {
    pub slot: f64,
    pub generation: f64,
    pub cipher: String,
    pub key: Uint8Array,
    pub implicit_iv: Uint8Array,
    pub format: String,
}

#[napi]
pub fn key_install(wish: KeyWish) -> i32 {
    guard_errno(|| {
        let format = match wish.format.as_str() {
            "short" => keys::Format::Short,
            "epoch" => keys::Format::Epoch,
            _ => return Err(libc::EINVAL),
        };
        let key = keys::Key::new(&wish.cipher, format, &wish.key, &wish.implicit_iv)?;
        keys::install(integer(wish.slot)?, bits(wish.generation)?, key)
    })
}

#[napi]
pub fn key_remove(slot: f64) -> i32 {
    guard_errno(|| keys::remove(integer(slot)?))
}
