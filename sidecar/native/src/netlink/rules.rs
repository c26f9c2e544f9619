//! Rules that say in which table a route is looked up: listing, adding, deleting.

use super::reply::Reply;
use super::socket::{change, dump};
use super::{family_of, parse_ip};
use crate::boundary::Errno;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

const HEADER_BYTES: usize = 12;
// linux/fib_rules.h; libc does not name them.
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_OIFNAME: u16 = 17;
/// What the kernel says where no prefix length is suppressed.
const SUPPRESS_NOTHING: u32 = u32::MAX;

/// A rule: for packets of one source address or by one interface, one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub is_v6: bool,
    pub priority: u32,
    pub table: u32,
    /// Address that packets leave from; empty for any.
    pub source: String,
    /// Interface that packets are bound to; empty for any.
    pub interface: String,
    /// Routes with no longer a prefix than this are passed over; None: none are.
    pub suppress_bits: Option<u32>,
}

fn parse(payload: &[u8]) -> Option<Rule> {
    let reply = Reply::new(payload, HEADER_BYTES)?;
    let is_v6 = match i32::from(reply.byte(0)) {
        libc::AF_INET => false,
        libc::AF_INET6 => true,
        _ => return None,
    };
    Some(Rule {
        is_v6,
        priority: reply.word(FRA_PRIORITY).unwrap_or(0),
        table: reply.word(FRA_TABLE).unwrap_or_else(|| reply.byte(4).into()),
        source: reply.ip(FRA_SRC).map_or_else(String::new, |ip| ip.to_string()),
        interface: reply.text(FRA_OIFNAME),
        suppress_bits: reply.word(FRA_SUPPRESS_PREFIXLEN).filter(|bits| *bits != SUPPRESS_NOTHING),
    })
}

/// All rules of the namespace, of both families.
pub fn list() -> Result<Vec<Rule>, Errno> {
    dump(&RouteNetlinkMessage::GetRule(RuleMessage::default()), parse)
}

fn message(rule: &Rule) -> Result<RuleMessage, Errno> {
    let mut message = RuleMessage::default();
    message.header.family = if rule.is_v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.header.action = RuleAction::ToTable;
    // A table above 255 does not fit the header; the attribute counts.
    message.header.table = u8::try_from(rule.table).unwrap_or(0);
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Table(rule.table));
    if !rule.source.is_empty() {
        let ip = parse_ip(&rule.source)?;
        if family_of(ip) != message.header.family {
            return Err(libc::EAFNOSUPPORT);
        }
        message.header.src_len = if ip.is_ipv4() { 32 } else { 128 };
        attributes.push(RuleAttribute::Source(ip));
    }
    if !rule.interface.is_empty() {
        attributes.push(RuleAttribute::Oifname(rule.interface.clone()));
    }
    if let Some(bits) = rule.suppress_bits {
        attributes.push(RuleAttribute::SuppressPrefixLen(bits));
    }
    Ok(message)
}

/// Adds a rule; EEXIST when it is there.
pub fn add(rule: &Rule) -> Result<(), Errno> {
    change(RouteNetlinkMessage::NewRule(message(rule)?), NLM_F_CREATE | NLM_F_EXCL)
}

/// Deletes a rule; ENOENT when it is not there.
pub fn delete(rule: &Rule) -> Result<(), Errno> {
    change(RouteNetlinkMessage::DelRule(message(rule)?), 0)
}
