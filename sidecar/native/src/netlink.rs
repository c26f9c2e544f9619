//! Links, addresses, routes and rules by rtnetlink, synchronously and in the calling thread's network
//! namespace. One invariant: a call opens its own socket and closes it, so no reply of one call
//! is ever read by another.
//!
//! Requests are built by the `netlink-packet-route` types. Replies are read attribute by
//! attribute, only those asked for: what a newer kernel adds cannot make a dump unreadable.

mod addresses;
mod calls;
mod links;
mod reply;
mod routes;
mod rules;
mod socket;
mod watch;

pub use watch::{drain, open as watch_open};

use crate::boundary::Errno;
use std::net::IpAddr;

/// Reads an address as text, or EINVAL.
fn parse_ip(text: &str) -> Result<IpAddr, Errno> {
    text.parse().map_err(|_| libc::EINVAL)
}

/// A prefix length that fits the address, or EINVAL.
fn prefix_bits(bits: i32, ip: IpAddr) -> Result<u8, Errno> {
    let bits_max = if ip.is_ipv4() { 32 } else { 128 };
    u8::try_from(bits).ok().filter(|bits| *bits <= bits_max).ok_or(libc::EINVAL)
}

/// The address family of AF_INET or AF_INET6 that an address is of.
fn family_of(ip: IpAddr) -> netlink_packet_route::AddressFamily {
    match ip {
        IpAddr::V4(_) => netlink_packet_route::AddressFamily::Inet,
        IpAddr::V6(_) => netlink_packet_route::AddressFamily::Inet6,
    }
}
