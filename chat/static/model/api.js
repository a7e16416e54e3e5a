/**
 * The HTTP side of chat.
 *
 * @module
 */

import * as sentences from "./sentences.js";
import { sentence } from "./text.js";

/** @import { RoomEvent } from "../fanline.js" */

/** @returns {string} The address of the service, as for a WebSocket: where the page is, whatever the path. */
export const serviceUrl = () => new URL(".", location.href).href.slice(0, -1).replace(/^http/, "ws");

/** A request that failed. */
export class Failure extends Error {
  /**
   * @param {number} status The HTTP status; 0 if there was no answer.
   * @param {string} reason A sentence for people.
   * @param {object} [more]
   * @param {string} [more.code] The kind of refusal, for programs.
   * @param {string} [more.field] The field of the request that is to be changed.
   * @param {number} [more.retryAfter] The seconds after which it may succeed.
   */
  constructor(status, reason, { code, field, retryAfter } = {}) {
    super(reason);
    this.status = status;
    this.code = code;
    this.field = field;
    this.retryAfter = retryAfter;
  }
}

const TIMEOUT = 15_000;

/**
 * Read a refusal.
 *
 * @param {Response} response The answer.
 * @param {any} body Its parsed body; null if it is not JSON.
 * @returns {Failure} What was refused, and why.
 */
function failureOf({ status, headers }, body) {
  const retryAfter = status === 429 ? Number(headers.get("Retry-After")) : 0;
  const { detail = sentences.failed(status), code, field } = body ?? {};
  return new Failure(status, sentence(detail), { code, field, retryAfter });
}

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
    response = await fetch(`.${path}`, { method, headers, signal, body: json, cache: "no-store" });
  } catch {
    throw new Failure(0, sentences.UNREACHABLE);
  }
  const answer = response.status === 204 ? null : await response.json().catch(() => undefined);
  if (response.ok && answer === undefined) {
    throw new Failure(0, sentences.UNREACHABLE); // the answer was cut off
  }
  if (!response.ok) {
    throw failureOf(response, answer);
  }
  return answer;
}

/** @typedef {"user" | "guest" | "admin"} Role */
/** @typedef {{token: string, name: string, expires: number, userId: string, role: Role}} Session A login. */
/** @typedef {{roomId: string, roomName: string, until: number}} DeletedRoom A room that can be restored until then. */
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
 * @param {string} key A secret that stands for the user, at the next login too.
 * @returns {Promise<Session>} The login.
 */
export const logIn = (name, password, key) => request("POST", "/login", { body: { name, password, key } });

/** @returns {Promise<Partial<typeof import("./about.js").about>>} What the server tells of itself. */
export const loadAbout = () => request("GET", "/api/about");

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
   * @param {boolean} isDuplicate Whether another room may have the same name.
   * @returns {Promise<RoomName>} The room.
   */
  makeRoom(name, isDuplicate) {
    const query = new URLSearchParams({ ...(name && { name }), ...(isDuplicate && { duplicate: "true" }) });
    return this.#request("POST", `/api/room?${query}`);
  }

  /** @returns {Promise<DeletedRoom[]>} The deleted rooms that the user can restore. */
  deletedRooms() {
    return this.#request("GET", "/api/rooms/deleted");
  }

  /** @param {string} id The id of a deleted room. @returns {Promise<RoomName>} The room, with all that was in it. */
  restoreRoom(id) {
    return this.#request("POST", `${roomPath(id)}/restore`);
  }

  /**
   * Describe a room.
   *
   * @param {string} id Its id.
   * @returns {Promise<RoomName & {members: Member[], seq: number}>} The room, as of the position `seq`.
   */
  room(id) {
    return this.#request("GET", `${roomPath(id)}?details=true`);
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
    const messages = events.filter((/** @type {RoomEvent} */ { type }) => type === "chat");
    return { messages, before: events[0]?.seq ?? null };
  }

  /** @param {string} method @param {string} path */
  #request(method, path) {
    return request(method, path, { token: this.#token });
  }
}

const roomPath = (/** @type {string} */ id) => `/api/room/${encodeURIComponent(id)}`;
