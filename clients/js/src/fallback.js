import { problemOf, queryOf } from "./http.js";

/** @import { Http } from "./http.js" */

const OPEN = 1; // as WebSocket.OPEN
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
        this.readyState = OPEN;
        this.onopen?.();
      }
    } catch {
      this._end(LOST, "");
    }
  }

  /** @protected @param {string} data A frame. */
  _receive(data) {
    if (this.readyState === OPEN) {
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
    const { detail } = await problemOf(response);
    const seconds = Number(response.headers.get("Retry-After"));
    if (seconds) {
      this._receive(JSON.stringify({ drain: { retry_ms: seconds * 1000 } }));
    }
    this._end(response.status === 401 ? 4001 : 1013, detail);
  }
}

/** Publishes by POST, one request after the other, so that the order is kept. */
export class PostSocket extends HttpSocket {
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
    const { code, detail, messages } = await problemOf(response.clone());
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
export class EventSocket extends HttpSocket {
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
      const { code, detail } = await problemOf(response);
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
export class EventTranslator {
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
