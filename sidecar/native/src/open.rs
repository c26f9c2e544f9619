//! Opening packets in place: one packet, and the rows of a batch.
//! One invariant: a row says `opened` only when the tag was right.

use crate::keys::{Format, Held, Key, TAG_BYTES};
use crate::layout::{verdict, word};
use crate::slab::{Row, Slab};
use aws_lc_rs::aead::Aad;
use core::ops::Range;

/// Why a packet was not opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    Malformed,
    AuthenticationFailed,
}

/// Opens a packet in place; the text is at the returned place inside it.
pub fn open(key: &Key, packet: &mut [u8]) -> Result<Range<usize>, Refusal> {
    let header_bytes = key.format.header_bytes();
    if packet.len() < header_bytes + TAG_BYTES {
        return Err(Refusal::Malformed);
    }
    let (head, body) = packet.split_at_mut(header_bytes);
    let text_bytes = body.len() - TAG_BYTES;
    let (start, text, tag) = match key.format {
        Format::Short => {
            let (tag, text) = body.split_at_mut(TAG_BYTES);
            (header_bytes + TAG_BYTES, text, tag)
        }
        Format::Epoch => {
            let (text, tag) = body.split_at_mut(text_bytes);
            (header_bytes, text, tag)
        }
    };
    let nonce = key.nonce(head);
    match key.cipher.open_in_place_separate_tag(nonce, Aad::from(&*head), tag, text) {
        Ok(_) => Ok(start..start + text_bytes),
        Err(_) => Err(Refusal::AuthenticationFailed),
    }
}

/// Opens the packet a row describes and writes the row's verdict; true when it was opened.
pub fn open_row(slab: &Slab, row: Row<'_>, held: &mut Held) -> bool {
    if row.get(word::VERDICT) != verdict::OPEN {
        return false;
    }
    let first = row.get(word::START);
    let result = match slab.range(first, row.get(word::LENGTH)) {
        Err(_) => Err(verdict::MALFORMED),
        Ok(range) => match held.key(row.get(word::KEY), row.get(word::GENERATION)) {
            None => Err(verdict::KEY_STALE),
            Some(key) => {
                // SAFETY: the range is inside the slab; TypeScript grants the bytes of a row to
                // this call, and no other slice of the slab exists while this one does.
                let packet = unsafe { std::slice::from_raw_parts_mut(range.base, range.length) };
                open(key, packet).map_err(|refusal| match refusal {
                    Refusal::Malformed => verdict::MALFORMED,
                    Refusal::AuthenticationFailed => verdict::AUTHENTICATION_FAILED,
                })
            }
        },
    };
    match result {
        Ok(place) => {
            // Both fit: they are inside a range whose own limit is a positive 32-bit number.
            row.set(word::START, first + place.start as i32);
            row.set(word::LENGTH, place.len() as i32);
            row.set(word::VERDICT, verdict::OPENED);
            true
        }
        Err(refused) => {
            row.set(word::VERDICT, refused);
            false
        }
    }
}
