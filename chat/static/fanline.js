/**
 * Fanline in a browser: publish, subscribe, and take part in the rooms of chat.
 *
 * One file without dependencies; copy it to where your own page is. All classes connect by themselves, again
 * whenever the connection is lost, and go on exactly where they were: nothing is left out, nothing comes twice,
 * nothing is stored twice. docs/browser.md shows how to use them, docs/protocol.md what goes over the wire.
 *
 *     const publisher = new Publisher("wss://localhost:8081", { token });
 *     const { seq } = await publisher.publish("orders.eu", { total: 12.5 });
 *
 *     const subscriber = new Subscriber("wss://localhost:8082", { token });
 *     await subscriber.subscribe("orders.>", (message) => console.log(message.topic, message.content));
 *
 * @module
 */

/** What an application may meet as a close code; see `State.code`. */
export const CloseCode = Object.freeze({
  GOING_AWAY: 1001,
  POLICY: 1008,
  TOO_BIG: 1009,
  TRY_AGAIN_LATER: 1013,
  LOGGED_OUT: 4001,
  ROOM_DELETED: 4004,
  TOO_SLOW: 4008,
  UNRESPONSIVE: 4009,
});

const SUBPROTOCOL = "fanline.v1";
const ROOM_SUBPROTOCOL = "fanline.chat.v1";

// All times are in milliseconds.
const FIRST_DELAY = 100;
const LONGEST_DELAY = 5_000;
const LONGEST_RETRY_AFTER = 60_000;
const STEADY = 5_000; // a connection that held so long makes the next loss count as a first one
const OPEN_TIMEOUT = 10_000;
const QUIET = 20_000; // nothing heard for so long: ask
const ANSWER_TIMEOUT = 10_000;

// What is sent and has no answer yet, at most; the rest waits its turn.
const WINDOW = 1_000;
const FRAME_CHARACTERS = 16_384; // of messages that travel together; a larger one travels alone

/** One request was refused; the connection goes on. */
export class Rejected extends Error {
  /**
   * @param {string} code What kind of refusal, for programs: `forbidden`, `bad-topic`, `too-big`, …
   * @param {string} reason A sentence for people.
   * @param {string} [id] The id of the message that was refused.
   */
  constructor(code, reason, id) {
    super(reason);
    this.name = "Rejected";
    this.code = code;
    this.id = id;
  }
}

/** There is no connection, and there will be none: it was closed, here or there, for good. */
export class Closed extends Error {
  /**
   * @param {string} reason A sentence for people.
   * @param {number} [code] The close code, if the other side closed it.
   */
  constructor(reason, code) {
    super(reason);
    this.name = "Closed";
    this.code = code;
  }
}

/** Delays that double from one failed attempt to the next, each drawn from the upper half of its range. */
export class Backoff {
  #first;
  #cap;
  #nominal;

  /**
   * @param {number} first The first delay at most.
   * @param {number} cap The longest delay.
   */
  constructor(first = FIRST_DELAY, cap = LONGEST_DELAY) {
    this.#first = first;
    this.#cap = cap;
    this.#nominal = first;
  }

  /** @returns {number} How long to wait before the next attempt. */
  next() {
    const delay = this.#nominal * (0.5 + Math.random() / 2);
    this.#nominal = Math.min(this.#nominal * 2, this.#cap);
    return delay;
  }

  /** Start over: an attempt has succeeded. */
  reset() {
    this.#nominal = this.#first;
  }
}

/**
 * Where a connection stands.
 *
 * @typedef {object} State
 * @property {"connecting" | "open" | "waiting" | "closed"} phase `waiting` for the next attempt; `closed` for good.
 * @property {string} reason Why it is not open, as a sentence; empty if there is nothing to say.
 * @property {number} [code] The close code that ended the last connection.
 * @property {number} [retryAt] When the next attempt is due, as of `Date.now()`.
 */

/**
 * What a link is to do; the classes below fill it in.
 *
 * @typedef {object} Session
 * @property {() => string | Promise<string>} url Asked before each attempt; throws `Closed` to give up.
 * @property {string} [protocol] The WebSocket subprotocol.
 * @property {(frame: any) => void} onFrame Takes everything that is received, parsed, arrays taken apart.
 * @property {() => void} [onOpen] A new connection is there.
 * @property {() => void} [onBatchEnd] All of one WebSocket message has been given to `onFrame`.
 * @property {(state: State) => void} [onState] The state has changed.
 * @property {() => object | boolean} [probe] After a silence: what to send that will be answered; or `true` if
 *   an answer is due anyway, `false` if there is nothing to ask.
 * @property {() => Promise<Closed | null>} [diagnose] After a connection that could not be opened: why it never
 *   will be, if that is so. (A browser does not tell a page what the server has answered.)
 * @property {number[]} [finalCodes] Close codes after which to give up.
 */

/** A WebSocket that is opened again whenever it is lost. It begins to connect at once. */
export class Link {
  #session;
  #finalCodes;
  #backoff = new Backoff();
  #socket = null;
  #listening = null;
  #timer = 0;
  #attempt = 0;
  #openedAt = 0;
  #retryAfter = null;
  /** @type {State} */
  #state = { phase: "connecting", reason: "" };

  /** @param {Session} session What to connect to, and who is told. */
  constructor(session) {
    this.#session = session;
    this.#finalCodes = session.finalCodes ?? [CloseCode.POLICY, CloseCode.LOGGED_OUT];
    addEventListener("online", this.#wake);
    document.addEventListener("visibilitychange", this.#wake);
    queueMicrotask(() => this.#connect());
  }

  /** @returns {State} Where it stands. */
  get state() {
    return this.#state;
  }

  /** @returns {boolean} Whether there is a connection. */
  get isOpen() {
    return this.#state.phase === "open";
  }

  /**
   * Send one frame; without a connection it is dropped.
   *
   * @param {string | object} frame Text, or what is to be written as JSON.
   */
  send(frame) {
    if (this.isOpen) {
      this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
    }
  }

  /** Try at once, if it waits for the next attempt. */
  retryNow() {
    if (this.#state.phase === "waiting") {
      this.#connect();
    }
  }

  /**
   * After the present connection wait so long, instead of the usual delay; the server has asked for it.
   *
   * @param {number} delay How long.
   */
  retryAfter(delay) {
    this.#retryAfter = Math.min(Math.max(delay, 0), LONGEST_RETRY_AFTER);
  }

  /**
   * Give this connection up and make another, after the usual delay.
   *
   * @param {string} reason Why, as a sentence.
   */
  reset(reason) {
    this.#lost(reason);
  }

  /** Close it for good. */
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
    let url;
    try {
      url = await this.#session.url();
    } catch (error) {
      if (attempt === this.#attempt) {
        this.#giveUpOrRetry(error);
      }
      return;
    }
    if (attempt === this.#attempt) {
      this.#dial(url);
    }
  }

  #dial(url) {
    const socket = new WebSocket(url, this.#session.protocol ?? []);
    const listening = new AbortController();
    const { signal } = listening;
    socket.addEventListener("open", () => this.#opened(), { signal });
    socket.addEventListener("message", (event) => this.#take(event.data), { signal });
    socket.addEventListener("close", (event) => this.#closed(event), { signal });
    this.#socket = socket;
    this.#listening = listening;
    this.#timer = setTimeout(() => this.#lost("the server does not answer"), OPEN_TIMEOUT);
  }

  #opened() {
    this.#openedAt = Date.now();
    this.#report({ phase: "open", reason: "" });
    this.#watch();
    this.#session.onOpen?.();
  }

  #take(text) {
    this.#watch();
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      this.#lost("the server has sent what is not JSON");
      return;
    }
    const socket = this.#socket;
    for (const frame of Array.isArray(value) ? value : [value]) {
      if (this.#socket !== socket) {
        return; // a frame before it has ended this connection
      }
      if (frame.drain) {
        this.retryAfter(frame.drain.retry_ms);
      } else {
        this.#session.onFrame(frame);
      }
    }
    this.#session.onBatchEnd?.();
  }

  async #closed({ code, reason }) {
    const wasOpen = this.isOpen;
    this.#drop();
    if (this.#finalCodes.includes(code)) {
      this.#end(reason || `the server has closed the connection (${code})`, code);
      return;
    }
    const attempt = this.#attempt;
    const refusal = wasOpen ? null : await this.#session.diagnose?.();
    if (attempt !== this.#attempt) {
      return;
    }
    if (refusal) {
      this.#end(refusal.message, refusal.code);
    } else {
      this.#lost(reason || (wasOpen ? "the connection was lost" : "the server cannot be reached"), code);
    }
  }

  #giveUpOrRetry(error) {
    if (error instanceof Closed) {
      this.#end(error.message, error.code);
    } else {
      this.#lost(error.message);
    }
  }

  #lost(reason, code) {
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

  #end(reason, code) {
    if (this.#state.phase === "closed") {
      return;
    }
    this.#drop();
    this.#attempt++;
    removeEventListener("online", this.#wake);
    document.removeEventListener("visibilitychange", this.#wake);
    this.#report({ phase: "closed", reason, code });
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#listening?.abort();
    this.#socket?.close();
    this.#listening = this.#socket = null;
  }

  // A dead network does not tell that it is dead: after a silence, ask.

  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), QUIET);
  }

  #ask() {
    const question = this.#session.probe?.() ?? false;
    if (question === false) {
      this.#watch();
      return;
    }
    clearTimeout(this.#timer);
    if (question !== true) {
      this.send(question);
    }
    this.#timer = setTimeout(() => this.#lost("the server does not answer"), ANSWER_TIMEOUT);
  }

  #wake = () => {
    if (document.visibilityState !== "visible") {
      return;
    }
    if (this.isOpen) {
      this.#ask();
    } else {
      this.retryNow();
    }
  };

  #report(state) {
    this.#state = state;
    this.#session.onState?.(state);
  }
}

/**
 * A token, or a function that gets one: it is asked before each connection, so that one that expires while the
 * page is open is replaced.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */

const REFUSALS = {
  401: new Closed("the login is not valid, or not any more", CloseCode.LOGGED_OUT),
  403: new Closed("the server does not allow this", CloseCode.POLICY),
  404: new Closed("there is no such room", CloseCode.ROOM_DELETED),
};

/** The token of a client, and the address with it. */
class Login {
  #token;

  /** @param {Token} token The token. */
  constructor(token) {
    this.#token = token;
  }

  /** Codes after which to give up: a token that is over is final, unless another can be had. */
  get finalCodes() {
    const { LOGGED_OUT, POLICY, ROOM_DELETED } = CloseCode;
    return typeof this.#token === "function" ? [POLICY, ROOM_DELETED] : [POLICY, ROOM_DELETED, LOGGED_OUT];
  }

  async url(address, parameters = {}) {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    if (typeof this.#token === "string" && claims(token).exp * 1_000 <= Date.now()) {
      throw new Closed("the token has expired", CloseCode.LOGGED_OUT);
    }
    return `${address}?${new URLSearchParams(token ? { ...parameters, token } : parameters)}`;
  }

  /**
   * Ask over HTTP why a WebSocket could not be opened.
   *
   * @param {string} address What needs the same login, as `wss://…`.
   * @returns {Promise<Closed | null>} Why it never can be; null if time may heal it, or nothing is known.
   */
  async refusal(address) {
    try {
      const url = await this.url(address.replace(/^ws/, "http"));
      const { status } = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(OPEN_TIMEOUT) });
      return REFUSALS[status] && this.finalCodes.includes(REFUSALS[status].code) ? REFUSALS[status] : null;
    } catch (error) {
      return error instanceof Closed ? error : null;
    }
  }
}

/**
 * What a token says of itself; whether that is true, the server alone knows.
 *
 * @param {string} token The token.
 * @returns {{jti?: string, exp?: number}} Its claims; none if it cannot be read.
 */
export function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return {};
  }
}

/** Messages on their way, in order, each with the promise of its answer. No I/O. */
class Flight {
  /**
   * @type {Map<string, {body: string, isSent: boolean, promise: Promise<any>, resolve: Function, reject: Function}>}
   */
  #parcels = new Map();
  #sent = 0;

  get isEmpty() {
    return this.#parcels.size === 0;
  }

  /** Add a message; one with the same id is the same message. */
  add(id, body) {
    const known = this.#parcels.get(id);
    if (known) {
      return known.promise;
    }
    const { promise, resolve, reject } = Promise.withResolvers();
    this.#parcels.set(id, { body, isSent: false, promise, resolve, reject });
    return promise;
  }

  /** Take what is to be sent next, as frames. */
  *frames() {
    let bodies = [];
    let size = 0;
    for (const parcel of this.#parcels.values()) {
      if (this.#sent >= WINDOW) {
        break;
      }
      if (parcel.isSent) {
        continue;
      }
      if (size + parcel.body.length > FRAME_CHARACTERS && bodies.length) {
        yield joined(bodies);
        bodies = [];
        size = 0;
      }
      parcel.isSent = true;
      this.#sent++;
      bodies.push(parcel.body);
      size += parcel.body.length;
    }
    if (bodies.length) {
      yield joined(bodies);
    }
  }

  /** Everything without an answer is to be sent again. */
  rewind() {
    for (const parcel of this.#parcels.values()) {
      parcel.isSent = false;
    }
    this.#sent = 0;
  }

  succeed(id, answer) {
    this.#remove(id)?.resolve(answer);
  }

  fail(id, error) {
    this.#remove(id)?.reject(error);
  }

  failAll(error) {
    for (const id of [...this.#parcels.keys()]) {
      this.fail(id, error);
    }
  }

  /** Fail the largest that was sent: the server has refused a frame for its size, and named none. */
  failLargest() {
    const sent = [...this.#parcels].filter(([, parcel]) => parcel.isSent);
    const [id, parcel] = sent.reduce((most, each) => (each[1].body.length > most[1].body.length ? each : most), [
      "",
      { body: "" },
    ]);
    this.fail(id, new Rejected("too-big", `${parcel.body.length} characters are more than the server takes`, id));
  }

  #remove(id) {
    const parcel = this.#parcels.get(id);
    this.#parcels.delete(id);
    if (parcel?.isSent) {
      this.#sent--;
    }
    return parcel;
  }
}

const joined = (bodies) => (bodies.length === 1 ? bodies[0] : `[${bodies.join(",")}]`);

/** What publishers and rooms have in common: messages in flight over one link. */
class Sender {
  /** @type {Link} */
  _link;
  _flight = new Flight();
  _isReady = false;
  _isFlushing = false;

  /** @param {(state: State) => void} [onState] Told when the state of the connection changes. */
  constructor(onState) {
    this.onState = onState;
  }

  /** @returns {State} Where the connection stands. */
  get state() {
    return this._link.state;
  }

  /** Try to connect at once, if it waits for the next attempt. */
  retryNow() {
    this._link.retryNow();
  }

  /** Close it for good; what has no answer is rejected with `Closed`, and may be stored or not. */
  close() {
    this._link.close();
  }

  /**
   * Do not send a message, or not again; its promise is rejected with `Closed`. It may have been stored already.
   *
   * @param {string} id Its id.
   */
  withdraw(id) {
    this._flight.fail(id, new Closed("it was withdrawn"));
  }

  _post(id, message) {
    if (this.state.phase === "closed") {
      return Promise.reject(new Closed(this.state.reason, this.state.code));
    }
    const answer = this._flight.add(id, JSON.stringify(message));
    this._flush();
    return answer;
  }

  /** Send what waits; what is posted in one turn of the event loop travels together. */
  _flush() {
    if (this._isReady && !this._isFlushing) {
      this._isFlushing = true;
      queueMicrotask(() => this._flushNow());
    }
  }

  _flushNow() {
    this._isFlushing = false;
    if (this._isReady) {
      for (const frame of this._flight.frames()) {
        this._link.send(frame);
      }
    }
  }

  _ready() {
    this._isReady = true;
    this._flush();
  }

  _changed(state) {
    if (state.code === CloseCode.TOO_BIG && state.phase === "waiting") {
      this._flight.failLargest();
    }
    if (state.phase !== "open") {
      this._isReady = false;
      this._flight.rewind();
    }
    if (state.phase === "closed") {
      this._flight.failAll(new Closed(state.reason, state.code));
    }
    this.onState?.(state);
  }
}

/**
 * What is known of a message that was stored.
 *
 * @typedef {object} Ack
 * @property {string} id Its id.
 * @property {number} seq Its position in the log.
 * @property {boolean} duplicate Whether it was there already.
 */

/** Publishes messages, and sees to it that each is stored, and stored once, in the order of the calls. */
export class Publisher extends Sender {
  #prefix = crypto.randomUUID();
  #count = 0;

  /**
   * @param {string} url The publisher service, `wss://HOST:PORT`.
   * @param {object} options
   * @param {Token} options.token Who publishes.
   * @param {(state: State) => void} [options.onState] Told when the state of the connection changes.
   */
  constructor(url, { token, onState }) {
    super(onState);
    const login = new Login(token);
    this._link = new Link({
      url: () => login.url(`${url}/publish`),
      diagnose: () => login.refusal(`${url}/publish`),
      protocol: SUBPROTOCOL,
      finalCodes: login.finalCodes,
      onOpen: () => this._ready(),
      onFrame: (frame) => this.#take(frame),
      onBatchEnd: () => this._flush(),
      onState: (state) => this._changed(state),
      probe: () => !this._flight.isEmpty,
    });
  }

  /**
   * Publish one message.
   *
   * @param {string} topic Where.
   * @param {any} content Anything that can be written as JSON.
   * @param {object} [options]
   * @param {string} [options.id] Its id: a message that is sent again with the same id, within ten minutes, is
   *   not stored again. One is made up if none is given.
   * @returns {Promise<Ack>} Kept when the message is on disk; through any number of reconnects.
   *   Rejected with `Rejected` if the message is refused, with `Closed` if the publisher is closed before.
   */
  publish(topic, content, { id = `${this.#prefix}-${++this.#count}` } = {}) {
    return this._post(id, { topic, content, id });
  }

  #take({ ok, seq, duplicate = false, error, reason, id }) {
    if (ok !== undefined) {
      this._flight.succeed(ok, { id: ok, seq, duplicate });
    } else if (error === "queue-unavailable") {
      this._link.reset(reason); // and send everything without an answer again, in order
    } else if (error !== undefined) {
      this._flight.fail(id, new Rejected(error, reason, id));
    }
  }
}

/**
 * A message as it comes from the log.
 *
 * @typedef {object} Message
 * @property {string} topic Where it was published.
 * @property {any} content What was published.
 * @property {number} seq Its position in the log.
 * @property {number} time When it was stored, in Unix milliseconds.
 * @property {string} [id] The id that its publisher gave it.
 * @property {string} [from] Who published it.
 */

/**
 * Messages that will not come: they had been removed from the log before they were asked for.
 *
 * @typedef {object} Gap
 * @property {string | null} pattern The subscription that misses them; null if all of them may.
 * @property {number} [from] The first position that is missing; absent if that is unknown.
 * @property {number} [to] The last one.
 */

/**
 * Whether a pattern covers a topic: `*` stands for one token, `>` for the rest.
 *
 * @param {string} pattern The pattern.
 * @param {string} topic The topic.
 * @returns {boolean} Whether it does.
 */
export function matches(pattern, topic) {
  const wanted = pattern.split(".");
  const tokens = topic.split(".");
  if (topic.startsWith("$") && (wanted[0] === "*" || wanted[0] === ">")) {
    return false; // the system's own are to be asked for by name
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

/** Subscriptions, and how far each has got: enough to resume from. No I/O. */
class Ledger {
  /** @type {Map<string, {request: object | null, position: number | null, isLive: boolean, onMessage: Function}>} */
  #entries = new Map();

  get patterns() {
    return [...this.#entries.keys()];
  }

  has(pattern) {
    return this.#entries.has(pattern);
  }

  ask(request, onMessage) {
    this.#entries.set(request.sub, { request, position: null, isLive: false, onMessage });
  }

  forget(pattern) {
    this.#entries.delete(pattern);
  }

  /** Note an answer; return whether messages may have been missed since the last connection. */
  confirm(pattern, seq) {
    const entry = this.#entries.get(pattern);
    if (!entry || entry.isLive) {
      return false;
    }
    const isBlind = entry.request === null && entry.position === null;
    Object.assign(entry, { request: null, position: seq, isLive: true });
    return isBlind;
  }

  /** Note a refusal: the subscription is not there, unless it was answered before on this connection. */
  refuse(pattern) {
    if (!this.#entries.get(pattern)?.isLive) {
      this.forget(pattern);
    }
  }

  /** Do not ask again for what is gone. Of a pattern with wildcards, some of it may remain. */
  skip(pattern, seq) {
    const entry = this.#entries.get(pattern);
    if (entry && entry.position !== null && !/(^|\.)[*>](\.|$)/.test(pattern)) {
      entry.position = Math.max(entry.position, seq);
    }
  }

  /** Give a message to each subscription that it is new to. */
  deliver(message) {
    for (const [pattern, entry] of [...this.#entries]) {
      const isNew = entry.position === null || message.seq > entry.position;
      if (entry.isLive && isNew && matches(pattern, message.topic)) {
        if (entry.position !== null) {
          entry.position = message.seq;
        }
        entry.onMessage(message);
      }
    }
  }

  /** Note that there is a new connection, and return what to ask for on it. */
  resume() {
    return [...this.#entries].map(([sub, entry]) => {
      entry.isLive = false;
      return entry.request ?? (entry.position === null ? { sub } : { sub, after: entry.position });
    });
  }
}

/** Receives the messages of any number of topics and patterns, in order, each once for each subscription. */
export class Subscriber {
  #link;
  #ledger = new Ledger();
  #asking = new Map();
  #options;

  /**
   * @param {string} url The subscriber service, `wss://HOST:PORT`.
   * @param {object} options
   * @param {Token} options.token Who subscribes.
   * @param {(state: State) => void} [options.onState] Told when the state of the connection changes.
   * @param {(gap: Gap) => void} [options.onGap] Told what is missing, before the first message behind it; by
   *   default the console is.
   * @param {(error: Rejected) => void} [options.onError] Told that a subscription was refused after a
   *   reconnect, and is over; by default the console is.
   */
  constructor(url, { token, onState, onGap = logGap, onError = console.error }) {
    this.#options = { onState, onGap, onError };
    const login = new Login(token);
    this.#link = new Link({
      url: () => login.url(`${url}/subscribe`),
      diagnose: () => login.refusal(`${url}/subscribe`),
      protocol: SUBPROTOCOL,
      finalCodes: login.finalCodes,
      onOpen: () => this.#say(this.#ledger.resume()),
      onFrame: (frame) => this.#take(frame),
      onState: (state) => this.#changed(state),
      probe: () => this.#probe(),
    });
  }

  /** @returns {State} Where the connection stands. */
  get state() {
    return this.#link.state;
  }

  /**
   * Subscribe to a topic or pattern.
   *
   * @param {string} pattern What.
   * @param {(message: Message) => void} onMessage Given each message, in the order of the log.
   * @param {object} [options] Where to begin; with neither, with what is new.
   * @param {number} [options.after] Begin behind this position; 0 for the whole log.
   * @param {number} [options.last] Begin with so many of the newest messages.
   * @returns {Promise<number>} The position behind which everything comes; through reconnects if need be.
   *   Rejected with `Rejected` if it is refused, with `Closed` if the subscriber is closed before.
   */
  subscribe(pattern, onMessage, { after, last } = {}) {
    if (this.state.phase === "closed") {
      return Promise.reject(new Closed(this.state.reason, this.state.code));
    }
    if (this.#ledger.has(pattern)) {
      return Promise.reject(new Rejected("bad-command", `${pattern} is subscribed to already`));
    }
    const request = { sub: pattern, after, last };
    this.#ledger.ask(request, onMessage);
    this.#say([request]);
    return new Promise((resolve, reject) => this.#asking.set(pattern, { resolve, reject }));
  }

  /**
   * Take a subscription back: no message is given to it any more.
   *
   * @param {string} pattern As it was subscribed to.
   */
  unsubscribe(pattern) {
    this.#ledger.forget(pattern);
    this.#refuse(pattern, new Closed(`${pattern} was unsubscribed from`));
    this.#say([{ unsub: pattern }]);
  }

  /** Try to connect at once, if it waits for the next attempt. */
  retryNow() {
    this.#link.retryNow();
  }

  /** Close it for good. */
  close() {
    this.#link.close();
  }

  #say(commands) {
    if (commands.length) {
      this.#link.send(commands);
    }
  }

  #take(frame) {
    if (frame.topic !== undefined) {
      this.#ledger.deliver(frame);
    } else if (frame.error === "queue-unavailable") {
      this.#link.reset(frame.reason); // everything is asked for again on the next connection
    } else if (frame.error !== undefined) {
      this.#refused(frame);
    } else if (frame.subscribed !== undefined) {
      this.#subscribed(frame);
    } else if (frame.gap) {
      this.#missing(frame.gap.topic ?? null, frame.gap);
    }
  }

  #subscribed({ subscribed: pattern, seq = null, gap }) {
    if (this.#ledger.confirm(pattern, seq)) {
      this.#options.onGap({ pattern });
    }
    if (gap) {
      this.#missing(pattern, gap);
    }
    this.#asking.get(pattern)?.resolve(seq ?? 0);
    this.#asking.delete(pattern);
  }

  #missing(pattern, { from, to }) {
    if (pattern !== null) {
      this.#ledger.skip(pattern, to);
    }
    this.#options.onGap({ pattern, from, to });
  }

  #refused({ error, reason, sub }) {
    if (sub !== undefined) {
      this.#ledger.refuse(sub);
    }
    const refusal = new Rejected(error, reason);
    if (!this.#refuse(sub, refusal)) {
      this.#options.onError(refusal);
    }
  }

  #refuse(pattern, error) {
    const asking = this.#asking.get(pattern);
    this.#asking.delete(pattern);
    asking?.reject(error);
    return asking !== undefined;
  }

  #probe() {
    const [sub] = this.#ledger.patterns;
    return sub === undefined ? false : { sub }; // repeating it changes nothing, and is answered
  }

  #changed(state) {
    if (state.phase === "closed") {
      for (const pattern of [...this.#asking.keys()]) {
        this.#refuse(pattern, new Closed(state.reason, state.code));
      }
    }
    this.#options.onState?.(state);
  }
}

function logGap({ pattern, from, to }) {
  const what = from === undefined ? "what came between two connections" : `positions ${from} to ${to}`;
  console.warn(`${pattern ?? "all subscriptions"}: ${what} are not in the log any more`);
}

/**
 * Something that happened in a room.
 *
 * @typedef {object} RoomEvent
 * @property {string} id Its position in the log, as text.
 * @property {number} seq The same as a number.
 * @property {string} roomId The room.
 * @property {string} memberId Who; every connection is a member of its own.
 * @property {string} memberName Their name.
 * @property {"chat" | "joined" | "left"} type What happened.
 * @property {string} message What was said, for `chat`.
 * @property {string} sent When, in ISO 8601.
 * @property {boolean} [self] Set on the first event of each connection: this is who you are.
 */

/** A room of chat: receives what happens in it, in order, each event once; and says something. */
export class Room extends Sender {
  #position;
  #onEvents;
  #arrived = [];

  /**
   * @param {string} url The chat service, `wss://HOST:PORT`.
   * @param {string} id Which room.
   * @param {object} options
   * @param {Token} [options.token] Who joins; not needed where guests are allowed.
   * @param {number} [options.after] Begin behind this position, instead of with what is new.
   * @param {(events: RoomEvent[]) => void} options.onEvents Given what happens, in the order of the log; what
   *   comes together is given together.
   * @param {(state: State) => void} [options.onState] Told when the state of the connection changes. If it is
   *   closed for good, `code` tells why: `CloseCode.ROOM_DELETED`, `CloseCode.LOGGED_OUT`, …
   */
  constructor(url, id, { token, after, onEvents, onState }) {
    super(onState);
    this.#position = after;
    this.#onEvents = onEvents;
    const login = new Login(token ?? "");
    this._link = new Link({
      url: () => login.url(`${url}/api/serve/${id}`, this.#resume()),
      protocol: ROOM_SUBPROTOCOL,
      finalCodes: login.finalCodes,
      onFrame: (frame) => this.#take(frame),
      onBatchEnd: () => this.#hand(),
      onState: (state) => this._changed(state),
      probe: () => (this._flight.isEmpty ? { probe: true } : true), // it is refused, and so answered
      diagnose: () => login.refusal(`${url}/api/room/${id}`),
    });
  }

  /**
   * Say something.
   *
   * @param {string} message The text.
   * @param {object} [options]
   * @param {string} [options.id] Its id: said again with the same id and the same token within ten minutes, also
   *   after the page was loaded anew, it is said once. One is made up if none is given.
   * @returns {Promise<{id: string, seq: number}>} Kept when it is stored; through any number of reconnects.
   *   Rejected with `Rejected` if it is refused or could not be stored (with code `failed`: try again, with the same
   *   id), with `Closed` if the room is left, or deleted, before.
   */
  say(message, { id = crypto.randomUUID() } = {}) {
    return this._post(id, { message, id });
  }

  #resume() {
    return this.#position === undefined ? {} : { after: this.#position };
  }

  #take(frame) {
    if (frame.ok !== undefined) {
      this._flight.succeed(frame.ok, { id: frame.ok, seq: frame.seq });
    } else if (frame.error !== undefined || frame.type === "failed") {
      this._flight.fail(frame.id, new Rejected(frame.error ?? "failed", frame.reason, frame.id));
    } else if (frame.self) {
      this.#position ??= frame.seq;
      this.#arrived.push(frame);
      this._ready();
    } else if (frame.seq > this.#position) {
      this.#position = frame.seq;
      this.#arrived.push(frame);
    }
  }

  #hand() {
    const events = this.#arrived;
    this.#arrived = [];
    if (events.length) {
      this.#onEvents(events);
    }
    this._flush();
  }
}
