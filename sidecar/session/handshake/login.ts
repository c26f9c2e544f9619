/**
 * What a listening end asks of whoever knows usernames and passwords. One invariant: an answer comes
 * always and within a time limit, so a session never waits for one longer than that.
 */

/** What a client showed. */
export interface LoginQuestion {
  readonly username: string;
  /** A password, or a token that stands for one. */
  readonly password: string;
  /** Of its certificate, which was believed before. */
  readonly commonName: string;
  /** Where it comes from, for whoever decides. */
  readonly remote: string;
}

/** What became of it. */
export type LoginAnswer =
  /** `token` is to be used in place of the password from now on. */
  | { readonly ok: true; readonly token?: string }
  /** Temporary: the same may be right in a while. */
  | { readonly ok: false; readonly reason: string; readonly isTemporary: boolean };

/** Decides; one for each session, so that a token can be bound to it. */
export interface Login {
  check(question: LoginQuestion): Promise<LoginAnswer>;
}
