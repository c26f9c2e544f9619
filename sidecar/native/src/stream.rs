//! TCP as a carrier of packets: a hub is all connections of one listening or dialling socket of a
//! lane, and is read and sent to with the same rows as a UDP socket.

mod connection;
mod framing;
mod hub;
mod open;
mod rows;

pub use hub::{Hub, Leaving};
pub use open::{Wish, open};
pub use rows::Rows;

use crate::layout::size::LANE_SOCKETS_MAX;

/// The hubs of a lane, each at the place of its socket.
pub type Streams = [Option<Box<Hub>>; LANE_SOCKETS_MAX];
