/**
 * The API for admins, as docs/admin.md describes it.
 *
 * @module
 */

const TIMEOUT = 15_000;

/** A request that failed: with the HTTP status, 0 if there was no answer, and a sentence for people. */
export class Failure extends Error {
  /**
   * @param {number} status The HTTP status.
   * @param {string} reason The sentence.
   */
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** Makes requests as one admin. The password is kept in memory alone. */
export class Api {
  /**
   * @param {string} name The user.
   * @param {string} password The password.
   */
  constructor(name, password) {
    const bytes = new TextEncoder().encode(`${name}:${password}`);
    this.name = name;
    this.authorization = `Basic ${btoa(String.fromCharCode(...bytes))}`;
  }

  /**
   * @param {string} path Below `/admin/`.
   * @param {Record<string, string | number | undefined>} [query] Parameters; empty ones are left out.
   * @returns {Promise<any>} The answer. Rejected with `Failure`.
   */
  get(path, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
    const parameters = new URLSearchParams(given.map(([name, value]) => [name, `${value}`]));
    return this.request("GET", given.length ? `${path}?${parameters}` : path);
  }

  /**
   * @param {string} path Below `/admin/`.
   * @param {string} body JSON.
   * @returns {Promise<any>} The answer. Rejected with `Failure`.
   */
  post(path, body) {
    return this.request("POST", path, body);
  }

  /**
   * @param {string} method GET or POST.
   * @param {string} path Below `/admin/`.
   * @param {string} [body] JSON.
   * @returns {Promise<any>} The answer.
   */
  async request(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = { Authorization: this.authorization };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
    }
    let response;
    try {
      // Credentials of the browser itself would have it ask for a password after a 401.
      response = await fetch(`admin/${path}`, {
        method,
        headers,
        body,
        credentials: "omit",
        signal: AbortSignal.timeout(TIMEOUT),
      });
    } catch {
      throw new Failure(0, "The subscriber service does not answer.");
    }
    const answer = await response.json().catch(() => null);
    if (!response.ok) {
      throw new Failure(response.status, answer?.detail ?? `The answer is ${response.status}.`);
    }
    return answer;
  }
}

/** @param {string} topic @returns {string} The path at which publisher takes a message on a topic. */
export const publishPath = (topic) => `at/publisher/topics/${encodeURIComponent(topic)}/messages`;
