//! IP addresses of interfaces: listing, adding, deleting.

use super::reply::Reply;
use super::socket::{change, dump};
use super::{family_of, parse_ip, prefix_bits};
use crate::boundary::Errno;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

const HEADER_BYTES: usize = 8;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub index: u32,
    pub address: String,
    pub prefix_bits: i32,
}

fn parse(payload: &[u8]) -> Option<Address> {
    let reply = Reply::new(payload, HEADER_BYTES)?;
    // On a point-to-point interface IFA_ADDRESS is the other end and IFA_LOCAL ours.
    let ip = reply.ip(libc::IFA_LOCAL).or_else(|| reply.ip(libc::IFA_ADDRESS))?;
    Some(Address {
        index: reply.header_word(4),
        address: ip.to_string(),
        prefix_bits: reply.byte(1).into(),
    })
}

/// All addresses of the namespace.
pub fn list() -> Result<Vec<Address>, Errno> {
    dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), parse)
}

fn message(address: &Address) -> Result<AddressMessage, Errno> {
    let ip = parse_ip(&address.address)?;
    let mut message = AddressMessage::default();
    message.header.family = family_of(ip);
    message.header.prefix_len = prefix_bits(address.prefix_bits, ip)?;
    message.header.index = address.index;
    message.attributes.push(AddressAttribute::Local(ip));
    message.attributes.push(AddressAttribute::Address(ip));
    Ok(message)
}

/// Adds an address; EEXIST when it is there.
pub fn add(address: &Address) -> Result<(), Errno> {
    let message = message(address)?;
    change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Deletes an address; EADDRNOTAVAIL when it is not there.
pub fn delete(address: &Address) -> Result<(), Errno> {
    change(RouteNetlinkMessage::DelAddress(message(address)?), 0)
}
