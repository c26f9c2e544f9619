/**
 * Every maximum of the operator, with the sum that justifies it and what happens when it is reached.
 */

/** Namespaces of an operator that does not see all: each has a watch of every kind. More is refused. */
export const NAMESPACES_MAX = 16;

/** Connections to the API server: one for each watch (14 in each namespace), eight workers, and calls beside them. */
export const API_CONNECTIONS_MAX = 256;

/** One page of 500 objects of at most some 100 kB; longer is refused as unreachable. */
export const ANSWER_BYTES_MAX: number = 64 << 20;

/** One object in a watch: etcd's own limit is 1.5 MB, twice that with managed fields. */
export const LINE_BYTES_MAX: number = 4 << 20;

/** Objects of one page of a list, as client-go asks. */
export const PAGE_OBJECTS_MAX = 500;

/** Pages of one list: 100,000 objects of one kind. More ends the list with an error. */
export const PAGES_MAX = 200;

/** Reconciles at the same time: calls to the API server are what they wait for. */
export const WORKERS_MAX = 8;

/** First delay after a failure, and the longest, per key. */
export const RETRY_MS_MIN = 200;
export const RETRY_MS_MAX = 60_000;

/** First delay and longest of a watch that failed. */
export const WATCH_RETRY_MS_MIN = 300;
export const WATCH_RETRY_MS_MAX = 30_000;

/** A server that sends nothing for so long, bookmarks included (one a minute), is asked anew. */
export const WATCH_SILENT_MS_MAX = 150_000;

/** A watch lasts five to ten minutes, as client-go's. */
export const WATCH_SECONDS_MIN = 300;
export const WATCH_SECONDS_MAX = 600;

/** One event for each object and cause in a minute; more are counted and dropped. */
export const EVENT_INTERVAL_MS = 60_000;

/** Objects and causes whose last event is remembered; the oldest is forgotten. */
export const EVENT_CAUSES_MAX = 10_000;

/** Events waiting to be sent; more are dropped and counted. */
export const EVENTS_WAITING_MAX = 1_000;

/** Addresses that are tried in one reconcile; more means a copy far behind, and a retry later. */
export const CLAIM_ATTEMPTS_MAX = 64;

/** Certificates of a peer that its gateway takes: renewals within one lifetime. More forget the oldest. */
export const PEER_CERTIFICATES_MAX = 16;

/** A key that is drained at stop gets so long to end. */
export const DRAIN_MS_MAX = 10_000;

/** One pod as a webhook is sent it: 1.5 MB in etcd, with room for its other form. More is refused. */
export const ADMISSION_BYTES_MAX: number = 4 << 20;

/** Connections to the webhook server: a few API servers with a few each. More are turned away. */
export const ADMISSION_CALLERS_MAX = 256;
