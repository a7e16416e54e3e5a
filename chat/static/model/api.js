/**
 * The HTTP side of chat.
 *
 * @module
 */

/** @import { RoomEvent } from "../fanline.js" */

/** A request that failed. */
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

/**
 * Read the sentence for people from the body of a refusal.
 *
 * @param {any} body The parsed body; null if it is not JSON.
 * @returns {string | undefined} The sentence, if there is one.
 */
const reasonOf = (body) => body?.detail;

/**
 * Send a request, and return the parsed answer.
 *
 * @param {string} method The HTTP method.
 * @param {string} path The path and query.
 * @param {{token?: string, body?: object}} [options] The token of the login; a value to send as JSON.
 * @returns {Promise<any>} Rejected with `Failure`.
 */
async function request(method, path, { token, body } = {}) {
  /** @type {Record<string, string>} */
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
    const json = body && JSON.stringify(body);
    response = await fetch(path, { method, headers, signal, body: json, cache: "no-store" });
  } catch {
    throw new Failure(0, "The server cannot be reached. Please try again in a moment.");
  }
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) {
    throw new Failure(response.status, reasonOf(answer) ?? `The server answered ${response.status}.`);
  }
  return answer;
}

/** @typedef {{token: string, name: string, expires: number, userId: string}} Session A login. */
/** @typedef {{roomId: string, roomName: string}} RoomName */

/** @import { Member } from "./presence.js" */

/**
 * @typedef {object} Page
 * @property {RoomEvent[]} messages Messages, in order; they may be none.
 * @property {number | null} before The position that the page begins at; null if there are no older messages.
 */

/**
 * Log in with the password of the server.
 *
 * @param {string} name The user's name.
 * @param {string} password The password.
 * @returns {Promise<Session>} The login.
 */
export const logIn = (name, password) => request("POST", "/login", { body: { name, password } });

/** @returns {Promise<Session>} The login of a guest, under a name that the server makes up. */
export const enterAsGuest = () => request("POST", "/guest");

/** The requests of one login. */
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

  /**
   * Make a room.
   *
   * @param {string} name Its name; the server makes one up if it is empty.
   * @returns {Promise<RoomName>} The room.
   */
  makeRoom(name) {
    return this.#request("POST", name ? `/api/room?${new URLSearchParams({ name })}` : "/api/room");
  }

  /**
   * Describe a room.
   *
   * @param {string} id Its id.
   * @returns {Promise<RoomName & {members: Member[], seq: number}>} The room, as of the position `seq`.
   */
  async room(id) {
    const room = await this.#request("GET", `${roomPath(id)}?details=true`);
    return { ...room, members: room.members.map(known) };
  }

  /** @param {string} id The id of the room to delete. */
  deleteRoom(id) {
    return this.#request("DELETE", roomPath(id));
  }

  /**
   * Return the messages before a position, oldest first.
   *
   * @param {string} id The id of the room.
   * @param {number} before The position.
   * @param {number} limit How many, at most.
   * @returns {Promise<Page>} The messages.
   */
  async messages(id, before, limit) {
    const query = new URLSearchParams({ before: `${before}`, limit: `${limit}`, type: "chat" });
    const events = await this.#request("GET", `${roomPath(id)}/messages?${query}`);
    const messages = events.filter((/** @type {RoomEvent} */ { type }) => type === "chat").map(identified);
    return { messages, before: events[0]?.seq ?? null };
  }

  /** @param {string} method @param {string} path */
  #request(method, path) {
    return request(method, path, { token: this.#token });
  }
}

const roomPath = (/** @type {string} */ id) => `/api/room/${encodeURIComponent(id)}`;

/** @param {Member} member @returns {Member} */
const known = (member) => ({ ...member, userId: member.userId ?? member.name });

/** @param {RoomEvent} event @returns {RoomEvent} */
export const identified = (event) => ({ ...event, userId: event.userId ?? event.memberName });
