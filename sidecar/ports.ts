/** Numbers that both threads agree on: switch ports, which are the numbers of sessions. */

/** The switch port of this end's tap; session n is port n. */
export const TAP_PORT = 0;
/** A dialling end's only session. */
export const DIALLED_INDEX = 1;
