/**
 * How far each room was read, for unread counts and the place to go on. Kept in the browser.
 *
 * @module
 */

import { browser } from "./storage.js";

const PREFIX = "fanline.read.";
const KEPT = 30 * 86_400_000; // milliseconds for which it is known how far a deleted room was read: it may be restored

/**
 * @typedef {object} RoomCount Messages of a room up to a position.
 * @property {string} roomId The room.
 * @property {number} messages How many.
 * @property {number} seq The position.
 * @property {string} [senderId] The user who sent the newest one.
 */
/**
 * @typedef {object} Mark How far a room was read.
 * @property {number} messages How many messages were read.
 * @property {number} seq The position of the last one.
 * @property {number} [gone] Since when the room is not there, in Unix milliseconds.
 */

/** Counts the unread messages of one user. One who writes in a room, from anywhere, has read what is there. */
export class Reading {
  #key;
  #userId;
  /** @type {Record<string, Mark> | null} */
  #read;
  /** @type {Map<string, RoomCount>} */
  #rooms = new Map();

  /** @param {string} name The user's name. @param {string} userId The user's id. */
  constructor(name, userId) {
    this.#key = PREFIX + name;
    this.#userId = userId;
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
    this.#read ??= Object.fromEntries(rooms.map(({ roomId, messages, seq }) => [roomId, { messages, seq }]));
    for (const [roomId, mark] of Object.entries(this.#read)) {
      mark.gone = this.#rooms.has(roomId) ? undefined : (mark.gone ?? Date.now());
      if (mark.gone && mark.gone < Date.now() - KEPT) {
        delete this.#read[roomId];
      }
    }
    for (const room of rooms) {
      this.#checkMark(room);
      this.#readOwn(room);
    }
    this.#save();
  }

  /** @param {RoomCount} room A room that was made, or restored with its messages. */
  add(room) {
    this.#checkMark(room);
    this.update(room);
  }

  /** @param {RoomCount} room A room; it is another one than that of the mark if it has fewer messages than were read. */
  #checkMark({ roomId, messages }) {
    if (this.#read && messages < (this.#read[roomId]?.messages ?? 0)) {
      delete this.#read[roomId];
    }
  }

  /**
   * Replace one room, unless a newer count is known.
   *
   * @param {RoomCount} room The room.
   */
  update(room) {
    if (room.seq >= (this.#rooms.get(room.roomId)?.seq ?? 0)) {
      this.#rooms.set(room.roomId, { ...room });
      this.#readOwn(room);
    }
  }

  /** @param {RoomCount} room A room; its newest message may be one that the user has sent from another device. */
  #readOwn({ roomId, messages, seq, senderId }) {
    if (this.#read && senderId === this.#userId) {
      this.#read[roomId] = { messages, seq };
      this.#save();
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

  /**
   * Return where a user stopped reading.
   *
   * @param {string} roomId A room.
   * @returns {number} The position of the last message that was read, 0 for none; infinite at the first visit of all.
   */
  lastRead(roomId) {
    return this.#read ? (this.#read[roomId]?.seq ?? 0) : Number.POSITIVE_INFINITY;
  }

  /**
   * Mark a room as read up to a message.
   *
   * @param {string} roomId The room.
   * @param {number} seq The position of the message.
   * @param {number} after The number of messages after it.
   */
  see(roomId, seq, after) {
    const room = this.#rooms.get(roomId);
    const known = this.#read?.[roomId];
    if (!room || !this.#read || seq < (known?.seq ?? 0)) {
      return;
    }
    const messages = Math.max(room.messages - after, 0);
    if (known?.seq !== seq || known.messages !== messages) {
      this.#read[roomId] = { messages, seq };
      this.#save();
    }
  }

  /** @param {string} roomId The room that was deleted; how far it was read is kept, in case it is restored. */
  forget(roomId) {
    this.#rooms.delete(roomId);
  }

  /** @param {string} roomId A room. @returns {number} How many of its messages are unread. */
  unread(roomId) {
    return Math.max((this.#rooms.get(roomId)?.messages ?? 0) - (this.#read?.[roomId]?.messages ?? 0), 0);
  }

  /** @returns {number} How many messages of all rooms are unread. */
  get total() {
    return [...this.#rooms.keys()].reduce((sum, roomId) => sum + this.unread(roomId), 0);
  }

  #save() {
    browser.write(this.#key, this.#read);
  }
}

/** @param {string} key A key of the browser's store. @returns {Record<string, Mark> | null} */
function load(key) {
  const read = browser.read(key);
  return read && typeof read === "object" ? Object.fromEntries(Object.entries(read).filter(isMark)) : null;
}

/** @param {[string, any]} entry What the browser's store holds of a room. */
const isMark = ([, mark]) => Number.isInteger(mark?.messages) && Number.isInteger(mark.seq);
