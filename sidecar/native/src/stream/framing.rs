//! Packets in a byte stream: two bytes of length, most significant first, then the packet
//! (openvpn-rfc, "tcp"). One invariant: what is given out lies inside the bytes that came in.

use core::ops::Range;

/// Bytes of the length in front of a packet.
pub const PREFIX_BYTES: usize = 2;

/// What stands at a place of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole packet, at this place.
    Packet(Range<usize>),
    /// The beginning of one.
    Incomplete,
    /// No stream of packets: a length of 0.
    Malformed,
}

/// Looks at the packet that begins at `at`.
pub fn step(bytes: &[u8], at: usize) -> Step {
    let Some(prefix) = bytes.get(at..at.saturating_add(PREFIX_BYTES)) else {
        return Step::Incomplete;
    };
    let start = at + PREFIX_BYTES;
    match usize::from(u16::from_be_bytes([prefix[0], prefix[1]])) {
        0 => Step::Malformed,
        length if bytes.len() - start < length => Step::Incomplete,
        length => Step::Packet(start..start + length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn a_packet_is_whole_only_when_all_of_it_is_there() {
        assert_eq!(step(&[], 0), Step::Incomplete);
        assert_eq!(step(&[0], 0), Step::Incomplete);
        assert_eq!(step(&[0, 0], 0), Step::Malformed);
        assert_eq!(step(&[0, 1], 0), Step::Incomplete);
        assert_eq!(step(&[0, 1, 7], 0), Step::Packet(2..3));
        assert_eq!(step(&[9, 0, 1, 7, 8], 1), Step::Packet(3..4));
        assert_eq!(step(&[0, 1, 7], usize::MAX), Step::Incomplete);
        assert_eq!(step(&[0xff, 0xff], 0), Step::Incomplete);
    }

    #[test]
    fn packets_come_out_as_they_went_in_however_the_stream_is_cut() {
        let mut dice = Dice::new(1);
        for _ in 0..2000 {
            let packets: Vec<Vec<u8>> = (0..dice.below(6))
                .map(|_| (0..1 + dice.below(40)).map(|_| dice.below(256) as u8).collect())
                .collect();
            let mut stream = Vec::new();
            for packet in &packets {
                stream.extend_from_slice(&(packet.len() as u16).to_be_bytes());
                stream.extend_from_slice(packet);
            }
            let (mut held, mut seen) = (Vec::new(), Vec::new());
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(1 + dice.below(rest.len()));
                held.extend_from_slice(piece);
                rest = tail;
                let mut at = 0;
                while let Step::Packet(range) = step(&held, at) {
                    at = range.end;
                    seen.push(held[range].to_vec());
                }
                held.drain(..at);
            }
            assert_eq!(seen, packets);
            assert!(held.is_empty());
        }
    }

    #[test]
    fn any_bytes_give_packets_inside_of_them() {
        let mut dice = Dice::new(2);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..dice.below(64)).map(|_| dice.edge()).collect();
            let mut at = dice.below(70);
            while let Step::Packet(range) = step(&bytes, at) {
                assert!(range.start == at + 2 && range.end > range.start);
                assert!(range.end <= bytes.len());
                at = range.end;
            }
        }
    }
}
