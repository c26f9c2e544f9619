//! Reading fields and attributes of a reply by their numbers. Nothing is trusted to be there.

use netlink_packet_core::{NLA_HEADER_SIZE, NLA_TYPE_MASK, NlasIterator};
use std::net::IpAddr;

/// A reply's fixed header and its attributes.
pub struct Reply<'a> {
    header: &'a [u8],
    attributes: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Splits a payload, or None when it is shorter than its header.
    pub fn new(payload: &'a [u8], header_bytes: usize) -> Option<Self> {
        let (header, attributes) = payload.split_at_checked(header_bytes)?;
        Some(Self { header, attributes })
    }

    /// The attributes nested in one of this reply's.
    pub fn nested(&self, kind: u16) -> Self {
        Self { header: &[], attributes: self.bytes(kind).unwrap_or_default() }
    }

    /// A byte of the header.
    pub fn byte(&self, at: usize) -> u8 {
        self.header.get(at).copied().unwrap_or(0)
    }

    /// A word of the header.
    pub fn header_word(&self, at: usize) -> u32 {
        self.header.get(at..).and_then(word).unwrap_or(0)
    }

    /// The bytes of an attribute; attributes that are not well-formed end the search.
    pub fn bytes(&self, kind: u16) -> Option<&'a [u8]> {
        NlasIterator::new(self.attributes)
            .map_while(Result::ok)
            .find(|attribute| attribute.kind() & NLA_TYPE_MASK == kind)
            .and_then(|attribute| {
                let limit = NLA_HEADER_SIZE + attribute.value_length();
                attribute.into_inner().get(NLA_HEADER_SIZE..limit)
            })
    }

    /// An attribute of one word.
    pub fn word(&self, kind: u16) -> Option<u32> {
        word(self.bytes(kind)?)
    }

    /// An attribute that is text, without the zero byte; empty when it is not there.
    pub fn text(&self, kind: u16) -> String {
        let bytes = self.bytes(kind).unwrap_or_default();
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// An attribute that is an IP address.
    pub fn ip(&self, kind: u16) -> Option<IpAddr> {
        let bytes = self.bytes(kind)?;
        if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
            return Some(v4.into());
        }
        <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
    }
}

fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_read() {
        let reply = Reply::new(&[1, 2, 3, 4], 4).unwrap();
        assert_eq!(reply.header_word(1), 0);
        assert_eq!(reply.byte(9), 0);
        assert!(reply.bytes(1).is_none());
        assert_eq!(reply.text(1), "");
        assert!(Reply::new(&[1, 2, 3], 4).is_none());
    }

    #[test]
    fn attributes_are_found_and_broken_ones_end_the_search() {
        let payload = [6, 0, 1, 0, b'a', 0, 0, 0, 8, 0, 2, 0, 10, 0, 0, 1, 200, 0, 3, 0];
        let reply = Reply::new(&payload, 0).unwrap();
        assert_eq!(reply.text(1), "a");
        assert_eq!(reply.ip(2), Some("10.0.0.1".parse().unwrap()));
        assert!(reply.bytes(3).is_none());
    }
}
