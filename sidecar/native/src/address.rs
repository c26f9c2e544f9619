//! IP addresses between table words (16 bytes, IPv4 kept v4-mapped) and the kernel's socket
//! addresses. One invariant: an IPv4 socket sees only `sockaddr_in`, an IPv6 socket only
//! `sockaddr_in6`, where IPv4 is v4-mapped again.

use crate::boundary::Errno;
use libc::{AF_INET, AF_INET6, in_addr, in6_addr, sockaddr_in, sockaddr_in6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const MAPPED_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// Bytes of the larger socket address.
pub const SOCKADDR_BYTES: u32 = size_of::<sockaddr_in6>() as u32;

/// One end of a UDP path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub ip: [u8; 16],
    pub port: u16,
    pub scope: u32,
}

/// The IPv4 address inside a v4-mapped one.
pub fn mapped_v4(ip: &[u8; 16]) -> Option<[u8; 4]> {
    (ip[..12] == MAPPED_PREFIX).then(|| [ip[12], ip[13], ip[14], ip[15]])
}

/// An IPv4 address, v4-mapped.
pub fn to_mapped(v4: [u8; 4]) -> [u8; 16] {
    let mut ip = [0; 16];
    ip[..12].copy_from_slice(&MAPPED_PREFIX);
    ip[12..].copy_from_slice(&v4);
    ip
}

/// Any address, v4-mapped when it is IPv4.
pub fn to_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => to_mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// A socket address of either family in memory that has room for both.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Name {
    pub v4: sockaddr_in,
    pub v6: sockaddr_in6,
}

impl Name {
    pub const fn empty() -> Self {
        Self {
            v6: sockaddr_in6 {
                sin6_family: 0,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: in6_addr { s6_addr: [0; 16] },
                sin6_scope_id: 0,
            },
        }
    }

    /// Writes an endpoint for a socket of the given family and returns the name's length.
    pub fn write(&mut self, endpoint: &Endpoint, is_v6_socket: bool) -> Result<u32, Errno> {
        *self = Self::empty();
        if is_v6_socket {
            self.v6 = sockaddr_in6 {
                sin6_family: AF_INET6 as u16,
                sin6_port: endpoint.port.to_be(),
                sin6_flowinfo: 0,
                sin6_addr: in6_addr { s6_addr: endpoint.ip },
                sin6_scope_id: endpoint.scope,
            };
            return Ok(SOCKADDR_BYTES);
        }
        let v4 = mapped_v4(&endpoint.ip).ok_or(libc::EAFNOSUPPORT)?;
        self.v4 = sockaddr_in {
            sin_family: AF_INET as u16,
            sin_port: endpoint.port.to_be(),
            sin_addr: in_addr { s_addr: u32::from_ne_bytes(v4) },
            sin_zero: [0; 8],
        };
        Ok(size_of::<sockaddr_in>() as u32)
    }

    /// Reads what the kernel wrote; None for a family that is neither.
    pub fn read(&self) -> Option<Endpoint> {
        // SAFETY: both members start with the family, and every byte of a Name is initialised
        // (`empty`), so reading either member is defined whatever the kernel wrote.
        let (family, v4, v6) = unsafe { (self.v4.sin_family, self.v4, self.v6) };
        match i32::from(family) {
            AF_INET => Some(Endpoint {
                ip: to_mapped(v4.sin_addr.s_addr.to_ne_bytes()),
                port: u16::from_be(v4.sin_port),
                scope: 0,
            }),
            AF_INET6 => Some(Endpoint {
                ip: v6.sin6_addr.s6_addr,
                port: u16::from_be(v6.sin6_port),
                scope: v6.sin6_scope_id,
            }),
            _ => None,
        }
    }
}

/// Reads an address as text, `%interface` or `%number` behind it, into bytes and scope.
pub fn parse(text: &str) -> Result<([u8; 16], u32), Errno> {
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    let ip: IpAddr = address.parse().map_err(|_| libc::EINVAL)?;
    let scope = match zone {
        "" => 0,
        zone => zone.parse().or_else(|_| interface_index(zone))?,
    };
    Ok((to_bytes(ip), scope))
}

/// The index of an interface by its name, or ENODEV.
fn interface_index(name: &str) -> Result<u32, Errno> {
    let name = std::ffi::CString::new(name).map_err(|_| libc::EINVAL)?;
    // SAFETY: `name` is a string that ends with a zero byte and lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(libc::ENODEV),
        index => Ok(index),
    }
}

/// The wildcard address of a family, as bytes.
pub fn any(is_v6: bool) -> [u8; 16] {
    if is_v6 { Ipv6Addr::UNSPECIFIED.octets() } else { to_mapped(Ipv4Addr::UNSPECIFIED.octets()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_go_through_socket_addresses_and_back() {
        let mut name = Name::empty();
        let v4 = Endpoint { ip: to_mapped([192, 0, 2, 1]), port: 1194, scope: 0 };
        assert_eq!(name.write(&v4, false), Ok(16));
        assert_eq!(name.read(), Some(v4));
        assert_eq!(name.write(&v4, true), Ok(28));
        assert_eq!(name.read(), Some(v4));
        let v6 = Endpoint { ip: parse("fe80::1").unwrap().0, port: 65535, scope: 7 };
        assert_eq!(name.write(&v6, true), Ok(28));
        assert_eq!(name.read(), Some(v6));
        assert_eq!(name.write(&v6, false), Err(libc::EAFNOSUPPORT));
        assert_eq!(Name::empty().read(), None);
    }

    #[test]
    fn text_is_read_with_and_without_a_zone() {
        assert_eq!(parse("127.0.0.1"), Ok((to_mapped([127, 0, 0, 1]), 0)));
        assert_eq!(parse("::1"), Ok((any(true).with_last(1), 0)));
        assert_eq!(parse("fe80::1%3").unwrap().1, 3);
        assert_eq!(parse("fe80::1%lo").unwrap().1, 1);
        assert_eq!(parse("fe80::1%nosuchinterface"), Err(libc::ENODEV));
        for bad in ["", "1.2.3", "::g", "localhost", "1.2.3.4:5"] {
            assert_eq!(parse(bad), Err(libc::EINVAL), "{bad}");
        }
    }

    trait WithLast {
        fn with_last(self, last: u8) -> Self;
    }

    impl WithLast for [u8; 16] {
        fn with_last(mut self, last: u8) -> Self {
            self[15] = last;
            self
        }
    }
}
