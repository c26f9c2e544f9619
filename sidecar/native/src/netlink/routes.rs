//! Routes: listing, adding, deleting.

use super::reply::Reply;
use super::socket::{change, dump};
use super::{family_of, parse_ip, prefix_bits};
use crate::boundary::Errno;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteScope, RouteType};

const HEADER_BYTES: usize = 12;
/// RTM_F_CLONED: a cached copy, not a route anyone set.
const FLAG_CLONED: u32 = 0x200;

/// A route. The default route has 0 prefix bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub destination: String,
    pub prefix_bits: i32,
    /// Interface it leaves by, 0 for none (several next hops, or unreachable).
    pub index: u32,
    pub gateway: Option<String>,
    pub table: u32,
    pub metric: u32,
    /// Who set it: 2 the kernel, 4 an administrator, 250 us.
    pub protocol: u8,
}

/// True for what the kernel makes by itself of every address: local, broadcast, anycast, multicast.
fn is_made_of_an_address(kind: u8) -> bool {
    (libc::RTN_LOCAL..=libc::RTN_MULTICAST).contains(&kind)
}

fn parse(payload: &[u8]) -> Option<Route> {
    let reply = Reply::new(payload, HEADER_BYTES)?;
    let any = match i32::from(reply.byte(0)) {
        libc::AF_INET => "0.0.0.0",
        libc::AF_INET6 => "::",
        _ => return None,
    };
    if is_made_of_an_address(reply.byte(7)) || reply.header_word(8) & FLAG_CLONED != 0 {
        return None;
    }
    let destination = reply.ip(libc::RTA_DST).map_or_else(|| any.to_owned(), |ip| ip.to_string());
    Some(Route {
        destination,
        prefix_bits: reply.byte(1).into(),
        index: reply.word(libc::RTA_OIF).unwrap_or(0),
        gateway: reply.ip(libc::RTA_GATEWAY).map(|ip| ip.to_string()),
        table: reply.word(libc::RTA_TABLE).unwrap_or_else(|| reply.byte(4).into()),
        metric: reply.word(libc::RTA_PRIORITY).unwrap_or(0),
        protocol: reply.byte(5),
    })
}

/// All routes of the namespace, in all tables, but those made of addresses.
pub fn list() -> Result<Vec<Route>, Errno> {
    dump(&RouteNetlinkMessage::GetRoute(RouteMessage::default()), parse)
}

fn message(route: &Route) -> Result<RouteMessage, Errno> {
    let destination = parse_ip(&route.destination)?;
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family_of(destination);
    header.destination_prefix_length = prefix_bits(route.prefix_bits, destination)?;
    header.protocol = route.protocol.into();
    header.kind = RouteType::Unicast;
    // A route without a gateway reaches what is on the link itself.
    let is_on_link = route.gateway.is_none() && destination.is_ipv4();
    header.scope = if is_on_link { RouteScope::Link } else { RouteScope::Universe };
    // A table above 255 does not fit the header; the attribute counts.
    header.table = u8::try_from(route.table).unwrap_or(0);
    let attributes = &mut message.attributes;
    if route.prefix_bits > 0 {
        attributes.push(RouteAttribute::Destination(destination.into()));
    }
    attributes.push(RouteAttribute::Table(route.table));
    attributes.push(RouteAttribute::Oif(route.index));
    if let Some(gateway) = &route.gateway {
        let gateway = parse_ip(gateway)?;
        if gateway.is_ipv4() != destination.is_ipv4() {
            return Err(libc::EAFNOSUPPORT);
        }
        attributes.push(RouteAttribute::Gateway(gateway.into()));
    }
    if route.metric != 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    Ok(message)
}

/// Adds a route; EEXIST when one of this destination, table and metric is there.
pub fn add(route: &Route) -> Result<(), Errno> {
    change(RouteNetlinkMessage::NewRoute(message(route)?), NLM_F_CREATE | NLM_F_EXCL)
}

/// Deletes a route; ESRCH when it is not there.
pub fn delete(route: &Route) -> Result<(), Errno> {
    change(RouteNetlinkMessage::DelRoute(message(route)?), 0)
}
