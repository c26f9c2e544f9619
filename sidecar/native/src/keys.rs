//! The process-wide table of AEAD keys, shared by all threads. One invariant: key material lives
//! in here only, and is overwritten when it leaves (the cipher's context by aws-lc, which cleanses
//! what it frees; the implicit IV by `Drop`).

use crate::boundary::Errno;
use crate::layout::size::KEY_SLOTS;
use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroize;

/// Bytes of the authentication tag of every cipher here.
pub const TAG_BYTES: usize = 16;

/// Where id, tag and text stand in a data packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `opcode word(4) id(4) tag(16) text`; nonce is id and the implicit IV's 8 bytes.
    Short,
    /// `opcode word(4) epoch and counter(8) text tag(16)`; nonce is the implicit IV's 12 bytes,
    /// the first 8 of them XOR the id.
    Epoch,
}

impl Format {
    /// Bytes in front of tag or text, all of them authenticated.
    pub const fn header_bytes(self) -> usize {
        match self {
            Self::Short => 8,
            Self::Epoch => 12,
        }
    }

    const fn iv_bytes(self) -> usize {
        match self {
            Self::Short => 8,
            Self::Epoch => 12,
        }
    }
}

/// A key of one direction of one session.
pub struct Key {
    pub cipher: LessSafeKey,
    pub format: Format,
    pub generation: i32,
    implicit_iv: [u8; 12],
}

impl Drop for Key {
    fn drop(&mut self) {
        self.implicit_iv.zeroize();
    }
}

impl Key {
    /// A key, or EINVAL when cipher, key and IV do not go together.
    pub fn new(cipher: &str, format: Format, key: &[u8], iv: &[u8]) -> Result<Self, Errno> {
        let algorithm: &'static Algorithm = match cipher {
            "AES-256-GCM" => &AES_256_GCM,
            "AES-128-GCM" => &AES_128_GCM,
            "CHACHA20-POLY1305" => &CHACHA20_POLY1305,
            _ => return Err(libc::EINVAL),
        };
        if iv.len() != format.iv_bytes() {
            return Err(libc::EINVAL);
        }
        let unbound = UnboundKey::new(algorithm, key).map_err(|_| libc::EINVAL)?;
        let mut implicit_iv = [0; 12];
        match format {
            Format::Short => implicit_iv[4..].copy_from_slice(iv),
            Format::Epoch => implicit_iv.copy_from_slice(iv),
        }
        Ok(Self { cipher: LessSafeKey::new(unbound), format, generation: 0, implicit_iv })
    }

    /// The nonce of a packet, whose id is the header behind the opcode word.
    pub fn nonce(&self, header: &[u8]) -> Nonce {
        let mut nonce = self.implicit_iv;
        // In the short format the first four bytes are 0, so XOR there is the same as writing.
        for (byte, id) in nonce.iter_mut().zip(header.iter().skip(4)) {
            *byte ^= id;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

static SLOTS: [Mutex<Option<Box<Key>>>; KEY_SLOTS] = [const { Mutex::new(None) }; KEY_SLOTS];

/// A key slot, locked.
pub type Guard = MutexGuard<'static, Option<Box<Key>>>;

/// Locks a slot by its number, or EINVAL.
pub fn lock(slot: i32) -> Result<Guard, Errno> {
    let slot = usize::try_from(slot).ok().and_then(|index| SLOTS.get(index)).ok_or(libc::EINVAL)?;
    Ok(slot.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Puts a key in a slot, in place of what was there.
pub fn install(slot: i32, generation: i32, mut key: Key) -> Result<(), Errno> {
    key.generation = generation;
    let previous = lock(slot)?.replace(Box::new(key));
    drop(previous);
    Ok(())
}

/// Empties a slot; ENOENT when it was empty.
pub fn remove(slot: i32) -> Result<(), Errno> {
    let previous = lock(slot)?.take();
    previous.map(drop).ok_or(libc::ENOENT)
}

/// The key of a run of rows: locked once as long as rows name the same slot.
#[derive(Default)]
pub struct Held {
    slot: i32,
    guard: Option<Guard>,
}

impl Held {
    /// The key that a row names, or None when slot or generation is not what is in the table.
    pub fn key(&mut self, slot: i32, generation: i32) -> Option<&Key> {
        if self.guard.is_none() || self.slot != slot {
            // Let go first: two threads that each hold one key and want the other's would wait
            // for ever.
            self.guard = None;
            self.guard = Some(lock(slot).ok()?);
            self.slot = slot;
        }
        self.guard.as_ref()?.as_deref().filter(|key| key.generation == generation)
    }

    /// Lets go of the lock, before a system call.
    pub fn release(&mut self) {
        self.guard = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("AES-128-GCM", Format::Short, &[1; 16], &[2; 8]).unwrap()
    }

    #[test]
    fn a_key_is_found_by_slot_and_generation_only() {
        install(4000, 7, key()).unwrap();
        let mut held = Held::default();
        assert!(held.key(4000, 7).is_some());
        assert!(held.key(4000, 8).is_none());
        assert!(held.key(4001, 7).is_none());
        assert!(held.key(-1, 7).is_none());
        assert!(held.key(4096, 7).is_none());
        assert!(held.key(4000, 7).is_some());
        held.release();
        assert_eq!(remove(4000), Ok(()));
        assert_eq!(remove(4000), Err(libc::ENOENT));
        assert!(held.key(4000, 7).is_none());
    }

    #[test]
    fn key_iv_and_cipher_must_go_together() {
        assert!(Key::new("AES-256-GCM", Format::Short, &[0; 16], &[0; 8]).is_err());
        assert!(Key::new("AES-256-GCM", Format::Short, &[0; 32], &[0; 12]).is_err());
        assert!(Key::new("AES-256-GCM", Format::Epoch, &[0; 32], &[0; 8]).is_err());
        assert!(Key::new("AES-256-CBC", Format::Short, &[0; 32], &[0; 8]).is_err());
        assert!(Key::new("CHACHA20-POLY1305", Format::Epoch, &[0; 32], &[0; 12]).is_ok());
    }

    #[test]
    fn nonces_are_made_as_the_two_formats_say() {
        let short = key();
        let nonce = short.nonce(&[0x48, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(nonce.as_ref(), &[1, 2, 3, 4, 2, 2, 2, 2, 2, 2, 2, 2]);
        let epoch = Key::new("AES-128-GCM", Format::Epoch, &[1; 16], &[0xf0; 12]).unwrap();
        let nonce = epoch.nonce(&[0x48, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3]);
        let expected = [0xf0, 0xf1, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf3, 0xf0, 0xf0, 0xf0, 0xf0];
        assert_eq!(nonce.as_ref(), &expected);
    }
}
