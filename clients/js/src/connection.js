import { Backoff } from "./backoff.js";
import { CloseCode, Closed } from "./errors.js";
import { onOffline, onWake, report } from "./platform.js";

// All times are in milliseconds.
const LONGEST_RETRY_AFTER = 60_000;
const STEADY = 5_000; // a connection that lasted this long resets the delays
const OPEN_TIMEOUT = 10_000;
const QUIET = 20_000; // silence after which the server is asked for a sign of life
const LATE = 4_000; // the same after something was sent: it is answered, unless something is wrong
const ANSWER_TIMEOUT = 10_000;
const ACK_TIMEOUT = 26_000; // for an answer that is awaited already, and may have to wait for the disk
const OFFLINE_TIMEOUT = 3_000; // for the answer of a server that a device without a network may still reach

/**
 * The state of a connection.
 *
 * @typedef {object} State
 * @property {"connecting" | "open" | "waiting" | "paused" | "closed"} phase `waiting` for the next attempt; `closed` is
 *   final.
 * @property {string} reason Why it is not open, as a sentence; may be empty.
 * @property {number} [code] The close code that ended the last connection.
 * @property {boolean} [isDoubtful] Set while an open connection gives no answer, although one is late, or the device
 *   is offline. It is soon lost, or no longer doubtful.
 * @property {number} [retryAt] The time of the next attempt, as of `Date.now()`.
 */

/**
 * A WebSocket, or what stands in for one.
 *
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {(frame: string) => void} send
 * @property {() => void} close
 */

/**
 * Why a connection could not be opened.
 *
 * @typedef {object} Diagnosis
 * @property {string} reason A sentence for people.
 * @property {number} [code] The close code that says the same.
 * @property {boolean} isFinal Whether it never can be.
 * @property {number} [retryAfter] When to try again, in milliseconds.
 */

/**
 * What to connect to, and the callbacks of a `Link`.
 *
 * @typedef {object} LinkOptions
 * @property {() => Socket | Promise<Socket>} dial Called for each attempt: makes the WebSocket. Throws `Closed` to give
 *   up.
 * @property {(frame: any) => void} onFrame Called with each received frame, parsed, arrays taken apart.
 * @property {() => void} [onOpen] Called when a connection is open.
 * @property {() => void} [onBatchEnd] Called after the last frame of a WebSocket message.
 * @property {(state: State) => void} [onState] Called when the state changes.
 * @property {() => object | boolean} [probe] Called after a silence. Returns what to send that will be answered;
 *   `true` if an answer is awaited already, `false` if there is nothing to ask.
 * @property {() => Promise<Diagnosis | null>} [diagnose] Called when a connection could not be opened; null if the
 *   reason is not known.
 * @property {() => number | undefined} [renewalDelay] Called when a connection is open. Returns in how many milliseconds
 *   its login has to be renewed.
 * @property {() => Promise<object | null>} [renew] Called then. Returns what to send; null if there is nothing.
 * @property {number[]} [finalCodes] Close codes after which to give up.
 */

const OPEN = 1; // WebSocket.OPEN

/** A WebSocket that is opened again whenever it is lost. It connects in the next turn of the event loop. */
export class Link {
  #options;
  #finalCodes;
  #backoff = new Backoff();
  /** @type {Socket | null} */
  #socket = null;
  #ending = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #renewal;
  #attempt = 0;
  #isAnswerDue = false;
  #openedAt = 0;
  /** @type {number | null} */
  #retryAfter = null;
  /** @type {State} */
  #state = { phase: "connecting", reason: "" };

  /** @param {LinkOptions} options What to connect to, and the callbacks. */
  constructor(options) {
    this.#options = options;
    this.#finalCodes = options.finalCodes ?? [CloseCode.POLICY, CloseCode.LOGGED_OUT];
    onWake(() => this.#wake(), this.#ending.signal);
    onOffline(() => this.isOpen && this.#doubt(OFFLINE_TIMEOUT), this.#ending.signal);
    queueMicrotask(() => this.#connect());
  }

  /** @returns {State} The state of the connection. */
  get state() {
    return this.#state;
  }

  /** @returns {boolean} Whether the connection is open. */
  get isOpen() {
    return this.#state.phase === "open";
  }

  /**
   * Send one frame; drop it if the connection is not open.
   *
   * @param {string | object} frame Text, or a value to be written as JSON.
   */
  send(frame) {
    if (!this.isOpen || this.#socket?.readyState !== OPEN) {
      return; // what is sent while it closes would be lost without a word
    }
    this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
    if (!this.#isAnswerDue) {
      this.#isAnswerDue = true;
      this.#schedule(() => this.#doubt(ANSWER_TIMEOUT), LATE);
    }
  }

  /** Connect at once, if paused, or waiting for the next attempt. */
  retryNow() {
    if (this.#state.phase === "waiting" || this.#state.phase === "paused") {
      this.#connect();
    }
  }

  /** Close the connection until `retryNow` is called. */
  pause() {
    if (this.#state.phase !== "closed") {
      this.#drop();
      this.#attempt++;
      this.#report({ phase: "paused", reason: "it is paused" });
    }
  }

  /**
   * Set the delay after the present connection, as the server asked.
   *
   * @param {number} delay In milliseconds.
   */
  retryAfter(delay) {
    this.#retryAfter = Math.min(Math.max(delay, 0), LONGEST_RETRY_AFTER);
  }

  /**
   * Drop this connection and open another.
   *
   * @param {string} reason Why, as a sentence.
   * @param {number} [delay] When, in milliseconds; without it after the usual delay.
   */
  reset(reason, delay) {
    if (delay !== undefined) {
      this.retryAfter(delay);
    }
    this.#lose(reason);
  }

  /** Close the connection; it is not opened again. */
  close() {
    this.#end("it was closed by this page");
  }

  #wake() {
    if (this.isOpen) {
      this.#ask();
    } else if (this.#state.phase === "waiting") {
      this.#connect();
    }
  }

  async #connect() {
    clearTimeout(this.#timer);
    const attempt = ++this.#attempt;
    this.#report({ ...this.#state, phase: "connecting", retryAt: undefined });
    try {
      const socket = await this.#options.dial();
      if (attempt === this.#attempt) {
        this.#listen(socket);
      } else {
        socket.close();
      }
    } catch (error) {
      if (attempt === this.#attempt) {
        this.#giveUpOrRetry(/** @type {Error} */ (error));
      }
    }
  }

  /** @param {Socket} socket What was made for this attempt. */
  #listen(socket) {
    this.#socket = socket;
    const ifCurrent = (/** @type {(event: any) => void} */ handle) => (/** @type {any} */ event) =>
      this.#socket === socket && handle(event);
    socket.onopen = ifCurrent(() => this.#opened());
    socket.onmessage = ifCurrent(({ data }) => this.#receive(data));
    socket.onclose = ifCurrent((event) => this.#closed(event));
    this.#timer = setTimeout(() => this.#failed("the server does not answer"), OPEN_TIMEOUT);
  }

  #opened() {
    this.#openedAt = Date.now();
    this.#state = { phase: "open", reason: "" };
    this.#watch();
    this.#planRenewal();
    this.#options.onOpen?.();
    this.#report(this.#state);
  }

  #planRenewal() {
    const delay = this.#options.renewalDelay?.();
    if (delay !== undefined) {
      this.#renewal = setTimeout(() => this.#renew(), delay);
    }
  }

  async #renew() {
    const socket = this.#socket;
    const frame = await this.#options.renew?.();
    if (socket === this.#socket) {
      if (frame) {
        this.send(frame);
      }
      this.#planRenewal();
    }
  }

  /** @param {string} text One WebSocket message. */
  #receive(text) {
    this.#watch();
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      this.#lose("the server sent something that is not JSON");
      return;
    }
    const socket = this.#socket;
    for (const frame of Array.isArray(value) ? value : [value]) {
      if (this.#socket !== socket) {
        return; // an earlier frame has ended this connection
      }
      if (frame.drain) {
        this.retryAfter(frame.drain.retry_ms);
      } else {
        this.#options.onFrame(frame);
      }
    }
    this.#options.onBatchEnd?.();
  }

  /** @param {{code: number, reason: string}} event How the connection ended. */
  #closed({ code, reason }) {
    if (this.#finalCodes.includes(code)) {
      this.#end(reason || `the server has closed the connection (${code})`, code);
    } else if (this.isOpen) {
      this.#lose(reason || "the connection was lost", code);
    } else {
      this.#failed(reason || "the server cannot be reached", code);
    }
  }

  /**
   * Find out why a connection could not be opened, and what to do.
   *
   * @param {string} reason Why as far as is known, as a sentence.
   * @param {number} [code] The close code.
   */
  async #failed(reason, code) {
    this.#drop();
    const attempt = this.#attempt;
    const found = await this.#options.diagnose?.();
    if (attempt !== this.#attempt) {
      return;
    }
    if (found?.retryAfter !== undefined) {
      this.retryAfter(found.retryAfter);
    }
    if (found?.isFinal) {
      this.#end(found.reason, found.code);
    } else {
      this.#lose(found?.reason ?? reason, found?.code ?? code);
    }
  }

  /** @param {Error} error Why an attempt failed before there was a connection. */
  #giveUpOrRetry(error) {
    if (error instanceof Closed) {
      this.#end(error.message, error.code);
    } else {
      this.#lose(error.message);
    }
  }

  /**
   * @param {string} reason Why, as a sentence.
   * @param {number} [code] The close code.
   */
  #lose(reason, code) {
    if (this.#state.phase === "closed") {
      return;
    }
    this.#drop();
    this.#attempt++;
    if (this.#openedAt && Date.now() - this.#openedAt >= STEADY) {
      this.#backoff.reset();
    }
    this.#openedAt = 0;
    const delay = this.#retryAfter ?? this.#backoff.next();
    this.#retryAfter = null;
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#report({ phase: "waiting", reason, code, retryAt: Date.now() + delay });
  }

  /**
   * @param {string} reason Why, as a sentence.
   * @param {number} [code] The close code.
   */
  #end(reason, code) {
    if (this.#state.phase === "closed") {
      return;
    }
    this.#drop();
    this.#attempt++;
    this.#ending.abort();
    this.#report({ phase: "closed", reason, code });
  }

  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#renewal);
    const socket = this.#socket;
    this.#socket = null; // its events are of no interest any more
    socket?.close();
  }

  // A dead network gives no sign of being dead: after a silence, ask.

  #watch() {
    this.#isAnswerDue = false;
    this.#schedule(() => this.#ask(ANSWER_TIMEOUT), QUIET);
    if (this.#state.isDoubtful) {
      this.#report({ phase: "open", reason: "" });
    }
  }

  /** @param {number} timeout How long to wait for an answer. */
  #doubt(timeout) {
    this.#ask(timeout);
    if (this.isOpen && this.#isAnswerDue) {
      this.#report({ ...this.#state, isDoubtful: true });
    }
  }

  /** @param {number} timeout How long to wait for the answer. */
  #ask(timeout = ANSWER_TIMEOUT) {
    const question = this.#options.probe?.() ?? false;
    if (question === false) {
      this.#watch();
      return;
    }
    this.#isAnswerDue = true;
    if (question !== true) {
      this.send(question);
    }
    const patience = question === true ? ACK_TIMEOUT : timeout;
    this.#schedule(() => this.#lose("the server does not answer"), patience);
  }

  /** @param {() => void} action What to do unless something comes before. @param {number} delay In milliseconds. */
  #schedule(action, delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, delay);
  }

  /** @param {State} state The new state. */
  #report(state) {
    this.#state = state;
    try {
      this.#options.onState?.(state);
    } catch (error) {
      report(error); // a mistake of the page does not end the connection
    }
  }
}
