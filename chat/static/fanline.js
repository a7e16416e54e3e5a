/**
 * Fanline in pages, workers and Node: publish, subscribe, and take part in the rooms of chat.
 *
 * One file without dependencies; copy it to where your own page is. It connects by itself, reconnects
 * whenever the connection is lost, and resumes exactly: nothing is left out, nothing comes twice, nothing is
 * stored twice. docs/browser.md shows how to use it, docs/protocol.md what goes over the wire.
 *
 *     const fanline = connect({ publish: "wss://localhost:8081", subscribe: "wss://localhost:8082", token });
 *     const { seq } = await fanline.publish("orders.eu", { total: 12.5 });
 *     for await (const { topic, content } of fanline.subscribe("orders.>")) console.log(topic, content);
 *
 * Built from clients/js/src; change it there, and run `make js`.
 *
 * @module
 */

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

/**
 * Listeners by the type of event.
 *
 * @template {Record<string, any>} Events
 */
class Emitter {
  /** @type {Map<keyof Events, Set<(value: any) => void>>} */
  #listeners = new Map();

  /**
   * Call a function at each event of a type.
   *
   * @template {keyof Events} Type
   * @param {Type} type The type.
   * @param {(value: Events[Type]) => void} listener The function.
   * @returns {() => void} Ends this.
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => {
      listeners.delete(listener);
    };
  }

  /**
   * Test whether events of a type are listened to.
   *
   * @protected
   * @param {keyof Events} type The type.
   */
  _hasListener(type) {
    return (this.#listeners.get(type)?.size ?? 0) > 0;
  }

  /**
   * Call the listeners; a mistake of one concerns nothing else.
   *
   * @protected
   * @template {keyof Events} Type
   * @param {Type} type The type.
   * @param {Events[Type]} value What is given to them.
   */
  _emit(type, value) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        report(error);
      }
    }
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

/** @typedef {{headers?: Record<string, string>, method?: string, body?: string, signal?: AbortSignal}} Options */

/** The HTTP side of one service, for the bearer of a token. */
class Http {
  #base;
  #token;
  #fetch;

  /**
   * @param {string} address The service, `wss://HOST:PORT`.
   * @param {string} token The token; empty without any.
   * @param {typeof globalThis.fetch} fetch Makes the requests.
   */
  constructor(address, token, fetch) {
    this.#base = address.replace(/^ws/, "http");
    this.#token = token;
    this.#fetch = fetch;
  }

  /**
   * Make a request.
   *
   * @param {string} path The path and the query.
   * @param {Options} [options] What else is in it.
   * @returns {Promise<Response>} Rejected with a TypeError if the service cannot be reached.
   */
  request(path, { headers = {}, ...options } = {}) {
    const login = this.#token ? { Authorization: `Bearer ${this.#token}`, ...headers } : headers;
    return this.#fetch(this.#base + path, { cache: "no-store", ...options, headers: login });
  }
}

/**
 * Read why a request was refused (RFC 9457).
 *
 * @param {Response} response The answer.
 * @returns {Promise<{code: string, detail: string, messages?: object[]}>}
 */
async function problemOf$1(response) {
  const problem = await response.json().catch(() => ({}));
  return { code: "unavailable", detail: `the server answers ${response.status}`, ...problem };
}

/**
 * Write parameters for a query, without those that are undefined.
 *
 * @param {Record<string, unknown>} parameters The parameters.
 * @returns {string} The query, with its question mark; empty without any.
 */
function queryOf(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  return given.length ? `?${query}` : "";
}

/**
 * One page of the log.
 *
 * @template [T=any]
 * @typedef {object} HistoryPage
 * @property {Message<T>[]} messages In the order of the log, whichever way the page was asked for.
 * @property {{from: number, to: number} | null} gap Positions that have been removed from it.
 * @property {string | null} epoch The name of the log.
 */

/**
 * Which page of the log: the newest messages of a topic, unless it says otherwise.
 *
 * @typedef {object} HistoryOptions
 * @property {number} [after] Begin after this position.
 * @property {number} [before] End before this position.
 * @property {number} [last] So many of the newest messages.
 * @property {number} [limit] Messages on the page at most, 1,000 or fewer; 100 by default.
 * @property {AbortSignal} [signal] Stops the request.
 */

/**
 * Read one page of the log.
 *
 * @param {Http} http The subscriber service.
 * @param {string} topic A topic or pattern.
 * @param {HistoryOptions} options Which page.
 * @returns {Promise<HistoryPage>}
 * @throws {Rejected} If the request is refused.
 */
async function readHistory(http, topic, { signal, ...parameters }) {
  const path = `/topics/${encodeURIComponent(checkedPattern(topic))}/messages`;
  const response = await http.request(path + queryOf(parameters), { signal });
  if (!response.ok) {
    const { code, detail } = await problemOf$1(response);
    throw new Rejected(code, detail);
  }
  const [from, to] = (response.headers.get("Fanline-Gap") ?? "").split("-").map(Number);
  return {
    messages: await response.json(),
    gap: to ? { from, to } : null,
    epoch: response.headers.get("Fanline-Epoch"),
  };
}

const RENEWED_AT = 0.8; // of the life of a token
const LEAST_DELAY = 10_000; // milliseconds
const LONGEST_DELAY$1 = 2 ** 31 - 1; // of a timer

/**
 * A token, or a function that returns one. The function is called before each connection, and before the token of an
 * open one expires.
 *
 * @typedef {string | (() => string | Promise<string>)} Token
 */

/** The token of a client: never part of an address, which consoles and logs show. */
class Login {
  #token;

  /** @param {Token} token The token; empty without any. */
  constructor(token) {
    this.#token = token;
  }

  /** @returns {boolean} Whether a token that is not valid any more can be replaced. */
  get isRenewable() {
    return typeof this.#token === "function";
  }

  /** @returns {Promise<string>} The token to use now. */
  async read() {
    return typeof this.#token === "function" ? await this.#token() : this.#token;
  }

  /**
   * Tell when a token is to be replaced.
   *
   * @param {string} token The token that is in use.
   * @returns {number | undefined} In how many milliseconds; undefined if it cannot be, or does not expire.
   */
  renewalDelay(token) {
    const { iat = Number.NEGATIVE_INFINITY, exp } = claims(token);
    if (!this.isRenewable || exp === undefined) {
      return undefined;
    }
    // Where clocks differ, what the issuer says of its life is right.
    const life = Math.min(exp * 1000 - Date.now(), (exp - iat) * 1000);
    return Math.min(Math.max(life * RENEWED_AT, LEAST_DELAY), LONGEST_DELAY$1);
  }
}

/**
 * Read the claims of a token, without checking its signature.
 *
 * @param {string} token The token.
 * @returns {{jti?: string, iat?: number, exp?: number}} Its claims; none if it cannot be read.
 */
function claims(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return {};
  }
}

/**
 * A session with which a user is present.
 *
 * @typedef {object} Present
 * @property {string} user The user.
 * @property {string} as The name of the session.
 */

/**
 * What happens on a topic.
 *
 * @typedef {object} PresenceEvents
 * @property {Present} join The first session of a user has begun.
 * @property {Present} add A further session of a user has begun.
 * @property {Present} remove One of several sessions of a user has ended.
 * @property {Present} leave The last session of a user has ended.
 * @property {Error} error It is over: it was refused, or the connection is not opened again.
 */

/**
 * Who is present on a topic. It begins with the sessions that are there, each as an event, and goes on through
 * reconnects. When events are missing, it begins again without any.
 *
 * @extends {Emitter<PresenceEvents>}
 */
class Presence extends Emitter {
  /** @type {Map<string, Set<string>>} The users who are present, each with the names of the sessions. */
  users = new Map();
  #subscribe;
  /** @type {Subscription} */
  #subscription;

  /** @param {(options: {latest: true}) => Subscription} subscribe Subscribes to the events of the topic. */
  constructor(subscribe) {
    super();
    this.#subscribe = subscribe;
    this.#subscription = this.#begin();
  }

  /**
   * @override
   * @template {keyof PresenceEvents} Type
   * @param {Type} type `join`, `add`, `remove`, `leave` or `error`.
   * @param {(value: PresenceEvents[Type]) => void} listener Called at each.
   * @returns {() => void} Ends this.
   */
  on(type, listener) {
    return super.on(type, listener);
  }

  /** End this. */
  close() {
    this.#subscription.close();
  }

  #begin() {
    const subscription = this.#subscribe({ latest: true });
    subscription.on("gap", () => {
      subscription.close();
      this.users.clear();
      this.#subscription = this.#begin();
    });
    subscription.on("error", (error) => this.#fail(error));
    subscription.on("message", ({ type, from = "", content }) => {
      if (type === "join") {
        this.#join(from, content.as);
      } else {
        this.#leave(from, content.as);
      }
    });
    return subscription;
  }

  /** @param {Error} error Why it is over. */
  #fail(error) {
    if (this._hasListener("error")) {
      this._emit("error", error);
    } else {
      console.error(error);
    }
  }

  /** @param {string} user @param {string} as */
  #join(user, as) {
    const sessions = this.users.get(user) ?? new Set();
    if (!sessions.has(as)) {
      this.users.set(user, sessions.add(as));
      this._emit(sessions.size === 1 ? "join" : "add", { user, as });
    }
  }

  /** @param {string} user @param {string} as */
  #leave(user, as) {
    const sessions = this.users.get(user);
    if (sessions?.delete(as)) {
      if (sessions.size === 0) {
        this.users.delete(user);
      }
      this._emit(sessions.size === 0 ? "leave" : "remove", { user, as });
    }
  }
}

const OPEN$1 = 1; // as WebSocket.OPEN
const CLOSED = 3;
const LOST = 1006;
const UNANSWERED = 45_000; // milliseconds without a sign of life after which a stream is lost; 15,000 are usual
const PASSING = new Set([408, 429, 503]);

/** What stands in for a WebSocket where none gets through: frames are turned into requests, and answers to frames. */
class HttpSocket {
  readyState = 0;
  /** @type {(() => void) | null} */
  onopen = null;
  /** @type {((event: {data: string}) => void) | null} */
  onmessage = null;
  /** @type {((event: {code: number, reason: string}) => void) | null} */
  onclose = null;
  /** @protected */
  _http;
  /** @protected */
  _ending = new AbortController();

  /** @param {Http} http The service. @param {string} path The path of the WebSocket. */
  constructor(http, path) {
    this._http = http;
    this.#open(path);
  }

  /** Stop everything, without an event. */
  close() {
    this.readyState = CLOSED;
    this._ending.abort();
  }

  /** @param {string} path The path of the WebSocket: the service answers there that one is expected. */
  async #open(path) {
    try {
      const { status } = await this._http.request(path, { signal: this._ending.signal });
      if (status !== 426) {
        this._end(LOST, "");
      } else if (this.readyState !== CLOSED) {
        this.readyState = OPEN$1;
        this.onopen?.();
      }
    } catch {
      this._end(LOST, "");
    }
  }

  /** @protected @param {string} data A frame. */
  _receive(data) {
    if (this.readyState === OPEN$1) {
      this.onmessage?.({ data });
    }
  }

  /** @protected @param {number} code A close code. @param {string} reason Why, as a sentence. */
  _end(code, reason) {
    if (this.readyState !== CLOSED) {
      this.close();
      this.onclose?.({ code, reason });
    }
  }

  /** @protected @param {Response} response A refusal of the whole connection. */
  async _refused(response) {
    const { detail } = await problemOf$1(response);
    const seconds = Number(response.headers.get("Retry-After"));
    if (seconds) {
      this._receive(JSON.stringify({ drain: { retry_ms: seconds * 1000 } }));
    }
    this._end(response.status === 401 ? 4001 : 1013, detail);
  }
}

/** Publishes by POST, one request after the other, so that the order is kept. */
class PostSocket extends HttpSocket {
  #last = Promise.resolve();

  /** @param {string} frame A message, or an array of them. */
  send(frame) {
    this.#last = this.#last.then(() => this.#post(frame)).catch(() => this._end(LOST, ""));
  }

  /** @param {string} body A frame. */
  async #post(body) {
    const headers = { "Content-Type": "application/json" };
    const options = { method: "POST", headers, body, signal: this._ending.signal };
    const response = await this._http.request("/messages", options);
    if (response.ok) {
      this._receive(await response.text());
      return;
    }
    const { code, detail, messages } = await problemOf$1(response.clone());
    if (messages) {
      this._receive(JSON.stringify(messages));
    } else if (response.status === 401 || PASSING.has(response.status)) {
      await this._refused(response);
    } else {
      const refused = [JSON.parse(body)].flat().map(({ id }) => ({ error: code, reason: detail, id }));
      this._receive(JSON.stringify(refused));
    }
  }
}

/** Subscribes by server-sent events, a stream for each pattern. */
class EventSocket extends HttpSocket {
  /** @type {Map<string, AbortController>} */
  #streams = new Map();

  close() {
    super.close();
    for (const stream of this.#streams.values()) {
      stream.abort();
    }
  }

  /** @param {string} frame A command, or an array of them. */
  send(frame) {
    for (const { sub, unsub, ...start } of [JSON.parse(frame)].flat()) {
      if (unsub !== undefined) {
        this.#streams.get(unsub)?.abort();
        this.#streams.delete(unsub);
        queueMicrotask(() => this._receive(JSON.stringify({ unsubscribed: unsub })));
      } else if (!this.#streams.has(sub)) {
        const ending = new AbortController();
        this.#streams.set(sub, ending);
        this.#follow(sub, start, ending).catch(() => ending.signal.aborted || this._end(LOST, ""));
      }
    }
  }

  /** @param {string} pattern @param {{epoch?: string}} start Where to begin. @param {AbortController} ending */
  async #follow(pattern, start, ending) {
    const path = `/topics/${encodeURIComponent(pattern)}/events${queryOf(start)}`;
    const response = await this._http.request(path, { signal: ending.signal });
    if (response.status === 401 || PASSING.has(response.status)) {
      await this._refused(response);
    } else if (!response.ok || !response.body) {
      const { code, detail } = await problemOf$1(response);
      this.#streams.delete(pattern);
      this._receive(JSON.stringify({ error: code, reason: detail, sub: pattern }));
    } else {
      await this.#read(response.body, new EventTranslator(pattern, start.epoch));
      ending.signal.throwIfAborted();
      this._end(LOST, "");
    }
  }

  /** @param {ReadableStream<Uint8Array>} body @param {EventTranslator} translator */
  async #read(body, translator) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const timer = setTimeout(() => this._end(LOST, "the server does not answer"), UNANSWERED);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) {
        return;
      }
      const frames = translator.translate(decoder.decode(value, { stream: true }));
      this._receive(`[${frames.join(",")}]`); // a heartbeat is an empty one
      if (translator.end) {
        this._end(translator.end.code, translator.end.reason);
      }
    }
  }
}

/** Turns server-sent events of one pattern into frames. No I/O. */
class EventTranslator {
  #pattern;
  #epoch;
  #rest = "";
  /** @type {Record<string, string>} */
  #fields = {};
  #isOpen = false;
  #isOfOldLog = false;
  /** @type {{code: number, reason: string} | null} */
  end = null;

  /**
   * @param {string} pattern The pattern.
   * @param {string} [epoch] The log that the stream was asked to go on in.
   */
  constructor(pattern, epoch) {
    this.#pattern = pattern;
    this.#epoch = epoch;
  }

  /**
   * Translate the next part of the stream.
   *
   * @param {string} text The part, which may end anywhere.
   * @returns {string[]} Frames as JSON.
   */
  translate(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#take(line));
  }

  /** @param {string} line One line. @returns {string[]} */
  #take(line) {
    if (line === "") {
      const fields = this.#fields;
      this.#fields = {};
      return this.#dispatch(fields);
    }
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (name === "retry" && this.#isOpen) {
      return [`{"drain":{"retry_ms":${Number(value)}}}`]; // before, it only spreads those that come back
    }
    const before = name === "data" ? this.#fields.data : undefined;
    this.#fields[name] = before === undefined ? value : `${before}\n${value}`;
    return [];
  }

  /** @param {Record<string, string>} fields One event. @returns {string[]} */
  #dispatch({ id, event, data }) {
    if (!this.#isOpen && id !== undefined) {
      this.#isOpen = true;
      const [seq, epoch] = id.split("-");
      this.#isOfOldLog = this.#epoch !== undefined && this.#epoch !== epoch;
      return [JSON.stringify({ subscribed: this.#pattern, seq: Number(seq), epoch })];
    }
    if (event === "end") {
      this.end = JSON.parse(data);
    } else if (event === "gap") {
      const gap = { ...JSON.parse(data), topic: this.#pattern, isOfOldLog: this.#isOfOldLog || undefined };
      this.#isOfOldLog = false;
      return [JSON.stringify({ gap })];
    } else if (data !== undefined) {
      this.#isOfOldLog = false;
      return [data];
    }
    return [];
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
class Link {
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
class Sender {
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

const TIMEOUT = 10_000; // milliseconds
const BLOCKED = 2; // attempts in a row after which WebSockets are given up
const HTTP_PERIOD = 300_000; // milliseconds after which they are tried again

/**
 * @typedef {object} TransportOptions
 * @property {string} path The path of the WebSocket.
 * @property {string} protocol Its subprotocol.
 * @property {() => Record<string, string>} [parameters] Called before each attempt: what to add to the address.
 * @property {(http: Http, path: string) => Socket} [openOverHttp] Makes what stands in for a WebSocket, where none gets
 *   through.
 * @property {{new(url: string, protocols: string[]): any}} [WebSocket] Makes WebSockets.
 * @property {typeof globalThis.fetch} [fetch] Makes requests.
 */

/** Opens the connections to one service: WebSockets, or requests where those do not get through. */
class Transport {
  #address;
  #login;
  #options;
  #token = "";
  #isOverHttp = false; // requests need no renewal: those that come too late are made again
  #blocked = 0;
  #httpUntil = 0;

  /**
   * @param {string} address The service, `wss://HOST:PORT`.
   * @param {Login} login The token.
   * @param {TransportOptions} options
   */
  constructor(address, login, options) {
    this.#address = address;
    this.#login = login;
    this.#options = options;
  }

  /** @returns What a `Link` needs to open and reopen the connection. */
  get linkOptions() {
    const { LOGGED_OUT, POLICY, ROOM_DELETED } = CloseCode;
    return {
      dial: () => this.#dial(),
      diagnose: () => this.#diagnose(),
      renewalDelay: () => (this.#isOverHttp ? undefined : this.#login.renewalDelay(this.#token)),
      renew: () => this.#renew(),
      finalCodes: this.#login.isRenewable ? [POLICY, ROOM_DELETED] : [POLICY, ROOM_DELETED, LOGGED_OUT],
    };
  }

  /** @returns {Http} The HTTP side of the service. @param {string} token The token. */
  #http(token) {
    return new Http(this.#address, token, this.#options.fetch ?? fetch.bind(globalThis));
  }

  async #dial() {
    const { path, protocol, parameters, openOverHttp } = this.#options;
    const { WebSocket = globalThis.WebSocket } = this.#options;
    this.#token = await this.#login.read();
    this.#isOverHttp = !WebSocket || Date.now() < this.#httpUntil;
    if (openOverHttp && this.#isOverHttp) {
      return openOverHttp(this.#http(this.#token), path);
    }
    if (!WebSocket) {
      throw new Closed("there are no WebSockets here");
    }
    const offered = this.#token ? [protocol, `fanline.token.${this.#token}`] : [protocol];
    const socket = new WebSocket(this.#address + path + queryOf(parameters?.() ?? {}), offered);
    socket.addEventListener("open", () => {
      this.#blocked = 0;
    });
    return socket;
  }

  /** @returns {Promise<{token: string} | null>} A new token to send; null if none can be fetched now. */
  async #renew() {
    try {
      this.#token = await this.#login.read();
      return { token: this.#token };
    } catch {
      return null; // the one before still counts, and when it has expired the state tells why
    }
  }

  /**
   * Ask over HTTP why a connection could not be opened; a browser hides the answer to a refused WebSocket.
   *
   * @returns {Promise<Diagnosis | null>} Null if the server cannot be reached.
   */
  async #diagnose() {
    const { path } = this.#options;
    const options = { signal: AbortSignal.timeout(TIMEOUT) };
    try {
      const response = await this.#http(this.#token)
        .request(path, options)
        .catch(() => this.#askWithoutLogin(path, options));
      return response.ok || response.status === 426 ? this.#noteBlocked() : await this.#diagnosisOf(response);
    } catch {
      return null;
    }
  }

  /**
   * Ask without the preflight that a login needs: a page of a foreign origin can read no other answer.
   *
   * That no login was sent says nothing of the login: the server may have started since it could not be reached.
   *
   * @param {string} path
   * @param {{signal: AbortSignal}} options
   */
  async #askWithoutLogin(path, options) {
    const response = await this.#http("").request(path, options);
    if (response.status === 401) {
      throw new Error("a login is needed");
    }
    return response;
  }

  /** @returns {Diagnosis} That the server can be reached, but not by a WebSocket. */
  #noteBlocked() {
    this.#blocked++;
    if (this.#options.openOverHttp && this.#blocked >= BLOCKED) {
      this.#httpUntil = Date.now() + HTTP_PERIOD;
      this.#blocked = 0;
    }
    return { reason: "the server can be reached, but no WebSocket to it", isFinal: false };
  }

  /** @param {Response} response A refusal. @returns {Promise<Diagnosis>} */
  async #diagnosisOf(response) {
    const { detail } = await problemOf$1(response);
    switch (response.status) {
      case 401:
        return {
          reason: "the login is not valid, or not any more",
          code: CloseCode.LOGGED_OUT,
          isFinal: !this.#login.isRenewable,
        };
      case 403:
        return { reason: detail, code: CloseCode.POLICY, isFinal: true };
      case 404:
        return { reason: "there is no such room", code: CloseCode.ROOM_DELETED, isFinal: true };
      default: {
        const seconds = Number(response.headers.get("Retry-After"));
        return { reason: detail, isFinal: false, retryAfter: seconds ? seconds * 1000 : undefined };
      }
    }
  }
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
   * @param {Login} login The token.
   * @param {Environment} environment What it runs in.
   * @param {(state: State) => void} onState Called when the state of the connection changes.
   */
  constructor(url, login, environment, onState) {
    const transport = new Transport(url, login, {
      path: "/publish",
      protocol: "fanline.v1",
      openOverHttp: (http, path) => new PostSocket(http, path),
      ...environment,
    });
    const options = {
      ...transport.linkOptions,
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
   * @param {object} options
   * @param {string} [options.id] Its id; made up if absent.
   * @param {AbortSignal} [options.signal] Takes it back.
   * @param {string} [options.traceparent] The trace that it belongs to.
   * @returns {Promise<Ack>} Resolved when the message is on disk.
   */
  async publish(topic, content, { id = `${this.#prefix}-${++this.#count}`, signal, traceparent }) {
    signal?.throwIfAborted();
    const message = { topic: checkedTopic(topic), content: present(content, id), id, traceparent };
    const answer = this._post(id, message);
    const withdraw = () => this.withdraw(id, signal?.reason);
    signal?.addEventListener("abort", withdraw);
    try {
      return await answer;
    } finally {
      signal?.removeEventListener("abort", withdraw);
    }
  }

  /** @param {any} frame An answer. */
  #receive({ ok, seq, duplicate = false, error, reason, id, retry_ms: delay }) {
    if (ok !== undefined) {
      this._outbox.acknowledge(ok, { id: ok, seq, duplicate });
    } else if (error === "queue-unavailable" || error === "rate-limited") {
      this._link.reset(reason, delay); // everything without an answer is sent again, in order
    } else if (error !== undefined) {
      this._outbox.reject(id, new Rejected(error, reason, id));
    }
  }
}

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
class Subscription extends Emitter {
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

/**
 * A message from the log.
 *
 * @template [T=any]
 * @typedef {object} Message
 * @property {string} topic Where it was published.
 * @property {T} content What was published.
 * @property {number} seq Its position in the log.
 * @property {number} time When it was stored, in Unix milliseconds.
 * @property {string} [id] The id that its publisher gave it.
 * @property {string} [from] The user who published it.
 * @property {string} [type] Of presence, `join` or `leave`.
 * @property {string} [traceparent] The trace that it belongs to.
 */

/**
 * Messages that do not come.
 *
 * @typedef {object} Gap
 * @property {string} pattern The subscription that misses them.
 * @property {number} [from] The first missing position; absent if unknown.
 * @property {number} [to] The last one.
 * @property {boolean} [isNewLog] Whether the log is another one, such as a restored copy: positions start again, and
 *   all of its messages follow.
 */

/**
 * Where to begin; by default with new messages.
 *
 * @typedef {object} Start
 * @property {number} [after] Begin after this position; 0 for the whole log.
 * @property {string} [epoch] The log that this position is of.
 * @property {number} [last] Begin with this many of the newest messages.
 * @property {boolean} [latest] Begin with the newest message of each topic.
 */

/**
 * Whether the user is present on the topic.
 *
 * @typedef {object} Session
 * @property {boolean} [presence] Be present, as long as the page has subscriptions to the topic.
 * @property {string} [as] The name to be present under; by default one that the client makes up.
 */

/** @typedef {{sub: string} & Start & Session | {unsub: string}} Command */

/**
 * One subscription of the page: where it begins, how far it is, and what is told about it.
 *
 * @typedef {object} Cursor
 * @property {Start | null} start What is asked for; null once it was answered.
 * @property {number | null} position The position to resume after; null if unknown.
 * @property {string} [epoch] The log that the position is of.
 * @property {(seq: number) => void} onReady
 * @property {(message: Message) => void} onMessage
 * @property {(gap: Gap) => void} onGap
 * @property {(error: Error) => void} onRefused
 */

/**
 * A pattern on the connection, and the subscriptions that share it.
 *
 * @typedef {object} Channel
 * @property {string} pattern
 * @property {Cursor[]} cursors
 * @property {{start: Start, cursors: Cursor[]} | null} asked A request without an answer, and the subscriptions that
 *   begin with it; none if it resumes those that were answered before.
 * @property {boolean} isOnWire Whether the server has it, or was asked for it.
 * @property {number | null} from The position after which everything comes on this connection.
 * @property {boolean} isResuming Whether it was not answered on this connection yet.
 * @property {boolean} hasLatest Whether it began with the newest values.
 * @property {Session} session Whether the user is present there.
 */

/**
 * Subscriptions and their positions: all that is needed to resume. No I/O; the methods return what to send.
 *
 * A server keeps one subscription for each pattern. A further one of the page that begins elsewhere takes it over, and
 * then it goes back to where the others were: what comes again is left out, for each by its own position.
 */
class SubscriptionState {
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  /** @type {Map<string, number>} */
  #removing = new Map();

  /** @returns {string | undefined} A pattern that the server has. */
  get somePattern() {
    return [...this.#channels.values()].find(({ isOnWire }) => isOnWire)?.pattern;
  }

  /** @returns {Cursor[]} All subscriptions. */
  get cursors() {
    return [...this.#channels.values()].flatMap(({ cursors }) => cursors);
  }

  /**
   * Test whether a subscription can be added. One to the newest values shares no pattern with another, unless they
   * begin together: of the messages before its beginning only some come.
   *
   * @param {string} pattern Its pattern.
   * @param {Start} start Where it begins.
   */
  accepts(pattern, start) {
    const channel = this.#channels.get(pattern);
    if (!channel || (channel.asked?.cursors.length && isSame(channel.asked.start, start))) {
      return true;
    }
    return !start.latest && !channel.hasLatest;
  }

  /**
   * Add a subscription that is not answered yet.
   *
   * @param {string} pattern Its pattern.
   * @param {Cursor} cursor The subscription.
   * @param {Session} [session] Whether the user is to be present.
   * @returns {Command[]}
   */
  add(pattern, cursor, session = {}) {
    const known = this.#channels.get(pattern);
    if (known) {
      const isNew = session.presence && session.as !== known.session.as;
      Object.assign(known.session, session);
      known.cursors.push(cursor);
      const { asked } = known;
      if (asked && asked.cursors.length > 0 && isSame(asked.start, cursor.start)) {
        asked.cursors.push(cursor); // the answer is for this one too
      }
      const commands = this.#next(known);
      return isNew && commands.length === 0 ? [{ sub: pattern, ...session }] : commands;
    }
    /** @type {Channel} */
    const channel = {
      pattern,
      cursors: [cursor],
      asked: null,
      isOnWire: false,
      from: null,
      isResuming: false,
      hasLatest: cursor.start?.latest ?? false,
      session: { ...session },
    };
    this.#channels.set(pattern, channel);
    return this.#next(channel);
  }

  /**
   * Remove a subscription.
   *
   * @param {string} pattern Its pattern.
   * @param {Cursor} cursor The subscription.
   * @returns {Command[]}
   */
  remove(pattern, cursor) {
    const channel = this.#channels.get(pattern);
    if (!channel) {
      return [];
    }
    channel.cursors = channel.cursors.filter((each) => each !== cursor);
    if (channel.cursors.length > 0) {
      return [];
    }
    this.#channels.delete(pattern);
    return channel.isOnWire ? [this.#unsubscribe(pattern)] : [];
  }

  /**
   * Take a confirmation.
   *
   * @param {{subscribed: string, seq?: number, epoch?: string, gap?: {from: number, to: number}}} frame
   * @returns {Command[]}
   */
  confirm({ subscribed: pattern, seq, epoch, gap }) {
    const channel = this.#channels.get(pattern);
    if (!channel?.asked || this.#removing.has(pattern)) {
      return []; // it answers a request of before, or a probe
    }
    const { asked, isResuming } = channel;
    Object.assign(channel, { asked: null, from: seq ?? null, isResuming: false });
    for (const cursor of [...channel.cursors]) {
      const isNew = asked.cursors.includes(cursor);
      if (isNew) {
        Object.assign(cursor, { epoch: asked.start.epoch, position: seq ?? null });
      }
      if (isNew || cursor.start === null) {
        this.#continue(channel, cursor, { epoch, gap, isBlind: isResuming && !isNew });
      }
      if (isNew) {
        cursor.start = null;
        cursor.onReady(seq ?? 0);
      }
    }
    return this.#next(channel);
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

  /**
   * End the subscriptions that a refusal concerns.
   *
   * @param {string} pattern Their pattern.
   * @param {Error} error Why.
   * @returns {Command[]}
   */
  refuse(pattern, error) {
    const channel = this.#channels.get(pattern);
    if (!channel || this.#removing.has(pattern)) {
      return [];
    }
    const { asked, cursors } = channel;
    const refused = asked?.cursors.length
      ? asked.cursors
      : cursors.filter(({ start }) => !asked || start === null);
    channel.cursors = cursors.filter((each) => !refused.includes(each));
    Object.assign(channel, { asked: null, isOnWire: false });
    if (channel.cursors.length === 0) {
      this.#channels.delete(pattern);
    }
    for (const cursor of refused) {
      cursor.onRefused(error);
    }
    return channel.cursors.length > 0 ? this.#next(channel) : [];
  }

  /**
   * Tell of messages that were removed before they came.
   *
   * @param {{from: number, to: number, topic?: string, isOfOldLog?: boolean}} gap The positions, and the pattern if it
   *   concerns only one.
   */
  miss({ from, to, topic, isOfOldLog }) {
    for (const { pattern, cursors } of this.#channels.values()) {
      for (const cursor of topic === undefined || topic === pattern ? [...cursors] : []) {
        if (cursor.start === null && !isOfOldLog && (cursor.position ?? 0) < to) {
          missed(pattern, cursor, { from, to });
        }
      }
    }
  }

  /**
   * Give a message to each subscription that it is new to.
   *
   * @param {Message} message The message.
   */
  deliver(message) {
    for (const { pattern, cursors, asked, from } of [...this.#channels.values()]) {
      if (asked || !matches(pattern, message.topic)) {
        continue;
      }
      for (const cursor of [...cursors]) {
        const { start, position } = cursor;
        if (start === null && (position === null || (position >= (from ?? 0) && message.seq > position))) {
          cursor.position = position === null ? null : message.seq;
          cursor.onMessage(message);
        }
      }
    }
  }

  /**
   * Begin a new connection, on which the server has no subscription yet.
   *
   * @returns {Command[]}
   */
  resume() {
    this.#removing.clear();
    return [...this.#channels.values()].flatMap((channel) => {
      Object.assign(channel, { asked: null, isOnWire: false, isResuming: true });
      return this.#next(channel);
    });
  }

  /**
   * @param {Channel} channel @param {Cursor} cursor An answered subscription.
   * @param {{epoch?: string, gap?: {from: number, to: number}, isBlind: boolean}} answer
   */
  #continue({ pattern }, cursor, { epoch, gap, isBlind }) {
    const { position, epoch: known } = cursor;
    cursor.epoch = epoch;
    if (known !== undefined && epoch !== undefined && known !== epoch) {
      cursor.position = 0;
      cursor.onGap({ pattern, ...gap, isNewLog: true });
    } else if (position === null && isBlind) {
      cursor.onGap({ pattern });
    } else if (gap && position !== null && position < gap.to) {
      missed(pattern, cursor, gap);
    }
  }

  /** @param {Channel} channel @returns {Command[]} What brings its subscriptions on, unless an answer is awaited. */
  #next(channel) {
    const request = channel.asked ? null : wanted(channel);
    if (!request) {
      return [];
    }
    const { pattern, isOnWire } = channel;
    Object.assign(channel, { asked: request, isOnWire: true });
    /** @type {Command[]} */
    const commands = isOnWire ? [this.#unsubscribe(pattern)] : [];
    return [...commands, { sub: pattern, ...request.start, ...channel.session }];
  }

  /** @param {string} pattern @returns {Command} */
  #unsubscribe(pattern) {
    this.#removing.set(pattern, (this.#removing.get(pattern) ?? 0) + 1);
    return { unsub: pattern };
  }
}

/** @param {Start | null} one @param {Start | null} other */
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * @param {Channel} channel
 * @returns {Channel["asked"]} What to ask for next: first for those that begin, then for those that are behind.
 */
function wanted({ cursors, isOnWire, from }) {
  const first = cursors.find(({ start }) => start !== null)?.start;
  if (first) {
    return { start: first, cursors: cursors.filter(({ start }) => isSame(start, first)) };
  }
  const known = cursors.filter(({ position }) => position !== null);
  const least = known.sort((a, b) => Number(a.position) - Number(b.position)).at(0);
  const isBehind = least !== undefined && from !== null && Number(least.position) < from;
  if (isOnWire && !isBehind) {
    return null;
  }
  const { position, epoch } = least ?? {};
  return { start: least ? { after: Number(position), epoch } : {}, cursors: [] };
}

/**
 * @param {string} pattern @param {Cursor} cursor @param {{from: number, to: number}} gap
 */
function missed(pattern, cursor, { from, to }) {
  // Of a pattern with wildcards some topics may remain.
  if (cursor.position !== null && !/(^|\.)[*>](\.|$)/.test(pattern)) {
    cursor.position = Math.max(cursor.position, to);
  }
  cursor.onGap({ pattern, from, to });
}

// A pattern has at most 255 characters, and the service reads frames of 64 KiB.
const COMMANDS_PER_FRAME = 50;

/** Receives the messages of topics and patterns, in order, each once for each subscription. */
class Subscriber {
  #subscriptions = new SubscriptionState();
  /** The name of the page where it is present: the same on each connection, so that no one sees it come back. */
  #name = randomId();
  #onState;
  #onError;
  #link;

  /**
   * @param {string} url The subscriber service, `wss://HOST:PORT`.
   * @param {Login} login The token.
   * @param {Environment} environment What it runs in.
   * @param {object} callbacks
   * @param {(state: State) => void} callbacks.onState Called when the state of the connection changes.
   * @param {(error: Error) => void} callbacks.onError Called with a refusal that no subscription is named in.
   */
  constructor(url, login, environment, { onState, onError }) {
    const transport = new Transport(url, login, {
      path: "/subscribe",
      protocol: "fanline.v1",
      openOverHttp: (http, path) => new EventSocket(http, path),
      ...environment,
    });
    this.#onState = onState;
    this.#onError = onError;
    this.#link = new Link({
      ...transport.linkOptions,
      onOpen: () => this.#send(this.#subscriptions.resume()),
      onFrame: (frame) => this.#receive(frame),
      onState: (state) => this.#changed(state),
      probe: () => this.#probe(),
    });
  }

  /** @returns {State} The state of the connection. */
  get state() {
    return this.#link.state;
  }

  /** Connect at once, if paused, or waiting for the next attempt. */
  retryNow() {
    this.#link.retryNow();
  }

  /** Close the connection until `retryNow` is called. */
  pause() {
    this.#link.pause();
  }

  /** Close the connection, and all subscriptions. */
  close() {
    this.#link.close();
  }

  /**
   * Test whether a subscription can be added.
   *
   * @param {string} pattern Its pattern.
   * @param {Start & Session & {signal?: AbortSignal}} options Where it begins.
   */
  accepts(pattern, { signal: _, presence: _presence, as: _as, ...start }) {
    return this.#subscriptions.accepts(pattern, start);
  }

  /**
   * Subscribe to a topic or pattern.
   *
   * @param {string} pattern The topic or pattern.
   * @param {Start & Session & {signal?: AbortSignal}} options Where to begin, and whether to be present.
   * @returns {Subscription}
   * @throws {Rejected} If the pattern is none, or the beginning is none.
   */
  subscribe(pattern, { signal, presence, as = this.#name, ...start }) {
    checkStart(start);
    const subscription = new Subscription(checkedPattern(pattern), start, (cursor) =>
      this.#send(this.#subscriptions.remove(pattern, cursor)),
    );
    if (signal?.aborted) {
      subscription.close();
    } else if (this.state.phase === "closed") {
      subscription.cursor.onRefused(new Closed(this.state.reason, this.state.code));
    } else {
      signal?.addEventListener("abort", () => subscription.close());
      this.#send(this.#subscriptions.add(pattern, subscription.cursor, presence ? { presence, as } : {}));
    }
    return subscription;
  }

  /** @param {Command[]} commands What to send, if anything; of many, so many in a frame that it is never too large. */
  #send(commands) {
    for (let start = 0; start < commands.length; start += COMMANDS_PER_FRAME) {
      this.#link.send(commands.slice(start, start + COMMANDS_PER_FRAME));
    }
  }

  /** @param {any} frame A message, an answer or a notice. */
  #receive(frame) {
    if (frame.topic !== undefined) {
      this.#subscriptions.deliver(frame);
    } else if (frame.error === "queue-unavailable" || frame.error === "rate-limited") {
      this.#link.reset(frame.reason, frame.retry_ms); // everything is asked for again on the next connection
    } else if (frame.error !== undefined && frame.sub !== undefined) {
      this.#send(this.#subscriptions.refuse(frame.sub, new Rejected(frame.error, frame.reason)));
    } else if (frame.error !== undefined) {
      this.#onError(new Rejected(frame.error, frame.reason));
    } else if (frame.subscribed !== undefined) {
      this.#send(this.#subscriptions.confirm(frame));
    } else if (frame.unsubscribed !== undefined) {
      this.#subscriptions.confirmRemoval(frame.unsubscribed);
    } else if (frame.gap) {
      this.#subscriptions.miss(frame.gap);
    }
  }

  #probe() {
    const sub = this.#subscriptions.somePattern;
    return sub === undefined ? false : { sub }; // a repetition changes nothing, and is answered
  }

  /** @param {State} state The new state of the connection. */
  #changed(state) {
    if (state.phase === "closed") {
      for (const cursor of this.#subscriptions.cursors) {
        cursor.onRefused(new Closed(state.reason, state.code));
      }
    }
    this.#onState(state);
  }
}

/**
 * @param {Start} start
 * @throws {Rejected} If it is no place to begin at.
 */
function checkStart({ after, last, latest, epoch }) {
  const isCount = (/** @type {unknown} */ each) =>
    each === undefined || (Number.isSafeInteger(each) && Number(each) >= 0);
  const given = [after, last, latest || undefined].filter((each) => each !== undefined);
  if (!isCount(after) || !isCount(last) || given.length > 1 || (epoch !== undefined && after === undefined)) {
    throw new Rejected(
      "bad-command",
      "`after` is a position, `last` a number of messages, `latest` true; only one of them is given, and `epoch` with `after` alone",
    );
  }
}

/**
 * What a client runs in, where it is not to be that of the platform.
 *
 * @typedef {object} Environment
 * @property {{new(url: string, protocols: string[]): any}} [WebSocket] Makes WebSockets.
 * @property {typeof globalThis.fetch} [fetch] Makes requests.
 */

/**
 * What to connect to.
 *
 * @typedef {object} Addresses
 * @property {string} [publish] The publisher service, `wss://HOST:8081`.
 * @property {string} [subscribe] The subscriber service, `wss://HOST:8082`.
 * @property {Token} [token] The token, or a function that returns one, called before each connection.
 */

/**
 * What happens to a client.
 *
 * @typedef {object} FanlineEvents
 * @property {State} state The state has changed.
 * @property {Error} error The server has refused something, and did not say what.
 */

/** The order in which states of two connections count: the first that one of them has is that of the client. */
const PHASES = ["closed", "paused", "waiting", "connecting", "open"];

/**
 * Connections to a publisher and a subscriber service, which are opened again whenever they are lost.
 *
 * @extends {Emitter<FanlineEvents>}
 */
class Fanline extends Emitter {
  /** @type {Publisher | undefined} */
  #publisher;
  /** @type {Subscriber[]} More than one only where newest values are wanted of a pattern that is subscribed to. */
  #subscribers = [];
  #environment;
  /** @type {string | undefined} */
  #subscriberUrl;
  #login;
  #fetch;

  /** @param {Addresses & Environment} options What to connect to. */
  constructor({ publish, subscribe, token = "", ...environment }) {
    super();
    if (publish === undefined && subscribe === undefined) {
      throw new TypeError("name what to connect to: { publish: address, subscribe: address }");
    }
    this.#environment = environment;
    this.#login = new Login(token);
    this.#fetch = environment.fetch ?? fetch.bind(globalThis);
    if (publish !== undefined) {
      const onState = () => this._emit("state", this.state);
      this.#publisher = new Publisher(checkedAddress(publish), this.#login, environment, onState);
    }
    if (subscribe !== undefined) {
      this.#subscriberUrl = checkedAddress(subscribe);
      this.#addSubscriber(this.#subscriberUrl);
    }
  }

  /** @returns {State} The state of the connections: of two, that of the one which is less open. */
  get state() {
    const rank = (/** @type {State} */ { phase, isDoubtful }) =>
      PHASES.indexOf(phase) + (isDoubtful ? 0 : 0.5);
    const [state] = this.#connections.map((each) => each.state).sort((a, b) => rank(a) - rank(b));
    return state;
  }

  /**
   * @override
   * @template {keyof FanlineEvents} Type
   * @param {Type} type `state` or `error`.
   * @param {(value: FanlineEvents[Type]) => void} listener Called at each.
   * @returns {() => void} Ends this.
   */
  on(type, listener) {
    return super.on(type, listener);
  }

  /**
   * Publish one message.
   *
   * @param {string} topic Where.
   * @param {any} content Anything that can be written as JSON.
   * @param {object} [options]
   * @param {string} [options.id] Its id; made up if absent. A message that is sent again with the same id within
   *   ten minutes is not stored again.
   * @param {AbortSignal} [options.signal] Takes it back: it is not sent again, but may be stored already.
   * @param {string} [options.traceparent] The trace that it belongs to (W3C Trace Context); receivers are told.
   * @returns {Promise<Ack>} Resolved when the message is on disk, through any number of reconnects.
   *   Rejected with `Rejected` if the message is refused, with `Closed` if the client is closed before.
   */
  async publish(topic, content, options = {}) {
    return await given(this.#publisher, "publish").publish(topic, content, options);
  }

  /**
   * Subscribe to a topic or pattern, any number of times to the same one.
   *
   * @template [T=any]
   * @param {string} pattern The topic or pattern.
   * @param {Start & Session & {signal?: AbortSignal}} [options] Where to begin, by default with new messages; whether
   *   to be present; and what closes it.
   * @returns {Subscription<T>}
   * @throws {import("./errors.js").Rejected} If the pattern or the beginning cannot be right.
   */
  subscribe(pattern, options = {}) {
    const address = given(this.#subscriberUrl, "subscribe");
    const free = this.#subscribers.find((each) => each.accepts(pattern, options));
    return (free ?? this.#addSubscriber(address)).subscribe(pattern, options);
  }

  /**
   * Watch who is present on a topic.
   *
   * @param {string} topic The topic.
   * @returns {Presence}
   */
  presence(topic) {
    return new Presence((options) => this.subscribe(`$presence.${topic}`, options));
  }

  /**
   * Read one page of the log; it is tried once.
   *
   * @template [T=any]
   * @param {string} topic A topic or pattern.
   * @param {HistoryOptions} [options] Which page; the newest messages by default.
   * @returns {Promise<HistoryPage<T>>} Rejected with `Rejected` if it is refused.
   */
  async history(topic, options = {}) {
    const address = given(this.#subscriberUrl, "subscribe");
    return await readHistory(new Http(address, await this.#login.read(), this.#fetch), topic, options);
  }

  /** Close the connections until `resume` is called. Nothing is lost: messages wait here, or in the log. */
  pause() {
    for (const each of this.#connections) {
      each.pause();
    }
  }

  /** Connect at once: after a pause, or instead of waiting for the next attempt. */
  resume() {
    for (const each of this.#connections) {
      each.retryNow();
    }
  }

  /** Close everything. What has no answer is rejected with `Closed`, and may have been stored. */
  close() {
    for (const each of this.#connections) {
      each.close();
    }
  }

  get #connections() {
    return this.#publisher ? [this.#publisher, ...this.#subscribers] : this.#subscribers;
  }

  /** @param {string} address The service. @returns {Subscriber} One more connection to it. */
  #addSubscriber(address) {
    const subscriber = new Subscriber(address, this.#login, this.#environment, {
      onState: () => this._emit("state", this.state),
      onError: (error) => this.#refused(error),
    });
    this.#subscribers.push(subscriber);
    return subscriber;
  }

  /** @param {Error} error A refusal. */
  #refused(error) {
    if (this._hasListener("error")) {
      this._emit("error", error);
    } else {
      console.error(error);
    }
  }
}

/**
 * Connect to Fanline. The connections are opened by themselves, and again whenever they are lost.
 *
 * @param {Addresses & Environment} options What to connect to.
 * @returns {Fanline}
 * @throws {TypeError} If an address is none.
 */
function connect(options) {
  return new Fanline(options);
}

/**
 * @template T
 * @param {T | undefined} part @param {string} name
 * @returns {T}
 */
function given(part, name) {
  if (part === undefined) {
    throw new TypeError(`connect() was not told the address to ${name}`);
  }
  return part;
}

/** @param {string} text @returns {string} An address without a slash at its end. @throws {TypeError} */
function checkedAddress(text) {
  const [, address] = /^((?:ws|http)s?:\/\/[^/?#]+)\/*$/.exec(text) ?? [];
  if (!address) {
    throw new TypeError(`${JSON.stringify(text)} is no address of a service: write "wss://HOST:PORT"`);
  }
  return address.replace(/^http/, "ws");
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
   * @param {(state: State) => void} [options.onState] Called when the state of the connection changes. The `code`
   *   of a closed one tells why: `CloseCode.ROOM_DELETED`, `CloseCode.LOGGED_OUT`, …
   */
  constructor(url, id, { token = "", after, onEvents, onState }) {
    const transport = new Transport(url, new Login(token), {
      path: `/api/serve/${encodeURIComponent(id)}`,
      protocol: "fanline.chat.v1",
      parameters: () => this.#resume(),
    });
    const options = {
      ...transport.linkOptions,
      onFrame: (/** @type {any} */ frame) => this.#receive(frame),
      onBatchEnd: () => this.#handOver(),
      probe: () => ({ probe: true }), // it is refused, and so answered
    };
    super(options, onState);
    this.#position = after;
    this.#onEvents = onEvents;
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

export { CloseCode, Closed, Fanline, Link, Presence, Rejected, Room, Subscription, claims, connect, matches };
