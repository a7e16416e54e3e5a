import { Rejected } from "./errors.js";

const WINDOW = 1_000; // messages sent and not acknowledged, at most; the others wait their turn
const FRAME_CHARACTERS = 16_384; // of messages that travel together; a larger one travels alone

/**
 * @typedef {object} PendingMessage
 * @property {string} body The message as JSON.
 * @property {boolean} isSent Whether it was sent on this connection.
 * @property {Promise<any>} promise Settled with the answer.
 * @property {(answer: any) => void} resolve
 * @property {(error: Error) => void} reject
 */

/** Messages that are not acknowledged yet, in order, each with the promise of its answer. No I/O. */
export class Outbox {
  /** @type {Map<string, PendingMessage>} */
  #pending = new Map();
  #sent = 0;

  /** @returns {boolean} Whether every message was answered. */
  get isEmpty() {
    return this.#pending.size === 0;
  }

  /**
   * Add a message; one whose id is known is the same message.
   *
   * @param {string} id Its id.
   * @param {string} body The message as JSON.
   * @returns {Promise<any>} Settled with the answer.
   */
  add(id, body) {
    const known = this.#pending.get(id);
    if (known) {
      return known.promise;
    }
    /** @type {Partial<PendingMessage>} */
    const message = { body, isSent: false };
    message.promise = new Promise((resolve, reject) => Object.assign(message, { resolve, reject }));
    this.#pending.set(id, /** @type {PendingMessage} */ (message));
    return message.promise;
  }

  /**
   * Take the messages to be sent next, as frames.
   *
   * @returns {Generator<string>} One message each, or a JSON array of several.
   */
  *frames() {
    /** @type {string[]} */
    let bodies = [];
    let size = 0;
    for (const message of this.#pending.values()) {
      if (this.#sent >= WINDOW) {
        break;
      }
      if (message.isSent) {
        continue;
      }
      if (size + message.body.length > FRAME_CHARACTERS && bodies.length) {
        yield joined(bodies);
        bodies = [];
        size = 0;
      }
      message.isSent = true;
      this.#sent++;
      bodies.push(message.body);
      size += message.body.length;
    }
    if (bodies.length) {
      yield joined(bodies);
    }
  }

  /** Mark every message as not sent, for a new connection. */
  rewind() {
    for (const message of this.#pending.values()) {
      message.isSent = false;
    }
    this.#sent = 0;
  }

  /**
   * Resolve the promise of a message; an unknown id is ignored.
   *
   * @param {string} id Its id.
   * @param {any} answer The answer.
   */
  acknowledge(id, answer) {
    this.#remove(id)?.resolve(answer);
  }

  /**
   * Reject the promise of a message; an unknown id is ignored.
   *
   * @param {string} id Its id.
   * @param {Error} error Why.
   */
  reject(id, error) {
    this.#remove(id)?.reject(error);
  }

  /**
   * Reject the promises of all messages.
   *
   * @param {Error} error Why.
   */
  rejectAll(error) {
    for (const id of [...this.#pending.keys()]) {
      this.reject(id, error);
    }
  }

  /** Reject the largest sent message: the server refused a frame for its size and named none. */
  rejectLargest() {
    let largest = { id: "", size: -1 };
    for (const [id, { isSent, body }] of this.#pending) {
      if (isSent && body.length > largest.size) {
        largest = { id, size: body.length };
      }
    }
    const reason = `${largest.size} characters are more than the server takes`;
    this.reject(largest.id, new Rejected("too-big", reason, largest.id));
  }

  /** @param {string} id The id of a message. */
  #remove(id) {
    const message = this.#pending.get(id);
    this.#pending.delete(id);
    if (message?.isSent) {
      this.#sent--;
    }
    return message;
  }
}

const joined = (/** @type {string[]} */ bodies) =>
  bodies.length === 1 ? bodies[0] : `[${bodies.join(",")}]`;
