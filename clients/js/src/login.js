import { CloseCode, Closed } from "./errors.js";

const TIMEOUT = 10_000; // milliseconds

/**
 * A token, or a function that returns one. The function is called before each connection, so that a token that
 * expires while the page is open is replaced.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */

const REFUSALS = new Map([
  [401, new Closed("the login is not valid, or not any more", CloseCode.LOGGED_OUT)],
  [403, new Closed("the server does not allow this", CloseCode.POLICY)],
  [404, new Closed("there is no such room", CloseCode.ROOM_DELETED)],
]);

/** The token of a client, and the requests that carry it: never in an address, which consoles and logs show. */
export class Login {
  #token;

  /** @param {Token} token The token. */
  constructor(token) {
    this.#token = token;
  }

  /** @returns {number[]} Close codes after which to give up: a fixed token cannot be replaced. */
  get #finalCodes() {
    const { LOGGED_OUT, POLICY, ROOM_DELETED } = CloseCode;
    return typeof this.#token === "function" ? [POLICY, ROOM_DELETED] : [POLICY, ROOM_DELETED, LOGGED_OUT];
  }

  /**
   * Return the options of a `Link` that concern the login.
   *
   * @param {string} address What to connect to, as `wss://…`.
   * @param {string} protocol The WebSocket subprotocol.
   * @param {object} [more]
   * @param {() => Record<string, string>} [more.parameters] Called before each attempt: what to add to the address.
   * @param {string} [more.askedAt] Where to ask over HTTP why a connection could not be opened.
   */
  linkOptions(address, protocol, { parameters, askedAt = address } = {}) {
    return {
      url: () => withParameters(address, parameters?.()),
      protocols: async () => {
        const token = await this.#read();
        return token ? [protocol, `fanline.token.${token}`] : [protocol];
      },
      diagnose: () => this.#refusal(askedAt),
      finalCodes: this.#finalCodes,
    };
  }

  /** @returns {Promise<string>} The token to use now; empty without any. */
  async #read() {
    return typeof this.#token === "function" ? await this.#token() : this.#token;
  }

  /**
   * Ask over HTTP why a WebSocket could not be opened.
   *
   * @param {string} address An address that needs the same login, as `wss://…`.
   * @returns {Promise<Closed | null>} The reason if it never can be; null if it may later, or if unknown.
   */
  async #refusal(address) {
    const ending = new AbortController();
    const timer = setTimeout(() => ending.abort(), TIMEOUT);
    try {
      const token = await this.#read();
      const { status } = await fetch(address.replace(/^ws/, "http"), {
        cache: "no-store",
        headers: token ? { Authorization: `Bearer ${token}` } : {},
        signal: ending.signal,
      });
      const refusal = REFUSALS.get(status);
      return refusal?.code !== undefined && this.#finalCodes.includes(refusal.code) ? refusal : null;
    } catch (error) {
      return error instanceof Closed ? error : null;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** @param {string} address What to connect to. @param {Record<string, string>} [parameters] What to add to it. */
function withParameters(address, parameters = {}) {
  const query = new URLSearchParams(parameters);
  return query.size ? `${address}?${query}` : address;
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
