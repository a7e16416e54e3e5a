import { Closed } from "./errors.js";
import { Emitter } from "./events.js";

/** @import { Cursor, Gap, Message, Start } from "./subscriptions.js" */

/**
 * What happens to a subscription.
 *
 * @template [T=any]
 * @typedef {object} SubscriptionEvents
 * @property {Message<T>} message A message, once, in the order of the log.
 * @property {Gap} gap Messages will not come; told before the first one after them.
 * @property {Error} error It is over: it was refused, or the connection is not opened again.
 */

/**
 * One subscription to a topic or pattern. Messages are for its `message` listeners, or else for the loop that iterates
 * over it, and wait until there is one or the other.
 *
 * @template [T=any]
 * @extends {Emitter<SubscriptionEvents<T>>}
 */
export class Subscription extends Emitter {
  /** The topic or pattern. */
  pattern;
  /** @type {Cursor} */
  #cursor;
  #end;
  /** @type {Message<T>[]} */
  #waiting = [];
  /** @type {{error: Error | null} | null} */
  #ended = null;
  #ready;
  #isAwaited = false;
  #isIterated = false;
  #wake = () => {};
  #settle = { resolve: (/** @type {number} */ _) => {}, reject: (/** @type {Error} */ _) => {} };

  /**
   * @param {string} pattern The topic or pattern.
   * @param {Start} start Where to begin.
   * @param {(cursor: Cursor) => void} end Called when it is closed.
   */
  constructor(pattern, start, end) {
    super();
    this.pattern = pattern;
    this.#end = end;
    this.#ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#ready.catch(() => {}); // it need not be awaited
    this.#cursor = {
      start,
      position: null,
      onReady: (seq) => this.#settle.resolve(seq),
      onMessage: (message) => this.#receive(message),
      onGap: (gap) => this.#miss(gap),
      onRefused: (error) => this.#fail(error),
    };
  }

  /** @returns {Promise<number>} The position that messages come after, as soon as it is known. */
  get ready() {
    this.#isAwaited = true;
    return this.#ready;
  }

  /** @returns {number | null} The position of the last message that came: what to resume `after`. */
  get position() {
    return this.#cursor.position;
  }

  /** @returns {string | undefined} The log that the position is of: to be given with `after`. */
  get epoch() {
    return this.#cursor.epoch;
  }

  /** @returns {boolean} Whether it is over. */
  get isClosed() {
    return this.#ended !== null;
  }

  /** @returns {Cursor} Its state. */
  get cursor() {
    return this.#cursor;
  }

  /**
   * @override
   * @template {keyof SubscriptionEvents<T>} Type
   * @param {Type} type `message`, `gap` or `error`.
   * @param {(value: SubscriptionEvents<T>[Type]) => void} listener Called at each.
   * @returns {() => void} Ends this.
   */
  on(type, listener) {
    const off = super.on(type, listener);
    queueMicrotask(() => this.#handOver());
    return off;
  }

  /** End this subscription, and no other one. */
  close() {
    if (!this.#ended) {
      this.#finish(null, new Closed(`${this.pattern} was unsubscribed from`));
      this.#end(this.#cursor);
    }
  }

  /** @returns {AsyncGenerator<Message<T>, void, void>} The messages; leaving the loop closes the subscription. */
  async *[Symbol.asyncIterator]() {
    this.#isIterated = true;
    try {
      for (;;) {
        const messages = this.#waiting;
        this.#waiting = [];
        yield* messages;
        if (this.#waiting.length === 0 && this.#ended) {
          break;
        }
        if (this.#waiting.length === 0) {
          await new Promise((resolve) => {
            this.#wake = () => resolve(null);
          });
        }
      }
    } finally {
      this.close();
    }
    if (this.#ended.error) {
      throw this.#ended.error;
    }
  }

  /** @param {Message<T>} message A message. */
  #receive(message) {
    if (!this.#ended) {
      this.#waiting.push(message);
      this.#handOver();
      this.#wake();
    }
  }

  #handOver() {
    while (this._hasListener("message") && this.#waiting.length > 0 && !this.#ended) {
      this._emit("message", /** @type {Message<T>} */ (this.#waiting.shift()));
    }
  }

  /** @param {Gap} gap What is missing. */
  #miss(gap) {
    this._emit("gap", gap);
    if (!this._hasListener("gap")) {
      const { pattern, from, to } = gap;
      const what = from === undefined ? "what came between two connections" : `positions ${from} to ${to}`;
      console.warn(`${pattern}: ${what} are not in the log any more`);
    }
  }

  /** @param {Error} error Why it is over. */
  #fail(error) {
    if (this.#ended) {
      return;
    }
    const isNoticed = this._hasListener("error") || this.#isAwaited || this.#isIterated;
    this.#finish(error, error);
    this._emit("error", error);
    const isOwnDoing = error instanceof Closed && error.code === undefined;
    if (!isNoticed && !isOwnDoing) {
      console.error(error);
    }
  }

  /** @param {Error | null} error What a loop ends with. @param {Error} reason What `ready` is rejected with. */
  #finish(error, reason) {
    this.#ended = { error };
    this.#settle.reject(reason);
    this.#wake();
  }
}
