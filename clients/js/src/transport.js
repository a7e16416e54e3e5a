import { CloseCode, Closed } from "./errors.js";
import { Http, problemOf, queryOf } from "./http.js";

/** @import { Diagnosis, Socket } from "./connection.js" */
/** @import { Login } from "./login.js" */

const TIMEOUT = 10_000; // milliseconds
const BLOCKED = 2; // attempts in a row after which WebSockets are given up
const HTTP_PERIOD = 300_000; // milliseconds after which they are tried again

/**
 * @typedef {object} TransportOptions
 * @property {string} path The path of the WebSocket.
 * @property {string} protocol Its subprotocol.
 * @property {() => Record<string, string>} [parameters] Called before each attempt: what to add to the address.
 * @property {(http: Http, path: string) => Socket} [openOverHttp] Makes what stands in for a WebSocket, where none gets
 *   through.
 * @property {{new(url: string, protocols: string[]): any}} [WebSocket] Makes WebSockets.
 * @property {typeof globalThis.fetch} [fetch] Makes requests.
 */

/** Opens the connections to one service: WebSockets, or requests where those do not get through. */
export class Transport {
  #address;
  #login;
  #options;
  #token = "";
  #isOverHttp = false; // requests need no renewal: those that come too late are made again
  #blocked = 0;
  #httpUntil = 0;

  /**
   * @param {string} address The service, `wss://HOST:PORT`.
   * @param {Login} login The token.
   * @param {TransportOptions} options
   */
  constructor(address, login, options) {
    this.#address = address;
    this.#login = login;
    this.#options = options;
  }

  /** @returns What a `Link` needs to open and reopen the connection. */
  get linkOptions() {
    const { LOGGED_OUT, POLICY, ROOM_DELETED } = CloseCode;
    return {
      dial: () => this.#dial(),
      diagnose: () => this.#diagnose(),
      renewalDelay: () => (this.#isOverHttp ? undefined : this.#login.renewalDelay(this.#token)),
      renew: () => this.#renew(),
      finalCodes: this.#login.isRenewable ? [POLICY, ROOM_DELETED] : [POLICY, ROOM_DELETED, LOGGED_OUT],
    };
  }

  /** @returns {Http} The HTTP side of the service. @param {string} token The token. */
  #http(token) {
    return new Http(this.#address, token, this.#options.fetch ?? fetch.bind(globalThis));
  }

  async #dial() {
    const { path, protocol, parameters, openOverHttp } = this.#options;
    const { WebSocket = globalThis.WebSocket } = this.#options;
    this.#token = await this.#login.read();
    this.#isOverHttp = !WebSocket || Date.now() < this.#httpUntil;
    if (openOverHttp && this.#isOverHttp) {
      return openOverHttp(this.#http(this.#token), path);
    }
    if (!WebSocket) {
      throw new Closed("there are no WebSockets here");
    }
    const offered = this.#token ? [protocol, `fanline.token.${this.#token}`] : [protocol];
    const socket = new WebSocket(this.#address + path + queryOf(parameters?.() ?? {}), offered);
    socket.addEventListener("open", () => {
      this.#blocked = 0;
    });
    return socket;
  }

  /** @returns {Promise<{token: string} | null>} A new token to send; null if none can be fetched now. */
  async #renew() {
    try {
      this.#token = await this.#login.read();
      return { token: this.#token };
    } catch {
      return null; // the one before still counts, and when it has expired the state tells why
    }
  }

  /**
   * Ask over HTTP why a connection could not be opened; a browser hides the answer to a refused WebSocket.
   *
   * @returns {Promise<Diagnosis | null>} Null if the server cannot be reached.
   */
  async #diagnose() {
    const { path } = this.#options;
    const options = { signal: AbortSignal.timeout(TIMEOUT) };
    try {
      const response = await this.#http(this.#token)
        .request(path, options)
        .catch(() => this.#askWithoutLogin(path, options));
      return response.ok || response.status === 426 ? this.#noteBlocked() : await this.#diagnosisOf(response);
    } catch {
      return null;
    }
  }

  /**
   * Ask without the preflight that a login needs: a page of a foreign origin can read no other answer.
   *
   * That no login was sent says nothing of the login: the server may have started since it could not be reached.
   *
   * @param {string} path
   * @param {{signal: AbortSignal}} options
   */
  async #askWithoutLogin(path, options) {
    const response = await this.#http("").request(path, options);
    if (response.status === 401) {
      throw new Error("a login is needed");
    }
    return response;
  }

  /** @returns {Diagnosis} That the server can be reached, but not by a WebSocket. */
  #noteBlocked() {
    this.#blocked++;
    if (this.#options.openOverHttp && this.#blocked >= BLOCKED) {
      this.#httpUntil = Date.now() + HTTP_PERIOD;
      this.#blocked = 0;
    }
    return { reason: "the server can be reached, but no WebSocket to it", isFinal: false };
  }

  /** @param {Response} response A refusal. @returns {Promise<Diagnosis>} */
  async #diagnosisOf(response) {
    const { detail } = await problemOf(response);
    switch (response.status) {
      case 401:
        return {
          reason: "the login is not valid, or not any more",
          code: CloseCode.LOGGED_OUT,
          isFinal: !this.#login.isRenewable,
        };
      case 403:
        return { reason: detail, code: CloseCode.POLICY, isFinal: true };
      case 404:
        return { reason: "there is no such room", code: CloseCode.ROOM_DELETED, isFinal: true };
      default: {
        const seconds = Number(response.headers.get("Retry-After"));
        return { reason: detail, isFinal: false, retryAfter: seconds ? seconds * 1000 : undefined };
      }
    }
  }
}
