//! Network interfaces: listing, adding a bridge, changing, deleting.

use super::reply::Reply;
use super::socket::{change, dump};
use crate::boundary::Errno;
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use std::ffi::CString;

const HEADER_BYTES: usize = 16;
const NAME_BYTES_MAX: usize = libc::IFNAMSIZ - 1;
/// IFALIASZ of the kernel, less the zero byte.
const ALIAS_BYTES_MAX: usize = 255;
/// IFLA_INFO_KIND, inside IFLA_LINKINFO.
const INFO_KIND: u16 = 1;

/// An interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// "bridge", "tun", "veth", …; empty for hardware.
    pub kind: String,
    /// Index of the bridge or bond it belongs to, 0 for none.
    pub master: u32,
    pub mtu: u32,
    pub is_up: bool,
    pub has_carrier: bool,
    pub mac: String,
    pub alias: String,
}

/// What to change; None leaves it.
#[derive(Default)]
pub struct Change {
    pub index: u32,
    pub is_up: Option<bool>,
    pub mtu: Option<u32>,
    pub master: Option<u32>,
    pub mac: Option<String>,
    pub alias: Option<String>,
}

fn parse(payload: &[u8]) -> Option<Link> {
    let reply = Reply::new(payload, HEADER_BYTES)?;
    let flags = reply.header_word(8);
    let mac = reply.bytes(libc::IFLA_ADDRESS).unwrap_or_default();
    let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Link {
        index: reply.header_word(4),
        name: reply.text(libc::IFLA_IFNAME),
        kind: reply.nested(libc::IFLA_LINKINFO).text(INFO_KIND),
        master: reply.word(libc::IFLA_MASTER).unwrap_or(0),
        mtu: reply.word(libc::IFLA_MTU).unwrap_or(0),
        is_up: flags & libc::IFF_UP as u32 != 0,
        has_carrier: flags & libc::IFF_LOWER_UP as u32 != 0,
        mac: mac.join(":"),
        alias: reply.text(libc::IFLA_IFALIAS),
    })
}

/// All interfaces of the namespace.
pub fn list() -> Result<Vec<Link>, Errno> {
    dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()), parse)
}

/// Adds an interface and returns its index. Only bridges can be made here.
pub fn add(name: &str, kind: &str) -> Result<u32, Errno> {
    if kind != "bridge" {
        return Err(libc::EOPNOTSUPP);
    }
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(libc::EINVAL);
    }
    let text = CString::new(name).map_err(|_| libc::EINVAL)?;
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
    change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)?;
    // SAFETY: `text` is a string that ends with a zero byte and lives through the call.
    match unsafe { libc::if_nametoindex(text.as_ptr()) } {
        0 => Err(libc::ENODEV),
        index => Ok(index),
    }
}

fn message_for(index: u32) -> Result<LinkMessage, Errno> {
    // Index 0 would let the kernel look by name, or at nothing.
    if index == 0 || i32::try_from(index).is_err() {
        return Err(libc::EINVAL);
    }
    let mut message = LinkMessage::default();
    message.header.index = index;
    Ok(message)
}

/// Deletes an interface.
pub fn delete(index: u32) -> Result<(), Errno> {
    change(RouteNetlinkMessage::DelLink(message_for(index)?), 0)
}

fn parse_mac(text: &str) -> Result<Vec<u8>, Errno> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok())?)
        .collect();
    bytes.filter(|bytes| bytes.len() == 6).ok_or(libc::EINVAL)
}

/// Changes an interface. The kernel applies MAC, MTU, alias, master, state in turn and stops at
/// the first that it refuses.
pub fn set(wish: &Change) -> Result<(), Errno> {
    let mut message = message_for(wish.index)?;
    if let Some(is_up) = wish.is_up {
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if is_up { LinkFlags::Up } else { LinkFlags::empty() };
    }
    let attributes = &mut message.attributes;
    attributes.extend(wish.mtu.map(LinkAttribute::Mtu));
    attributes.extend(wish.master.map(LinkAttribute::Controller));
    if let Some(mac) = &wish.mac {
        attributes.push(LinkAttribute::Address(parse_mac(mac)?));
    }
    if let Some(alias) = &wish.alias {
        if alias.len() > ALIAS_BYTES_MAX || alias.contains('\0') {
            return Err(libc::EINVAL);
        }
        // Without the zero byte that `IfAlias` adds and the kernel would keep.
        let text = DefaultNla::new(libc::IFLA_IFALIAS, alias.clone().into_bytes());
        attributes.push(LinkAttribute::Other(text));
    }
    change(RouteNetlinkMessage::SetLink(message), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_listed() {
        let links = list().unwrap();
        let loopback = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(loopback.index, 1);
        assert_eq!(loopback.mac, "00:00:00:00:00:00");
        assert_eq!(loopback.mtu, 65536);
    }

    #[test]
    fn a_mac_is_six_pairs_or_refused() {
        assert_eq!(parse_mac("02:00:5e:FF:00:01"), Ok(vec![2, 0, 0x5e, 0xff, 0, 1]));
        for bad in [
            "",
            "02:00:5e:ff:00",
            "02:00:5e:ff:00:01:02",
            "02-00",
            "0g:00:00:00:00:00",
            "é:00:00:00:00:00",
        ] {
            assert!(parse_mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wrong_wishes_are_refused_before_the_kernel_sees_them() {
        assert_eq!(delete(0), Err(libc::EINVAL));
        assert_eq!(delete(u32::MAX), Err(libc::EINVAL));
        assert_eq!(add("", "bridge"), Err(libc::EINVAL));
        assert_eq!(add("a-name-that-is-too-long", "bridge"), Err(libc::EINVAL));
        assert_eq!(add("x", "bond"), Err(libc::EOPNOTSUPP));
    }
}
