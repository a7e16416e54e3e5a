const RENEWED_AT = 0.8; // of the life of a token
const LEAST_DELAY = 10_000; // milliseconds
const LONGEST_DELAY = 2 ** 31 - 1; // of a timer

/**
 * A token, or a function that returns one. The function is called before each connection, and before the token of an
 * open one expires.
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

  /**
   * Tell when a token is to be replaced.
   *
   * @param {string} token The token that is in use.
   * @returns {number | undefined} In how many milliseconds; undefined if it cannot be, or does not expire.
   */
  renewalDelay(token) {
    const { iat = Number.NEGATIVE_INFINITY, exp } = claims(token);
    if (!this.isRenewable || exp === undefined) {
      return undefined;
    }
    // Where clocks differ, what the issuer says of its life is right.
    const life = Math.min(exp * 1000 - Date.now(), (exp - iat) * 1000);
    return Math.min(Math.max(life * RENEWED_AT, LEAST_DELAY), LONGEST_DELAY);
  }
}

/**
 * Read the claims of a token, without checking its signature.
 *
 * @param {string} token The token.
 * @returns {{jti?: string, iat?: number, exp?: number}} Its claims; none if it cannot be read.
 */
export function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return {};
  }
}
