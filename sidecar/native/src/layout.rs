//! The memory that TypeScript and the addon both see, word by word. One invariant: the numbers
//! here and in `layout.ts` are the same; `layout.test.ts` compares them through `layout()`.

use std::collections::HashMap;

/// Declares constants and, from the same text, their table of names for `layout()`.
macro_rules! constants {
    ($prefix:literal; $($name:ident = $label:literal: $kind:ty = $value:expr;)*) => {
        $(pub const $name: $kind = $value;)*
        pub(super) const NAMES: &[(&str, i64)] = &[$((concat!($prefix, $label), $value as i64)),*];
    };
}

/// Words of a descriptor row.
pub mod word {
    constants! {
        "Word.";
        START = "start": usize = 0;
        LENGTH = "length": usize = 1;
        KEY = "key": usize = 2;
        GENERATION = "generation": usize = 3;
        VERDICT = "verdict": usize = 4;
        ID_LOW = "idLow": usize = 5;
        ID_HIGH = "idHigh": usize = 6;
        OPCODE = "opcode": usize = 7;
        PATH = "path": usize = 8;
        PORT = "port": usize = 9;
        COPY = "copy": usize = 9;
        SEGMENT_BYTES = "segmentBytes": usize = 10;
        SEGMENT_COUNT = "segmentCount": usize = 11;
        CHECKSUM = "checksum": usize = 12;
        HEADER_BYTES = "headerBytes": usize = 13;
        TRAFFIC_CLASS = "trafficClass": usize = 14;
        OFFLOAD = "offload": usize = 15;
    }
}

/// What a descriptor asks for, or what became of it; negative values are errno.
pub mod verdict {
    constants! {
        "Verdict.";
        NONE = "none": i32 = 0;
        OPEN = "open": i32 = 1;
        OPENED = "opened": i32 = 2;
        AUTHENTICATION_FAILED = "authenticationFailed": i32 = 3;
        KEY_STALE = "keyStale": i32 = 4;
        MALFORMED = "malformed": i32 = 5;
        DONE = "done": i32 = 6;
        ENDED = "ended": i32 = 7;
    }
}

/// Words of a path or arrival row.
pub mod path_word {
    constants! {
        "PathWord.";
        REMOTE_IP = "remoteIp": usize = 0;
        REMOTE_PORT = "remotePort": usize = 4;
        REMOTE_SCOPE = "remoteScope": usize = 5;
        LOCAL_IP = "localIp": usize = 6;
        INTERFACE_INDEX = "interfaceIndex": usize = 10;
        SOCKET = "socket": usize = 11;
    }
}

/// Number of the bit that says that links, addresses or routes changed.
pub const CHANGES_SHIFT: usize = 17;

/// Bits of what `wait` returns.
pub mod ready {
    use super::CHANGES_SHIFT;
    constants! {
        "Ready.";
        CONTROL = "control": i32 = 1;
        SOCKET_SHIFT = "socketShift": usize = 1;
        TAP_SHIFT = "tapShift": usize = 9;
        CHANGES = "changes": i32 = 1 << CHANGES_SHIFT;
        ERRORS_SHIFT = "errorsShift": usize = CHANGES_SHIFT + 1;
    }
}

/// Sizes of tables and batches.
pub mod size {
    constants! {
        "";
        DESCRIPTOR_WORDS = "DESCRIPTOR_WORDS": usize = 16;
        LANE_SOCKETS_MAX = "LANE_SOCKETS_MAX": usize = 8;
        LANE_TAPS_MAX = "LANE_TAPS_MAX": usize = 8;
        KEY_SLOTS = "KEY_SLOTS": usize = 4096;
        BATCH_MAX = "BATCH_MAX": usize = 256;
        PARITY_DATA_MAX = "PARITY_DATA_MAX": usize = 64;
        PARITY_MAX = "PARITY_MAX": usize = 32;
        CONNECTIONS_MAX = "CONNECTIONS_MAX": usize = 1536;
        UNPROVEN_MAX = "UNPROVEN_MAX": usize = 256;
    }
}

// Every socket and tap of a lane has its own bit, and all of them fit a positive 32-bit number.
const _: () = assert!(ready::SOCKET_SHIFT + size::LANE_SOCKETS_MAX == ready::TAP_SHIFT);
const _: () = assert!(ready::TAP_SHIFT + size::LANE_TAPS_MAX == CHANGES_SHIFT);
const _: () = assert!(ready::ERRORS_SHIFT + size::LANE_SOCKETS_MAX < 31);
const _: () = assert!(word::OFFLOAD < size::DESCRIPTOR_WORDS);
const _: () = assert!(path_word::SOCKET < size::DESCRIPTOR_WORDS);

/// All constants by the name they have in `layout.ts`.
pub fn names() -> HashMap<String, i64> {
    [word::NAMES, verdict::NAMES, path_word::NAMES, ready::NAMES, size::NAMES]
        .into_iter()
        .flatten()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}
