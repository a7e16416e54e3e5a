import { Link } from "./connection.js";
import { CloseCode, Closed } from "./errors.js";
import { written } from "./json.js";
import { Outbox } from "./outbox.js";

/** @import { LinkOptions, State } from "./connection.js" */

/** What publishers and rooms have in common: an outbox over one connection. */
export class Sender {
  /** @protected */
  _link;
  /** @protected */
  _outbox = new Outbox();
  #isReady = false;
  #isFlushing = false;
  #onState;

  /**
   * @param {LinkOptions} options What to connect to, and the callbacks.
   * @param {(state: State) => void} [onState] Called when the state of the connection changes.
   */
  constructor(options, onState) {
    this._link = new Link({ ...options, onState: (state) => this.#changed(state) });
    this.#onState = onState;
  }

  /** @returns {State} The state of the connection. */
  get state() {
    return this._link.state;
  }

  /** Connect at once, if paused, or waiting for the next attempt. */
  retryNow() {
    this._link.retryNow();
  }

  /** Close the connection until `retryNow` is called. What has no answer is kept. */
  pause() {
    this._link.pause();
  }

  /** Close the connection. What has no answer is rejected with `Closed`, and may have been stored. */
  close() {
    this._link.close();
  }

  /**
   * Stop sending a message; its promise is rejected with `Closed`. It may have been stored already.
   *
   * @param {string} id Its id.
   * @param {Error} [reason] What its promise is rejected with, if not with `Closed`.
   */
  withdraw(id, reason = new Closed("it was withdrawn")) {
    this._outbox.reject(id, reason);
  }

  /**
   * Send a message as soon as possible, and again until it is answered.
   *
   * @protected
   * @param {string} id Its id.
   * @param {object} message What is sent.
   * @returns {Promise<any>} Settled with the answer.
   */
  _post(id, message) {
    if (this.state.phase === "closed") {
      return Promise.reject(new Closed(this.state.reason, this.state.code));
    }
    try {
      const answer = this._outbox.add(id, written(message, id));
      this._flush();
      return answer;
    } catch (error) {
      return Promise.reject(error); // it would never be answered
    }
  }

  /**
   * Start to send: the connection is ready for messages.
   *
   * @protected
   */
  _ready() {
    this.#isReady = true;
    this._flush();
  }

  /**
   * Send what waits. What is posted in one turn of the event loop travels together.
   *
   * @protected
   */
  _flush() {
    if (this.#isReady && !this.#isFlushing) {
      this.#isFlushing = true;
      queueMicrotask(() => this.#flushNow());
    }
  }

  #flushNow() {
    this.#isFlushing = false;
    if (this.#isReady) {
      for (const frame of this._outbox.frames()) {
        this._link.send(frame);
      }
    }
  }

  /** @param {State} state The new state of the connection. */
  #changed(state) {
    if (state.code === CloseCode.TOO_BIG && state.phase === "waiting") {
      this._outbox.rejectLargest();
    }
    if (state.phase !== "open") {
      this.#isReady = false;
      this._outbox.rewind();
    }
    if (state.phase === "closed") {
      this._outbox.rejectAll(new Closed(state.reason, state.code));
    }
    this.#onState?.(state);
  }
}
