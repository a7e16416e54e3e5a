/**
 * Fanline in a browser: publish, subscribe, and take part in the rooms of chat.
 *
 * One file without dependencies; copy it to where your own page is. All classes connect by themselves, reconnect
 * whenever the connection is lost, and resume exactly: nothing is left out, nothing comes twice, nothing is
 * stored twice. docs/browser.md shows how to use them, docs/protocol.md what goes over the wire.
 *
 *     const publisher = new Publisher("wss://localhost:8081", { token });
 *     const { seq } = await publisher.publish("orders.eu", { total: 12.5 });
 *
 *     const subscriber = new Subscriber("wss://localhost:8082", { token });
 *     await subscriber.subscribe("orders.>", (message) => console.log(message.topic, message.content));
 *
 * Built from clients/js/src; change it there, and run `make js`.
 *
 * @module
 */

const FIRST_DELAY = 100;
const LONGEST_DELAY = 5_000;

/** Delays between attempts: each doubles the last, drawn from the upper half of its range. In milliseconds. */
class Backoff {
  #first;
  #cap;
  #nominal;

  /**
   * @param {number} first The longest first delay.
   * @param {number} cap The longest delay of all.
   */
  constructor(first = FIRST_DELAY, cap = LONGEST_DELAY) {
    this.#first = first;
    this.#cap = cap;
    this.#nominal = first;
  }

  /** @returns {number} The delay before the next attempt. */
  next() {
    const delay = this.#nominal * (0.5 + Math.random() / 2);
    this.#nominal = Math.min(this.#nominal * 2, this.#cap);
    return delay;
  }

  /** Start over after an attempt that succeeded. */
  reset() {
    this.#nominal = this.#first;
  }
}

/** Close codes that an application can meet; see `State.code`. */
const CloseCode = Object.freeze({
  GOING_AWAY: 1001,
  POLICY: 1008,
  TOO_BIG: 1009,
  TRY_AGAIN_LATER: 1013,
  LOGGED_OUT: 4001,
  ROOM_DELETED: 4004,
  TOO_SLOW: 4008,
  UNRESPONSIVE: 4009,
});

/** One request was refused; the connection goes on. */
class Rejected extends Error {
  /**
   * @param {string} code The kind of refusal, for programs: `forbidden`, `bad-topic`, `too-big`, …
   * @param {string} reason A sentence for people.
   * @param {string} [id] The id of the refused message.
   */
  constructor(code, reason, id) {
    super(reason);
    this.name = "Rejected";
    this.code = code;
    this.id = id;
  }
}

/** The connection was closed and is not opened again. */
class Closed extends Error {
  /**
   * @param {string} reason A sentence for people.
   * @param {number} [code] The close code, if the server closed it.
   */
  constructor(reason, code) {
    super(reason);
    this.name = "Closed";
    this.code = code;
  }
}

// What not every place that runs JavaScript has: workers and Node have no document, pages without TLS no
// `randomUUID`.

/**
 * Make a random id of 32 hexadecimal digits.
 *
 * @returns {string} The id.
 */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Call a function when the device is back online, and when the page becomes visible.
 *
 * @param {() => void} callback The function; not called while the page is hidden.
 * @param {AbortSignal} signal Ends this.
 * @param {Partial<EventTarget> & {document?: EventTarget & {visibilityState: string}}} [scope] The global object.
 */
function onWake(callback, signal, scope = globalThis) {
  const page = scope.document;
  const wake = () => {
    if (page === undefined || page.visibilityState === "visible") {
      callback();
    }
  };
  scope.addEventListener?.("online", wake, { signal });
  page?.addEventListener("visibilitychange", wake, { signal });
}

/**
 * Call a function when the device goes offline, as far as it knows.
 *
 * @param {() => void} callback The function.
 * @param {AbortSignal} signal Ends this.
 * @param {Partial<EventTarget>} [scope] The global object.
 */
function onOffline(callback, signal, scope = globalThis) {
  scope.addEventListener?.("offline", callback, { signal });
}

/** @param {unknown} error What a callback of the page has thrown: it is reported like any uncaught error. */
function report(error) {
  if (typeof globalThis.reportError === "function") {
    reportError(error);
  } else {
    console.error(error);
  }
}

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
 * @property {"connecting" | "open" | "waiting" | "closed"} phase `waiting` for the next attempt; `closed` is final.
 * @property {string} reason Why it is not open, as a sentence; may be empty.
 * @property {number} [code] The close code that ended the last connection.
 * @property {boolean} [isDoubtful] Set while an open connection gives no answer, although one is late, or the device
 *   is offline. It is soon lost, or no longer doubtful.
 * @property {number} [retryAt] The time of the next attempt, as of `Date.now()`.
 */

/**
 * What to connect to, and the callbacks of a `Link`.
 *
 * @typedef {object} LinkOptions
 * @property {() => string | Promise<string>} url Called before each attempt; throws `Closed` to give up.
 * @property {() => string[] | Promise<string[]>} [protocols] Called before each attempt: the subprotocols to offer.
 * @property {(frame: any) => void} onFrame Called with each received frame, parsed, arrays taken apart.
 * @property {() => void} [onOpen] Called when a connection is open.
 * @property {() => void} [onBatchEnd] Called after the last frame of a WebSocket message.
 * @property {(state: State) => void} [onState] Called when the state changes.
 * @property {() => object | boolean} [probe] Called after a silence. Returns what to send that will be answered;
 *   `true` if an answer is awaited already, `false` if there is nothing to ask.
 * @property {() => Promise<Closed | null>} [diagnose] Called when a connection could not be opened. Returns the
 *   reason if it never can be. (A browser hides the server's answer to a refused WebSocket.)
 * @property {number[]} [finalCodes] Close codes after which to give up.
 */

const OPEN = 1; // WebSocket.OPEN

/** A WebSocket that is opened again whenever it is lost. It connects in the next turn of the event loop. */
class Link {
  #options;
  #finalCodes;
  #backoff = new Backoff();
  /** @type {WebSocket | null} */
  #socket = null;
  #listening = new AbortController();
  #ending = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
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
    onWake(() => (this.isOpen ? this.#ask() : this.retryNow()), this.#ending.signal);
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

  /** Connect at once, if waiting for the next attempt. */
  retryNow() {
    if (this.#state.phase === "waiting") {
      this.#connect();
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
   * Drop this connection and open another, after the usual delay.
   *
   * @param {string} reason Why, as a sentence.
   */
  reset(reason) {
    this.#lose(reason);
  }

  /** Close the connection; it is not opened again. */
  close() {
    this.#end("it was closed by this page");
  }

  async #connect() {
    if (this.#state.phase === "closed") {
      return;
    }
    clearTimeout(this.#timer);
    const attempt = ++this.#attempt;
    this.#report({ ...this.#state, phase: "connecting", retryAt: undefined });
    try {
      const [url, protocols] = await Promise.all([this.#options.url(), this.#options.protocols?.() ?? []]);
      if (attempt === this.#attempt) {
        this.#dial(url, protocols);
      }
    } catch (error) {
      if (attempt === this.#attempt) {
        this.#giveUpOrRetry(/** @type {Error} */ (error));
      }
    }
  }

  /** @param {string} url What to connect to. @param {string[]} protocols The subprotocols to offer. */
  #dial(url, protocols) {
    const socket = new WebSocket(url, protocols);
    this.#socket = socket;
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    socket.addEventListener("open", () => this.#opened(), { signal });
    socket.addEventListener("message", (event) => this.#receive(event.data), { signal });
    socket.addEventListener("close", (event) => this.#closed(event), { signal });
    this.#timer = setTimeout(() => this.#lose("the server does not answer"), OPEN_TIMEOUT);
  }

  #opened() {
    this.#openedAt = Date.now();
    this.#watch();
    this.#report({ phase: "open", reason: "" });
    this.#options.onOpen?.();
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
  async #closed({ code, reason }) {
    const wasOpen = this.isOpen;
    this.#drop();
    if (this.#finalCodes.includes(code)) {
      this.#end(reason || `the server has closed the connection (${code})`, code);
      return;
    }
    const attempt = this.#attempt;
    const refusal = wasOpen ? null : await this.#options.diagnose?.();
    if (attempt !== this.#attempt) {
      return;
    }
    if (refusal) {
      this.#end(refusal.message, refusal.code);
    } else {
      this.#lose(reason || (wasOpen ? "the connection was lost" : "the server cannot be reached"), code);
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
    this.#listening.abort();
    this.#socket?.close();
    this.#socket = null;
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

const TIMEOUT = 10_000; // milliseconds

/**
 * A token, or a function that returns one. The function is called before each connection, so that a token that
 * expires while the page is open is replaced.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */

const REFUSALS = new Map([
  [401, new Closed("the login is not valid, or not any more", CloseCode.LOGGED_OUT)],
  [403, new Closed("the server does not allow this", CloseCode.POLICY)],
  [404, new Closed("there is no such room", CloseCode.ROOM_DELETED)],
]);

/** The token of a client, and the requests that carry it: never in an address, which consoles and logs show. */
class Login {
  #token;

  /** @param {Token} token The token. */
  constructor(token) {
    this.#token = token;
  }

  /** @returns {number[]} Close codes after which to give up: a fixed token cannot be replaced. */
  get #finalCodes() {
    const { LOGGED_OUT, POLICY, ROOM_DELETED } = CloseCode;
    return typeof this.#token === "function" ? [POLICY, ROOM_DELETED] : [POLICY, ROOM_DELETED, LOGGED_OUT];
  }

  /**
   * Return the options of a `Link` that concern the login.
   *
   * @param {string} address What to connect to, as `wss://…`.
   * @param {string} protocol The WebSocket subprotocol.
   * @param {object} [more]
   * @param {() => Record<string, string>} [more.parameters] Called before each attempt: what to add to the address.
   * @param {string} [more.askedAt] Where to ask over HTTP why a connection could not be opened.
   */
  linkOptions(address, protocol, { parameters, askedAt = address } = {}) {
    return {
      url: () => withParameters(address, parameters?.()),
      protocols: async () => {
        const token = await this.#read();
        return token ? [protocol, `fanline.token.${token}`] : [protocol];
      },
      diagnose: () => this.#refusal(askedAt),
      finalCodes: this.#finalCodes,
    };
  }

  /** @returns {Promise<string>} The token to use now; empty without any. */
  async #read() {
    return typeof this.#token === "function" ? await this.#token() : this.#token;
  }

  /**
   * Ask over HTTP why a WebSocket could not be opened.
   *
   * @param {string} address An address that needs the same login, as `wss://…`.
   * @returns {Promise<Closed | null>} The reason if it never can be; null if it may later, or if unknown.
   */
  async #refusal(address) {
    const ending = new AbortController();
    const timer = setTimeout(() => ending.abort(), TIMEOUT);
    try {
      const token = await this.#read();
      const { status } = await fetch(address.replace(/^ws/, "http"), {
        cache: "no-store",
        headers: token ? { Authorization: `Bearer ${token}` } : {},
        signal: ending.signal,
      });
      const refusal = REFUSALS.get(status);
      return refusal?.code !== undefined && this.#finalCodes.includes(refusal.code) ? refusal : null;
    } catch (error) {
      return error instanceof Closed ? error : null;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** @param {string} address What to connect to. @param {Record<string, string>} [parameters] What to add to it. */
function withParameters(address, parameters = {}) {
  const query = new URLSearchParams(parameters);
  return query.size ? `${address}?${query}` : address;
}

/**
 * Read the claims of a token, without checking its signature.
 *
 * @param {string} token The token.
 * @returns {{jti?: string, exp?: number}} Its claims; none if it cannot be read.
 */
function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return {};
  }
}

const LONE_SURROGATE = /\p{Cs}/u;

/**
 * Write a value as JSON. What JSON would leave out or change in silence is refused: functions, NaN and infinity,
 * halves of surrogate pairs, and objects such as maps and arrays of bytes. Properties that are undefined are left
 * out, as usual.
 *
 * @param {unknown} value The value.
 * @param {string} id The id of the message that it belongs to.
 * @returns {string} The JSON.
 * @throws {Rejected} If it cannot be written.
 */
const written = (value, id) =>
  JSON.stringify(value, function (key, part) {
    const problem = problemOf(part, Array.isArray(this)) ?? problemOf(key, false);
    if (problem !== null) {
      throw new Rejected("bad-message", `${problem} cannot be written as JSON`, id);
    }
    return part;
  });

/**
 * Return a value that is there: undefined would be left out, and the message have no content.
 *
 * @param {unknown} value The value.
 * @param {string} id The id of the message that it is the content of.
 * @returns {unknown} The value.
 * @throws {Rejected} If it is undefined.
 */
function present(value, id) {
  if (value === undefined) {
    throw new Rejected("bad-message", "undefined cannot be published", id);
  }
  return value;
}

/**
 * @param {unknown} part A part of a value.
 * @param {boolean} isInArray Whether it is in an array, where undefined would become null.
 * @returns {string | null} What it is, if it cannot be written.
 */
function problemOf(part, isInArray) {
  switch (typeof part) {
    case "undefined":
      return isInArray ? "undefined" : null;
    case "function":
    case "symbol":
    case "bigint":
      return `a ${typeof part}`;
    case "number":
      return Number.isFinite(part) ? null : `${part}`;
    case "string":
      return LONE_SURROGATE.test(part) ? "half of a surrogate pair" : null;
    default:
      return part instanceof Map || part instanceof Set || ArrayBuffer.isView(part)
        ? part.constructor.name
        : null;
  }
}

/** What publishers, subscribers and rooms have in common: one connection. */
class Client {
  /** @protected */
  _link;

  /** @param {LinkOptions} options What to connect to, and the callbacks. */
  constructor(options) {
    this._link = new Link(options);
  }

  /** @returns {State} The state of the connection. */
  get state() {
    return this._link.state;
  }

  /** Connect at once, if waiting for the next attempt. */
  retryNow() {
    this._link.retryNow();
  }

  /** Close the connection. What has no answer is rejected with `Closed`, and may have been stored. */
  close() {
    this._link.close();
  }
}

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
class Outbox {
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

/** What publishers and rooms have in common: an outbox over one connection. */
class Sender extends Client {
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
    super({ ...options, onState: (state) => this.#changed(state) });
    this.#onState = onState;
  }

  /**
   * Stop sending a message; its promise is rejected with `Closed`. It may have been stored already.
   *
   * @param {string} id Its id.
   */
  withdraw(id) {
    this._outbox.reject(id, new Closed("it was withdrawn"));
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

const LONGEST = 255; // characters
const TOKEN = /^[^\s.*>\p{Cc}\p{Cs}]+$/u;

/**
 * Check a topic.
 *
 * @param {unknown} topic What should be one.
 * @returns {string} The topic.
 * @throws {Rejected} If it is none.
 */
const checkedTopic = (topic) => checked(topic, (token) => TOKEN.test(token));

/**
 * Check a pattern: a topic, or one with wildcards.
 *
 * @param {unknown} pattern What should be one.
 * @returns {string} The pattern.
 * @throws {Rejected} If it is none.
 */
const checkedPattern = (pattern) =>
  checked(pattern, (token, isLast) => token === "*" || (isLast && token === ">") || TOKEN.test(token));

/** @param {unknown} text @param {(token: string, isLast: boolean) => boolean} isToken */
function checked(text, isToken) {
  const tokens = typeof text === "string" ? text.split(".") : [];
  const isValid = tokens.every((token, index) => isToken(token, index === tokens.length - 1));
  if (typeof text !== "string" || [...text].length > LONGEST || !isValid) {
    throw new Rejected("bad-topic", `${JSON.stringify(text) ?? String(text)} is not a topic`);
  }
  return text;
}

/**
 * Test whether a pattern matches a topic: `*` stands for one token, `>` for the rest.
 *
 * @param {string} pattern The pattern.
 * @param {string} topic The topic.
 * @returns {boolean} Whether it matches.
 */
function matches(pattern, topic) {
  const wanted = pattern.split(".");
  const tokens = topic.split(".");
  if (topic.startsWith("$") && (wanted[0] === "*" || wanted[0] === ">")) {
    return false; // topics of the system must be named
  }
  for (const [index, token] of wanted.entries()) {
    if (token === ">") {
      return tokens.length > index;
    }
    if (index >= tokens.length || (token !== "*" && token !== tokens[index])) {
      return false;
    }
  }
  return wanted.length === tokens.length;
}

/**
 * The answer to a published message.
 *
 * @typedef {object} Ack
 * @property {string} id The id of the message.
 * @property {number} seq Its position in the log.
 * @property {boolean} duplicate Whether it was stored before.
 */

/** Publishes messages. Each is stored, and stored once, in the order of the calls. */
class Publisher extends Sender {
  #prefix = randomId();
  #count = 0;

  /**
   * @param {string} url The publisher service, `wss://HOST:PORT`.
   * @param {object} options
   * @param {Token} options.token The token.
   * @param {(state: State) => void} [options.onState] Called when the state of the connection changes.
   */
  constructor(url, { token, onState }) {
    const options = {
      ...new Login(token).linkOptions(`${url}/publish`, "fanline.v1"),
      onOpen: () => this._ready(),
      onFrame: (/** @type {any} */ frame) => this.#receive(frame),
      onBatchEnd: () => this._flush(),
      probe: () => !this._outbox.isEmpty,
    };
    super(options, onState);
  }

  /**
   * Publish one message.
   *
   * @param {string} topic Where.
   * @param {any} content Anything that can be written as JSON.
   * @param {object} [options]
   * @param {string} [options.id] Its id; made up if absent. A message that is sent again with the same id within
   *   ten minutes is not stored again.
   * @returns {Promise<Ack>} Resolved when the message is on disk, through any number of reconnects.
   *   Rejected with `Rejected` if the message is refused, with `Closed` if the publisher is closed before.
   */
  publish(topic, content, { id = `${this.#prefix}-${++this.#count}` } = {}) {
    try {
      return this._post(id, { topic: checkedTopic(topic), content: present(content, id), id });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @param {any} frame An answer. */
  #receive({ ok, seq, duplicate = false, error, reason, id }) {
    if (ok !== undefined) {
      this._outbox.acknowledge(ok, { id: ok, seq, duplicate });
    } else if (error === "queue-unavailable") {
      this._link.reset(reason); // everything without an answer is sent again, in order
    } else if (error !== undefined) {
      this._outbox.reject(id, new Rejected(error, reason, id));
    }
  }
}

/**
 * An event in a room.
 *
 * @typedef {object} RoomEvent
 * @property {string} id Its position in the log, as text.
 * @property {number} seq The same as a number.
 * @property {string} roomId The room.
 * @property {string} memberId The member; every connection is a member of its own.
 * @property {string} memberName The member's name.
 * @property {string} userId The user: the same for all connections of one login, and for no other.
 * @property {"chat" | "joined" | "left"} type The kind of event.
 * @property {string} message The text, for `chat`.
 * @property {string} sent When, in ISO 8601.
 * @property {boolean} [self] Set on the first event of each connection: this page's own `joined`.
 */

/** A room of chat: receives its events, in order, each once, and sends messages. */
class Room extends Sender {
  /** @type {number | undefined} */
  #position;
  #onEvents;
  #onPipeline;
  /** @type {RoomEvent[]} */
  #arrived = [];

  /**
   * @param {string} url The chat service, `wss://HOST:PORT`.
   * @param {string} id The id of the room.
   * @param {object} options
   * @param {Token} [options.token] The token; not needed where guests are allowed.
   * @param {number} [options.after] Begin after this position, instead of with new events.
   * @param {(events: RoomEvent[]) => void} options.onEvents Called with the events that come together, in the
   *   order of the log.
   * @param {(reason: string) => void} [options.onPipeline] Called with the reason when messages cannot be stored for a
   *   while, and with an empty one when they can be again.
   * @param {(state: State) => void} [options.onState] Called when the state of the connection changes. The `code`
   *   of a closed one tells why: `CloseCode.ROOM_DELETED`, `CloseCode.LOGGED_OUT`, …
   */
  constructor(url, id, { token = "", after, onEvents, onPipeline, onState }) {
    const options = {
      ...new Login(token).linkOptions(`${url}/api/serve/${encodeURIComponent(id)}`, "fanline.chat.v1", {
        parameters: () => this.#resume(),
        askedAt: `${url}/api/room/${encodeURIComponent(id)}`,
      }),
      onFrame: (/** @type {any} */ frame) => this.#receive(frame),
      onBatchEnd: () => this.#handOver(),
      probe: () => ({ probe: true }), // it is refused, and so answered
    };
    super(options, onState);
    this.#position = after;
    this.#onEvents = onEvents;
    this.#onPipeline = onPipeline;
  }

  /**
   * Say something in the room.
   *
   * @param {string} message The text.
   * @param {object} [options]
   * @param {string} [options.id] Its id; made up if absent. A message that is said again with the same id and the
   *   same token within ten minutes, also after a reload of the page, is said once.
   * @returns {Promise<{id: string, seq: number}>} Resolved when it is stored, through any number of reconnects.
   *   Rejected with `Rejected` if it is refused or could not be stored (with code `failed`: try again, with the same
   *   id), with `Closed` if the room is left or deleted before.
   */
  say(message, { id = randomId() } = {}) {
    return this._post(id, { message, id });
  }

  /** @returns {Record<string, string>} What to ask for on the next connection. */
  #resume() {
    return this.#position === undefined ? {} : { after: String(this.#position) };
  }

  /** @param {any} frame An event or an answer. */
  #receive(frame) {
    if (frame.ok !== undefined) {
      this._outbox.acknowledge(frame.ok, { id: frame.ok, seq: frame.seq });
    } else if (frame.error !== undefined || frame.type === "failed") {
      this._outbox.reject(frame.id, new Rejected(frame.error ?? "failed", frame.reason, frame.id));
    } else if (frame.pipeline !== undefined) {
      this.#onPipeline?.(frame.pipeline === "ok" ? "" : (frame.reason ?? "messages cannot be stored now"));
    } else if (frame.self) {
      this.#position ??= frame.seq;
      this.#arrived.push(frame);
      this._ready();
    } else if (this.#position !== undefined && frame.seq > this.#position) {
      this.#position = frame.seq;
      this.#arrived.push(frame);
    }
  }

  #handOver() {
    const events = this.#arrived;
    this.#arrived = [];
    this._flush();
    if (events.length) {
      this.#onEvents(events);
    }
  }
}

/**
 * A message from the log.
 *
 * @typedef {object} Message
 * @property {string} topic Where it was published.
 * @property {any} content What was published.
 * @property {number} seq Its position in the log.
 * @property {number} time When it was stored, in Unix milliseconds.
 * @property {string} [id] The id that its publisher gave it.
 * @property {string} [from] The user who published it.
 */

/** @typedef {{sub: string, after?: number, last?: number}} SubscribeRequest */

/**
 * @typedef {object} Subscription
 * @property {SubscribeRequest | null} request What was asked for; null once it was answered.
 * @property {number | null} position The position to resume after; null if unknown.
 * @property {boolean} isLive Whether it was confirmed on this connection.
 * @property {(message: Message) => void} onMessage
 */

/** Subscriptions and their positions: all that is needed to resume. No I/O. */
class SubscriptionState {
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();
  /** @type {Map<string, number>} */
  #removing = new Map();

  /** @returns {string[]} The patterns, in the order of the subscriptions. */
  get patterns() {
    return [...this.#subscriptions.keys()];
  }

  /** @param {string} pattern A pattern. */
  has(pattern) {
    return this.#subscriptions.has(pattern);
  }

  /**
   * Add a subscription that is not answered yet.
   *
   * @param {SubscribeRequest} request What is asked for.
   * @param {(message: Message) => void} onMessage Called with each message.
   */
  add(request, onMessage) {
    this.#subscriptions.set(request.sub, { request, position: null, isLive: false, onMessage });
  }

  /**
   * Remove a subscription.
   *
   * @param {string} pattern Its pattern.
   * @param {boolean} [isAnswered] Whether the server will confirm it; until then its answers concern this one.
   */
  remove(pattern, isAnswered = false) {
    if (this.#subscriptions.delete(pattern) && isAnswered) {
      this.#removing.set(pattern, (this.#removing.get(pattern) ?? 0) + 1);
    }
  }

  /** @param {string} pattern The pattern of a subscription that the server has removed. */
  confirmRemoval(pattern) {
    const count = (this.#removing.get(pattern) ?? 0) - 1;
    if (count > 0) {
      this.#removing.set(pattern, count);
    } else {
      this.#removing.delete(pattern);
    }
  }

  /** @param {string} pattern A pattern. @returns {boolean} Whether the server has yet to confirm its removal. */
  isRemoving(pattern) {
    return this.#removing.has(pattern);
  }

  /**
   * Confirm a subscription.
   *
   * @param {string} pattern Its pattern.
   * @param {number | null} seq The position that messages come after.
   * @returns {boolean} Whether messages may have been missed since the last connection.
   */
  confirm(pattern, seq) {
    const subscription = this.#subscriptions.get(pattern);
    if (!subscription || subscription.isLive) {
      return false;
    }
    const mayMiss = subscription.request === null && subscription.position === null;
    Object.assign(subscription, { request: null, position: seq, isLive: true });
    return mayMiss;
  }

  /**
   * Remove a refused subscription, unless it was confirmed before on this connection.
   *
   * @param {string} pattern Its pattern.
   */
  refuse(pattern) {
    if (!this.#subscriptions.get(pattern)?.isLive) {
      this.remove(pattern);
    }
  }

  /**
   * Advance past removed messages. Not where the pattern has wildcards: some of its topics may remain.
   *
   * @param {string} pattern The pattern.
   * @param {number} seq The last removed position.
   */
  skip(pattern, seq) {
    const subscription = this.#subscriptions.get(pattern);
    if (subscription && subscription.position !== null && !/(^|\.)[*>](\.|$)/.test(pattern)) {
      subscription.position = Math.max(subscription.position, seq);
    }
  }

  /**
   * Give a message to each subscription that it is new to.
   *
   * @param {Message} message The message.
   */
  deliver(message) {
    for (const [pattern, subscription] of [...this.#subscriptions]) {
      const { position, isLive } = subscription;
      if (isLive && (position === null || message.seq > position) && matches(pattern, message.topic)) {
        if (position !== null) {
          subscription.position = message.seq;
        }
        handOver(message, subscription.onMessage);
      }
    }
  }

  /**
   * Mark every subscription as not confirmed, for a new connection.
   *
   * @returns {SubscribeRequest[]} What to ask for on it.
   */
  resume() {
    this.#removing.clear();
    return [...this.#subscriptions].map(([sub, subscription]) => {
      subscription.isLive = false;
      const { request, position } = subscription;
      return request ?? (position === null ? { sub } : { sub, after: position });
    });
  }
}

/** @param {Message} message @param {(message: Message) => void} onMessage Its mistakes concern no other one. */
function handOver(message, onMessage) {
  try {
    onMessage(message);
  } catch (error) {
    report(error);
  }
}

/**
 * Messages that retention had removed from the log before they could be delivered.
 *
 * @typedef {object} Gap
 * @property {string | null} pattern The subscription that misses them; null if all of them may.
 * @property {number} [from] The first missing position; absent if unknown.
 * @property {number} [to] The last one.
 */

/** @typedef {{resolve: (seq: number) => void, reject: (error: Error) => void}} PendingReply */

// A pattern has at most 255 characters, and the service reads frames of 64 KiB.
const COMMANDS_PER_FRAME = 50;

/** Receives the messages of topics and patterns, in order, each once for each subscription. */
class Subscriber extends Client {
  #subscriptions = new SubscriptionState();
  /** @type {Map<string, PendingReply>} */
  #pending = new Map();
  #options;

  /**
   * @param {string} url The subscriber service, `wss://HOST:PORT`.
   * @param {object} options
   * @param {Token} options.token The token.
   * @param {(state: State) => void} [options.onState] Called when the state of the connection changes.
   * @param {(gap: Gap) => void} [options.onGap] Called before the first message after a gap; by default the gap
   *   is logged to the console.
   * @param {(error: Rejected) => void} [options.onError] Called when a subscription is refused after a
   *   reconnect, which ends it; by default the error is logged to the console.
   */
  constructor(url, { token, onState, onGap = logGap, onError = console.error }) {
    super({
      ...new Login(token).linkOptions(`${url}/subscribe`, "fanline.v1"),
      onOpen: () => this.#send(this.#subscriptions.resume()),
      onFrame: (frame) => this.#receive(frame),
      onState: (state) => this.#changed(state),
      probe: () => this.#probe(),
    });
    this.#options = { onState, onGap, onError };
  }

  /**
   * Subscribe to a topic or pattern.
   *
   * @param {string} pattern The topic or pattern.
   * @param {(message: Message) => void} onMessage Called with each message, in the order of the log.
   * @param {object} [options] Where to begin; by default with new messages.
   * @param {number} [options.after] Begin after this position; 0 for the whole log.
   * @param {number} [options.last] Begin with this many of the newest messages.
   * @returns {Promise<number>} The position that messages come after, through reconnects if need be.
   *   Rejected with `Rejected` if it is refused, with `Closed` if the subscriber is closed before.
   */
  subscribe(pattern, onMessage, { after, last } = {}) {
    if (this.state.phase === "closed") {
      return Promise.reject(new Closed(this.state.reason, this.state.code));
    }
    try {
      checkedPattern(pattern);
      checkStart(after, last);
    } catch (error) {
      return Promise.reject(error); // the server's refusal would not name it
    }
    if (this.#subscriptions.has(pattern)) {
      return Promise.reject(new Rejected("bad-command", `${pattern} is subscribed to already`));
    }
    const request = { sub: pattern, after, last };
    this.#subscriptions.add(request, onMessage);
    this.#send([request]);
    return new Promise((resolve, reject) => this.#pending.set(pattern, { resolve, reject }));
  }

  /**
   * End a subscription: its `onMessage` is not called any more.
   *
   * @param {string} pattern The pattern, as it was subscribed to.
   */
  unsubscribe(pattern) {
    this.#subscriptions.remove(pattern, this._link.isOpen);
    this.#reject(pattern, new Closed(`${pattern} was unsubscribed from`));
    this.#send([{ unsub: pattern }]);
  }

  /** @param {object[]} commands What to send, if anything; of many, so many in a frame that it is never too large. */
  #send(commands) {
    for (let start = 0; start < commands.length; start += COMMANDS_PER_FRAME) {
      this._link.send(commands.slice(start, start + COMMANDS_PER_FRAME));
    }
  }

  /** @param {any} frame A message, an answer or a notice. */
  #receive(frame) {
    if (frame.topic !== undefined) {
      this.#subscriptions.deliver(frame);
    } else if (frame.error === "queue-unavailable") {
      this._link.reset(frame.reason); // everything is asked for again on the next connection
    } else if (frame.error !== undefined) {
      this.#refused(frame);
    } else if (frame.subscribed !== undefined) {
      this.#subscribed(frame);
    } else if (frame.unsubscribed !== undefined) {
      this.#subscriptions.confirmRemoval(frame.unsubscribed);
    } else if (frame.gap) {
      this.#missed(frame.gap.topic ?? null, frame.gap);
    }
  }

  /** @param {any} frame A confirmation. */
  #subscribed({ subscribed: pattern, seq = null, gap }) {
    if (this.#subscriptions.isRemoving(pattern)) {
      return; // it answers a subscription that was ended before
    }
    if (this.#subscriptions.confirm(pattern, seq)) {
      this.#options.onGap({ pattern });
    }
    if (gap) {
      this.#missed(pattern, gap);
    }
    this.#pending.get(pattern)?.resolve(seq ?? 0);
    this.#pending.delete(pattern);
  }

  /**
   * @param {string | null} pattern The subscription; null for all.
   * @param {{from: number, to: number}} gap The missing positions.
   */
  #missed(pattern, { from, to }) {
    if (pattern !== null) {
      this.#subscriptions.skip(pattern, to);
    }
    this.#options.onGap({ pattern, from, to });
  }

  /** @param {any} frame A refusal. */
  #refused({ error, reason, sub }) {
    if (sub !== undefined && this.#subscriptions.isRemoving(sub)) {
      return;
    }
    if (sub !== undefined) {
      this.#subscriptions.refuse(sub);
    }
    const refusal = new Rejected(error, reason);
    if (!this.#reject(sub, refusal)) {
      this.#options.onError(refusal);
    }
  }

  /**
   * @param {string} pattern The pattern of a subscription.
   * @param {Error} error Why it is not to be had.
   * @returns {boolean} Whether its answer was pending.
   */
  #reject(pattern, error) {
    this.#pending.get(pattern)?.reject(error);
    return this.#pending.delete(pattern);
  }

  #probe() {
    const [sub] = this.#subscriptions.patterns;
    return sub === undefined ? false : { sub }; // a repetition changes nothing, and is answered
  }

  /** @param {State} state The new state of the connection. */
  #changed(state) {
    if (state.phase === "closed") {
      for (const pattern of [...this.#pending.keys()]) {
        this.#reject(pattern, new Closed(state.reason, state.code));
      }
    }
    this.#options.onState?.(state);
  }
}

/**
 * @param {number} [after] @param {number} [last]
 * @throws {Rejected} If they are no place to begin at.
 */
function checkStart(after, last) {
  const isCount = (/** @type {unknown} */ each) =>
    each === undefined || (Number.isSafeInteger(each) && Number(each) >= 0);
  if (!isCount(after) || !isCount(last) || (after !== undefined && last !== undefined)) {
    throw new Rejected(
      "bad-command",
      "`after` is a position, `last` a number of messages; only one of them is given",
    );
  }
}

/** @param {Gap} gap What is missing. */
function logGap({ pattern, from, to }) {
  const what = from === undefined ? "what came between two connections" : `positions ${from} to ${to}`;
  console.warn(`${pattern ?? "all subscriptions"}: ${what} are not in the log any more`);
}

export { Backoff, CloseCode, Closed, Link, Publisher, Rejected, Room, Subscriber, claims, matches };
