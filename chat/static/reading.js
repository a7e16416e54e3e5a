/**
 * What has been read of each room, by whom: for unread counts. Kept in the browser.
 *
 * @module
 */

const PREFIX = "fanline.read.";

/** Counts what somebody has not read yet. */
export class Reading {
  #key;
  /** @type {Record<string, number> | null} */
  #read;
  /** @type {Map<string, {messages: number, seq: number}>} */
  #rooms = new Map();

  /**
   * @param {string} name Who reads.
   * @param {object} options
   * @param {() => void} options.onChange Called when more has been read in another tab.
   * @param {AbortSignal} options.signal Ends this.
   */
  constructor(name, { onChange, signal }) {
    this.#key = PREFIX + name;
    this.#load();
    const reload = ({ key }) => {
      if (key === this.#key) {
        this.#load();
        onChange();
      }
    };
    addEventListener("storage", reload, { signal });
  }

  /**
   * Take all rooms as they are. Who comes for the first time has nothing to catch up with.
   *
   * @param {{roomId: string, messages: number, seq: number}[]} rooms Every room.
   */
  replace(rooms) {
    this.#rooms = new Map(rooms.map(({ roomId, messages, seq }) => [roomId, { messages, seq }]));
    this.#read ??= Object.fromEntries(rooms.map(({ roomId, messages }) => [roomId, messages]));
    for (const [roomId, read] of Object.entries(this.#read)) {
      if (read > (this.#rooms.get(roomId)?.messages ?? -1)) {
        delete this.#read[roomId]; // it is gone, or another one has its id
      }
    }
    this.#save();
  }

  /** Take the news of one room, unless newer ones are known. */
  update({ roomId, messages, seq }) {
    if (seq >= (this.#rooms.get(roomId)?.seq ?? 0)) {
      this.#rooms.set(roomId, { messages, seq });
    }
  }

  /** A message has come, maybe before the news of it. */
  count({ roomId, seq }) {
    const room = this.#rooms.get(roomId);
    if (room && seq > room.seq) {
      Object.assign(room, { messages: room.messages + 1, seq });
    }
  }

  /** Everything of a room has been seen. */
  see(roomId) {
    const room = this.#rooms.get(roomId);
    if (room && this.#read && this.#read[roomId] !== room.messages) {
      this.#read[roomId] = room.messages;
      this.#save();
    }
  }

  /** A room is gone; one that is made under its id begins anew. */
  forget(roomId) {
    this.#rooms.delete(roomId);
    if (this.#read) {
      delete this.#read[roomId];
      this.#save();
    }
  }

  /** @returns {number} How many messages of a room have not been seen. */
  unread(roomId) {
    return Math.max((this.#rooms.get(roomId)?.messages ?? 0) - (this.#read?.[roomId] ?? 0), 0);
  }

  #load() {
    this.#read = JSON.parse(localStorage.getItem(this.#key));
  }

  #save() {
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#read));
    } catch {
      // The browser's store is full or closed to us: the counts live as long as the page.
    }
  }
}
