/**
 * What a timeline shows, in order: messages, and comings and goings, those in a row as one item. No DOM.
 *
 * @module
 */

import { netEffect } from "./presence.js";
import { isSameDay, namesOf } from "./text.js";

/** @import { RoomEvent } from "../fanline.js" */

const TOGETHER = 5 * 60_000; // messages of one sender this close together stand together

/**
 * @typedef {object} Item
 * @property {number} seq Its position; of several events, the first one.
 * @property {Date} time When.
 * @property {RoomEvent[]} events The events; a message stands alone.
 * @property {boolean} isMessage Whether it is a message.
 */

/** The items of one room that are loaded, seen by one user. */
export class Items {
  /** @type {Item[]} */
  #items = [];

  /** @param {string} name The user's name. */
  constructor(name) {
    this.name = name;
  }

  /** @returns {number} How many there are. */
  get length() {
    return this.#items.length;
  }

  /** @param {number} index An index, from 0 on. @returns {Item} The item. */
  at(index) {
    return this.#items[index];
  }

  /**
   * Add newer events.
   *
   * @param {RoomEvent[]} events In order.
   * @returns {boolean} Whether the last of the former items has changed.
   */
  append(events) {
    return mergeInto(this.#items, events);
  }

  /**
   * Add older events.
   *
   * @param {RoomEvent[]} events In order.
   * @returns {number} How many items were added; the first of the former ones may have changed.
   */
  prepend(events) {
    /** @type {Item[]} */
    const older = [];
    mergeInto(older, events);
    const [first] = this.#items;
    const last = older.at(-1);
    if (first && last && isOneRow(last, first)) {
      older.pop();
      Object.assign(first, { seq: last.seq, events: [...last.events, ...first.events] });
    }
    this.#items.unshift(...older);
    return older.length;
  }

  /** @param {number} count How many of the oldest items to remove. */
  removeOldest(count) {
    this.#items.splice(0, count);
  }

  /** @param {number} index The index of an item. @returns {boolean} Whether it is the first one of another day. */
  startsDay(index) {
    return index > 0 && !isSameDay(this.#items[index - 1].time, this.#items[index].time);
  }

  /**
   * Test whether a message stands together with the message before it.
   *
   * @param {number} index Its index.
   * @param {string} name Its sender.
   * @param {Date} time When it was sent.
   * @returns {boolean} Whether it does.
   */
  isContinued(index, name, time) {
    const before = this.#items[index - 1];
    const isInvisible = before && !before.isMessage && this.presenceText(before) === "";
    const previous = isInvisible ? this.#items[index - 2] : before;
    return (
      previous?.isMessage === true &&
      previous.events[0].memberName === name &&
      isSameDay(previous.time, time) &&
      time.getTime() - previous.time.getTime() < TOGETHER
    );
  }

  /**
   * Describe the net effect of comings and goings; the user's own are left out.
   *
   * @param {Item} item An item that is not a message.
   * @returns {string} "Ada joined · Ben left"; may be empty.
   */
  presenceText({ events }) {
    const { joined, left } = netEffect(events.filter(({ memberName }) => memberName !== this.name));
    const parts = [joined.length && `${namesOf(joined)} joined`, left.length && `${namesOf(left)} left`];
    return parts.filter(Boolean).join(" · ");
  }
}

/**
 * Add events to items, comings and goings in a row to one item.
 *
 * @param {Item[]} items The items.
 * @param {RoomEvent[]} events Newer events, in order.
 * @returns {boolean} Whether the last of the former items has changed.
 */
function mergeInto(items, events) {
  let isMerged = false;
  const before = items.length;
  for (const event of events) {
    const last = items.at(-1);
    const item = {
      seq: event.seq,
      time: new Date(event.sent),
      isMessage: event.type === "chat",
      events: [event],
    };
    if (last && isOneRow(last, item)) {
      last.events.push(event);
      isMerged ||= items.length === before;
    } else {
      items.push(item);
    }
  }
  return isMerged;
}

/** @param {Item} one @param {Item} next */
const isOneRow = (one, next) => !one.isMessage && !next.isMessage && isSameDay(one.time, next.time);
