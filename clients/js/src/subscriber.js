import { Client } from "./client.js";
import { Closed, Rejected } from "./errors.js";
import { Login } from "./login.js";
import { SubscriptionState } from "./subscriptions.js";
import { checkedPattern } from "./topics.js";

/** @import { State } from "./connection.js" */
/** @import { Token } from "./login.js" */
/** @import { Message } from "./subscriptions.js" */

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
export class Subscriber extends Client {
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
