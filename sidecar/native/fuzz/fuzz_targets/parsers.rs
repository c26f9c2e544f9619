//! What the addon reads of others: packets in a TCP stream, replies of the kernel, addresses in text.
//! The parsers' own files are compiled in, since the addon itself needs Node around it.
#![no_main]
// A parser's file has more than is used here.
#![allow(dead_code)]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/address.rs"]
mod address;
#[path = "../../src/stream/framing.rs"]
mod framing;
#[path = "../../src/netlink/reply.rs"]
mod reply;

mod boundary {
    pub type Errno = libc::c_int;
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    walk_stream(rest, usize::from(*choice));
    read_reply(rest, usize::from(*choice));
    if let Ok(text) = std::str::from_utf8(rest) {
        let _ = address::parse(text);
    }
});

/// Packets lie inside what came in, one behind the other.
fn walk_stream(bytes: &[u8], first: usize) {
    let mut at = first;
    while let framing::Step::Packet(packet) = framing::step(bytes, at) {
        assert!(packet.start == at + framing::PREFIX_BYTES);
        assert!(packet.end > packet.start && packet.end <= bytes.len());
        at = packet.end;
    }
}

/// Nothing is read outside of a reply, whatever its attributes say of themselves.
fn read_reply(bytes: &[u8], header_bytes: usize) {
    let Some(whole) = reply::Reply::new(bytes, header_bytes % 40) else { return };
    for kind in 0..64 {
        let _ = (whole.text(kind), whole.ip(kind), whole.word(kind));
        let nested = whole.nested(kind);
        let _ = (nested.byte(usize::from(kind)), nested.header_word(usize::from(kind)));
        assert!(nested.bytes(kind).is_none_or(|inner| inner.len() <= bytes.len()));
    }
}
