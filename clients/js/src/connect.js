import { Emitter } from "./events.js";
import { Http, readHistory } from "./http.js";
import { Login } from "./login.js";
import { Presence } from "./presence.js";
import { Publisher } from "./publisher.js";
import { Subscriber } from "./subscriber.js";

/** @import { State } from "./connection.js" */
/** @import { HistoryOptions, HistoryPage } from "./http.js" */
/** @import { Token } from "./login.js" */
/** @import { Ack } from "./publisher.js" */
/** @import { Subscription } from "./subscription.js" */
/** @import { Session, Start } from "./subscriptions.js" */

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
export class Fanline extends Emitter {
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
export function connect(options) {
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
