//! Sealing one packet out of the slab into output memory, in either data packet format.

use crate::keys::{Format, Key, TAG_BYTES};
use aws_lc_rs::aead::Aad;

/// What stands in front of the text of a data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub opcode: i32,
    pub id_low: i32,
    pub id_high: i32,
}

/// Bytes of a packet made from `text_bytes` bytes.
pub const fn sealed_bytes(format: Format, text_bytes: usize) -> usize {
    text_bytes + format.header_bytes() + TAG_BYTES
}

/// Seals `text` into `output`, which has exactly `sealed_bytes` bytes; false when it cannot be.
pub fn seal(key: &Key, header: Header, text: &[u8], output: &mut [u8]) -> bool {
    if output.len() != sealed_bytes(key.format, text.len()) {
        return false;
    }
    let (head, body) = output.split_at_mut(key.format.header_bytes());
    head[..4].copy_from_slice(&header.opcode.to_be_bytes());
    let (sealed, tag) = match key.format {
        Format::Short => {
            head[4..].copy_from_slice(&header.id_low.to_be_bytes());
            let (tag, sealed) = body.split_at_mut(TAG_BYTES);
            (sealed, tag)
        }
        Format::Epoch => {
            head[4..8].copy_from_slice(&header.id_high.to_be_bytes());
            head[8..].copy_from_slice(&header.id_low.to_be_bytes());
            body.split_at_mut(text.len())
        }
    };
    let nonce = key.nonce(head);
    key.cipher.seal_out_of_place_scatter(nonce, Aad::from(&*head), text, sealed, &[], tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::open;

    const HEADER: Header = Header { opcode: 0x4800_0001, id_low: -2, id_high: 0x0001_0000 };

    #[test]
    fn what_is_sealed_opens_and_a_changed_bit_does_not() {
        for format in [Format::Short, Format::Epoch] {
            let iv = [9; 12];
            let iv = if format == Format::Short { &iv[..8] } else { &iv[..] };
            let key = Key::new("AES-256-GCM", format, &[3; 32], iv).unwrap();
            for length in [0, 1, 15, 16, 17, 1500] {
                let text: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let mut packet = vec![0; sealed_bytes(format, length)];
                assert!(seal(&key, HEADER, &text, &mut packet));
                for at in 0..packet.len() {
                    let mut changed = packet.clone();
                    changed[at] ^= 0x10;
                    assert!(open(&key, &mut changed).is_err(), "{format:?} {length} {at}");
                }
                let place = open(&key, &mut packet).unwrap();
                assert_eq!(&packet[place], &text);
            }
        }
    }

    #[test]
    fn output_of_another_size_is_refused() {
        let key = Key::new("AES-256-GCM", Format::Short, &[3; 32], &[9; 8]).unwrap();
        assert!(!seal(&key, HEADER, &[0; 4], &mut [0; 27]));
        assert!(!seal(&key, HEADER, &[0; 4], &mut [0; 29]));
        assert!(!seal(&key, HEADER, &[], &mut []));
    }
}
