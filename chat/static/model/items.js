/**
 * The messages of a room that are loaded, in order, and which of them stand together. No DOM.
 *
 * Comings and goings are no part of it: they are presence, which the list of members shows.
 *
 * @module
 */

import { isSameDay } from "./text.js";

/** @import { RoomEvent } from "../fanline.js" */

const TOGETHER = 5 * 60_000; // messages of one sender stand together for this long after the first of them

/**
 * @typedef {object} Item
 * @property {RoomEvent} event The message.
 * @property {number} seq Its position.
 * @property {Date} time When it was sent.
 * @property {boolean} isHead Whether its sender and time stand above it.
 * @property {number} runStart When the first of the messages that it stands together with was sent.
 */

/** The loaded messages of one room. */
export class Items {
  /** @type {Item[]} */
  #items = [];

  /** @returns {number} How many there are. */
  get length() {
    return this.#items.length;
  }

  /** @returns {Item | undefined} The newest one. */
  get newest() {
    return this.#items.at(-1);
  }

  /** @param {number} index An index, from 0 on. @returns {Item} The item. */
  at(index) {
    return this.#items[index];
  }

  /** @param {RoomEvent[]} messages Newer ones, in order. */
  append(messages) {
    extend(this.#items, messages);
  }

  /**
   * Add older messages.
   *
   * @param {RoomEvent[]} messages In order.
   * @returns {number} How many of the former first items look different now.
   */
  prepend(messages) {
    /** @type {Item[]} */
    const older = [];
    extend(older, messages);
    const former = this.#items;
    this.#items = [...older, ...former];
    const end = former.findIndex((item, index) => {
      const before = { ...item };
      arrange(item, former[index - 1] ?? older.at(-1));
      return item.isHead === before.isHead && item.runStart === before.runStart && index > 0;
    });
    return end < 0 ? former.length : end;
  }

  /** @param {number} count How many of the oldest items to remove. */
  removeOldest(count) {
    this.#items.splice(0, count);
  }

  /**
   * Find the first message after a position.
   *
   * @param {number} seq The position.
   * @returns {number} Its index; the number of items if there is none.
   */
  indexAfter(seq) {
    const index = this.#items.findIndex((item) => item.seq > seq);
    return index < 0 ? this.#items.length : index;
  }

  /** @param {number} index The index of an item. @returns {boolean} Whether it is the first loaded one of its day. */
  startsDay(index) {
    return index === 0 || !isSameDay(this.#items[index - 1].time, this.#items[index].time);
  }

  /**
   * Test whether a message would stand together with the newest one.
   *
   * @param {string} userId Its sender.
   * @param {Date} time When it is sent.
   * @returns {boolean} Whether it would.
   */
  isContinuedBy(userId, time) {
    return isContinued(this.newest, userId, time);
  }
}

/** @param {Item[]} items The items to extend. @param {RoomEvent[]} messages Newer messages. */
function extend(items, messages) {
  for (const event of messages) {
    const item = { event, seq: event.seq, time: new Date(event.sent), isHead: true, runStart: 0 };
    arrange(item, items.at(-1));
    items.push(item);
  }
}

/** @param {Item} item The item to arrange. @param {Item} [before] The one before it. */
function arrange(item, before) {
  item.isHead = !isContinued(before, item.event.userId, item.time);
  item.runStart = item.isHead || !before ? item.time.getTime() : before.runStart;
}

/** @param {Item | undefined} before @param {string} userId @param {Date} time */
const isContinued = (before, userId, time) =>
  before !== undefined &&
  before.event.userId === userId &&
  isSameDay(before.time, time) &&
  time.getTime() - before.runStart < TOGETHER;
