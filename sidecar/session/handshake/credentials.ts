/**
 * The username and password of a dialling end, and the token that a server gave in their place. One
 * invariant: a token that was refused is never shown again; then it is the password's turn.
 */

/** What is shown to the server. */
export interface UserPass {
  readonly username: string;
  readonly password: string;
}

/** Of one tunnel, for all its sessions. */
export class Credentials {
  readonly #own: UserPass;
  #token: UserPass | undefined;

  constructor(own: UserPass) {
    this.#own = own;
  }

  get current(): UserPass {
    return this.#token ?? this.#own;
  }

  /** The server wants this in place of the password from now on. */
  takeToken(token: string, username: string = this.#own.username): void {
    this.#token = { username, password: token };
  }

  /** What was shown was refused; true when the password is still to be tried. */
  dropToken(): boolean {
    const wasToken = this.#token !== undefined;
    this.#token = undefined;
    return wasToken;
  }
}
