/**
 * Who is in a room, and which comings and goings are worth a line.
 *
 * Every connection is a member of its own, so somebody with two tabs is there twice, and a reconnect is a new
 * member. People do not want to read about either: what counts is whether a name is there.
 *
 * @module
 */

// Somebody who is back so soon was never gone.
const GRACE = 10_000;

/** The members of a room, by name. */
export class Members {
  /** @type {Map<string, string>} */
  #names = new Map();

  /** @returns {{name: string, count: number}[]} Names in alphabetical order, and how often each is there. */
  get groups() {
    const counts = new Map();
    for (const name of this.#names.values()) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts]
      .map(([name, count]) => ({ name, count }))
      .sort((one, other) => one.name.localeCompare(other.name));
  }

  /** @param {{id: string, name: string}[]} members Everybody who is there. */
  replace(members) {
    this.#names = new Map(members.map(({ id, name }) => [id, name]));
  }

  /**
   * Note a coming or going.
   *
   * @param {import("./fanline.js").RoomEvent} event What happened.
   * @returns {boolean} Whether the name came, or went, with it.
   */
  apply({ type, memberId, memberName }) {
    const isNews = !this.#has(memberName, memberId);
    if (type === "joined") {
      this.#names.set(memberId, memberName);
    } else {
      this.#names.delete(memberId);
    }
    return isNews;
  }

  #has(name, except) {
    return [...this.#names].some(([id, known]) => known === name && id !== except);
  }
}

/** Holds goings back for a moment, and forgets them if the name comes back. */
export class Departures {
  #waiting = new Map();
  #onLeft;

  /** @param {(event: import("./fanline.js").RoomEvent) => void} onLeft Given those who did not come back. */
  constructor(onLeft) {
    this.#onLeft = onLeft;
  }

  left(event) {
    this.#forget(event.memberName);
    const timer = setTimeout(() => {
      this.#waiting.delete(event.memberName);
      this.#onLeft(event);
    }, GRACE);
    this.#waiting.set(event.memberName, timer);
  }

  /**
   * Note that somebody came.
   *
   * @param {string} name Who.
   * @returns {boolean} Whether they were only away for a moment.
   */
  isReturn(name) {
    return this.#forget(name);
  }

  clear() {
    for (const name of [...this.#waiting.keys()]) {
      this.#forget(name);
    }
  }

  #forget(name) {
    clearTimeout(this.#waiting.get(name));
    return this.#waiting.delete(name);
  }
}

/**
 * What a row of comings and goings, with nothing said in between, has changed in the end.
 *
 * @param {import("./fanline.js").RoomEvent[]} events The row.
 * @returns {{joined: string[], left: string[]}} Who came, and who went.
 */
export function netEffect(events) {
  const changes = new Map();
  for (const { type, memberName } of events) {
    changes.set(memberName, (changes.get(memberName) ?? 0) + (type === "joined" ? 1 : -1));
  }
  const names = (isMeant) => [...changes].filter(([, change]) => isMeant(change)).map(([name]) => name);
  return { joined: names((change) => change > 0), left: names((change) => change < 0) };
}
