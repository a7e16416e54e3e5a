/**
 * The HTTP side of chat.
 *
 * @module
 */

/** A request that came to nothing. */
export class Failure extends Error {
  /**
   * @param {number} status The HTTP status; 0 if there was no answer.
   * @param {string} reason A sentence for people.
   */
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

const TIMEOUT = 15_000;

async function request(method, path, { token, body } = {}) {
  const headers = {};
  if (token) {
    headers.Authorization = `Bearer ${token}`;
  }
  if (body) {
    headers["Content-Type"] = "application/json";
  }
  const signal = AbortSignal.timeout(TIMEOUT);
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      signal,
      body: body && JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Failure(0, "The server cannot be reached. Please try again in a moment.");
  }
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) {
    throw new Failure(response.status, answer?.reason ?? `The server answered ${response.status}.`);
  }
  return answer;
}

/**
 * What a login gives.
 *
 * @typedef {{token: string, name: string, expires: number}} Login
 */

/** @returns {Promise<Login>} Of somebody with a name and the password of the server. */
export const logIn = (name, password) => request("POST", "/login", { body: { name, password } });

/** @returns {Promise<Login>} Of a guest, under a name that the server makes up. */
export const enterAsGuest = () => request("POST", "/guest");

/** What can be done with a login. */
export class Api {
  #token;

  /** @param {string} token The token of the login. */
  constructor(token) {
    this.#token = token;
  }

  /** End the login, everywhere. */
  logOut() {
    return this.#request("POST", "/logout");
  }

  /** @returns {Promise<{roomId: string, roomName: string}>} A new room; its name is made up if none is given. */
  makeRoom(name) {
    return this.#request("POST", name ? `/api/room?${new URLSearchParams({ name })}` : "/api/room");
  }

  /** @returns {Promise<{roomId: string, roomName: string, members: {id: string, name: string}[], seq: number}>} */
  room(id) {
    return this.#request("GET", `/api/room/${id}`);
  }

  deleteRoom(id) {
    return this.#request("DELETE", `/api/room/${id}`);
  }

  /** @returns {Promise<import("./fanline.js").RoomEvent[]>} What happened before a position, oldest first. */
  messages(id, before, limit) {
    return this.#request("GET", `/api/room/${id}/messages?${new URLSearchParams({ before, limit })}`);
  }

  #request(method, path) {
    return request(method, path, { token: this.#token });
  }
}
