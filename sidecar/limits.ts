/**
 * The maximum of every queue, table, pool, loop per turn and retry of the data plane, each with
 * the sum that justifies it and what happens when it is full. One invariant: full means drop or
 * refuse, add one to a named counter and go on; never wait, never grow.
 */

/**
 * Peers of one tunnel. The addon has 4096 key slots for the whole process and a session holds up
 * to three (sending, receiving under the old and under the new key): 1365 fit. Full: the next
 * stranger is turned away.
 */
export const SESSIONS_MAX = 1024;

/**
 * Free key slots below which a new session gets no epochs: a key with epochs holds eight slots (six
 * to receive, two to send), two keys live side by side at a renewal, and 128 sessions times 16 is
 * half of the table. Below: plain packets, three slots a session, as to any older client.
 */
export const KEY_SLOTS_FOR_EPOCHS = 3072;

/** Ports of a tunnel's switch: the tap is port 0, session n is port n. */
export const PORTS_MAX: number = 1 + SESSIONS_MAX;

/**
 * Stations that a switch remembers. A segment of four /20 networks; with the declared ones and
 * at half load, 65536 rows of 16 bytes, 1 MiB of shared memory. Full: the station is not learnt
 * (`switch.macTableFull`) and frames to it are flooded, as before it was seen.
 */
export const STATIONS_MAX = 16_384;

/**
 * Stations behind the tap: half of the table, since a whole LAN may be there, and the other half
 * stays for the peers. Full: not learnt (`switch.macPortFull`), flooded.
 */
export const STATIONS_PER_TAP_MAX: number = STATIONS_MAX / 2;

/**
 * Stations behind one peer: a testbed box that bridges a LAN. Stock OpenVPN takes 256; one
 * sixteenth of the table lets eight peers misbehave beside a full tap before others go unlearnt.
 * Full: not learnt (`switch.macPortFull`), flooded; nobody else's station is evicted.
 */
export const STATIONS_PER_PEER_MAX: number = STATIONS_MAX / 16;

/** Declared stations: four for each peer. Full: the declaration is refused by `declare`. */
export const STATIONS_DECLARED_MAX: number = 4 * SESSIONS_MAX;

/** A silent station is forgotten after this long (IEEE 802.1Q, table 8-6: 300 s). */
export const STATION_AGE_MS = 300_000;

/**
 * Rows of the MAC table looked at in one sweep. Every 100 ms, 65536 rows take 6.4 s: a station
 * is forgotten at 300 to 307 s. A sweep takes about 2 us of a turn.
 */
export const STATION_SWEEP_ROWS = 1024;
export const STATION_SWEEP_INTERVAL_MS = 100;

/**
 * Datagrams taken from a socket in one turn: two TCP bursts of 64 KiB. What is left waits in the
 * socket's buffer for the next turn, so that tap and timers get theirs.
 */
export const PACKETS_PER_TURN_MAX = 128;

/** Frames read from the tap in one turn, for the same reason. */
export const FRAMES_PER_TURN_MAX = 64;

/**
 * Packets that a replay window holds when its size is Auto: 250 ms at 500,000 packets a second, which
 * is twice what one tunnel carries. 32 KiB for each key that a peer sends with at such a rate, 2 KiB
 * for any other. Full: what is later is refused (`rx.replayBehind`).
 */
export const REPLAY_PACKETS_AUTO_MAX = 131_072;

/**
 * How late a packet may be before its place in a window of size Auto is gone: this, or twice the skew
 * that was measured between the paths, as that is a mean.
 */
export const LATE_MS_MIN = 250;
export const LATE_MS_MAX = 4000;

/** Packets sealed and sent at once; full: they are sent, and filling goes on. */
export const ORDERS_MAX = 256;

/** Frames written to the tap at once; full: they are written, and filling goes on. */
export const WRITES_MAX = 256;

/**
 * Bytes of each ring between main thread and worker: 256 control packets of 1.2 kB wait while
 * the main thread does a TLS handshake of 3 ms. Full: dropped and counted, the peer repeats.
 */
export const RING_BYTES: number = 512 * 1024;

/** Longest control datagram taken; stock sends 1206 bytes and accepts 1250 unless set otherwise. */
export const CONTROL_DATAGRAM_BYTES_MAX = 2048;

/**
 * Control packets handed on in a second, and at once: of all strangers together, and of each
 * session. Stock answers 100 strangers in 10 s; a hundred clients that come back together after an
 * outage are served in a second. A handshake takes 10 to 60 packets. Over it: dropped and counted.
 */
export const CONTROL_PER_SECOND = 200;
export const CONTROL_BURST = 200;

/**
 * Of the strangers' rate, what one source (an IPv4 address, 64 bits of an IPv6 one) surely gets once half
 * of it is used: a handshake takes two packets from there, so fifty sources that send without end leave
 * room for the next. Over it: dropped and counted with the strangers.
 */
export const SOURCE_PER_SECOND = 4;
export const SOURCE_BURST = 20;

/**
 * Sessions that have not authenticated yet: 90 kB each after a ClientHello, 23 MB in all. Full: of those
 * that have shown no good certificate the oldest gives way; strangers come slowly enough that it is a
 * second old.
 */
export const HALF_OPEN_MAX = 256;

/**
 * What waits in a listening socket: 90 ms at 1.5 Gb/s, for which the thread may wait for a processor. All peers
 * share it, so with less one peer's storm costs the others packets. More is dropped by the kernel.
 */
export const LISTENING_BUFFER_BYTES: number = 16 * 1024 * 1024;

/** Other socket buffers: 20 ms at 1.5 Gb/s. The kernel may allow less. */
export const SOCKET_BUFFER_BYTES: number = 4 * 1024 * 1024;

/**
 * Sessions of a listening end that can have parity: each touches up to 640 slots, about a
 * megabyte, 35 MB in all. Full: the next session goes without (`fec.noRoom`).
 */
export const PARITY_ROOMS_MAX = 32;

/**
 * TCP segments that wait for earlier ones, in all and of one flow: 10 ms at 1 Gb/s, 1.7 MiB of slots at
 * the usual MTU, touched only where something waits. Full: what waits of the flow that has most goes on
 * as it is (`reorder.crowded`).
 */
export const HELD_SEGMENTS_MAX = 1024;
export const HELD_PER_FLOW_MAX: number = HELD_SEGMENTS_MAX / 2;

/**
 * Send buffer of a TCP connection: at 10 Mb/s what waits in it is 0.4 s old, at 50 ms round trip it
 * fills 80 Mb/s. Full: packets are dropped whole and counted (`tx.socketFull`), as by UDP.
 */
export const STREAM_BUFFER_BYTES: number = 512 * 1024;

/**
 * A TCP connection that no session came of is closed after stock's hand-window. The addon keeps 256
 * of them at most beside the sessions' (`UNPROVEN_MAX`); full: the oldest gives way to the next.
 */
export const CONNECTION_PROOF_MS = 60_000;

/** Longest that the worker sleeps when nothing is due. */
export const WAIT_MS_MAX = 1000;

/**
 * Multicast groups that a switch remembers: a testbed has hundreds. 4096 rows of 56 bytes. Full:
 * a group that all have left gives way; if there is none, the port that joins gets every group.
 */
export const GROUPS_MAX = 4096;

/** Memberships, one for each group and port: four ports in each group. Full: as above. */
export const GROUP_MEMBERS_MAX: number = 4 * GROUPS_MAX;

/** Memberships behind the tap, where a whole LAN may be: a quarter. Full: it gets every group. */
export const GROUP_MEMBERS_PER_TAP_MAX: number = GROUP_MEMBERS_MAX / 4;

/** Memberships behind one peer: 24 peers can take their share beside a full tap. Full: as above. */
export const GROUP_MEMBERS_PER_PEER_MAX = 512;

/** Sources named in all memberships. Full: a membership asks for every source. */
export const GROUP_SOURCES_MAX: number = 4 * GROUPS_MAX;

/** Sources of one membership; Linux lets a program name 10. Full: it asks for every source. */
export const GROUP_SOURCES_PER_MEMBER_MAX = 32;

/** A membership ends so long after its last report: two queries and an answer (RFC 3376, 8.4). */
export const GROUP_MEMBERSHIP_MS = 260_000;

/** Rows of the group table looked at in one sweep: all of them in 6.4 s. */
export const GROUP_SWEEP_ROWS = 256;

/** Addresses of stations, four places for each hash: twice the stations. Full: the oldest goes. */
export const ADDRESS_BOOK_ROWS: number = 2 * STATIONS_MAX;

/** Captures of one tunnel at once. Full: the next one is refused. */
export const CAPTURES_MAX = 4;

/**
 * Bytes of a capture's ring, made when it begins: 30 ms at 1 Gb/s. Full: the capture misses the
 * frame and counts it (`capture.missed`); the frame goes its way.
 */
export const CAPTURE_RING_BYTES: number = 4 * 1024 * 1024;

/** Given addresses that are watched: two for each peer, and our own. Full: counted, not watched. */
export const ADDRESSES_WATCHED_MAX: number = 2 * (SESSIONS_MAX + 1);

/** Conflicts that status shows. Full: the oldest goes. */
export const CONFLICTS_SHOWN_MAX = 64;

/**
 * What each peer of a listening end may send to everybody, bits per second, unless the resource
 * says otherwise: a storm of a gigabit leaves the others' pings alone. Full: dropped and counted.
 */
export const STORM_BROADCAST_BITS = 10_000_000;
export const STORM_UNKNOWN_BITS = 10_000_000;

/** What may come at once, in milliseconds of the rate; never less than a few full frames. */
export const STORM_BURST_MS = 250;
export const STORM_BURST_BYTES_MIN = 16_384;

/**
 * Prefixes of one routed tunnel: peers' addresses and networks, both families. Cutting so many
 * into ranges takes some 30 ms on the main thread, a look-up 16 steps. More are refused when the
 * resources are read.
 */
export const PREFIXES_MAX = 16_384;

/** Numbers of a router's owners: each has a prefix at least. Full: as above. */
export const OWNERS_MAX: number = 1 + PREFIXES_MAX;

/**
 * Routes pushed to one peer: 512 lines of at most 60 bytes are 30 control messages. The further
 * ones are left out, and the log says so.
 */
export const PUSHED_ROUTES_MAX = 512;

/**
 * Wrong passwords that a certificate's holder may try at once, and then one in so long: 7,200 a day
 * at the most. Over it: refused without a look, as a failure that passes.
 */
export const LOGIN_BURST = 5;
export const LOGIN_EVERY_MS = 12_000;

/** Passwords looked at side by side, 32 MiB and a tenth of a second each; and those that wait. */
export const LOGINS_AT_ONCE_MAX = 4;
export const LOGINS_WAITING_MAX = 64;

/**
 * Packets of which not all pieces came yet (OpenVPN's --fragment), in all and of one peer: stock has
 * 25 for each connection. Full: the oldest goes (`rx.fragmentLost`), a peer's own first.
 */
export const REASSEMBLIES_MAX = 128;
export const REASSEMBLIES_PER_PEER_MAX = 25;

/** Pieces wait so long for the others, as in OpenVPN. */
export const REASSEMBLY_MS = 10_000;

/** Kinds of events on the segment that status shows. Full: the one that was longest ago gives way. */
export const EVENTS_SHOWN_MAX = 20;

/** Refused peers among them, of each kind: their names are their own choice. Full: the oldest gives way. */
export const REFUSED_SHOWN_MAX = 6;
