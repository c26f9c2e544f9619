/**
 * Unit and meaning of each counter of `counters.ts`, by its name there. One invariant: every counter
 * has exactly one row (the compiler compares the names), and a row says whether it is a drop.
 */

/** The rows. */
export const COUNTER_DETAILS = {
  rxTooShort: ["packets", "Datagrams dropped: shorter than the header of their kind."],
  rxBadOpcode: ["packets", "Datagrams dropped: the opcode is none that OpenVPN sends here."],
  rxUnknownPeer: ["packets", "Data dropped: no session has this peer id."],
  rxUnknownKey: ["packets", "Data dropped: the session has no key with this key id."],
  rxStaleKey: ["packets", "Data dropped: its key was replaced while the packet was on its way."],
  rxAuthenticationFailed: ["packets", "Data dropped: the authentication tag is wrong."],
  rxMalformed: ["packets", "Datagrams dropped: truncated, or lengths that contradict each other."],
  rxReplayDuplicate: ["packets", "Data dropped: this packet id was seen before."],
  rxReplayBehind: ["packets", "Data dropped: the packet id is older than the replay window."],
  rxReplayExpired: [
    "packets",
    "Data dropped: newer packets came longer ago than the window lasts.",
  ],
  rxReplayZeroId: ["packets", "Data dropped: packet id 0 is never sent."],
  rxAcceptedLate: ["packets", "Data accepted though newer packets came first (not a drop)."],
  rxCompressed: ["packets", "Data dropped: compressed, which is not supported."],
  rxUnknownInner: ["packets", "Data dropped: authentic, but its content is of no known kind."],
  rxStrangerLimited: [
    "packets",
    "First packets of strangers, and control packets from where no session is, dropped: over their rate.",
  ],
  rxControlTooLong: ["packets", "Control packets dropped: longer than a ring record."],
  rxControlRingFull: ["packets", "Control packets dropped: the ring to the main thread is full."],
  rxStrangerRingFull: ["packets", "First packets of strangers dropped: their ring is full."],
  rxSourceRefused: [
    "packets",
    "Data dropped: it came from an address that may not be this peer's.",
  ],
  rxPings: ["packets", "Pings received."],
  rxPackets: ["packets", "Authentic data packets received."],
  rxBytes: ["bytes", "UDP payload of the authentic data packets received."],
  rxControlPackets: ["packets", "Control packets handed to the main thread."],
  rxFloats: ["events", "Peers that moved to another address."],
  rxSocketError: ["events", "Receives that failed."],

  switchRunt: ["frames", "Frames dropped: shorter than an Ethernet header."],
  switchSplitHorizon: ["frames", "Frames dropped: the target is behind the port they came from."],
  switchNoPort: ["frames", "Frames dropped: no other port is up to take them."],
  switchReservedGroup: [
    "frames",
    "Frames dropped: to 01:80:c2:00:00:0x, which no bridge forwards.",
  ],
  switchSourceInvalid: ["frames", "Frames dropped: the source address is a group or zero."],
  switchSpoofedStation: [
    "frames",
    "Frames dropped: the source address is declared for another peer.",
  ],
  switchFlooded: ["frames", "Frames sent to all other ports (not a drop)."],
  switchMacTableFull: ["frames", "Source addresses not learnt: the table is full (not a drop)."],
  switchMacPortFull: [
    "frames",
    "Source addresses not learnt: the port has its share (not a drop).",
  ],
  switchStationsMoved: ["events", "Stations that moved to another port."],
  switchStationsAged: ["events", "Stations forgotten after being silent for long."],

  txPackets: ["packets", "Data packets sent."],
  txBytes: ["bytes", "UDP payload of the data packets sent."],
  txPings: ["packets", "Pings sent."],
  txControlPackets: ["packets", "Control packets sent."],
  txNoSession: ["packets", "Packets dropped: the session ended before they were sealed."],
  txNoKey: ["packets", "Packets dropped: the session has no key to send with yet."],
  txIdExhausted: ["packets", "Packets dropped: the key's packet ids are used up."],
  txNoPath: ["packets", "Packets dropped: no uplink is usable, or the peer has no address yet."],
  txSocketFull: [
    "packets",
    "Packets dropped: the socket's buffer is full (EAGAIN, ENOBUFS); with TCP, a slow reader's.",
  ],
  txSocketError: ["packets", "Packets dropped: the kernel refused to send them."],
  txOverMtu: [
    "packets",
    "Packets sent that are longer than their path takes whole (MTU in status): they are cut on the way, or lost.",
  ],
  txTooBig: ["packets", "Packets dropped: longer than the path takes (EMSGSIZE)."],
  txSealFailed: ["packets", "Packets dropped: they could not be sealed."],
  txControlRingFull: ["packets", "Control packets dropped: the ring to the worker is full."],
  txSlotsExhausted: ["packets", "Packets dropped: no free slot or order in this turn."],

  tapFramesRead: ["frames", "Frames read from the tap."],
  tapFramesWritten: ["frames", "Frames written to the tap."],
  tapReadError: ["events", "Reads from the tap that failed."],
  tapWriteError: ["frames", "Frames dropped: the tap refused them."],
  tapWriteFull: ["frames", "Frames dropped: the tap's queue is full (EAGAIN, ENOBUFS)."],
  tapFrameTooBig: ["frames", "Frames dropped: longer than a slot, or than the other end takes."],
  tapMssClamped: ["frames", "TCP SYN segments whose MSS was lowered (not a drop)."],

  ringNoticeFull: ["events", "Notices to the main thread dropped: their ring is full."],
  ringOrderFull: ["events", "Orders to the worker dropped: their ring is full."],
  ringOrderUnknown: ["events", "Orders to the worker ignored: of no known kind."],

  controlUnverified: [
    "packets",
    "Control packets dropped: not wrapped with our tls-crypt or tls-auth key.",
  ],
  controlReplayed: ["packets", "Control packets dropped: seen before."],
  controlMalformed: ["packets", "Control packets dropped: lengths that contradict each other."],
  controlOtherSession: ["packets", "Control packets dropped: of no session that we know."],
  controlUnexpected: ["packets", "Control packets dropped: nothing waits for them."],
  controlHalfOpenFull: [
    "packets",
    "New sessions refused: too many have not authenticated themselves yet.",
  ],
  controlHalfOpenGone: [
    "events",
    "Sessions that had shown no good certificate yet and gave way to a newer one.",
  ],
  controlSessionsFull: ["packets", "New sessions refused: every session number is taken."],
  rxControlLimited: [
    "packets",
    "Control packets of live sessions dropped: more than a session sends in any handshake.",
  ],
  rxConnectionsEnded: ["events", "TCP connections that the other end closed or that failed."],
  rxConnectionsDropped: [
    "events",
    "TCP connections closed because no session came of them in time, or to make room.",
  ],
  txNoConnection: ["packets", "Packets dropped: their TCP connection is over."],
  rxProbes: ["packets", "Probes and replies to probes received."],
  txProbes: ["packets", "Probes and replies to probes sent."],
  rxOtherAddress: [
    "packets",
    "Authentic data from another address than the one dialled (accepted, not a drop).",
  ],
  controlGreeted: ["packets", "First packets of strangers answered, without keeping anything."],
  switchGroupFrames: ["frames", "Frames to a group sent to its members only (not a drop)."],
  switchGroupUnknown: ["frames", "Frames dropped: nobody has joined their group."],
  switchGroupMessages: ["frames", "IGMP and MLD messages heard."],
  switchGroupMalformed: [
    "frames",
    "IGMP and MLD messages not taken: truncated, or a wrong checksum (not a drop).",
  ],
  switchGroupForeign: [
    "frames",
    "IGMP and MLD messages not taken: not sent as on this link (not a drop).",
  ],
  switchGroupPortFull: [
    "events",
    "Joins that their port has no share left for: it gets every group (not a drop).",
  ],
  switchGroupTableFull: [
    "events",
    "Joins that found the table full: their port gets every group (not a drop).",
  ],
  switchGroupsAged: ["events", "Memberships that ended: left, or not reported any more."],
  switchGroupQueries: ["frames", "IGMP and MLD queries sent."],
  switchStormBroadcast: [
    "frames",
    "Frames dropped: more broadcast than stormLimits.broadcast lets through.",
  ],
  switchStormUnknown: [
    "frames",
    "Frames dropped: more to unknown stations than stormLimits.unknownUnicast lets through.",
  ],
  switchStormMulticast: [
    "frames",
    "Frames dropped: more multicast than stormLimits.multicast lets through.",
  ],
  switchStationProbes: ["frames", "Stations asked whether they are still there."],
  switchLoopProbes: ["frames", "Probes for loops sent."],
  switchLoopBlocked: ["frames", "Frames dropped: their port is shut because it closes a loop."],
  switchAddressesFull: [
    "events",
    "Given addresses that are not watched for conflicts: too many (not a drop).",
  ],
  captureMissed: ["frames", "Frames that a capture missed: its reader was too slow (not a drop)."],
  rxPlans: ["packets", "Plans received: how the dialling end wants the paths to be used."],
  txPlans: ["packets", "Plans sent."],
  fecParitySent: ["packets", "Parity packets sent."],
  fecParityReceived: ["packets", "Parity packets received."],
  fecRecovered: ["packets", "Lost packets made again from parity, and accepted (not a drop)."],
  fecUnrecoverable: [
    "packets",
    "Packets lost for good: less parity of their block arrived than packets are missing.",
  ],
  fecParityMalformed: ["packets", "Parity dropped: its numbers contradict each other."],
  fecParityMisfit: [
    "packets",
    "Parity dropped: of a block that was not agreed on, or unlike other parity of its block.",
  ],
  fecRecoveredWrong: ["packets", "Packets made again but dropped: not those that parity named."],
  fecEncodeFailed: ["events", "Blocks whose parity could not be computed."],
  fecRecoverFailed: ["events", "Blocks whose packets could not be computed."],
  fecNoRoom: ["events", "Sessions without parity: all rooms for it are taken."],
  switchOwnFrames: ["frames", "Answers to questions of the switch itself (not a drop)."],

  routerMalformed: ["packets", "Packets dropped: neither IPv4 nor IPv6, or shorter than they say."],
  routerSourceRefused: [
    "packets",
    "Packets dropped: their source is not the peer's address and in none of its networks.",
  ],
  routerGroup: ["packets", "Packets dropped: to a group or to everybody; routers keep those back."],
  routerLinkLocal: ["packets", "Packets dropped: link-local addresses stay on their link."],
  routerNoRoute: ["packets", "Packets dropped: nobody has the address they are for."],
  routerPeerAbsent: ["packets", "Packets dropped: the peer that has the address is not connected."],
  routerBackToSource: ["packets", "Packets dropped: their way leads back to where they came from."],
  routerPeerToPeerRefused: [
    "packets",
    "Packets dropped: peers do not reach each other (routes.peerToPeer).",
  ],
  routerHopLimit: ["packets", "Packets dropped: their hop limit is used up."],
  routerTooBig: ["packets", "Packets dropped: longer than the peer takes, and not to be cut."],
  routerForwarded: ["packets", "Packets sent from peer to peer (not a drop)."],
  txUnreachable: [
    "packets",
    "Packets dropped: no route, or its interface is down (ENETUNREACH, EHOSTUNREACH, ENETDOWN).",
  ],
  txNoAddress: [
    "packets",
    "Packets dropped: their address or interface is gone (EADDRNOTAVAIL, EINVAL, ENODEV).",
  ],
  routerAnswers: ["packets", "ICMP errors sent about packets that were dropped."],
  routerAnswersLimited: [
    "packets",
    "ICMP errors not sent: more than their sender gets (not a drop).",
  ],

  reorderHeld: ["packets", "TCP segments that waited for an earlier one of their flow."],
  reorderHeldMs: ["ms", "How long they waited, all together."],
  reorderFilled: ["packets", "Of these, released because what was missing came."],
  reorderExpired: ["packets", "Released because they had waited for as long as they may."],
  reorderCrowded: ["packets", "Released to make room: too many waited, in all or of one flow."],
  reorderSurprised: [
    "packets",
    "Released because their stream began anew or ended, or went on far from there.",
  ],
  reorderEvicted: ["packets", "Released because their flow gave way to another one."],
  reorderEnded: ["packets", "Released because their session ended, or order is not kept any more."],

  rxIcmpUnreachable: [
    "events",
    "ICMP said that the other end cannot be reached: the path is asked, and judged by its replies alone.",
  ],
  rxIcmpTooBig: [
    "events",
    "ICMP said that a datagram was too long: sizes are found by probes, not by this.",
  ],
  rxIcmpOther: ["events", "ICMP said something else about what was sent."],

  rxFragments: ["packets", "Pieces of packets received (transport.fragmentBytes)."],
  rxFragmentMalformed: [
    "packets",
    "Data dropped: no piece of a packet; fragmentBytes (--fragment) must be set at both ends.",
  ],
  rxFragmentLost: ["packets", "Packets given up: pieces of them did not come."],
  txFragments: ["packets", "Pieces of packets sent (transport.fragmentBytes)."],
} as const;
