import { Rejected } from "./errors.js";
import { checkedPattern } from "./topics.js";

/** @import { Message } from "./subscriptions.js" */

/** @typedef {{headers?: Record<string, string>, method?: string, body?: string, signal?: AbortSignal}} Options */

/** The HTTP side of one service, for the bearer of a token. */
export class Http {
  #base;
  #token;
  #fetch;

  /**
   * @param {string} address The service, `wss://HOST:PORT`.
   * @param {string} token The token; empty without any.
   * @param {typeof globalThis.fetch} fetch Makes the requests.
   */
  constructor(address, token, fetch) {
    this.#base = address.replace(/^ws/, "http");
    this.#token = token;
    this.#fetch = fetch;
  }

  /**
   * Make a request.
   *
   * @param {string} path The path and the query.
   * @param {Options} [options] What else is in it.
   * @returns {Promise<Response>} Rejected with a TypeError if the service cannot be reached.
   */
  request(path, { headers = {}, ...options } = {}) {
    const login = this.#token ? { Authorization: `Bearer ${this.#token}`, ...headers } : headers;
    return this.#fetch(this.#base + path, { cache: "no-store", ...options, headers: login });
  }
}

/**
 * Read why a request was refused (RFC 9457).
 *
 * @param {Response} response The answer.
 * @returns {Promise<{code: string, detail: string, messages?: object[]}>}
 */
export async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  return { code: "unavailable", detail: `the server answers ${response.status}`, ...problem };
}

/**
 * Write parameters for a query, without those that are undefined.
 *
 * @param {Record<string, unknown>} parameters The parameters.
 * @returns {string} The query, with its question mark; empty without any.
 */
export function queryOf(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  return given.length ? `?${query}` : "";
}

/**
 * One page of the log.
 *
 * @template [T=any]
 * @typedef {object} HistoryPage
 * @property {Message<T>[]} messages In the order of the log, whichever way the page was asked for.
 * @property {{from: number, to: number} | null} gap Positions that have been removed from it.
 * @property {string | null} epoch The name of the log.
 */

/**
 * Which page of the log: the newest messages of a topic, unless it says otherwise.
 *
 * @typedef {object} HistoryOptions
 * @property {number} [after] Begin after this position.
 * @property {number} [before] End before this position.
 * @property {number} [last] So many of the newest messages.
 * @property {number} [limit] Messages on the page at most, 1,000 or fewer; 100 by default.
 * @property {AbortSignal} [signal] Stops the request.
 */

/**
 * Read one page of the log.
 *
 * @param {Http} http The subscriber service.
 * @param {string} topic A topic or pattern.
 * @param {HistoryOptions} options Which page.
 * @returns {Promise<HistoryPage>}
 * @throws {Rejected} If the request is refused.
 */
export async function readHistory(http, topic, { signal, ...parameters }) {
  const path = `/topics/${encodeURIComponent(checkedPattern(topic))}/messages`;
  const response = await http.request(path + queryOf(parameters), { signal });
  if (!response.ok) {
    const { code, detail } = await problemOf(response);
    throw new Rejected(code, detail);
  }
  const [from, to] = (response.headers.get("Fanline-Gap") ?? "").split("-").map(Number);
  return {
    messages: await response.json(),
    gap: to ? { from, to } : null,
    epoch: response.headers.get("Fanline-Epoch"),
  };
}
