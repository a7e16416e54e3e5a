import { Link } from "./connection.js";
import { Closed, Rejected } from "./errors.js";
import { EventSocket } from "./fallback.js";
import { randomId } from "./platform.js";
import { Subscription } from "./subscription.js";
import { SubscriptionState } from "./subscriptions.js";
import { checkedPattern } from "./topics.js";
import { Transport } from "./transport.js";

/** @import { Environment } from "./connect.js" */
/** @import { State } from "./connection.js" */
/** @import { Login } from "./login.js" */
/** @import { Command, Session, Start } from "./subscriptions.js" */

// A pattern has at most 255 characters, and the service reads frames of 64 KiB.
const COMMANDS_PER_FRAME = 50;

/** Receives the messages of topics and patterns, in order, each once for each subscription. */
export class Subscriber {
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
