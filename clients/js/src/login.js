/**
 * A token, or a function that returns one. The function is called before each connection, so that a token that
 * expires while the page is open is replaced.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */

/** The token of a client: never part of an address, which consoles and logs show. */
export class Login {
  #token;

  /** @param {Token} token The token; empty without any. */
  constructor(token) {
    this.#token = token;
  }

  /** @returns {boolean} Whether a token that is not valid any more can be replaced. */
  get isRenewable() {
    return typeof this.#token === "function";
  }

  /** @returns {Promise<string>} The token to use now. */
  async read() {
    return typeof this.#token === "function" ? await this.#token() : this.#token;
  }
}

/**
 * Read the claims of a token, without checking its signature.
 *
 * @param {string} token The token.
 * @returns {{jti?: string, exp?: number}} Its claims; none if it cannot be read.
 */
export function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return {};
  }
}
