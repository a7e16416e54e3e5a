/**
 * How many messages of each room were read, for unread counts. Kept in the browser.
 *
 * @module
 */

import { browser } from "./storage.js";

const PREFIX = "fanline.read.";

/** @typedef {{roomId: string, messages: number, seq: number}} RoomCount Messages of a room up to a position. */

/** Counts the unread messages of one user. */
export class Reading {
  #key;
  /** @type {Record<string, number> | null} */
  #read;
  /** @type {Map<string, RoomCount>} */
  #rooms = new Map();

  /** @param {string} name The user's name. */
  constructor(name) {
    this.#key = PREFIX + name;
    this.#read = load(this.#key);
  }

  /**
   * Take over what was read in another tab.
   *
   * @param {string | null} key The key that has changed in the browser's store.
   * @returns {boolean} Whether it concerns these counts.
   */
  reload(key) {
    if (key !== this.#key) {
      return false;
    }
    this.#read = load(key);
    return true;
  }

  /**
   * Replace all rooms. A user who comes for the first time has read everything.
   *
   * @param {RoomCount[]} rooms Every room.
   */
  replace(rooms) {
    this.#rooms = new Map(rooms.map((room) => [room.roomId, { ...room }]));
    this.#read ??= Object.fromEntries(rooms.map(({ roomId, messages }) => [roomId, messages]));
    for (const [roomId, read] of Object.entries(this.#read)) {
      if (read > (this.#rooms.get(roomId)?.messages ?? -1)) {
        delete this.#read[roomId]; // it was deleted, or another room has its id now
      }
    }
    this.#save();
  }

  /**
   * Replace one room, unless a newer count is known.
   *
   * @param {RoomCount} room The room.
   */
  update(room) {
    if (room.seq >= (this.#rooms.get(room.roomId)?.seq ?? 0)) {
      this.#rooms.set(room.roomId, { ...room });
    }
  }

  /**
   * Count a message, unless it was counted by `update`.
   *
   * @param {{roomId: string, seq: number}} message The message.
   */
  count({ roomId, seq }) {
    const room = this.#rooms.get(roomId);
    if (room && seq > room.seq) {
      Object.assign(room, { messages: room.messages + 1, seq });
    }
  }

  /** @param {string} roomId The room of which everything was read. */
  see(roomId) {
    const room = this.#rooms.get(roomId);
    if (room && this.#read && this.#read[roomId] !== room.messages) {
      this.#read[roomId] = room.messages;
      this.#save();
    }
  }

  /** @param {string} roomId The room that was deleted; one that is made under its id has nothing read. */
  forget(roomId) {
    this.#rooms.delete(roomId);
    if (this.#read) {
      delete this.#read[roomId];
      this.#save();
    }
  }

  /** @param {string} roomId A room. @returns {number} How many of its messages are unread. */
  unread(roomId) {
    return Math.max((this.#rooms.get(roomId)?.messages ?? 0) - (this.#read?.[roomId] ?? 0), 0);
  }

  #save() {
    browser.write(this.#key, this.#read);
  }
}

/** @param {string} key A key of the browser's store. @returns {Record<string, number> | null} */
function load(key) {
  const read = browser.read(key);
  return read && typeof read === "object"
    ? Object.fromEntries(Object.entries(read).filter(([, count]) => Number.isInteger(count)))
    : null;
}
