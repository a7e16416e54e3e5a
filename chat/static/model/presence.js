/**
 * The members of a room, and which of their comings and goings are worth a line. No DOM.
 *
 * Every connection is a member of its own, so a user with two tabs is there twice, and a reconnect is a new member.
 * Readers do not want to see either: what counts is whether a name is there.
 *
 * @module
 */

/** @import { RoomEvent } from "../fanline.js" */

const GRACE = 10_000; // a user who is back within this time was never gone

/** The members of a room, by name. */
export class Members {
  /** @type {Map<string, string>} */
  #names = new Map();

  /** @returns {{name: string, count: number}[]} Names in alphabetical order, with their number of connections. */
  get groups() {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const name of this.#names.values()) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts]
      .map(([name, count]) => ({ name, count }))
      .sort((one, other) => one.name.localeCompare(other.name));
  }

  /** @param {{id: string, name: string}[]} members All members. */
  replace(members) {
    this.#names = new Map(members.map(({ id, name }) => [id, name]));
  }

  /**
   * Apply a coming or going.
   *
   * @param {Pick<RoomEvent, "type" | "memberId" | "memberName">} event The event.
   * @returns {boolean} Whether the name came, or went, with it.
   */
  apply({ type, memberId, memberName }) {
    const isNews = ![...this.#names].some(([id, name]) => name === memberName && id !== memberId);
    if (type === "joined") {
      this.#names.set(memberId, memberName);
    } else {
      this.#names.delete(memberId);
    }
    return isNews;
  }
}

/** Goings that are held back for a while, and forgotten if the name comes back. */
export class Departures {
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #pending = new Map();
  #onLeft;

  /** @param {(event: RoomEvent) => void} onLeft Called with each going that lasts. */
  constructor(onLeft) {
    this.#onLeft = onLeft;
  }

  /** @param {RoomEvent} event A going. */
  add(event) {
    this.cancel(event.memberName);
    const timer = setTimeout(() => {
      this.#pending.delete(event.memberName);
      this.#onLeft(event);
    }, GRACE);
    this.#pending.set(event.memberName, timer);
  }

  /**
   * Cancel a going, if any: the name came back.
   *
   * @param {string} name The name.
   * @returns {boolean} Whether there was one.
   */
  cancel(name) {
    clearTimeout(this.#pending.get(name));
    return this.#pending.delete(name);
  }

  /** Cancel all. */
  clear() {
    for (const name of [...this.#pending.keys()]) {
      this.cancel(name);
    }
  }
}

/**
 * Return the net effect of comings and goings in a row.
 *
 * @param {Pick<RoomEvent, "type" | "memberName">[]} events The row.
 * @returns {{joined: string[], left: string[]}} The names that came, and those that went.
 */
export function netEffect(events) {
  /** @type {Map<string, number>} */
  const changes = new Map();
  for (const { type, memberName } of events) {
    changes.set(memberName, (changes.get(memberName) ?? 0) + (type === "joined" ? 1 : -1));
  }
  const names = (/** @type {number} */ sign) =>
    [...changes].filter(([, change]) => Math.sign(change) === sign).map(([name]) => name);
  return { joined: names(1), left: names(-1) };
}
